package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/spf13/cobra"
)

// optimizeRequest is the command line of optimize.
type optimizeRequest struct {
	dry, space, vacuum, incremental bool
	scan, step, sizes               time.Duration
}

func (a *app) optimizeCommand() *cobra.Command {
	var r optimizeRequest
	cmd := &cobra.Command{
		Use:   "optimize DATABASE",
		Short: "Make the planner's statistics true, and give free space back",
		Long: `Make the planner's statistics true, and give free space back. The first line is the
answer.

The keys of every index are counted while others work. Where sqlite_stat1 is far from
the truth it is mended; where a statement that a program with Holdfast has run gets a
worse plan from that, it is put back. Free pages are given back in steps of some
milliseconds between the writes of others, if the file has auto_vacuum=INCREMENTAL.
--dry-run says what would be done, and opens the database for reading only.

VACUUM is never run by itself. --vacuum builds the file anew: nobody else can write
until that is done, and it needs room for the database once more beside it and once
where temporary files are (SQLITE_TMPDIR); where that is missing it isn't begun.
--incremental does it and makes the file auto_vacuum=INCREMENTAL. With --dry-run
both say what they would need and how long it may take.

The journal mode of the file stays as it is.`,
		Example: `  holdfast optimize app.db --dry-run
  holdfast optimize app.db --sizes 10s
  holdfast optimize app.db --vacuum --dry-run --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.optimize(cmd.Context(), args[0], r) },
	}
	f := cmd.Flags()
	f.BoolVar(&r.dry, "dry-run", false, "say what would be done, and write nothing")
	f.BoolVar(&r.space, "space-only", false, "leave the statistics alone")
	f.BoolVar(&r.vacuum, "vacuum", false, "build the file anew, if there is room")
	f.BoolVar(&r.incremental, "incremental", false, "the same, and make it auto_vacuum=INCREMENTAL")
	f.DurationVar(&r.scan, "scan-time", 2*time.Second, "the longest that counting one index may take, which keeps the log from being begun anew")
	f.DurationVar(&r.step, "step", 10*time.Millisecond, "the longest that a step should keep others from writing")
	f.DurationVar(&r.sizes, "sizes", 0, "read the file for so long to tell what each table takes; 0 doesn't")
	return cmd
}

func (r optimizeRequest) options() []holdfast.OptimizeOption {
	opts := []holdfast.OptimizeOption{holdfast.WithScanTime(r.scan), holdfast.WithStep(r.step), holdfast.WithTableSizes(r.sizes)}
	if r.dry {
		opts = append(opts, holdfast.WithoutChanges())
	}
	if r.space {
		opts = append(opts, holdfast.WithoutStatistics())
	}
	switch {
	case r.incremental:
		opts = append(opts, holdfast.WithIncrementalVacuum())
	case r.vacuum:
		opts = append(opts, holdfast.WithVacuum())
	}
	return opts
}

// optimizeAnswer is what optimize --json prints.
type optimizeAnswer struct {
	Schema string `json:"schema"`
	Path   string `json:"path"`
	holdfast.OptimizeReport
}

func (a *app) optimize(ctx context.Context, path string, r optimizeRequest) error {
	ctx, cancel := a.within(ctx)
	defer cancel()
	db, err := a.openExisting(ctx, path, r.dry)
	if err != nil {
		return err
	}
	defer a.closeDatabase(db)
	report, err := db.Optimize(ctx, r.options()...)
	if err != nil {
		return err
	}
	answer := optimizeAnswer{"holdfast.optimize/v1", db.Path(), report}
	if a.format == output.Table {
		if _, err := a.out.WriteString(optimizeLines(answer)); err != nil {
			return &output.WriteError{Err: err}
		}
		return nil
	}
	return a.printer().Document(answer, optimizeGrid(report))
}

// openExisting opens a database that is there, and leaves its journal mode alone
// unless somebody has set it.
func (a *app) openExisting(ctx context.Context, path string, readOnly bool) (*holdfast.DB, error) {
	cfg, err := a.settings(path)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(path, "file:") && path != ":memory:" {
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
	}
	cfg.Database.ReadOnly = cfg.Database.ReadOnly || readOnly
	if cfg.Database.EnableWALMode == holdfast.Default {
		cfg.Database.EnableWALMode = holdfast.Off
	}
	return holdfast.OpenConfig(ctx, cfg)
}

// optimizeSummary is the answer in one line.
func optimizeSummary(r holdfast.OptimizeReport) string {
	count := map[string]int{}
	for _, t := range r.Statistics.Tables {
		count[t.Outcome]++
	}
	var done []string
	for _, o := range []struct{ outcome, text string }{
		{"kept", "mended"}, {"reverted", "put back, because a plan became worse"}, {"proposed", "would be mended"},
	} {
		switch n := count[o.outcome]; n {
		case 0:
		case 1:
			done = append(done, "statistics of 1 table "+o.text)
		default:
			done = append(done, fmt.Sprintf("statistics of %d tables %s", n, o.text))
		}
	}
	s := r.Space
	switch {
	case s.PagesReleased > 0:
		done = append(done, size(s.BytesBefore-s.BytesAfter)+" given back")
	case r.DryRun && s.AutoVacuum == "INCREMENTAL" && s.FreeBytesAfter > 0:
		done = append(done, size(s.FreeBytesAfter)+" would be given back")
	}
	switch v := r.Vacuum; {
	case v == nil:
	case v.Done:
		done = append(done, "built anew")
	case v.Refused != "":
		done = append(done, "VACUUM has no room")
	default:
		done = append(done, "would be built anew")
	}
	if len(done) == 0 {
		return "nothing to do"
	}
	return strings.Join(done, ", ")
}

func optimizeLines(a optimizeAnswer) string {
	var b strings.Builder
	line := func(format string, args ...any) {
		b.WriteString(strings.TrimRight(output.Visible(fmt.Sprintf(format, args...)), " ") + "\n")
	}
	r := a.OptimizeReport
	line("%s: %s", a.Path, optimizeSummary(r))
	st := r.Statistics
	line("statistics  %d indexes counted, %d known statements compared", st.Indexes, st.Statements)
	for _, t := range st.Tables {
		line("  %s: %s", t.Table, t.Outcome)
		for _, c := range t.Changes {
			line("    %-24s %s -> %s  %s", orDash(c.Index), orDash(c.Before), orDash(c.After), c.Why)
		}
		for _, p := range t.Plans {
			line("    %s: %s%s", p.Verdict, p.Statement, stepsText(p))
			line("      before: %s", strings.Join(p.Before, "; "))
			line("      after:  %s", strings.Join(p.After, "; "))
		}
	}
	for _, l := range st.Left {
		line("  left alone: %s", l)
	}
	s := r.Space
	line("space       %s, %s free, auto_vacuum=%s", size(s.BytesAfter), size(s.FreeBytesAfter), s.AutoVacuum)
	if s.Steps > 0 {
		line("  %d steps, the longest %.1f ms; %d kept short, because others write", s.Steps, 1000*s.LongestStepSeconds, s.BusySteps)
	}
	if s.Next != "" {
		line("  %s", s.Next)
	}
	if v := r.Vacuum; v != nil {
		line("vacuum      %s", vacuumText(*v))
	}
	if r.Sizes != nil {
		line("sizes       %s", map[bool]string{true: "time ran out before the end of the file", false: "of the whole file"}[r.Sizes.Partial])
		for _, t := range r.Sizes.Tables {
			line("  %-28s %12s  %3.0f %% unused  %3.0f %% out of order", t.Name, size(t.Bytes), 100*float64(t.UnusedBytes)/float64(max(t.Bytes, 1)), 100*t.Fragmentation)
		}
	}
	return b.String()
}

func vacuumText(v holdfast.VacuumReport) string {
	needs := fmt.Sprintf("needs %s beside the database (%s free) and %s in %s (%s free)", size(v.NeedsBytes), free(v.FreeBytes), size(v.TempNeedsBytes), v.TempDirectory, free(v.TempFreeBytes))
	switch {
	case v.Done:
		return fmt.Sprintf("took %.1f s", v.TookSeconds)
	case v.Refused != "":
		return v.Refused
	}
	return fmt.Sprintf("may take %.1f s, during which nobody else can write; %s; leaves %s", v.EstimatedSeconds, needs, size(v.EstimatedBytes))
}

func free(n int64) string {
	if n == 0 {
		return "nobody knows how much"
	}
	return size(n)
}

func stepsText(p holdfast.PlanChange) string {
	if p.StepsAfter == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d -> %d steps)", p.StepsBefore, p.StepsAfter)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// optimizeGrid has a row for each thing that was found.
func optimizeGrid(r holdfast.OptimizeReport) *output.Result {
	var rows [][]any
	for _, t := range r.Statistics.Tables {
		for _, c := range t.Changes {
			rows = append(rows, []any{"statistics", t.Table, c.Index, t.Outcome, c.Before, c.After, c.Why})
		}
		for _, p := range t.Plans {
			rows = append(rows, []any{"plan", t.Table, "", p.Verdict, strings.Join(p.Before, "; "), strings.Join(p.After, "; "), p.Statement})
		}
	}
	s := r.Space
	rows = append(rows, []any{"space", "", "", s.AutoVacuum, s.BytesBefore, s.BytesAfter, s.Next})
	if v := r.Vacuum; v != nil {
		rows = append(rows, []any{"vacuum", "", "", map[bool]string{true: "done", false: "not done"}[v.Done], s.BytesBefore, v.EstimatedBytes, vacuumText(*v)})
	}
	if r.Sizes != nil {
		for _, t := range r.Sizes.Tables {
			rows = append(rows, []any{"size", t.Table, t.Name, "", t.Bytes, t.UnusedBytes, ""})
		}
	}
	return output.Grid(rows, "what", "table", "index", "outcome", "before", "after", "why")
}
