package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/bench/internal/rival"
	"github.com/holdfastdb/holdfast/bench/internal/work"
)

// contest is a workload and who takes part in it, in the order of their turns.
type contest struct {
	workload    work.Workload
	contestants []rival.Contestant
}

// plan says who takes part where. Whoever is named on the command line takes
// part in all that he can; the base always does, for the others are compared
// with it.
func plan(workloads []work.Workload, all, named []rival.Contestant) []contest {
	var contests []contest
	for _, w := range workloads {
		c := contest{workload: w}
		for _, candidate := range all {
			if candidate.Can(w) && takesPart(candidate, w, named) {
				c.contestants = append(c.contestants, candidate)
			}
		}
		if len(c.contestants) > 0 {
			contests = append(contests, c)
		}
	}
	return contests
}

func takesPart(candidate rival.Contestant, w work.Workload, named []rival.Contestant) bool {
	name := candidate.Name
	switch {
	case name == rival.Base:
		return true
	case len(named) > 0:
		return slices.ContainsFunc(named, func(c rival.Contestant) bool { return c.Name == name })
	}
	return !candidate.Named && len(w.Among) == 0 || slices.Contains(w.Among, name)
}

// overhead is about what a cell takes besides its duration: a copy, a process,
// a check. It is for the estimate only.
const overhead = 120 * time.Millisecond

// usual is what an operation of W11 growth takes.
const usual = 15 * time.Microsecond

func estimate(contests []contest, o options) (cells int, total time.Duration) {
	for _, c := range contests {
		n := len(c.contestants)
		cells += n
		one := time.Duration(c.workload.Scale * float64(o.duration))
		if c.workload.Operation == work.Growth {
			one = time.Duration(o.operations) * usual
		}
		total += time.Duration(n*c.workload.RoundsOf(o.rounds)) * (o.warm + one + overhead)
	}
	return cells, total
}

// list is --list.
func list(out io.Writer, contests []contest, all []rival.Contestant, o options) error {
	var b strings.Builder
	b.WriteString("Contestants:\n")
	for _, c := range all {
		fmt.Fprintf(&b, "  %-17s %s\n", c.Name, c.Title)
	}
	b.WriteString("\nWorkloads, and how many take part unless named:\n")
	for _, c := range contests {
		fmt.Fprintf(&b, "  %-17s %-75s %2d\n", c.workload.ID(), c.workload.Title, len(c.contestants))
	}
	cells, expected := estimate(contests, o)
	fmt.Fprintf(&b, "\n%d cells; %d rounds of them take about %s\n", cells, o.rounds, expected.Round(time.Second))
	_, err := io.WriteString(out, b.String())
	return err
}
