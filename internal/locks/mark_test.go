package locks

import (
	"context"
	"errors"
	"math/rand/v2"
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

// The reader, which knows no names, finds what Caller finds by them.
func TestMarkReader(t *testing.T) {
	t.Parallel()
	var r MarkReader
	var deeper func(n int) ([]Mark, Stack)
	deeper = func(n int) ([]Mark, Stack) {
		if n > 0 {
			return deeper(n - 1)
		}
		stack, marks := r.Read()
		return marks, stack
	}
	for n := range 200 {
		outer, inner := Mark(rand.Uint32()), Mark(n*0x11111111)
		err := Under(outer, func() error {
			return Under(inner, func() error {
				marks, stack := deeper(n)
				if !slices.Equal(marks, []Mark{inner, outer}) || !strings.Contains(stack.String(), "mark_test.go:") {
					t.Errorf("%x under %x: %x at %s", inner, outer, marks, stack)
				}
				other := make(chan []Mark)
				go func() { _, marks := r.Read(); other <- marks }()
				if marks := <-other; marks != nil {
					t.Errorf("another goroutine has %x", marks)
				}
				return nil
			})
		})
		if err != nil {
			t.Error(err)
		}
	}
	if stack, marks := r.Read(); marks != nil || stack != nil {
		t.Errorf("%x after the call", marks)
	}
}

// Not parallel: it counts allocations.
func TestMarksCostNoAllocation(t *testing.T) {
	n := 0
	if got := testing.AllocsPerRun(100, func() { _ = Under(Mark(n), func() error { n++; return nil }) }); got > 0 {
		t.Errorf("%v allocations", got)
	}
	var r MarkReader
	r.Read()
	if got := testing.AllocsPerRun(100, func() { r.Read() }); got > 0 {
		t.Errorf("%v allocations of the reader", got)
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

// BenchmarkMarkReader is at a depth where a handler of net/http is.
func BenchmarkMarkReader(b *testing.B) {
	var r MarkReader
	var deeper func(n int)
	deeper = func(n int) {
		if n > 0 {
			deeper(n - 1)
			return
		}
		for b.Loop() {
			r.Read()
		}
	}
	deeper(30)
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
