package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/bench/internal/rival"
	"github.com/holdfastdb/holdfast/bench/internal/work"
)

// options is what the command line says.
type options struct {
	workloads   string
	contestants string
	rounds      int
	warm        time.Duration
	duration    time.Duration
	operations  int64
	dir         string
	json, svg   string
	profile     string
	from        string
	big         bool
	quick       bool
	list        bool
}

const (
	defaultRounds     = 5
	defaultWarm       = 150 * time.Millisecond
	defaultDuration   = 400 * time.Millisecond
	defaultOperations = 500_000
	quickRounds       = 2
	quickWarm         = 50 * time.Millisecond
	quickDuration     = 100 * time.Millisecond
	quickWorkloads    = "W1,W3,W4/full/exec,W4/full/tx,W6"
)

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.workloads, "workloads", "", "groups or IDs, as W1,W4 or W4/full/exec (default all)")
	f.StringVar(&o.contestants, "contestants", "", "names, as --list shows them (default those that a workload is about)")
	f.IntVar(&o.rounds, "rounds", defaultRounds, "rounds; in each, every contestant has its turn")
	f.DurationVar(&o.duration, "duration", defaultDuration, "how long a cell runs; some take a part or a multiple of it")
	f.DurationVar(&o.warm, "warm-up", defaultWarm, "how long each cell works before that, in the same process, without being measured")
	f.Int64Var(&o.operations, "ops", defaultOperations, "how many operations W11 growth has")
	f.StringVar(&o.dir, "dir", "", "where the databases are made (default the user's cache directory)")
	f.StringVar(&o.json, "json", "", "write the measurements to this file, - for standard output")
	f.StringVar(&o.svg, "svg", "", "draw a chart into this file")
	f.StringVar(&o.profile, "profile", "", "write profiles of each cell in Go, of what counts, into this directory")
	f.StringVar(&o.from, "from", "", "measure nothing, and show what --json wrote before")
	f.BoolVar(&o.big, "big", false, "with the tables that take minutes to make")
	f.BoolVar(&o.quick, "quick", false, "a look that takes about a minute: "+quickWorkloads+", two rounds, short cells")
	f.BoolVar(&o.list, "list", false, "list workloads and contestants, and measure nothing")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is not a flag", f.Arg(0))
	}
	given := map[string]bool{}
	f.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if o.quick {
		o.hurry(given)
	}
	if o.rounds < 1 || o.duration <= 0 || o.operations < 1 || o.warm < 0 {
		return o, errors.New("--rounds, --duration and --ops must be above zero, and --warm-up not below")
	}
	return o, nil
}

// hurry is --quick, for what the command line leaves open.
func (o *options) hurry(given map[string]bool) {
	if !given["rounds"] {
		o.rounds = quickRounds
	}
	if !given["warm-up"] {
		o.warm = quickWarm
	}
	if !given["duration"] {
		o.duration = quickDuration
	}
	if !given["workloads"] {
		o.workloads = quickWorkloads
	}
}

// chosenWorkloads are those of --workloads, in the order in which they run.
func (o options) chosenWorkloads() ([]work.Workload, error) {
	var chosen []work.Workload
	wanted := split(o.workloads)
	found := map[string]bool{}
	for _, w := range work.All() {
		take := len(wanted) == 0
		named := false
		for _, name := range wanted {
			if w.Matches(name) {
				take, found[name] = true, true
				named = named || !strings.EqualFold(name, w.Group)
			}
		}
		if take && (!w.Big || o.big || named) {
			chosen = append(chosen, w)
		}
	}
	for _, name := range wanted {
		if !found[name] {
			return nil, fmt.Errorf("there is no workload %q; --list shows them", name)
		}
	}
	return chosen, nil
}

// chosenContestants are those of --contestants; nil if the workloads decide.
func (o options) chosenContestants(all []rival.Contestant) ([]rival.Contestant, error) {
	var chosen []rival.Contestant
	for _, name := range split(o.contestants) {
		c, ok := rival.Find(all, name)
		if !ok {
			return nil, fmt.Errorf("there is no contestant %q; --list shows them", name)
		}
		chosen = append(chosen, c)
	}
	return chosen, nil
}

func split(list string) []string {
	var names []string
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}
