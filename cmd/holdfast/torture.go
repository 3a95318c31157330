package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/torture"
	"github.com/spf13/cobra"
)

// tortureRequest is the command line of torture.
type tortureRequest struct {
	options torture.Options
	tier    string
	seed    string
	list    bool
	child   bool
}

func (a *app) tortureCommand() *cobra.Command {
	var r tortureRequest
	cmd := &cobra.Command{
		Use:   "torture",
		Short: "Prove that nothing acknowledged is lost: kill, stop and deceive processes",
		Long: `Run scenarios in which the processes that use a database are killed, stopped and
deceived, and compare the database with a ledger of what was acknowledged, which is kept
outside of it. Each scenario works in a scratch directory of its own, on the file system
of --dir or TMPDIR, which should be a disk; the directory is kept if it failed.

The tiers take about 3 minutes (quick), 20 minutes (ci) and hours (soak). What the machine
lacks is SKIPPED with the reason. Every choice of a scenario follows from its seed, which
is printed; --replay takes it and does the same again. The moments at which the operating
system runs a process can't be repeated.

--sabotage breaks one promise on purpose, and the scenarios that should notice must fail:
early-ack, no-sync, no-locks, swallow-commit-error, lost-idempotency.

The last line is "N passed, N failed, N skipped". The exit code is 0 if none failed, 1 if
one did, and 2 if the harness itself could not work.`,
		Example: `  holdfast torture
  holdfast torture --tier ci --json > report.json
  holdfast torture --only soak --duration 2h
  holdfast torture --replay kill-writers:quick:1f2e3d4c5b6a7988`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if r.child {
				return torture.RunChild(cmd.Context(), a.in, os.Stdout)
			}
			return a.torture(cmd.Context(), r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.tier, "tier", torture.Quick.String(), "how much time there is: quick, ci or soak")
	f.StringSliceVar(&r.options.Only, "only", nil, "run these `scenarios`, of whatever tier")
	f.BoolVar(&r.list, "list", false, "list the scenarios and run none")
	f.StringVar(&r.seed, "seed", "", "`seed` of the run, hexadecimal; a random one without")
	f.StringVar(&r.options.Replay, "replay", "", "run one scenario again, by the `seed` that its report printed")
	f.StringVar(&r.options.Sabotage, "sabotage", "", "break a promise on purpose: `mode`, see above")
	f.DurationVar(&r.options.Duration, "duration", 0, "how long the scenarios that have no end run, such as 2h")
	f.StringVar(&r.options.Dir, "dir", "", "`directory` for scratch files, instead of that for temporary files")
	f.BoolVar(&r.options.Keep, "keep", false, "keep the scratch directories")
	f.BoolVar(&r.child, "child", false, "be one of the processes")
	_ = f.MarkHidden("child")
	_ = cmd.MarkFlagDirname("dir")
	fixed := func(flag string, names ...string) {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(completions(names), cobra.ShellCompDirectiveNoFileComp))
	}
	fixed("tier", "quick", "ci", "soak")
	fixed("sabotage", torture.SabotageModes()...)
	fixed("only", scenarioNames()...)
	return cmd
}

func scenarioNames() []string {
	var names []string
	for _, s := range torture.Scenarios() {
		names = append(names, s.Name)
	}
	return names
}

// settle checks the command line.
func (r *tortureRequest) settle() (err error) {
	if r.options.Tier, err = torture.ParseTier(r.tier); err != nil {
		return exitcode.Usagef("--tier: %w", err)
	}
	if r.options.Duration < 0 {
		return exitcode.Usagef("--duration %s is negative: give a duration such as 2h", r.options.Duration)
	}
	r.options.Seed = rand.Uint64()
	if r.seed != "" {
		if r.options.Replay != "" {
			return exitcode.Usagef("--seed and --replay contradict each other: keep one")
		}
		if r.options.Seed, err = strconv.ParseUint(r.seed, 16, 64); err != nil {
			return exitcode.Usagef("--seed %q: give a hexadecimal number of up to 16 digits", r.seed)
		}
	}
	r.options.ChildArgs = []string{"torture", "--child"}
	_, err = r.options.Select()
	return tortureUsage(err)
}

// tortureUsage gives the errors of a wrong request their exit code.
func tortureUsage(err error) error {
	if u, ok := errors.AsType[*torture.Usage](err); ok {
		return exitcode.With(exitcode.Usage, u)
	}
	return err
}

