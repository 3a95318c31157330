package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfastdb/holdfast/queries"
	"github.com/spf13/cobra"
)

func (a *app) queriesCommand() *cobra.Command {
	by, limit, reset := string(queries.ByTime), 20, false
	var past historyFlags
	var orders []string
	for _, o := range queries.Orders() {
		orders = append(orders, string(o))
	}
	cmd := &cobra.Command{
		Use:   "queries DATABASE|URL",
		Short: "Tell which statements cost what, in the programs that run them",
		Long: `Tell which statements cost what, in the programs that run them: calls, time, waits, rows,
steps, errors, plans and call sites, under the text of the statement without its values.

Programs that run Holdfast and have the database open count, from when they opened it or from
the last --reset, and tell by a socket beside the database, to the same user and to root
(Linux and macOS). The database itself is not opened. Of several programs the numbers are
added up; --json has each by itself besides. Counting is off where telemetry.enabled is
false.

URL is that of "holdfast serve": http://HOST:PORT, or http://HOST:PORT/databases/NAME. A token
comes from HOLDFAST_TOKEN; --reset takes one that may write.

--since, --compare and --series read what such programs have written down instead, minute by
minute, in DATABASE-holdfast.telemetry; none has to run. --compare shows two periods side by
side: the time since --since (24h unless given) with the one before it (previous), with the
same a week earlier (week), or the time since the last build that was seen first with as much
before it (release). What takes longer than before comes first. --series shows figures of
Stats ("writer.*", "wal.*"), sizes (file.*) and what the process took (system.*, on Linux).

Columns:
  calls     as the program made them, repetitions out of sight included
  time      of all calls together, as the program saw it: with waiting, reading the rows, COMMIT
  mean      of a call; p99: of a hundred calls one takes longer
  wait      the part of time that was waiting: for a reader, the writer, or a lock
  rows      returned or changed, of a call
  steps     instructions of SQLite's virtual machine, of a call
  !         E: some calls failed, S: whole tables are scanned, A: an index is made for each
            call; --json has the numbers
With --compare each has before > now, and besides:
  added     by how much all calls took longer than as many would have before
  x         the mean, now through before
  !         N: new, G: gone, P: SQLite runs it by another plan
With --series: mean and most of a minute, and of what counts the sum in the step.

Exit codes: 69 if no program that counts has the database open, or there is no history; others are those of
"holdfast help".`,
		Example: `  holdfast queries app.db
  holdfast queries app.db --sort wait --limit 5
  holdfast queries app.db --json | jq '.queries[] | [.p99_seconds, .statement]'
  holdfast queries app.db --reset
  holdfast queries app.db --since 7d --sort p99
  holdfast queries app.db --compare week
  holdfast queries app.db --series 'writer.*' --since 6h`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			order, err := queries.ParseOrder(by)
			if err != nil {
				return exitcode.With(exitcode.Usage, err)
			}
			ctx, cancel := a.within(cmd.Context())
			defer cancel()
			if past.any() || past.step != 0 {
				if isURL(args[0]) {
					return exitcode.Usagef("--since, --compare and --series read a file: name the database instead of a URL, on the daemon's machine")
				}
				return a.queriesBefore(ctx, args[0], order, limit, reset, &past)
			}
			ask := askQueries
			if isURL(args[0]) {
				ask = a.remoteQueries
			}
			answer, err := ask(ctx, args[0], order, limit, reset)
			if err != nil {
				return err
			}
			return a.printQueries(answer)
		},
	}
	f := cmd.Flags()
	f.StringVar(&by, "sort", by, "what to sort by: "+strings.Join(orders, ", "))
	f.IntVar(&limit, "limit", limit, "how many statements to show; 0 is all")
	f.BoolVar(&reset, "reset", false, "set the counts of these programs to zero, after they were told")
	f.StringVar(&past.since, "since", "", "what was recorded since `when`: 24h or 7d ago, 2026-11-27T08:00:00Z, or release")
	f.StringVar(&past.compare, "compare", "", "compare two periods: "+strings.Join(comparisons, ", "))
	f.StringSliceVar(&past.series, "series", nil, "show `figures` instead of statements, as writer.groups or wal.*; may be repeated")
	f.DurationVar(&past.step, "step", 0, "the distance of points of --series: 1m, 10m or 1h; 0 is one that makes at most 60, if there is one")
	_ = cmd.RegisterFlagCompletionFunc("compare", cobra.FixedCompletions(completions(comparisons), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(completions(orders), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// queriesAnswer is what queries --json prints.
type queriesAnswer struct {
	Schema   string `json:"schema"`
	Database string `json:"database"`
	Sort     string `json:"sort"`
	Reset    bool   `json:"reset"`
	queries.Report
	Shown     int                       `json:"-"` // of all
	Known     int                       `json:"statements"`
	Processes []holdfast.ProcessQueries `json:"processes"`
	Blind     []string                  `json:"blind"`
	History   *historyAnswer            `json:"history,omitempty"`
}

func askQueries(ctx context.Context, path string, by queries.Order, limit int, reset bool) (*queriesAnswer, error) {
	if _, err := os.Stat(path); err != nil && !strings.HasPrefix(path, "file:") {
		return nil, err
	}
	told, silent, err := holdfast.AskQueries(ctx, path, reset)
	if err != nil {
		return nil, err
	}
	if len(told) == 0 {
		why := "no program that runs Holdfast has it open and tells what it counts"
		if len(silent) > 0 {
			why += " (" + strings.Join(silent, "; ") + ")"
		}
		return nil, exitcode.With(exitcode.Unavailable, fmt.Errorf("%s: %s: look with \"holdfast locks\" who has it open, or ask the program's DB.Queries", path, why))
	}
	return newQueriesAnswer(path, told, silent, by, limit, reset), nil
}

func newQueriesAnswer(database string, told []holdfast.ProcessQueries, silent []string, by queries.Order, limit int, reset bool) *queriesAnswer {
	answer := &queriesAnswer{Schema: "holdfast.queries/v1", Database: database, Sort: string(by), Reset: reset, Processes: told, Blind: append([]string{}, silent...)}
	var reports []queries.Report
	for i := range told {
		reports = append(reports, told[i].Report)
		told[i].Report.Queries = told[i].Report.Top(by, limit)
	}
	answer.Report = queries.Merge(reports...)
	answer.Known = len(answer.Queries)
	answer.Queries = answer.Top(by, limit)
	return answer
}

func (a *app) printQueries(answer *queriesAnswer) error {
	if a.format.Structured() {
		return a.printer().Document(answer, queriesGrid(answer))
	}
	if err := a.printer().Result(queriesGrid(answer)); err != nil {
		return err
	}
	if a.format != output.Table {
		return nil
	}
	lines := []string{fmt.Sprintf("%d of %d statements, by %s, in %s", len(answer.Queries), answer.Known, answer.Sort, answer.At.Sub(answer.Since).Round(time.Second))}
	if n := answer.Others.Calls; n > 0 {
		lines = append(lines, fmt.Sprintf("%d calls of other statements took %s together: there are more than %d kinds (telemetry.max_statements)", n, shortTime(answer.Others.TotalSeconds), answer.Bound))
	}
	for _, p := range answer.Processes {
		var calls, busy int64
		var took float64
		for _, q := range p.Report.Queries {
			calls, took, busy = calls+q.Calls, took+q.TotalSeconds, busy+q.Failed()
		}
		lines = append(lines, fmt.Sprintf("%s (pid %d): %d calls of these, %s, %d failed", p.Program, p.PID, calls, shortTime(took), busy))
	}
	for _, b := range answer.Blind {
		lines = append(lines, "not seen: "+b)
	}
	if answer.Reset {
		lines = append(lines, "the counts begin anew")
	}
	for _, line := range lines {
		if _, err := a.out.WriteString(output.Visible(line) + "\n"); err != nil {
			return &output.WriteError{Err: err}
		}
	}
	return nil
}

func queriesGrid(answer *queriesAnswer) *output.Result {
	var rows [][]any
	for i := range answer.Queries {
		q := &answer.Queries[i]
		marks := ""
		if q.Failed() > 0 {
			marks += "E"
		}
		if q.FullScanSteps > 0 {
			marks += "S"
		}
		if q.AutoIndexes > 0 {
			marks += "A"
		}
		rows = append(rows, []any{
			q.Calls, shortTime(q.TotalSeconds), shortTime(q.MeanSeconds), shortTime(q.P99Seconds), shortTime(q.WaitSeconds),
			perCall(q.Rows+q.RowsChanged, q.Calls), perCall(q.VMSteps, q.Calls), marks, q.Statement,
		})
	}
	return output.Grid(rows, "calls", "time", "mean", "p99", "wait", "rows", "steps", "!", "statement")
}

func perCall(n, calls int64) string {
	if calls == 0 {
		return "0"
	}
	return fmt.Sprintf("%.3g", float64(n)/float64(calls))
}

// shortTime is a time in three digits.
func shortTime(seconds float64) string {
	switch {
	case seconds <= 0:
		return "0"
	case seconds < 1e-3:
		return fmt.Sprintf("%.3g us", seconds*1e6)
	case seconds < 1:
		return fmt.Sprintf("%.3g ms", seconds*1e3)
	case seconds < 120:
		return fmt.Sprintf("%.3g s", seconds)
	}
	return time.Duration(seconds * 1e9).Round(time.Second).String()
}
