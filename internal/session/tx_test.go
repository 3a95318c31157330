package session

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"
)

func snapshotTx(t *testing.T, b *bench) *sql.Tx {
	t.Helper()
	tx, err := b.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelSnapshot})
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// A -wal file that holds nothing has no snapshot that SQLite could name.
func TestOptimisticTransactionOnAnEmptyLog(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.numbered(3)
	c, err := b.open("PRAGMA wal_checkpoint(TRUNCATE)")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	tx := snapshotTx(t, b)
	if n := b.number(tx, "SELECT count(*) FROM t"); n != 3 {
		t.Errorf("%d rows", n)
	}
	b.must(tx, "UPDATE t SET v = 1")
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
}

func TestOptimisticTransactionOnAFileWithoutALog(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c, err := b.open("CREATE TABLE t(id INTEGER PRIMARY KEY)")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil { // the last connection removes the log
		t.Fatal(err)
	}
	tx := snapshotTx(t, b)
	other := snapshotTx(t, b)
	if n := b.number(tx, "SELECT count(*) FROM t"); n != 0 {
		t.Errorf("%d rows", n)
	}
	_ = b.number(other, "SELECT count(*) FROM t")
	b.must(tx, "INSERT INTO t VALUES (1)")
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
	if _, err := other.Exec("INSERT INTO t VALUES (2)"); !errors.Is(err, ErrConflict) {
		t.Errorf("wrote through an old snapshot: %v", err)
	}
	_ = other.Rollback() // it is over
}

// DROP TABLE IF EXISTS of a table that is missing compiles to nothing, which
// counts as read-only; the text keeps that verdict when the table is there.
func TestOptimisticTransactionWithAnOutdatedVerdict(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must(b, "DROP TABLE IF EXISTS x")
	b.must(b, "CREATE TABLE x(i)")
	tx := snapshotTx(t, b)
	b.must(tx, "DROP TABLE IF EXISTS x")
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
	b.must(b, "CREATE TABLE x(i)")
	b.must(b, "DROP TABLE IF EXISTS x")
	if n := b.number(b, "SELECT count(*) FROM sqlite_schema WHERE name = 'x'"); n != 0 {
		t.Error("x is still there")
	}
}

// changes() inside a statement that writes is that of the statement before.
func TestChangesInsideATransaction(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.numbered(7)
	b.must(b, "CREATE TABLE log(n INTEGER, id INTEGER, total INTEGER)")
	type runner interface {
		execer
		querier
	}
	check := func(t *testing.T, who string, r runner) {
		t.Helper()
		before := b.number(r, "SELECT total_changes()")
		b.must(r, "UPDATE t SET v = v + 1")
		b.must(r, "INSERT INTO log SELECT changes(), last_insert_rowid(), total_changes()")
		if n := b.number(r, "SELECT n FROM log ORDER BY rowid DESC LIMIT 1"); n != 7 {
			t.Errorf("%s: changes() was %d in the statement after an UPDATE of 7 rows", who, n)
		}
		if n := b.number(r, "SELECT total FROM log ORDER BY rowid DESC LIMIT 1"); n != before+7 {
			t.Errorf("%s: total_changes() went from %d to %d", who, before, n)
		}
	}
	c := b.conn()
	check(t, "autocommit", c)
	tx, err := c.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "transaction", tx)
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	b.must(c, "CREATE TEMP TABLE own(i)")
	check(t, "pinned", c)
	if tx, err = c.BeginTx(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	check(t, "pinned transaction", tx)
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

func TestTotalChangesCountTriggers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.numbered(1)
	b.must(b, "CREATE TABLE log(i)")
	b.must(b, "CREATE TRIGGER tr AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (1), (2); END")
	c := b.conn()
	before := b.number(c, "SELECT total_changes()")
	b.must(c, "UPDATE t SET v = 1")
	if n := b.number(c, "SELECT total_changes()") - before; n != 3 {
		t.Errorf("total_changes() rose by %d, an update and two inserts were made", n)
	}
	if n := b.number(c, "SELECT changes()"); n != 1 {
		t.Errorf("changes() is %d", n)
	}
}

