package session

import (
	"context"
	"testing"

	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/writer"
)

// Calls of the engine, per write: they are the same on every machine, and none
// may come back unnoticed.
func TestEngineCallsOfAWrite(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must(b, "CREATE TABLE t(a, b, c)")
	const insert = "INSERT INTO t VALUES (?, ?, ?)"
	const (
		control = 2           // a statement without arguments: step, reset
		write   = 3 + 2       // the insert
		commit  = 2 * control // BEGIN and COMMIT
		apart   = 2 * control // SAVEPOINT and RELEASE
	)
	batch := func(n int) func() {
		return func() {
			list := b.engine.NewBatch(n, 3*n)
			for range n {
				args := list.Add(insert, 3)
				args[0].Value, args[1].Value, args[2].Value = int64(1), "x", nil
			}
			if _, err := list.Run(t.Context(), Hooks{}); err != nil {
				t.Error(err)
			}
			list.Release()
		}
	}
	for _, c := range []struct {
		name string
		run  func()
		want int
	}{
		{"Exec", func() { b.must(b, insert, 1, "x", nil) }, commit + write},
		{"Batch of one", batch(1), commit + write},
		{"Batch of three", batch(3), commit + apart + 3*write},
		{"transaction", func() {
			tx, err := b.Begin()
			if err != nil {
				t.Fatal(err)
			}
			b.must(tx, insert, 1, "x", nil)
			if err := tx.Commit(); err != nil {
				t.Error(err)
			}
		}, commit + write},
	} {
		c.run() // compiles
		before := b.calls()
		c.run()
		if got := b.calls() - before - commit; got != c.want { // between the looks: COMMIT, and BEGIN
			t.Errorf("%s: %d calls, want %d", c.name, got, c.want)
		}
	}
}

// A read whose snapshot is current binds, steps and resets its own statement and
// nothing else: no BEGIN, no COMMIT, and so no lock.
func TestEngineCallsOfARead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.numbered(3)
	reader := func() (n int) {
		r, err := b.pool.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n = r.Conn.Calls()
		b.pool.Put(r, true)
		return n
	}
	const query = "SELECT v FROM t WHERE id = ?"
	for _, c := range []struct {
		name string
		run  func()
		want int
	}{
		{"QueryRow", func() {
			var v any
			if err := b.QueryRow(query, 1).Scan(&v); err != nil {
				t.Error(err)
			}
		}, 1 + 2 + 1}, // bind; a row and the end; reset
		{"Read", func() {
			r, row, err := b.engine.Read(t.Context(), query, []any{1})
			if err != nil || !row {
				t.Fatal(row, err)
			}
			if row, err := r.Next(); row || err != nil {
				t.Error(row, err)
			}
			r.Close()
		}, 1 + 2 + 1},
	} {
		c.run() // compiles, and begins the transaction
		before, warm := reader(), b.pool.Stats().Warm
		c.run()
		if got := reader() - before; got != c.want {
			t.Errorf("%s: %d calls, want %d", c.name, got, c.want)
		}
		if n := b.pool.Stats().Warm - warm; n != 2 {
			t.Errorf("%s: %d of 2 reads found the snapshot current", c.name, n)
		}
	}
}

// calls looks at the write connection's count, in a group of its own.
func (b *bench) calls() (n int) {
	b.t.Helper()
	err := b.writer.Do(context.Background(), writer.Unit{Atomic: true, Run: func(c *sqlite.Conn) error {
		n = c.Calls()
		return nil
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}
