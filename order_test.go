package holdfast_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// watched is a few databases with one log for all.
type watched struct {
	t   *testing.T
	log lockedBuffer
	dbs []*holdfast.DB
}

func openWatched(t *testing.T, n int) *watched {
	t.Helper()
	w := &watched{t: t}
	dir := t.TempDir()
	for i := range n {
		db := openAt(t, filepath.Join(dir, fmt.Sprint("abcd"[i:i+1], ".db")), w.logged())
		must(t, db, "CREATE TABLE t(a)")
		w.dbs = append(w.dbs, db)
	}
	return w
}

func (w *watched) logged() holdfast.Option {
	return holdfast.WithLogger(slog.New(slog.NewTextHandler(&w.log, nil)))
}

// then writes to one database inside an Update of another, as most do.
func then(first, second *holdfast.DB) error {
	return first.Update(ctx(), func(*sql.Tx) error {
		_, err := second.Exec("INSERT INTO t VALUES ('secret')")
		return err
	})
}

// reports are the lines about orders so far.
func (w *watched) reports() (lines []string) {
	for line := range strings.Lines(w.log.String()) {
		if strings.Contains(line, "contradicting orders") {
			lines = append(lines, line)
		}
	}
	return lines
}

// wants n reports, and each database to have counted as many as it has a part in.
func (w *watched) wants(n int, counts ...int64) {
	w.t.Helper()
	lines := w.reports()
	if len(lines) != n || strings.Contains(w.log.String(), "secret") {
		w.t.Errorf("%d reports, want %d: %s", len(lines), n, lines)
	}
	for i, want := range counts {
		if got := w.dbs[i].Stats().Writer.LockOrderInversions; got != want {
			w.t.Errorf("database %d counts %d, want %d", i, got, want)
		}
	}
}

// Two orders that contradict each other are reported once, although those who
// take them never meet.
func TestLockOrderInversionIsReported(t *testing.T) {
	t.Parallel()
	nothing := func(*sql.Tx) error { return nil }
	for name, write := range map[string]func(db *holdfast.DB) error{
		"exec":      func(db *holdfast.DB) error { _, err := db.Exec("DELETE FROM t"); return err },
		"returning": func(db *holdfast.DB) error { return db.QueryRow("INSERT INTO t VALUES (1) RETURNING a").Scan(new(int)) },
		"batch": func(db *holdfast.DB) error {
			_, err := db.Batch(ctx(), []holdfast.Statement{{SQL: "DELETE FROM t"}})
			return err
		},
		"begin": func(db *holdfast.DB) error {
			tx, err := db.BeginTx(ctx(), nil)
			if err != nil {
				return err
			}
			return tx.Rollback()
		},
		"update": func(db *holdfast.DB) error { return db.Update(ctx(), nothing) },
		"optimistic": func(db *holdfast.DB) error {
			return db.Update(ctx(), func(tx *sql.Tx) error { _, err := tx.Exec("DELETE FROM t"); return err }, holdfast.Optimistic())
		},
		"vacuum": func(db *holdfast.DB) error { _, err := db.Exec("VACUUM"); return err },
		"prepared": func(db *holdfast.DB) error {
			s, err := db.Prepare("DELETE FROM t")
			if err != nil {
				return err
			}
			_, err = s.Exec()
			return errors.Join(err, s.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := openWatched(t, 2)
			a, b := w.dbs[0], w.dbs[1]
			in := func(first, second *holdfast.DB) {
				if err := first.Update(ctx(), func(*sql.Tx) error { return write(second) }); err != nil {
					t.Error(err)
				}
			}
			in(a, b)
			in(a, b)
			w.wants(0, 0, 0)
			for range 100 {
				in(b, a)
				in(a, b)
			}
			w.wants(1, 1, 1)
			line := strings.Join(w.reports(), "")
			for _, part := range []string{"a.db", "b.db", "order1.had=", "order2.wanted=", "level=WARN", "next="} {
				if !strings.Contains(line, part) {
					t.Errorf("%s lacks %s", line, part)
				}
			}
			// Both stacks, with the place of the write and that of the Update.
			if n := strings.Count(line, "order_test.go:"); n < 4 || strings.Contains(line, "internal/writer") || strings.Contains(line, "database/sql.") {
				t.Errorf("%d places: %s", n, line)
			}
		})
	}
}

func TestLockOrderThatIsKept(t *testing.T) {
	t.Parallel()
	w := openWatched(t, 3)
	for range 20 {
		for _, pair := range [][2]int{{0, 1}, {1, 2}, {0, 2}} {
			if err := then(w.dbs[pair[0]], w.dbs[pair[1]]); err != nil {
				t.Error(err)
			}
		}
	}
	w.wants(0, 0, 0, 0)
}

