package session

import (
	"context"
	"testing"
)

func TestCommentsOnlyRunAnyNumberOfTimes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for range 3 {
		if _, err := b.Exec("-- nothing to do"); err != nil {
			t.Errorf("exec: %v", err)
		}
	}
	if n := b.counters.Groups.Load(); n != 0 {
		t.Errorf("%d transactions for nothing", n)
	}
}

// Settings that SQLite makes while it compiles a PRAGMA must be made each
// time, also when the statement is in the cache.
func TestPragmasOfAPinnedSessionTakeEffectEachTime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := b.conn()
	b.must(c, "CREATE TEMP TABLE own(i)")
	for _, name := range []string{"recursive_triggers", "cache_size", "synchronous"} {
		for _, v := range []int64{1, 2, 1, 2, 1, 1, 2} {
			text := "PRAGMA " + name + "=" + string(rune('0'+v))
			if name == "recursive_triggers" {
				v--
				text = "PRAGMA recursive_triggers=" + string(rune('0'+v))
			}
			b.must(c, text)
			if got := b.number(c, "PRAGMA "+name); got != v {
				t.Errorf("%s answered %d after %s", name, got, text)
			}
		}
	}
}

// The same text means another table in a session with TEMP objects; what one
// session learnt must not send another's statement astray.
func TestVerdictsSurviveShadowing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.numbered(3)
	own, other := b.conn(), b.conn()
	b.must(own, "CREATE TEMP TABLE t(id INTEGER PRIMARY KEY, v)")
	const insert, count = "INSERT INTO t(v) VALUES (5)", "SELECT count(*) FROM t"
	for range 3 {
		b.must(own, insert)
		b.must(other, insert)
	}
	if n := b.number(own, count); n != 3 {
		t.Errorf("the temporary table has %d rows", n)
	}
	if n := b.number(other, count); n != 6 {
		t.Errorf("the table has %d rows", n)
	}
	b.must(own, "DROP TABLE t")
	if n := b.number(own, count); n != 6 {
		t.Errorf("without its temporary table the session sees %d rows", n)
	}
	b.must(other, "DROP TABLE t")
	b.must(own, "CREATE TABLE t(v)")
	b.must(own, insert)
	if n := b.number(other, count); n != 1 {
		t.Errorf("the new table has %d rows", n)
	}
}

func TestExplainOfAWriteWritesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.numbered(3)
	groups := b.counters.Groups.Load()
	for _, text := range []string{"EXPLAIN DELETE FROM t", "EXPLAIN QUERY PLAN DELETE FROM t", "EXPLAIN VACUUM", "EXPLAIN BEGIN", "EXPLAIN CREATE TEMP TABLE x(i)"} {
		rows, err := b.QueryContext(context.Background(), text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if _, err := drainRows(rows); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		b.must(b, text)
	}
	if n := b.counters.Groups.Load(); n != groups {
		t.Errorf("%d transactions", n-groups)
	}
	if n := b.number(b, "SELECT count(*) FROM t"); n != 3 {
		t.Errorf("%d rows are left", n)
	}
}

func TestFullTextCommands(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must(b, "CREATE VIRTUAL TABLE f USING fts5(body)")
	for range 3 {
		b.must(b, "INSERT INTO f VALUES ('grips the rock')")
		b.must(b, "INSERT INTO f(f) VALUES ('optimize')")
		b.must(b, "INSERT INTO f(f, rank) VALUES ('merge', 16)")
		b.must(b, "INSERT INTO f(f) VALUES ('integrity-check')")
	}
	if n := b.number(b, "SELECT count(*) FROM f WHERE f MATCH 'rock'"); n != 3 {
		t.Errorf("%d rows match", n)
	}
}

func TestMaintenanceStatements(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.numbered(500)
	b.must(b, "CREATE INDEX tv ON t(v)")
	for range 2 {
		for _, text := range []string{"ANALYZE", "REINDEX", "PRAGMA optimize", "PRAGMA optimize=0x10002", "PRAGMA incremental_vacuum(5)", "PRAGMA user_version=7", "PRAGMA application_id=9", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"} {
			b.must(b, text)
			if k := b.writer.Holder().Kind; k != "" {
				t.Fatalf("%s: the writer is held by a %s", text, k)
			}
		}
	}
	if n := b.number(b, "PRAGMA user_version"); n != 7 {
		t.Errorf("user_version is %d", n)
	}
	if n := b.number(b, "SELECT count(*) FROM pragma_optimize"); n != 0 {
		t.Logf("pragma_optimize answers %d rows", n)
	}
	if n := b.number(b, "SELECT count(*) FROM sqlite_stat1"); n == 0 {
		t.Error("ANALYZE has left nothing")
	}
}

func TestInsteadOfTriggers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.numbered(2)
	b.must(b, "CREATE VIEW w AS SELECT * FROM t")
	b.must(b, "CREATE TRIGGER wi INSTEAD OF INSERT ON w BEGIN INSERT INTO t(id, v) VALUES (new.id, new.v); END")
	b.must(b, "CREATE TRIGGER wd INSTEAD OF DELETE ON w BEGIN SELECT RAISE(ROLLBACK, 'kept'); END")
	b.must(b, "INSERT INTO w VALUES (10, 1)")
	if _, err := b.Exec("DELETE FROM w"); !contains(err, "kept") {
		t.Errorf("%v", err)
	}
	if n := b.number(b, "SELECT count(*) FROM t"); n != 3 {
		t.Errorf("%d rows", n)
	}
}

func TestManyParameters(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const n = 32000
	text := make([]byte, 0, 2*n+40)
	text = append(text, "SELECT count(*) FROM (SELECT 1 UNION ALL SELECT 2) WHERE 1 IN (?"...)
	args := []any{1}
	for range n - 1 {
		text = append(text, ",?"...)
		args = append(args, 7)
	}
	if got := b.number(b, string(append(text, ')')), args...); got != 2 {
		t.Errorf("%d", got)
	}
}