func (a *app) torture(ctx context.Context, r tortureRequest) error {
	if r.list {
		return a.listTorture()
	}
	if err := r.settle(); err != nil {
		return err
	}
	ctx, cancel := a.within(ctx)
	defer cancel()
	screen := &tortureScreen{app: a, live: a.format == output.Table, progress: a.errColor}
	r.options.Progress, r.options.Ended = screen.show, screen.ended
	if screen.live {
		screen.say("tier %s, seed %x\n", r.options.Tier, r.options.Seed)
	}
	report, err := torture.Run(ctx, r.options)
	screen.clear()
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil:
		return exitcode.With(harnessFailed, err)
	}
	if screen.live {
		screen.say("%s\n", report.Closing())
	} else if err := a.printer().Document(report, tortureGrid(report)); err != nil {
		return err
	}
	if report.Failed > 0 {
		return exitcode.Verdict(exitcode.Failed)
	}
	return nil
}

// harnessFailed is the exit code when nothing was proven, one way or the other.
const harnessFailed = 2

// scenarioAnswer is one line of torture --list.
type scenarioAnswer struct {
	Name     string   `json:"name"`
	Tier     string   `json:"tier"`
	About    string   `json:"about"`
	Sabotage []string `json:"sabotage"`
}

func (a *app) listTorture() error {
	answer := struct {
		Schema    string           `json:"schema"`
		Scenarios []scenarioAnswer `json:"scenarios"`
	}{Schema: "holdfast.torture.list/v1"}
	var rows [][]any
	for _, s := range torture.Scenarios() {
		one := scenarioAnswer{s.Name, s.Tier.String(), s.About, append([]string{}, s.Sabotage...)}
		answer.Scenarios = append(answer.Scenarios, one)
		rows = append(rows, []any{one.Name, one.Tier, one.About, strings.Join(one.Sabotage, " ")})
	}
	return a.printer().Document(answer, output.Grid(rows, "scenario", "tier", "about", "noticed sabotage"))
}

func tortureGrid(r *torture.Report) *output.Result {
	var rows [][]any
	for _, o := range r.Scenarios {
		rows = append(rows, []any{o.Name, string(o.Status), o.Duration, figures(o.Figures), o.Reason, o.Seed})
	}
	return output.Grid(rows, "scenario", "status", "seconds", "figures", "reason", "seed")
}

// figures lists what was counted, by name.
func figures(f map[string]int64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(f)) {
		parts = append(parts, fmt.Sprintf("%s %d", strings.ReplaceAll(name, "_", " "), f[name]))
	}
	return strings.Join(parts, ", ")
}

// tortureScreen tells a person how far it has come: on standard output what has
// ended, on standard error, if that is a terminal, what is running.
type tortureScreen struct {
	app      *app
	live     bool
	progress bool

	mu    sync.Mutex // figures change on many goroutines
	next  time.Time
	drawn bool
}

// show is called for every figure that changes, and draws now and then.
func (s *tortureScreen) show(t *torture.Trial) {
	if !s.progress {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.After(s.next) {
		s.next, s.drawn = now.Add(250*time.Millisecond), true
		line := t.Scenario + ": " + figures(t.Figures())
		fmt.Fprintf(s.app.errs, "\r\x1b[K%.*s", max(s.app.outWidth, 80)-1, line)
	}
}

func (s *tortureScreen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drawn {
		fmt.Fprint(s.app.errs, "\r\x1b[K")
		s.drawn = false
	}
}

func (s *tortureScreen) ended(o torture.Outcome) {
	s.clear()
	if !s.live {
		return
	}
	if o.Status == torture.Skipped {
		s.say("SKIPPED %s: %s\n", o.Name, o.Reason)
		return
	}
	s.say("%-7s %s  %.1f s  seed %s\n", strings.ToUpper(string(o.Status)), o.Name, o.Duration, o.Seed)
	for _, detail := range []string{figures(o.Figures), o.Reason, kept(o.Directory)} {
		if detail != "" {
			s.say("        %s\n", strings.ReplaceAll(detail, "\n", "\n        "))
		}
	}
}

func kept(directory string) string {
	if directory == "" {
		return ""
	}
	return "kept " + directory
}

// say prints at once. What can't be printed fails at the end of the command, for
// the writer remembers.
func (s *tortureScreen) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.app.out, format, args...)
	_ = s.app.out.Flush()
}
