package torture

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

// draws is a scenario that only makes choices.
func draws(name string, out *[]uint64, err error) Scenario {
	return Scenario{Name: name, Run: func(_ context.Context, t *Trial) error {
		for range 3 {
			*out = append(*out, t.Rand.Uint64())
		}
		t.Count("draws", 3)
		t.Most("slowest_microseconds", 7)
		return err
	}}
}

func TestReportCountsEveryScenario(t *testing.T) {
	t.Parallel()
	var drawn []uint64
	all := []Scenario{
		draws("good", &drawn, nil),
		draws("bad", &drawn, errors.New("lost one")),
		{Name: "absent", Needs: []Need{func(context.Context) string { return "needs the moon" }}},
	}
	r, err := options(t).run(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Closing(); got != "1 passed, 1 failed, 1 skipped" {
		t.Error(got)
	}
	good, bad, absent := r.Scenarios[0], r.Scenarios[1], r.Scenarios[2]
	if good.Status != Passed || good.Directory != "" {
		t.Errorf("%+v", good)
	}
	if bad.Status != Failed || bad.Reason != "lost one" {
		t.Errorf("%+v", bad)
	}
	if _, err := os.Stat(bad.Directory); err != nil {
		t.Errorf("the directory of a failure is gone: %v", err)
	}
	if absent.Status != Skipped || absent.Reason != "needs the moon" {
		t.Errorf("%+v", absent)
	}
	if r.Figures["draws"] != 6 || r.Figures["slowest_microseconds"] != 0 {
		t.Errorf("figures of the run: %v", r.Figures)
	}
}

// An empty ledger agrees with every database.
func TestNothingAcknowledgedIsNoPass(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]Status{0: Failed, 1: Passed} {
		r, err := options(t).run(t.Context(), []Scenario{{Name: "idle", Run: func(_ context.Context, t *Trial) error {
			t.Count("acked", n)
			return nil
		}}})
		if err != nil || r.Scenarios[0].Status != want {
			t.Errorf("%d acknowledged: %+v, %v", n, r.Scenarios, err)
		}
	}
}

func TestReplayMakesTheSameChoices(t *testing.T) {
	t.Parallel()
	var first, again []uint64
	o := options(t)
	o.Tier = CI
	r, err := o.run(t.Context(), []Scenario{draws("one", &[]uint64{}, nil), draws("two", &first, nil)})
	if err != nil {
		t.Fatal(err)
	}
	seed := r.Scenarios[1].Seed
	replay := options(t)
	replay.Replay = seed
	if err := replay.readReplay(); err != nil {
		t.Fatal(err)
	}
	all, err := replay.choose([]Scenario{draws("one", &[]uint64{}, nil), draws("two", &again, nil)})
	if err != nil || len(all) != 1 || all[0].Name != "two" || replay.Tier != CI {
		t.Fatalf("%v, %d scenarios, tier %s", err, len(all), replay.Tier)
	}
	r, err = replay.run(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	if r.Scenarios[0].Seed != seed {
		t.Errorf("the replay calls itself %s instead of %s", r.Scenarios[0].Seed, seed)
	}
	for i := range first {
		if first[i] != again[i] {
			t.Errorf("choice %d is %x, and was %x", i, again[i], first[i])
		}
	}
}

func TestWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	all := func() []Scenario {
		return []Scenario{
			{Name: "fast", Tier: Quick, Sabotage: []string{EarlyAck}},
			{Name: "slow", Tier: CI, Sabotage: []string{EarlyAck, NoSync}},
			{Name: "long", Tier: Soak},
		}
	}
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, "fast"},
		{Options{Tier: CI}, "fast slow"},
		{Options{Tier: Soak}, "fast slow long"},
		{Options{Only: []string{"long", "fast"}}, "fast long"},
		{Options{Tier: Soak, Sabotage: NoSync}, "slow"},
		{Options{Sabotage: NoSync}, ""},
		{Options{Only: []string{"fats"}}, ""},
	} {
		chosen, err := c.o.choose(all())
		var names []string
		for _, s := range chosen {
			names = append(names, s.Name)
		}
		if got := strings.Join(names, " "); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%+v: %q, %v", c.o, got, err)
		}
		if _, usage := errors.AsType[*Usage](err); err != nil && !usage {
			t.Errorf("%+v: %v is no usage error", c.o, err)
		}
	}
	for _, seed := range []string{"fast", "fast:quick", "fast:soon:1", "fast:quick:x"} {
		o := Options{Replay: seed}
		if _, err := o.Select(); err == nil {
			t.Errorf("--replay %s was understood", seed)
		}
	}
	if _, err := (&Options{Sabotage: "gently"}).Select(); err == nil {
		t.Error("an unknown sabotage was accepted")
	}
}

func TestScenariosAreComplete(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range Scenarios() {
		if s.Name == "" || s.About == "" || s.Run == nil || seen[s.Name] || strings.ContainsAny(s.Name, ": ,") {
			t.Errorf("scenario %q needs a name of its own, a sentence and something to run", s.Name)
		}
		seen[s.Name] = true
		for _, mode := range s.Sabotage {
			if o := (Options{Sabotage: mode, Only: []string{s.Name}}); len(must(o.Select())) != 1 {
				t.Errorf("%s: sabotage %s", s.Name, mode)
			}
		}
	}
}

// TestEverySabotageHasAScenario: that it is red, the tests of the command show.
func TestEverySabotageHasAScenario(t *testing.T) {
	t.Parallel()
	for _, mode := range SabotageModes() {
		o := Options{Sabotage: mode}
		if list, err := o.Select(); err != nil || len(list) == 0 {
			t.Errorf("no scenario of the quick tier says that it would notice %s: %v", mode, err)
		}
	}
}

func must(list []Scenario, err error) []Scenario {
	if err != nil {
		panic(err)
	}
	return list
}
