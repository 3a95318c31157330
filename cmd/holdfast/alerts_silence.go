package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os/user"
	"time"

	"github.com/holdfastdb/holdfast/alerts"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/spf13/cobra"
)

// silencePlace is where silences are: at a daemon, or in a file.
type silencePlace struct {
	url    string
	engine *alerts.Engine // of the file; nil: a daemon has them
}

func (a *app) alertsSilenceCommand() *cobra.Command {
	var at string
	cmd := group("silence", "Keep alerts from being told for a while")
	cmd.Long = `Keep alerts from being told for a while, those of one rule, one database, or all. They are
looked at all the same, and what still fires when the silence ends is told then.

The silences are those of the daemon at --url; the token in HOLDFAST_TOKEN must be one that
may write, to list them one that may read. With --config, and without --url, they are those
in the file that alerts.silences_file of the configuration names: a daemon reads it at its
start and on SIGHUP.`
	cmd.PersistentFlags().StringVar(&at, "url", "http://127.0.0.1:7391", "the `address` of the daemon")
	place := func(cmd *cobra.Command) (*silencePlace, error) { return a.silencePlace(at, cmd.Flags().Changed("url")) }
	cmd.AddCommand(a.silenceAddCommand(place), a.silenceListCommand(place), a.silenceEndCommand(place))
	return cmd
}

func (a *app) silencePlace(at string, named bool) (*silencePlace, error) {
	if named || a.config == "" {
		return &silencePlace{url: at}, nil
	}
	settings, _, err := a.load()
	if err != nil {
		return nil, err
	}
	file := settings.Alerts.Alerts.SilencesFile
	if file == "" {
		return nil, exitcode.Usagef("the configuration names no alerts.silences_file: name the daemon with --url")
	}
	// An engine that watches nothing and tells nobody has the rules of what may be in the file.
	c := alerts.Config{Alerts: alerts.Settings{SilencesFile: file}, Logger: a.logger()}
	engine, err := alerts.New(c)
	if err != nil {
		return nil, err
	}
	return &silencePlace{engine: engine}, nil
}

func (p *silencePlace) close() error {
	if p.engine == nil {
		return nil
	}
	return p.engine.Close()
}

func (p *silencePlace) list(ctx context.Context) ([]alerts.Silence, error) {
	if p.engine != nil {
		return p.engine.Silences(), nil
	}
	var answer alerts.Answer
	err := askAlerts(ctx, p.url, http.MethodGet, "/alerts", &answer)
	return answer.Silences, err
}

func (p *silencePlace) add(ctx context.Context, s alerts.Silence) (alerts.Silence, error) {
	if p.engine != nil {
		made, err := p.engine.Silence(s)
		if err != nil {
			return made, exitcode.With(exitcode.Usage, err)
		}
		return made, nil
	}
	var made alerts.Silence
	err := sendAlerts(ctx, p.url, http.MethodPost, "/alerts/silences", s, &made)
	return made, err
}

func (p *silencePlace) end(ctx context.Context, id string) error {
	if p.engine != nil {
		err := p.engine.Unsilence(id)
		if errors.Is(err, alerts.ErrNoSilence) {
			return exitcode.With(exitcode.Missing, err)
		}
		return err
	}
	return askAlerts(ctx, p.url, http.MethodDelete, "/alerts/silences/"+url.PathEscape(id), nil)
}

// silencesAnswer is what these commands print.
type silencesAnswer struct {
	Schema   string           `json:"schema"`
	Silences []alerts.Silence `json:"silences"`
}

func (a *app) printSilences(list []alerts.Silence) error {
	var rows [][]any
	every := func(name string) string {
		if name == "" {
			return "all"
		}
		return name
	}
	for _, s := range list {
		rows = append(rows, []any{s.ID, every(s.Rule), every(s.Database), s.From.UTC().Format(time.DateTime), s.Until.UTC().Format(time.DateTime), s.By, s.Reason})
	}
	if list == nil {
		list = []alerts.Silence{}
	}
	return a.printer().Document(silencesAnswer{"holdfast.alerts.silences/v1", list}, output.Grid(rows, "id", "rule", "database", "from", "until", "by", "reason"))
}

// silencing runs f with the place of the silences.
func (a *app) silencing(cmd *cobra.Command, place func(*cobra.Command) (*silencePlace, error), f func(context.Context, *silencePlace) error) error {
	ctx, cancel := a.within(cmd.Context())
	defer cancel()
	p, err := place(cmd)
	if err != nil {
		return err
	}
	return errors.Join(f(ctx, p), p.close())
}

func (a *app) silenceAddCommand(place func(*cobra.Command) (*silencePlace, error)) *cobra.Command {
	var s alerts.Silence
	var lasts time.Duration
	var until string
	cmd := &cobra.Command{
		Use:   "add --reason TEXT (--for DURATION | --until TIME)",
		Short: "Begin a silence",
		Long:  "Begin a silence, and print it with the ID that ends it.",
		Example: `  holdfast alerts silence add --rule wal_too_big --database orders --reason "import" --for 2h
  holdfast alerts silence add -c holdfast.json --reason "night of maintenance" --until 2026-12-01T06:00:00Z`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case (lasts > 0) == (until != ""):
				return exitcode.Usagef("say when it ends: --for 2h, or --until 2026-12-01T06:00:00Z")
			case lasts > 0:
				s.Until = time.Now().Add(lasts)
			default:
				t, err := time.Parse(time.RFC3339, until)
				if err != nil {
					return exitcode.Usagef("--until %s: expected a time such as 2026-12-01T06:00:00Z", until)
				}
				s.Until = t
			}
			if u, err := user.Current(); s.By == "" && err == nil {
				s.By = u.Username
			}
			return a.silencing(cmd, place, func(ctx context.Context, p *silencePlace) error {
				made, err := p.add(ctx, s)
				if err != nil {
					return err
				}
				return a.printSilences([]alerts.Silence{made})
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.Rule, "rule", "", "the `rule`, as in holdfast alerts rules; default: all")
	f.StringVar(&s.Database, "database", "", "the `name` of the database; default: all")
	f.StringVar(&s.Reason, "reason", "", "why, for whoever finds it")
	f.StringVar(&s.By, "by", "", "who wants it; default: you")
	f.DurationVar(&lasts, "for", 0, "how long it lasts")
	f.StringVar(&until, "until", "", "when it ends, a `time` as in RFC 3339")
	return cmd
}

func (a *app) silenceListCommand(place func(*cobra.Command) (*silencePlace, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the silences that have not ended, the next to end first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.silencing(cmd, place, func(ctx context.Context, p *silencePlace) error {
				list, err := p.list(ctx)
				if err != nil {
					return err
				}
				return a.printSilences(list)
			})
		},
	}
}

func (a *app) silenceEndCommand(place func(*cobra.Command) (*silencePlace, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "end ID",
		Short: "End a silence",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.silencing(cmd, place, func(ctx context.Context, p *silencePlace) error { return p.end(ctx, args[0]) })
		},
	}
}
