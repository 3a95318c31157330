package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/torture"
)

// tortured runs torture --json and returns the report and the exit code.
func tortured(t *testing.T, args ...string) (r torture.Report, code int) {
	t.Helper()
	cmd := command(t, append([]string{"torture", "--json", "--dir", t.TempDir()}, args...)...)
	out, err := cmd.Output()
	if code = cmd.ProcessState.ExitCode(); code > 1 {
		t.Fatalf("torture %s: %v: %s", strings.Join(args, " "), err, out)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return r, code
}

// TestSabotageIsNoticed breaks one promise after the other: every scenario that
// says it would notice has to. Without sabotage the same scenarios pass, so it is
// the sabotage that they have noticed.
func TestSabotageIsNoticed(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	var guards []string
	for _, s := range torture.Scenarios() {
		if len(s.Sabotage) > 0 {
			guards = append(guards, s.Name)
		}
	}
	r, code := tortured(t, "--only", strings.Join(guards, ","))
	if code != 0 || r.Failed > 0 || r.Passed == 0 {
		t.Errorf("without sabotage: exit code %d, %s: %+v", code, r.Closing(), r.Scenarios)
	}
	skipped := func(name string) bool {
		return slices.ContainsFunc(r.Scenarios, func(o torture.Outcome) bool { return o.Name == name && o.Status == torture.Skipped })
	}
	for _, mode := range torture.SabotageModes() {
		t.Run(mode, func(t *testing.T) {
			r, code := tortured(t, "--sabotage", mode)
			if r.Skipped == len(r.Scenarios) {
				t.Skipf("the machine lacks what it takes: %s", r.Scenarios[0].Reason)
			}
			if code != 1 {
				t.Errorf("exit code %d: nobody noticed", code)
			}
			for _, o := range r.Scenarios {
				if o.Status != torture.Failed && !skipped(o.Name) {
					t.Errorf("%s did not notice: %+v", o.Name, o)
				}
				t.Logf("%s: %s", o.Name, o.Reason)
			}
		})
	}
}
