package writer

import (
	"context"
	"runtime"
	"testing"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

func TestVisit(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("under wine the file is still open after the test; why is not known")
	}
	d := newDesk(t)
	ctx := context.Background()
	visits := 0
	visit := func(c *sqlite.Conn) {
		visits++
		if !c.Autocommit() {
			t.Error("shown in the middle of a transaction")
		}
	}
	d.Visit(visit)
	if visits != 0 {
		t.Fatal("there is no connection yet, and it was shown")
	}
	write := func() {
		t.Helper()
		err := d.Do(ctx, Unit{Run: func(c *sqlite.Conn) error { return c.Exec("CREATE TABLE IF NOT EXISTS visited(a)") }})
		if err != nil {
			t.Fatal(err)
		}
	}
	write()
	if visits != 0 {
		t.Fatal("shown although it was asked for before there was a connection")
	}
	d.Visit(visit) // nobody has it: here and now
	if visits != 1 {
		t.Fatalf("%d visits of the idle connection", visits)
	}
	h, err := d.Hold(ctx, Request{})
	if err != nil {
		t.Fatal(err)
	}
	d.Visit(func(*sqlite.Conn) { t.Error("the first of two was called") })
	d.Visit(visit)
	if visits != 1 {
		t.Fatal("shown while somebody else has it")
	}
	h.Release(nil)
	if visits != 2 {
		t.Fatalf("%d visits after it came back", visits)
	}
	tx, err := d.Begin(ctx, Request{})
	if err != nil {
		t.Fatal(err)
	}
	d.Visit(visit)
	if visits != 2 {
		t.Fatal("shown within a transaction")
	}
	if _, err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if visits != 3 {
		t.Fatalf("%d visits after the transaction", visits)
	}
	write()
	if visits != 3 {
		t.Error("shown again")
	}
}
