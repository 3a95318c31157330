package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/targets"
	"github.com/spf13/cobra"
)

func (a *app) benchTargetsCommand() *cobra.Command {
	var duration time.Duration
	cmd := &cobra.Command{
		Use:   "targets",
		Short: "Measure the promised figures, each beside its target",
		Long: `Measure twelve figures on this machine, each under a stated load, and print the target
beside them: how long connections, queries, commits, checkpoints and checks take, and which
share of operations succeeds. Durations are judged by their 99th percentile, the resolution
of lock conflicts by its mean. The loads are one goroutine alone; a mix of goroutines that
read by key nine times and write once; a crowd that asks for a reader, four times as many
as there are; and two processes whose goroutines all write one row. docs/performance.md
says what each figure means.

The databases are in the directory for temporary files (TMPDIR), about 10 MB, and are
removed; where that is memory, commits cost nothing. The settings are those of --config
and --set, as everywhere.

The exit code is 0 if every target was met, and 1 if one was missed.`,
		Example: `  holdfast bench targets
  TMPDIR=/srv holdfast bench targets --duration 1m --json | jq '.figures[] | select(.met | not)'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.benchTargets(cmd.Context(), duration) },
	}
	cmd.Flags().DurationVar(&duration, "duration", 10*time.Second, "how long all loads run together")
	return cmd
}

// targetsAnswer is what bench targets --json prints.
type targetsAnswer struct {
	Schema          string  `json:"schema"`
	DurationSeconds float64 `json:"duration_seconds"`
	*targets.Report
}

func (a *app) benchTargets(ctx context.Context, duration time.Duration) error {
	if duration <= 0 {
		return exitcode.Usagef("--duration %s: choose a time such as 10s", duration)
	}
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return exitcode.With(exitcode.CantCreate, fmt.Errorf("create a directory: %w", err))
	}
	defer os.RemoveAll(dir)
	cfg, err := a.settings(dir)
	if err != nil {
		return err
	}
	ctx, cancel := a.within(ctx)
	defer cancel()
	r := targets.Request{Dir: dir, Duration: duration, Config: cfg, WorkerArgs: []string{"bench", "contention", "--worker"}}
	if a.errColor && !a.format.Structured() {
		r.Progress = func(what string) { fmt.Fprintln(a.errs, what) }
	}
	report, err := targets.Run(ctx, r)
	if err != nil {
		return cannotCreate(err)
	}
	if err := a.printTargets(duration, report); err != nil {
		return err
	}
	if report.Missed > 0 {
		return exitcode.Verdict(exitcode.Failed)
	}
	return nil
}

func (a *app) printTargets(duration time.Duration, r *targets.Report) error {
	var rows [][]any
	for _, f := range r.Figures {
		row := []any{strings.NewReplacer("_", " ", "wal", "WAL").Replace(f.Name)}
		if f.TargetShare > 0 {
			row = append(row, "> "+exact(f.TargetShare), exact(f.MeasuredShare), f.Statistic, "", "", "")
		} else {
			row = append(row, "< "+brief(span(f.TargetSeconds)), brief(span(f.MeasuredSeconds)), f.Statistic,
				brief(span(f.P50Seconds)), brief(span(f.P99Seconds)), brief(span(f.MaxSeconds)))
		}
		met := "met"
		if !f.Met {
			met = "MISSED"
		}
		rows = append(rows, append(row, f.Samples, met, f.Load))
	}
	answer := targetsAnswer{Schema: "holdfast.bench.targets/v1", DurationSeconds: seconds(duration), Report: r}
	err := a.printer().Document(answer, output.Grid(rows,
		"figure", "target", "measured", "by", "p50", "p99", "max", "samples", "", "load"))
	if err == nil && a.format == output.Table {
		_, err = fmt.Fprintf(a.out, "%d of %d met; %s; %s in all\n", r.Met, r.Met+r.Missed, r.Environment, duration)
	}
	return err
}

// exact is a share to a thousandth of a percent, rounded down: 99.9999 is not 100.
func exact(share float64) string {
	return fmt.Sprintf("%.3f %%", float64(int64(share*100_000))/1000)
}

func span(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