// INSERT OR FAIL keeps the rows before the one that failed, also when the
// statement asks for the session's counters.
func TestOrFailWithCountersKeepsItsRows(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must(b, "CREATE TABLE u(i UNIQUE, n)")
	b.must(b, "INSERT INTO u VALUES (3, 0)")
	for range 5 { // whatever the connection's own count is meanwhile
		c := b.conn()
		b.must(b, "DELETE FROM u WHERE i <> 3")
		if _, err := c.ExecContext(context.Background(), "INSERT OR FAIL INTO u SELECT value, changes() FROM json_each('[1,2,3]')"); err == nil {
			t.Fatal("a duplicate was accepted")
		}
		if n := b.number(b, "SELECT count(*) FROM u"); n != 3 {
			t.Errorf("%d rows are there, SQLite keeps 3", n)
		}
		b.must(c, "UPDATE u SET n = 0")
	}
}

func TestSavepointWithOurNameOpensNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.numbered(1)
	c := b.conn()
	for range 2 {
		if _, err := c.ExecContext(context.Background(), "SAVEPOINT holdfast_unit"); !errors.Is(err, ErrRefused) {
			t.Errorf("not refused: %v", err)
		}
		if k := b.writer.Holder().Kind; k != "" {
			t.Fatalf("the writer is held by a %s", k)
		}
	}
}

func TestReleaseOfTheOutermostKeepsViolations(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must(b, "CREATE TABLE parent(id INTEGER PRIMARY KEY)")
	b.must(b, "CREATE TABLE child(p REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
	c := b.conn()
	b.must(c, "SAVEPOINT a")
	b.must(c, "INSERT INTO child VALUES (1)")
	if _, err := c.ExecContext(context.Background(), "RELEASE a"); err == nil {
		t.Fatal("a violation was committed")
	}
	b.must(c, "INSERT INTO parent VALUES (1)") // repaired, as SQLite lets it be
	b.must(c, "RELEASE a")
	if n := b.number(b, "SELECT count(*) FROM child"); n != 1 {
		t.Errorf("%d rows were committed", n)
	}
}

// beginAsOne is one call site, so that it becomes known as a quick one: inlined
// it would be several.
//
//go:noinline
func beginAsOne(b *bench, wg *sync.WaitGroup, tx **sql.Tx) {
	wg.Go(func() {
		var err error
		if *tx, err = b.BeginTx(context.Background(), nil); err != nil {
			b.t.Error(err)
		}
	})
}

// BEGIN's context ends the wait for the writer and nothing else.
func TestTextualCommitOutlivesTheContextOfItsBegin(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.numbered(1)
	var joined *sql.Tx
	var wg sync.WaitGroup
	beginAsOne(b, &wg, &joined)
	wg.Wait()
	if err := joined.Rollback(); err != nil {
		t.Fatal(err)
	}
	c := b.conn()
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := c.ExecContext(ctx, "BEGIN"); err != nil {
		t.Fatal(err)
	}
	cancel()
	b.must(c, "INSERT INTO t(id) VALUES (99)")
	beginAsOne(b, &wg, &joined)
	for b.writer.Queued() == 0 {
		runtime.Gosched() // the queue tells nobody that it has grown
	}
	done := make(chan error, 1)
	go func() { _, err := c.ExecContext(context.Background(), "COMMIT"); done <- err }()
	wg.Wait() // the other has joined the group and keeps it open
	select {
	case err := <-done:
		t.Fatalf("COMMIT was answered while its group is open: %v", err)
	case <-time.After(100 * time.Millisecond): // more than the grace of one who leaves
	}
	if err := joined.Commit(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The first ROLLBACK of a program may come when its transaction is over.
func TestRollbackOfAnEvictedTransactionIsUnderstood(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.numbered(1)
	c := b.conn()
	b.must(c, "BEGIN")
	if n := b.evictAll(); n != 1 {
		t.Errorf("%d leases were ended", n)
	}
	if _, err := c.ExecContext(context.Background(), "SELECT 'never seen before'"); !errors.Is(err, ErrEvicted) {
		t.Errorf("a statement of an evicted transaction: %v", err)
	}
	b.must(c, "ROLLBACK")
	b.must(c, "BEGIN")
	b.must(c, "INSERT INTO t(id) VALUES (2)")
	b.must(c, "COMMIT")
}

// A PRAGMA of a transaction belongs to the session as one outside does.
func TestPragmaOfATransactionStays(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, before := range []string{"SELECT 1", "PRAGMA recursive_triggers=1"} { // in the second the session is pinned already
		c := b.conn()
		b.must(c, before)
		tx, err := c.BeginTx(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		b.must(tx, "PRAGMA cache_size=77")
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		b.must(c, "PRAGMA recursive_triggers=0")
		b.must(c, "PRAGMA foreign_keys=1") // changes nothing
		if n := b.number(c, "PRAGMA cache_size"); n != 77 {
			t.Errorf("after %s: cache_size is %d", before, n)
		}
	}
}
