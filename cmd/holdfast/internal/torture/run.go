package torture

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options says what to run.
type Options struct {
	Tier     Tier
	Only     []string // names; nil means all of the tier
	Seed     uint64   // of the whole run; the scenarios' own are derived from it
	Replay   string   // the seed of one scenario, as a report prints it; it decides about Tier and Only
	Sabotage string   // a mode, or ""
	Duration time.Duration
	Dir      string // where scratch directories are made; "" is the system's
	Keep     bool   // keep them in any case
	// ChildArgs are the arguments that make this program call RunChild.
	ChildArgs []string
	// Progress is called whenever a figure of the running trial has changed, and
	// Ended after each scenario. Both may be nil.
	Progress func(*Trial)
	Ended    func(Outcome)
}

// Usage is a mistake in the Options.
type Usage struct{ Problem string }

func (u *Usage) Error() string { return u.Problem }

func usagef(format string, args ...any) error { return &Usage{fmt.Sprintf(format, args...)} }

// Status is how a scenario ended.
type Status string

// The statuses.
const (
	Passed  Status = "passed"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// Outcome is how one scenario went.
type Outcome struct {
	Name      string           `json:"name"`
	Status    Status           `json:"status"`
	Reason    string           `json:"reason,omitempty"` // of a failure, or why it was skipped
	Seed      string           `json:"seed"`             // for --replay
	Duration  float64          `json:"duration_seconds"`
	Figures   map[string]int64 `json:"figures"`
	Directory string           `json:"directory,omitempty"` // if it was kept
}

// Report is a whole run.
type Report struct {
	Schema    string           `json:"schema"`
	Tier      string           `json:"tier"`
	Seed      string           `json:"seed"`
	Sabotage  string           `json:"sabotage,omitempty"`
	Passed    int              `json:"passed"`
	Failed    int              `json:"failed"`
	Skipped   int              `json:"skipped"`
	Started   time.Time        `json:"started"`
	Duration  float64          `json:"duration_seconds"`
	Figures   map[string]int64 `json:"figures"` // of all scenarios; what is no count is left out
	Scenarios []Outcome        `json:"scenarios"`
}

// Closing is the last line of the report.
func (r *Report) Closing() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", r.Passed, r.Failed, r.Skipped)
}

// Select returns the scenarios that o asks for, and puts what a replay says into
// o. The error is a *Usage.
func (o *Options) Select() ([]Scenario, error) {
	if o.Sabotage != "" && !slices.Contains(SabotageModes(), o.Sabotage) {
		return nil, usagef("there is no sabotage mode %q: choose %s", o.Sabotage, strings.Join(SabotageModes(), ", "))
	}
	if o.Replay != "" {
		if err := o.readReplay(); err != nil {
			return nil, err
		}
	}
	return o.choose(Scenarios())
}

func (o *Options) choose(all []Scenario) ([]Scenario, error) {
	for _, name := range o.Only {
		if !slices.ContainsFunc(all, func(s Scenario) bool { return s.Name == name }) {
			return nil, usagef("there is no scenario %q: --list shows them", name)
		}
	}
	selected := slices.DeleteFunc(all, func(s Scenario) bool {
		switch {
		case len(o.Only) > 0:
			return !slices.Contains(o.Only, s.Name)
		case o.Sabotage != "" && !slices.Contains(s.Sabotage, o.Sabotage):
			return true
		}
		return s.Tier > o.Tier
	})
	if len(selected) == 0 {
		return nil, usagef("no scenario of the %s tier is asked for", o.Tier)
	}
	return selected, nil
}

// readReplay reads "kill-writers:quick:1f2e3d4c5b6a7988".
func (o *Options) readReplay() error {
	name, rest, _ := strings.Cut(o.Replay, ":")
	tier, seed, ok := strings.Cut(rest, ":")
	n, err := strconv.ParseUint(seed, 16, 64)
	if !ok || err != nil {
		return usagef("--replay %q: give the seed of a scenario as a report prints it, such as kill-writers:quick:1f2e3d4c5b6a7988", o.Replay)
	}
	if o.Tier, err = ParseTier(tier); err != nil {
		return usagef("--replay %q: %s", o.Replay, err)
	}
	o.Only, o.Seed = []string{name}, n
	return nil
}

