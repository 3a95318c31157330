package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/alerts"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfastdb/holdfast/metrics"
	"github.com/spf13/cobra"
)

func (a *app) alertsCommand() *cobra.Command {
	cmd := group("alerts", "Tell what is wrong, test who is told, silence, print the rules")
	cmd.AddCommand(a.alertsListCommand(), a.alertsTestCommand(), a.alertsRulesCommand(), a.alertsSilenceCommand())
	return cmd
}

// daemonFlag is the address of a daemon, by default the one that it listens at by default.
func daemonFlag(cmd *cobra.Command, url *string) {
	cmd.Flags().StringVar(url, "url", "http://127.0.0.1:7391", "the `address` of the daemon")
}

func (a *app) alertsListCommand() *cobra.Command {
	var url string
	var past bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Ask a daemon which alerts there are",
		Long: `Ask a daemon which alerts there are: pending are those that must last longer before
anybody is told. What keeps it from seeing or telling stands below on standard error. A
token comes from HOLDFAST_TOKEN.

Exit codes:
    0  none is firing, or only what is silenced
    1  a warning is firing
    2  something critical is firing
Other codes are those of "holdfast help".`,
		Example: `  holdfast alerts list
  holdfast alerts list --history
  holdfast alerts list --json | jq '.active[] | [.severity, .database, .summary.en]'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.within(cmd.Context())
			defer cancel()
			var answer alerts.Answer
			if err := askAlerts(ctx, url, http.MethodGet, "/alerts", &answer); err != nil {
				return err
			}
			return a.printAlerts(&answer, past)
		},
	}
	daemonFlag(cmd, &url)
	cmd.Flags().BoolVar(&past, "history", false, "those that have ended instead")
	return cmd
}

// askAlerts makes one request of a daemon's alerts.
func askAlerts(ctx context.Context, url, method, path string, into any) error {
	return sendAlerts(ctx, url, method, path, nil, into)
}

func sendAlerts(ctx context.Context, url, method, path string, body, into any) error {
	if !isURL(url) {
		return exitcode.Usagef("--url %s: expected a URL such as http://127.0.0.1:7391", url)
	}
	r := &remote{base: strings.TrimRight(url, "/"), client: http.Client{Timeout: remoteTime}}
	return r.send(ctx, method, path, body, into)
}

func (a *app) printAlerts(answer *alerts.Answer, past bool) error {
	list := answer.Active
	if past {
		list = answer.History
	}
	var rows [][]any
	for i := range list {
		x := &list[i]
		state := string(x.State)
		if x.SilencedBy != "" {
			state += ", silenced"
		}
		row := []any{state, string(x.Severity), x.Rule, x.Database, x.Since.UTC().Format(time.DateTime)}
		if past {
			row = append(row, x.ResolvedAt.UTC().Format(time.DateTime))
		}
		rows = append(rows, append(row, x.Summary.EN))
	}
	names := []string{"state", "severity", "rule", "database", "since", "summary"}
	if past {
		names = []string{"state", "severity", "rule", "database", "since", "until", "summary"}
	}
	if err := a.printer().Document(answer, output.Grid(rows, names...)); err != nil {
		return err
	}
	if a.format == output.Table {
		for _, trouble := range blindSpots(&answer.Status) {
			fmt.Fprintln(a.errs, trouble)
		}
	}
	if past {
		return nil
	}
	return exitcode.Verdict(verdictOf(answer.Active)).AsError()
}

// blindSpots are what the daemon doesn't see, and whom it can't tell.
func blindSpots(s *alerts.Status) (out []string) {
	for _, d := range s.Databases {
		if d.Error != "" {
			out = append(out, fmt.Sprintf("%s gives no figures: %s", d.Name, d.Error))
		}
	}
	receivers := s.Receivers
	if s.Heartbeat != nil {
		receivers = append(receivers, *s.Heartbeat)
	}
	for _, r := range receivers {
		if r.LastError != "" {
			out = append(out, fmt.Sprintf("%s fails since %s, %d wait: %s", r.Name, r.FailingSince.UTC().Format(time.DateTime), r.Pending, r.LastError))
		}
	}
	return out
}

func verdictOf(list []alerts.Alert) (code int) {
	for i := range list {
		switch x := &list[i]; {
		case x.State != alerts.Firing || x.SilencedBy != "":
		case x.Severity == alerts.Critical:
			return 2
		default:
			code = 1
		}
	}
	return code
}

func (a *app) alertsTestCommand() *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Have a daemon send a test alert to every receiver",
		Long: `Have a daemon send a test alert to every receiver that it is configured with, and tell what
came of it. The token in HOLDFAST_TOKEN must be one that may write. The exit code is 1 if
one of them did not take it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.within(cmd.Context())
			defer cancel()
			var answer alerts.TestAnswer
			if err := askAlerts(ctx, url, http.MethodPost, "/alerts/test", &answer); err != nil {
				return err
			}
			var rows [][]any
			code := exitcode.OK
			for _, r := range answer.Results {
				result := "delivered"
				if r.Error != "" {
					result, code = r.Error, exitcode.Failed
				}
				rows = append(rows, []any{r.Receiver, result})
			}
			if err := a.printer().Document(&answer, output.Grid(rows, "receiver", "result")); err != nil {
				return err
			}
			return exitcode.Verdict(code).AsError()
		},
	}
	daemonFlag(cmd, &url)
	return cmd
}

func (a *app) alertsRulesCommand() *cobra.Command {
	prometheus := false
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Print the rules with the thresholds that the configuration gives them",
		Long: `Print the rules with the thresholds that the configuration gives them: what makes each
true, for how long it must be, and the key of each threshold. With --output prometheus they
are a rule file for Prometheus, for those who scrape /metrics.`,
		Example: `  holdfast alerts rules -c holdfast.json
  holdfast alerts rules --set alert_load.wal_size=1GiB -o prometheus > holdfast.rules.yml`,
		Args: cobra.NoArgs,
		PersistentPreRunE: func(*cobra.Command, []string) error { // it knows a format more than others
			if prometheus = a.output == "prometheus"; prometheus {
				a.output = string(output.Table)
			}
			return a.settle()
		},
		RunE: func(*cobra.Command, []string) error {
			settings, _, err := a.load()
			if err != nil {
				return err
			}
			if prometheus {
				_, err := a.out.Write(metrics.PrometheusRules(settings.Alerts))
				return err
			}
			return a.printRules(alerts.Rules(settings.Alerts))
		},
	}
	return cmd
}

func (a *app) printRules(rules []alerts.Rule) error {
	var rows [][]any
	for i := range rules {
		r := &rules[i]
		for _, l := range r.Levels {
			wait := l.For.String()
			if r.Off {
				wait = "off"
			}
			var keys []string
			for _, t := range l.Thresholds {
				keys = append(keys, t.Key+"="+t.Text)
			}
			rows = append(rows, []any{r.ID, string(l.Severity), wait, strings.Join(keys, " "), r.When.EN})
		}
	}
	return a.printer().Document(alerts.RulesAnswer{Schema: "holdfast.alerts.rules/v1", Rules: rules}, output.Grid(rows, "rule", "severity", "for", "thresholds", "when"))
}
