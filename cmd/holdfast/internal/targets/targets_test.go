package targets

import (
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/contention"
)

func TestTiming(t *testing.T) {
	var all timing
	if all.quantile(0.5) != 0 {
		t.Error("nothing took some time")
	}
	for part := range 4 {
		var one timing
		for i := 1; i <= 250; i++ {
			one.add(time.Duration(250*part+i) * time.Millisecond)
		}
		if err := all.merge(&one); err != nil {
			t.Fatal(err)
		}
	}
	if err := all.merge(&timing{}); err != nil {
		t.Fatal(err)
	}
	near := func(got, want time.Duration) bool { return got > want-want/50 && got < want+want/50 }
	if all.count != 1000 || all.longest != time.Second || !near(all.quantile(0.5), 500*time.Millisecond) || !near(all.quantile(0.99), 990*time.Millisecond) {
		t.Errorf("%d, p50 %s, p99 %s, max %s", all.count, all.quantile(0.5), all.quantile(0.99), all.longest)
	}
}

func TestVerdicts(t *testing.T) {
	var slow timing
	for range 98 {
		slow.add(time.Millisecond)
	}
	slow.add(time.Second) // of a hundred, two are the 99th percentile
	slow.add(time.Second)
	for _, c := range []struct {
		f   Figure
		met bool
	}{
		{took("a", "", 2*time.Second, &slow), true},
		{took("a", "", 500*time.Millisecond, &slow), false},
		{took("never measured", "", time.Second, &timing{}), false},
		{share("b", "", 0.9, 0.91, 10), true},
		{share("b", "", 0.9, 0.9, 10), false},
		{share("never measured", "", 0.9, 1, 0), false},
	} {
		if c.f.Met != c.met {
			t.Errorf("%+v: met %t", c.f, c.f.Met)
		}
	}
}

// Every figure of the specification is there, and each was measured. Whether it
// was met is the machine's business.
func TestRunMeasuresEveryFigure(t *testing.T) {
	t.Parallel()
	b := &bench{Request: Request{Dir: t.TempDir(), Duration: 400 * time.Millisecond}}
	b.path = b.Dir + "/targets.db"
	ctx := t.Context()
	for _, phase := range []func() error{
		func() error { return b.fill(ctx) },
		func() error { return b.measureOpening(ctx) },
		func() error { return b.measureMix(ctx) },
		func() error { return b.measureVerify(ctx) },
		func() error { return b.measureCrowd(ctx) },
	} {
		if err := phase(); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	b.conflict, err = contention.Measure(ctx, contention.Load{
		Contestant: contention.Holdfast, Path: b.path + "-conflicts", Goroutines: 4, Duration: 50 * time.Millisecond,
	}, 1, nil) // the script of bench starts the other process
	if err != nil {
		t.Fatal(err)
	}
	r := b.report()
	names := map[string]bool{}
	for _, f := range r.Figures {
		if f.Samples == 0 || f.TargetSeconds > 0 && f.MeasuredSeconds <= 0 || f.TargetShare > 0 && f.MeasuredShare < 0.5 || f.Load == "" {
			t.Errorf("%+v", f)
		}
		names[f.Name] = true
	}
	if len(names) != 12 || r.Met+r.Missed != 12 {
		t.Errorf("%d figures, %d met, %d missed; the specification has twelve", len(names), r.Met, r.Missed)
	}
}
