package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/contention"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/spf13/cobra"
)

func (a *app) benchCommand() *cobra.Command {
	cmd := group("bench", "Measure Holdfast on this machine")
	cmd.AddCommand(a.benchContentionCommand(), a.benchHTTPCommand(), a.benchTargetsCommand())
	return cmd
}

// benchRequest is the command line of bench contention.
type benchRequest struct {
	load      contention.Load
	processes int
	compare   string
	worker    bool
}

func (a *app) benchContentionCommand() *cobra.Command {
	var r benchRequest
	cmd := &cobra.Command{
		Use:   "contention",
		Short: "Many goroutines read and write one row at once",
		Long: `Many goroutines read and write one row at once: each transaction reads a counter and
writes it back plus one, as a web application does with a balance or a session.

The times are those of acknowledged transactions, from BEGIN to the end of COMMIT. Lost
updates are acknowledged transactions that are missing from the counter. --compare runs
the same code afterwards on the bare driver of modernc.org/sqlite: "bare" is
sql.Open("sqlite", path), "recipe" adds WAL and a busy_timeout of 5 s.

Without --path the file is in the directory for temporary files and is removed; where
that is memory, commits cost nothing. A file of --path is kept, with the table
holdfast_bench_contention in it, and so are PATH-bare and PATH-recipe.

The exit code is 1 if a transaction of Holdfast failed or was lost.`,
		Example: `  holdfast bench contention --compare all
  holdfast bench contention --goroutines 8 --processes 4 --path /srv/bench.db --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if r.worker {
				return contention.Worker(cmd.Context(), a.in, os.Stdout)
			}
			return a.benchContention(cmd.Context(), r)
		},
	}
	f := cmd.Flags()
	f.IntVar(&r.load.Goroutines, "goroutines", 32, "goroutines in each process")
	f.DurationVar(&r.load.Duration, "duration", 10*time.Second, "how long each contestant runs")
	f.IntVar(&r.processes, "processes", 1, "processes that share the file")
	f.StringVar(&r.load.Path, "path", "", "the database `file` to use, instead of a temporary one")
	f.StringVar(&r.load.Synchronous, "synchronous", "", "FULL, NORMAL or EXTRA, for all contestants")
	f.StringVar(&r.compare, "compare", "", "run beside it: bare, recipe or all")
	f.BoolVar(&r.worker, "worker", false, "be one of the processes")
	_ = f.MarkHidden("worker")
	_ = cmd.RegisterFlagCompletionFunc("compare", cobra.FixedCompletions([]cobra.Completion{"bare", "recipe", "all"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("synchronous", cobra.FixedCompletions([]cobra.Completion{"FULL", "NORMAL", "EXTRA"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// contestants checks the request and lists who runs, Holdfast first.
func (r *benchRequest) contestants() ([]contention.Contestant, error) {
	switch {
	case r.load.Goroutines < 1 || r.load.Goroutines > 10_000:
		return nil, exitcode.Usagef("--goroutines %d: choose 1 to 10000", r.load.Goroutines)
	case r.processes < 1 || r.processes > 256:
		return nil, exitcode.Usagef("--processes %d: choose 1 to 256", r.processes)
	case r.load.Duration <= 0:
		return nil, exitcode.Usagef("--duration %s: choose a time such as 10s", r.load.Duration)
	}
	r.load.Synchronous = strings.ToUpper(r.load.Synchronous)
	switch r.load.Synchronous {
	case "", "FULL", "NORMAL", "EXTRA", "OFF": // OFF needs limits.allow_unsafe besides
	default:
		return nil, exitcode.Usagef("--synchronous %s: choose FULL, NORMAL or EXTRA", r.load.Synchronous)
	}
	switch r.compare {
	case "":
		return []contention.Contestant{contention.Holdfast}, nil
	case "bare":
		return []contention.Contestant{contention.Holdfast, contention.Bare}, nil
	case "recipe":
		return []contention.Contestant{contention.Holdfast, contention.Recipe}, nil
	case "all":
		return []contention.Contestant{contention.Holdfast, contention.Bare, contention.Recipe}, nil
	}
	return nil, exitcode.Usagef("--compare %s: choose bare, recipe or all", r.compare)
}

func (a *app) benchContention(ctx context.Context, r benchRequest) error {
	contestants, err := r.contestants()
	if err != nil {
		return err
	}
	path := r.load.Path
	if path == "" {
		dir, err := os.MkdirTemp("", "holdfast-bench-")
		if err != nil {
			return exitcode.With(exitcode.CantCreate, fmt.Errorf("create a directory: %w", err))
		}
		defer os.RemoveAll(dir)
		path = filepath.Join(dir, "bench.db")
	}
	if r.load.Config, err = a.settings(path); err != nil {
		return err
	}
	ctx, cancel := a.within(ctx)
	defer cancel()
	var reports []*contention.Report
	for _, c := range contestants {
		l := r.load
		l.Contestant, l.Path = c, path
		if c != contention.Holdfast {
			l.Path += "-" + string(c)
		}
		if a.errColor && !a.format.Structured() {
			fmt.Fprintf(a.errs, "measuring %s for %s\n", c, l.Duration)
		}
		report, err := contention.Measure(ctx, l, r.processes, []string{"bench", "contention", "--worker"})
		if err != nil {
			return cannotCreate(err)
		}
		reports = append(reports, report)
	}
	return a.printBench(reports)
}

// contestantAnswer is what bench contention --json says of one contestant.
type contestantAnswer struct {
	Contestant            contention.Contestant `json:"contestant"`
	Transactions          int64                 `json:"transactions"`
	TransactionsPerSecond float64               `json:"transactions_per_second"`
	Errors                int64                 `json:"errors"`
	ErrorRatio            float64               `json:"error_ratio"`
	LostUpdates           int64                 `json:"lost_updates"`
	DurationSeconds       float64               `json:"duration_seconds"`
	P50Seconds            float64               `json:"p50_seconds"`
	P99Seconds            float64               `json:"p99_seconds"`
	MaxWaitSeconds        float64               `json:"max_wait_seconds"`
	Goroutines            int                   `json:"goroutines"`
	Processes             int                   `json:"processes"`
	FirstError            string                `json:"first_error,omitempty"`
}

// benchAnswer is what bench contention --json prints: Holdfast's figures, and
// those of all contestants if there are others.
type benchAnswer struct {
	Schema string `json:"schema"`
	contestantAnswer
	Contestants []contestantAnswer `json:"contestants,omitempty"`
}

func newContestantAnswer(r *contention.Report) contestantAnswer {
	return contestantAnswer{
		Contestant:            r.Contestant,
		Transactions:          r.Tally.Transactions,
		TransactionsPerSecond: r.PerSecond(),
		Errors:                r.Tally.Errors,
		ErrorRatio:            r.ErrorRatio(),
		LostUpdates:           r.LostUpdates,
		DurationSeconds:       seconds(r.Tally.Elapsed),
		P50Seconds:            seconds(r.Quantile(0.5)),
		P99Seconds:            seconds(r.Quantile(0.99)),
		MaxWaitSeconds:        seconds(r.Tally.Longest),
		Goroutines:            r.Goroutines,
		Processes:             r.Processes,
		FirstError:            r.Tally.FirstError,
	}
}

func (a *app) printBench(reports []*contention.Report) error {
	var all []contestantAnswer
	var rows [][]any
	for _, r := range reports {
		c := newContestantAnswer(r)
		all = append(all, c)
		rows = append(rows, []any{
			string(c.Contestant), c.Transactions, int64(c.TransactionsPerSecond), c.Errors, percent(c.ErrorRatio), c.LostUpdates,
			brief(r.Quantile(0.5)), brief(r.Quantile(0.99)), brief(r.Tally.Longest),
		})
	}
	answer := benchAnswer{Schema: "holdfast.bench.contention/v1", contestantAnswer: all[0]}
	if len(all) > 1 {
		answer.Contestants = all
	}
	err := a.printer().Document(answer, output.Grid(rows,
		"contestant", "transactions", "per second", "errors", "failed", "lost", "p50", "p99", "max"))
	if err == nil && (answer.Errors > 0 || answer.LostUpdates > 0) {
		err = exitcode.With(exitcode.Failed, fmt.Errorf("%s and %s in %d transactions; the first error: %s",
			count(int(answer.Errors), "error"), count(int(answer.LostUpdates), "lost update"), answer.Transactions, answer.FirstError))
	}
	return err
}

func percent(ratio float64) string { return fmt.Sprintf("%.1f %%", 100*ratio) }

// brief is a duration with three digits.
func brief(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}
