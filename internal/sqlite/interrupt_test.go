package sqlite

import (
	"context"
	"testing"
)

// A context that has ended before the statement begins interrupts it too, though
// beginning takes earlier interrupts back; and nothing is left for the next one.
func TestInterruptAfter(t *testing.T) {
	c := newConn(t, "")
	const endless = "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		over := c.InterruptAfter(ctx)
		cancel()
		wantCode(t, c.Exec(endless), ResultInterrupt)
		over()
		if c.IsInterrupted() {
			t.Fatal("an interrupt is left")
		}
	}
}

// Contexts that end between the statements they are for hit none of the next.
func TestInterruptAfterHitsNothingLater(t *testing.T) {
	c := newConn(t, "")
	hit := 0
	for range 2000 {
		ctx, cancel := context.WithCancel(t.Context())
		over := c.InterruptAfter(ctx)
		ended := make(chan struct{})
		go func() { cancel(); close(ended) }()
		_, err := c.QueryInt64("SELECT 1")
		over()
		if err != nil {
			wantCode(t, err, ResultInterrupt)
			hit++
		}
		if _, err := c.QueryInt64("SELECT 1"); err != nil {
			t.Fatalf("the next statement: %v", err)
		}
		if c.IsInterrupted() {
			t.Fatal("an interrupt is left")
		}
		<-ended
		if c.IsInterrupted() {
			t.Fatal("an interrupt came after its time")
		}
	}
	t.Logf("%d of 2000 were hit", hit)
}

func TestInterruptAfterWithoutAnEnd(t *testing.T) {
	c := newConn(t, "")
	n := testing.AllocsPerRun(100, func() { c.InterruptAfter(context.Background())() })
	if n != 0 {
		t.Errorf("%v allocations for a context that never ends", n)
	}
	over := c.InterruptAfter(t.Context())
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	over() // after Close, which is allowed
}
