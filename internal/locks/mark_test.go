package locks

import (
	"context"
	"errors"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
)

func TestMarksAreFoundOnTheStack(t *testing.T) {
	t.Parallel()
	const outer, inner = Mark(0x01234567), Mark(0x89ABCDEF)
	failed := errors.New("failed")
	err := Under(outer, func() error {
		return Under(inner, func() error {
			site, marks := Caller()
			if !slices.Equal(marks, []Mark{inner, outer}) {
				t.Errorf("%x", marks)
			}
			if !strings.Contains(site.String(), "TestMarksAreFoundOnTheStack") {
				t.Errorf("%s", site)
			}
			// Not by a goroutine that the marked call has started.
			other := make(chan []Mark)
			go func() { _, marks := Caller(); other <- marks }()
			if marks := <-other; len(marks) != 0 {
				t.Errorf("another goroutine has %x", marks)
			}
			return failed
		})
	})
	if err != failed {
		t.Errorf("%v", err)
	}
	if _, marks := Caller(); len(marks) != 0 {
		t.Errorf("%x after the call", marks)
	}
}

func TestMarkUnderADeepStack(t *testing.T) {
	t.Parallel()
	var found []Mark
	var deeper func(n int) error
	deeper = func(n int) error {
		if n > 0 {
			return deeper(n - 1)
		}
		_, found = Caller()
		return nil
	}
	if err := Under(7, func() error { return deeper(1000) }); err != nil || !slices.Equal(found, []Mark{7}) {
		t.Errorf("%v, %v", found, err)
	}
}

// Not parallel: it counts allocations.
func TestMarksCostNoAllocation(t *testing.T) {
	n := 0
	if got := testing.AllocsPerRun(100, func() { _ = Under(Mark(n), func() error { n++; return nil }) }); got > 0 {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkUnder(b *testing.B) {
	for n := range b.N {
		_ = Under(Mark(n), func() error { return nil })
	}
}

func BenchmarkCaller(b *testing.B) {
	_ = Under(1, func() error {
		for b.Loop() {
			Caller()
		}
		return nil
	})
}

func TestLabels(t *testing.T) {
	t.Parallel()
	if s := Labels(nil) + Labels(context.Background()); s != "" { //nolint:staticcheck // nil is a lease's "none"
		t.Error(s)
	}
	ctx := pprof.WithLabels(context.Background(), pprof.Labels("tenant", "7", "job", "billing"))
	if s := Labels(ctx); s != "job=billing, tenant=7" {
		t.Error(s)
	}
}
