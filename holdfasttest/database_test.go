package holdfasttest_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/holdfasttest"
)

// double is a testing.TB that notes what is said, and runs its own cleanups.
type double struct {
	testing.TB
	errors   []string
	logs     []string
	cleanups []func()
}

func (d *double) Helper() {}
func (d *double) Errorf(format string, args ...any) {
	d.errors = append(d.errors, fmt.Sprintf(format, args...))
}
func (d *double) Error(args ...any) { d.errors = append(d.errors, fmt.Sprint(args...)) }
func (d *double) Logf(format string, args ...any) {
	d.logs = append(d.logs, fmt.Sprintf(format, args...))
}
func (d *double) Cleanup(f func()) { d.cleanups = append(d.cleanups, f) }

func (d *double) end() {
	for i := len(d.cleanups) - 1; i >= 0; i-- {
		d.cleanups[i]()
	}
}

const schema = `
CREATE TABLE account(id INTEGER PRIMARY KEY, owner TEXT, cents INTEGER);
CREATE TABLE kind(name TEXT);
INSERT INTO account(owner) VALUES ('a'), ('b'), ('c');
INSERT INTO kind VALUES ('x'), ('y');
SELECT * FROM account;`

func TestNew(t *testing.T) {
	t.Parallel()
	tb := &double{TB: t}
	dbs := make([]*holdfast.DB, 20)
	var all sync.WaitGroup
	for i := range dbs {
		dbs[i] = holdfasttest.New(tb, holdfasttest.WithSchema(schema), holdfasttest.FailOnLeak(), holdfasttest.FailOnFullScan())
		all.Go(func() { exec(t, dbs[i], "INSERT INTO account(id, owner) VALUES (?, 'd')", i+100) })
	}
	all.Wait()
	for i, db := range dbs {
		var n int
		must(t, db.QueryRow("SELECT id FROM account WHERE id >= 100 LIMIT 1").Scan(&n))
		if n != i+100 {
			t.Errorf("database %d has the row of %d", i, n)
		}
	}
	must(t, dbs[0].Close())
	paths := []string{dbs[1].Path(), dbs[1].Path() + "-wal"}
	tb.end()
	if len(tb.errors)+len(tb.logs) > 0 {
		t.Errorf("%q %q", tb.errors, tb.logs)
	}
	for _, p := range paths {
		if _, err := os.Stat(p); err == nil {
			t.Errorf("%s is still there", p)
		}
	}
}

func TestFailOnFullScan(t *testing.T) {
	t.Parallel()
	tb := &double{TB: t}
	db := holdfasttest.New(tb, holdfasttest.WithSchema(schema),
		holdfasttest.FailOnFullScan("kind", "SELECT max(cents) FROM account WHERE owner > 'x'"))
	ctx := context.Background()
	query := func(sql string, args ...any) {
		rows, err := db.QueryContext(ctx, sql, args...)
		must(t, err)
		for rows.Next() {
		}
		must(t, rows.Close())
	}
	query("SELECT * FROM account WHERE id = 2")
	query("SELECT * FROM kind")
	query("SELECT max(cents) FROM account WHERE owner > 'secret'")
	for range 3 {
		query("SELECT * FROM account WHERE owner = 'secret'")
	}
	_, err := db.ExecContext(ctx, "UPDATE account SET cents = 1 WHERE owner = ?", "secret")
	must(t, err)
	exec(t, db, "INSERT INTO account SELECT NULL, name, 7 FROM kind")
	tb.end()
	want := []string{
		"full scan of account at database_test.go:", "(6 rows in 3 runs): SELECT * FROM account WHERE owner = ?",
		"full scan of account at database_test.go:", "(2 rows in 1 runs): UPDATE account SET cents = ? WHERE owner = ?",
	}
	if len(tb.errors) != 2 || len(tb.logs) > 0 {
		t.Fatalf("%q %q", tb.errors, tb.logs)
	}
	for i, w := range want {
		if !strings.Contains(tb.errors[i/2], w) || strings.Contains(tb.errors[i/2], "secret") {
			t.Errorf("%s\nwant %s", tb.errors[i/2], w)
		}
	}
}

// What no index could make shorter is not a full scan.
func TestFailOnFullScanKnowsWhatIsNone(t *testing.T) {
	t.Parallel()
	tb := &double{TB: t}
	db := holdfasttest.New(tb, holdfasttest.FailOnFullScan(), holdfasttest.WithSchema(schema+`
		CREATE INDEX owner ON account(owner);
		INSERT INTO account(owner) SELECT 'a' FROM account;
		CREATE VIRTUAL TABLE text USING fts5(words);
		INSERT INTO text VALUES ('x'), ('y'), ('z');`))
	for _, sql := range []string{
		"WITH c AS MATERIALIZED (SELECT id FROM account WHERE owner = 'a') SELECT * FROM c JOIN account USING (id)",
		"SELECT name FROM sqlite_schema", "ALTER TABLE account ADD COLUMN since", "ANALYZE", "PRAGMA integrity_check",
	} {
		rows, err := db.QueryContext(context.Background(), sql)
		must(t, err)
		for rows.Next() {
		}
		must(t, rows.Close())
	}
	tb.end()
	if len(tb.errors) > 0 {
		t.Errorf("%q", tb.errors)
	}
}

func TestFailOnLeak(t *testing.T) {
	t.Parallel()
	for _, fails := range []bool{true, false} {
		tb := &double{TB: t}
		opts := []holdfasttest.Option{holdfasttest.WithSchema(schema)}
		if fails {
			opts = append(opts, holdfasttest.FailOnLeak())
		}
		db := holdfasttest.New(tb, opts...)
		ctx := context.Background()
		conn, err := db.Conn(ctx)
		must(t, err)
		rows, err := db.QueryContext(ctx, "SELECT * FROM account")
		must(t, err)
		tx, err := db.BeginTx(ctx, nil)
		must(t, err)
		tb.end()
		got := tb.errors
		if !fails {
			got = tb.logs
		}
		if len(got) != 3 || len(tb.errors)+len(tb.logs) != 3 {
			t.Fatalf("%q %q", tb.errors, tb.logs)
		}
		for _, want := range []string{"connection, taken at database_test.go:", "rows, taken at database_test.go:", "write transaction, taken at database_test.go:"} {
			if !strings.Contains(strings.Join(got, "\n"), want) {
				t.Errorf("%q is missing in %q", want, got)
			}
		}
		_ = rows.Close()
		_ = conn.Close()
		_ = tx.Rollback()
	}
}

func BenchmarkNew(b *testing.B) {
	many := strings.Repeat("CREATE TABLE t#(id INTEGER PRIMARY KEY, a TEXT, b TEXT); CREATE INDEX i# ON t#(a);", 30)
	for i := range 30 {
		many = strings.Replace(many, "#", fmt.Sprint(i), 3)
	}
	for _, where := range []string{"memory", "disk"} {
		for name, sql := range map[string]string{"empty": "", "one table": "CREATE TABLE t(a)", "30 tables": many, "30 tables in one transaction": "BEGIN;" + many + "COMMIT"} {
			b.Run(where+"/"+name, func(b *testing.B) {
				for range b.N {
					tb := &double{TB: b}
					opts := []holdfasttest.Option{holdfasttest.WithSchema(sql)}
					if where == "disk" {
						opts = append(opts, holdfasttest.WithDir(b.TempDir()))
					}
					holdfasttest.New(tb, opts...)
					tb.end()
					if len(tb.errors) > 0 {
						b.Fatal(tb.errors)
					}
				}
			})
		}
	}
}