// seedOf derives the seed of a scenario from that of the run.
func (o *Options) seedOf(name string) uint64 {
	if o.Replay != "" {
		return o.Seed
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(strconv.FormatUint(o.Seed, 16) + " " + name))
	return h.Sum64()
}

// Run runs the scenarios that o asks for, one after the other. The error is a
// *Usage, or what kept the harness from working at all, or the end of ctx; that
// a scenario failed is in the Report.
func Run(ctx context.Context, o Options) (*Report, error) {
	selected, err := o.Select()
	if err != nil {
		return nil, err
	}
	return o.run(ctx, selected)
}

func (o *Options) run(ctx context.Context, selected []Scenario) (*Report, error) {
	if o.Progress == nil {
		o.Progress = func(*Trial) {}
	}
	r := &Report{
		Schema: "holdfast.torture/v1", Tier: o.Tier.String(), Seed: strconv.FormatUint(o.Seed, 16), Sabotage: o.Sabotage,
		Started: time.Now().UTC(), Figures: map[string]int64{},
	}
	start := time.Now()
	for _, s := range selected {
		out, err := o.one(ctx, s)
		if err != nil {
			return nil, err
		}
		r.add(out)
		if o.Ended != nil {
			o.Ended(out)
		}
	}
	r.Duration = time.Since(start).Round(time.Millisecond).Seconds()
	return r, nil
}

func (r *Report) add(out Outcome) {
	r.Scenarios = append(r.Scenarios, out)
	switch out.Status {
	case Passed:
		r.Passed++
	case Failed:
		r.Failed++
	case Skipped:
		r.Skipped++
	}
	for name, n := range out.Figures {
		if !slices.ContainsFunc(units, func(u string) bool { return strings.HasSuffix(name, u) }) {
			r.Figures[name] += n
		}
	}
}

// units end the names of figures whose sum over scenarios says nothing.
var units = []string{"_microseconds", "_seconds", "_bytes", "_per_hour", "_most"}

// limits keep a scenario that hangs from keeping the run. What is asked for by
// --duration comes on top.
var limits = [...]time.Duration{Quick: 2 * time.Minute, CI: 25 * time.Minute, Soak: 4 * time.Hour}

func (o *Options) one(ctx context.Context, s Scenario) (Outcome, error) {
	seed := o.seedOf(s.Name)
	out := Outcome{Name: s.Name, Seed: fmt.Sprintf("%s:%s:%016x", s.Name, o.Tier, seed), Status: Passed, Figures: map[string]int64{}}
	for _, need := range s.Needs {
		if lack := need(ctx); lack != "" {
			out.Status, out.Reason = Skipped, lack
			return out, nil
		}
	}
	dir, err := os.MkdirTemp(o.Dir, "holdfast-torture-"+s.Name+"-")
	if err != nil {
		return out, fmt.Errorf("create a scratch directory: %w", err)
	}
	limit := limits[max(o.Tier, s.Tier)] + o.Duration
	limited, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it did not end within %s", limit))
	defer cancel()
	t := newTrial(s, *o, seed, dir)
	start := time.Now()
	err = s.Run(limited, t)
	err = errors.Join(err, t.endChildren())
	out.Duration, out.Figures = time.Since(start).Round(time.Millisecond).Seconds(), t.Figures()
	if ctx.Err() != nil {
		return out, errors.Join(context.Cause(ctx), os.RemoveAll(dir))
	}
	if n, counted := out.Figures["acked"]; counted && n == 0 && err == nil {
		err = errors.New("nothing was acknowledged, so nothing was proven")
	}
	if err != nil {
		out.Status, out.Reason = Failed, brief(err.Error())
	}
	if err != nil || o.Keep {
		out.Directory = dir
		return out, nil
	}
	return out, os.RemoveAll(dir)
}

// brief cuts a reason that has become long, because every child had one.
func brief(reason string) string {
	const most = 6
	lines := strings.Split(reason, "\n")
	if len(lines) > most {
		lines = append(lines[:most], fmt.Sprintf("and %d lines more", len(lines)-most))
	}
	return strings.Join(lines, "\n")
}