// One after the other is no order, and neither is a write of somebody else.
func TestLockOrderOfOthers(t *testing.T) {
	t.Parallel()
	w := openWatched(t, 2)
	a, b := w.dbs[0], w.dbs[1]
	for _, pair := range [][2]*holdfast.DB{{a, b}, {b, a}} {
		must(t, pair[0], "INSERT INTO t VALUES (1)")
		must(t, pair[1], "INSERT INTO t VALUES (1)")
		err := pair[0].Update(ctx(), func(tx *sql.Tx) error {
			number(t, pair[1], "SELECT count(*) FROM t") // no writer is needed for it
			var wg sync.WaitGroup
			wg.Go(func() { must(t, pair[1], "INSERT INTO t VALUES (2)") })
			wg.Wait()
			_, err := tx.Exec("INSERT INTO t VALUES (3)")
			return err
		})
		if err != nil {
			t.Error(err)
		}
		err = pair[0].Update(ctx(), func(tx *sql.Tx) error { // who may have ended it, against the rules
			if err := tx.Rollback(); err != nil {
				return err
			}
			_, err := pair[1].Exec("INSERT INTO t VALUES (4)")
			return err
		})
		if !errors.Is(err, sql.ErrTxDone) {
			t.Error(err)
		}
	}
	w.wants(0, 0, 0)
}

// A circle over three databases, of which no two are taken in both orders.
func TestLockOrderOfThree(t *testing.T) {
	t.Parallel()
	w := openWatched(t, 4)
	a, b, c, d := w.dbs[0], w.dbs[1], w.dbs[2], w.dbs[3]
	for _, pair := range [][2]*holdfast.DB{{a, b}, {b, c}, {c, d}} {
		if err := then(pair[0], pair[1]); err != nil {
			t.Error(err)
		}
	}
	w.wants(0, 0, 0, 0, 0)
	for range 3 {
		if err := then(c, a); err != nil {
			t.Error(err)
		}
	}
	w.wants(1, 1, 1, 1, 0)
	line := strings.Join(w.reports(), "")
	if n := strings.Count(line, "order_test.go:"); n < 6 || !strings.Contains(line, "order3.had=") {
		t.Errorf("%d places: %s", n, line)
	}
}

// Those who take a third database before can't meet, until somebody doesn't.
func TestLockOrderUnderAnother(t *testing.T) {
	t.Parallel()
	w := openWatched(t, 3)
	a, b, guard := w.dbs[0], w.dbs[1], w.dbs[2]
	guarded := func(first, second *holdfast.DB) {
		if err := guard.Update(ctx(), func(*sql.Tx) error { return then(first, second) }); err != nil {
			t.Error(err)
		}
	}
	guarded(a, b)
	guarded(b, a)
	w.wants(0, 0, 0, 0)
	for range 3 {
		if err := then(a, b); err != nil {
			t.Error(err)
		}
	}
	w.wants(1, 1, 1, 0)
}

// A guard of two orders keeps them apart, and no others.
func TestLockOrderUnderAnotherInPart(t *testing.T) {
	t.Parallel()
	const guarded, alone = true, false
	type order struct {
		first, second int
		guarded       bool
	}
	for name, c := range map[string]struct {
		orders []order
		want   int
	}{
		"two of three":     {[]order{{0, 1, guarded}, {1, 2, guarded}, {2, 0, alone}}, 0},
		"one of three":     {[]order{{0, 1, guarded}, {1, 2, alone}, {2, 0, alone}}, 1},
		"a longer way":     {[]order{{1, 2, alone}, {2, 0, alone}, {1, 0, guarded}, {0, 1, guarded}}, 1},
		"the guard itself": {[]order{{3, 0, alone}, {1, 3, alone}, {0, 1, guarded}}, 1}, // 3 and 1; not 3, 0 and 1
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := openWatched(t, 4)
			for _, o := range c.orders {
				take := func(*sql.Tx) error { return then(w.dbs[o.first], w.dbs[o.second]) }
				var err error
				if o.guarded {
					err = w.dbs[3].Update(ctx(), take)
				} else {
					err = take(nil)
				}
				if err != nil {
					t.Error(err)
				}
			}
			w.wants(c.want)
		})
	}
}

// Databases that are closed take with them what was seen of them.
func TestLockOrderEndsWithTheDatabase(t *testing.T) {
	t.Parallel()
	w := openWatched(t, 1)
	a := w.dbs[0]
	path := filepath.Join(t.TempDir(), "other.db")
	for _, take := range []func(a, b *holdfast.DB) error{then, func(a, b *holdfast.DB) error { return then(b, a) }} {
		b, err := holdfast.Open(ctx(), path, w.logged())
		if err != nil {
			t.Fatal(err)
		}
		must(t, b, "CREATE TABLE IF NOT EXISTS t(a)")
		if err := errors.Join(take(a, b), b.Close()); err != nil {
			t.Error(err)
		}
	}
	w.wants(0, 0)
}

// A write that can't wait can't be a part of a deadlock, and one that waits for
// its own caller is one already.
func TestLockOrderWithoutWaiting(t *testing.T) {
	t.Parallel()
	w := &watched{t: t}
	a, b := openAt(t, filepath.Join(t.TempDir(), "a.db"), w.logged(), holdfast.WithBusyTimeout(0)), open(t, w.logged())
	w.dbs = []*holdfast.DB{a, b}
	must(t, a, "CREATE TABLE t(a)")
	must(t, b, "CREATE TABLE t(a)")
	if err := errors.Join(then(a, b), then(b, a)); err != nil {
		t.Error(err)
	}
	err := b.Update(ctx(), func(*sql.Tx) error {
		short, cancel := context.WithTimeout(ctx(), time.Minute)
		defer cancel()
		_, err := b.ExecContext(short, "DELETE FROM t")
		return err
	})
	if !errors.Is(err, holdfast.ErrSelfDeadlock) {
		t.Error(err)
	}
	w.wants(0, 0, 0)
}
