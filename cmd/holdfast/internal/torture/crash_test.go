package torture

import (
	"slices"
	"testing"
)

// The scenarios with a disk that is made up find nothing, and every sabotage.
func TestCrashesAndFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	for _, s := range []Scenario{crashStates(), nthFaults()} {
		for _, mode := range slices.Concat([]string{""}, s.Sabotage) {
			o := options(t)
			o.Sabotage = mode
			r, err := o.run(t.Context(), []Scenario{s})
			if err != nil {
				t.Fatal(err)
			}
			out := r.Scenarios[0]
			t.Logf("%s %q: %s in %.1f s, %s, %v", s.Name, mode, out.Status, out.Duration, out.Reason, out.Figures)
			if want := map[bool]Status{true: Passed, false: Failed}[mode == ""]; out.Status != want {
				t.Errorf("%s with %q has %s", s.Name, mode, out.Status)
			}
		}
	}
}
