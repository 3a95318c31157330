package holdfast_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/queries"
)

func openCounted(t *testing.T, opts ...holdfast.Option) *holdfast.DB {
	t.Helper()
	db := openAt(t, filepath.Join(t.TempDir(), "app.db"), opts...)
	run(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT UNIQUE, b)")
	db.ResetQueries()
	return db
}

func run(t *testing.T, db *holdfast.DB, sql string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// counted returns what is counted, by statement.
func counted(t *testing.T, db *holdfast.DB) map[string]queries.Query {
	t.Helper()
	r, err := db.Queries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]queries.Query{}
	for _, q := range r.Queries {
		rows[q.Statement] = q
	}
	return rows
}

const (
	insertT = "INSERT INTO t(a, b) VALUES (?)"
	countT  = "SELECT count(*) FROM t WHERE b = ?"
	listT   = "SELECT id, a FROM t WHERE b = ?"
)

// Each way to run a statement counts it once.
func TestEveryWayIsCountedOnce(t *testing.T) {
	t.Parallel()
	const insert = "INSERT INTO t(a, b) VALUES (?, ?)"
	n := 0
	next := func() string { n++; return fmt.Sprint("row", n) }
	for name, c := range map[string]struct {
		do   func(ctx context.Context, db *holdfast.DB) error
		want map[string]int64 // calls by statement
	}{
		"exec": {func(ctx context.Context, db *holdfast.DB) error {
			_, err := db.ExecContext(ctx, insert, next(), 1)
			return err
		}, map[string]int64{insertT: 1}},
		"literals": {func(ctx context.Context, db *holdfast.DB) error {
			_, err := db.ExecContext(ctx, "INSERT INTO t(a, b) VALUES ('canary', 1), ('canary2', 2)")
			return err
		}, map[string]int64{insertT: 1}},
		"several in one text": {func(ctx context.Context, db *holdfast.DB) error {
			_, err := db.ExecContext(ctx, "INSERT INTO t(a, b) VALUES ('canary', 1); DELETE FROM t; BEGIN; INSERT INTO t(a, b) VALUES ('canary', 1); COMMIT")
			return err
		}, map[string]int64{insertT: 2, "DELETE FROM t": 1, "BEGIN": 1, "COMMIT": 1}},
		"query": {func(ctx context.Context, db *holdfast.DB) error {
			var n int
			return db.QueryRowContext(ctx, "SELECT count(*) FROM t WHERE b = ?", 5).Scan(&n)
		}, map[string]int64{countT: 1}},
		"prepared": {func(ctx context.Context, db *holdfast.DB) error {
			s, err := db.PrepareContext(ctx, insert)
			if err != nil {
				return err
			}
			defer s.Close()
			_, err = s.ExecContext(ctx, next(), 1)
			_, err2 := s.ExecContext(ctx, next(), 1)
			return errors.Join(err, err2)
		}, map[string]int64{insertT: 2}},
		"rows": {func(ctx context.Context, db *holdfast.DB) error {
			for _, err := range db.Rows(ctx, "SELECT id, a FROM t WHERE b = ?", 1) {
				return err
			}
			return nil
		}, map[string]int64{listT: 1}},
		"batch": {func(ctx context.Context, db *holdfast.DB) error {
			_, err := db.Batch(ctx, []holdfast.Statement{
				{SQL: insert, Args: []any{next(), 1}}, {SQL: insert, Args: []any{next(), 1}}, {SQL: "DELETE FROM t WHERE b = 99"},
			})
			return err
		}, map[string]int64{insertT: 2, "DELETE FROM t WHERE b = ?": 1}},
		"batch of one": {func(ctx context.Context, db *holdfast.DB) error {
			_, err := db.Batch(ctx, []holdfast.Statement{{SQL: insert, Args: []any{next(), 1}}})
			return err
		}, map[string]int64{insertT: 1}},
		"update": {func(ctx context.Context, db *holdfast.DB) error {
			return db.Update(ctx, func(tx *sql.Tx) error { _, err := tx.ExecContext(ctx, insert, next(), 1); return err })
		}, map[string]int64{insertT: 1}},
		"optimistic": {func(ctx context.Context, db *holdfast.DB) error {
			return db.Update(ctx, func(tx *sql.Tx) error { _, err := tx.ExecContext(ctx, insert, next(), 1); return err }, holdfast.Optimistic())
		}, map[string]int64{insertT: 1}},
		"view": {func(ctx context.Context, db *holdfast.DB) error {
			return db.View(ctx, func(tx *sql.Tx) error {
				var n int
				return tx.QueryRowContext(ctx, "SELECT count(*) FROM t WHERE b = ?", 5).Scan(&n)
			})
		}, map[string]int64{countT: 1}},
		"pinned": {func(ctx context.Context, db *holdfast.DB) error {
			c, err := db.Conn(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.ExecContext(ctx, "CREATE TEMP TABLE mine(x)")
			_, err2 := c.ExecContext(ctx, insert, next(), 1)
			var n int
			err3 := c.QueryRowContext(ctx, "SELECT count(*) FROM t WHERE b = ?", 5).Scan(&n)
			return errors.Join(err, err2, err3)
		}, map[string]int64{"CREATE TEMP TABLE mine(x)": 1, insertT: 1, countT: 1}},
		"returning": {func(ctx context.Context, db *holdfast.DB) error {
			var id int
			return db.QueryRowContext(ctx, insert+" RETURNING id", next(), 1).Scan(&id)
		}, map[string]int64{insertT + " RETURNING id": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			db := openCounted(t)
			if err := c.do(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			rows := counted(t, db)
			for statement, want := range c.want {
				q := rows[statement]
				if q.Calls != want || q.Attempts < want && !strings.HasPrefix(statement, "BEGIN") && statement != "COMMIT" || int64(q.Duration.Count()) != want {
					t.Errorf("%s: %d calls, %d attempts, want %d", statement, q.Calls, q.Attempts, want)
				}
				if want > 0 && (q.TotalSeconds <= 0 && runtime.GOOS != "windows" || q.WaitSeconds > q.TotalSeconds) { // its clock stands for half a millisecond
					t.Errorf("%s took %v and waited for %v of it", statement, q.TotalSeconds, q.WaitSeconds)
				}
				delete(rows, statement)
			}
			for statement, q := range rows {
				t.Errorf("%d calls of %s, of which there was none", q.Calls, statement)
			}
		})
	}
}

// Rows and steps are exact, whether a result is read ahead, read on, or left.
func TestQueriesAreExact(t *testing.T) {
	t.Parallel()
	db := openCounted(t)
	run(t, db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 1000) INSERT INTO t(a, b) SELECT i, i % 10 FROM n")
	db.ResetQueries()
	ctx := t.Context()
	read := func(query string, most int) (n int) {
		rows, err := db.QueryContext(ctx, query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for n < most && rows.Next() {
			n++
		}
		return n
	}
	for range 3 {
		read("SELECT a FROM t WHERE id <= 5 ORDER BY b", 10_000)
		read("SELECT a FROM t WHERE id > 0", 10_000)
	}
	for row, err := range db.Rows(ctx, "SELECT b FROM t") {
		if err != nil || row.Int64(0) > 10 {
			t.Fatal(err)
		}
	}
	run(t, db, "UPDATE t SET b = 1 WHERE id <= 7")
	rows := counted(t, db)
	if q := rows["SELECT a FROM t WHERE id <= ? ORDER BY b"]; q.Calls != 3 || q.Rows != 15 || q.Sorts != 3 || q.VMSteps == 0 || q.VMSteps%3 != 0 {
		t.Errorf("%+v", q)
	}
	if q := rows["SELECT a FROM t WHERE id > ?"]; q.Calls != 3 || q.Rows != 3000 || q.VMSteps%3 != 0 || q.PageHits+q.PageMisses == 0 {
		t.Errorf("%+v", q)
	}
	if q := rows["SELECT b FROM t"]; q.Calls != 1 || q.Rows != 1000 || q.FullScanSteps != 999 {
		t.Errorf("%+v", q)
	}
	if q := rows["UPDATE t SET b = ? WHERE id <= ?"]; q.RowsChanged != 7 || !q.Writes || q.Wait.Count() != 1 {
		t.Errorf("%+v", q)
	}
}

// Statements that are run so often that most calls are not timed: all else is exact still,
// whichever way they were run, and whatever ran in between.
func TestBriskQueriesAreExact(t *testing.T) {
	t.Parallel()
	db := openCounted(t)
	run(t, db, "INSERT INTO t(a, b) VALUES (1, 1), (2, 2), (3, 3)")
	read := func(ctx context.Context, id int) error {
		for _, err := range db.Rows(ctx, "SELECT a FROM t WHERE id = ?", id) {
			if err != nil {
				return err
			}
		}
		return db.QueryRowContext(ctx, "SELECT b FROM t WHERE id = ?", id).Scan(new(int))
	}
	if err := read(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	first := counted(t, db)
	db.ResetQueries()
	const goroutines, each, views = 4, 12_000, 10
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			for i := range each {
				if err := read(t.Context(), i%3+1); err != nil {
					t.Error(err)
				}
				if i%(each/views) != 0 {
					continue
				}
				if err := db.View(t.Context(), func(tx *sql.Tx) error {
					return tx.QueryRow("SELECT b FROM t WHERE id = ?", 2).Scan(new(int))
				}); err != nil {
					t.Error(err)
				}
				for _, err := range db.Rows(ended, "SELECT a FROM t WHERE id = ?", 1) {
					if !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	rows := counted(t, db)
	const fewest = goroutines * each
	// A reader that the library itself has at the moment tells of its last calls next time.
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until) &&
		min(rows["SELECT a FROM t WHERE id = ?"].Attempts, rows["SELECT b FROM t WHERE id = ?"].Attempts-goroutines*views) < fewest; {
		<-time.After(time.Millisecond)
		rows = counted(t, db)
	}
	for statement, want := range map[string]struct{ ran, canceled int64 }{
		"SELECT a FROM t WHERE id = ?": {goroutines * each, goroutines * views}, "SELECT b FROM t WHERE id = ?": {goroutines * (each + views), 0},
	} {
		q, one := rows[statement], first[statement]
		if q.Calls != want.ran+want.canceled || q.Attempts != want.ran || q.Rows != want.ran || q.Errors["canceled"] != want.canceled || q.Failed() != want.canceled {
			t.Errorf("%s: %d calls, %d attempts, %d rows, %v; want %+v", statement, q.Calls, q.Attempts, q.Rows, q.Errors, want)
		}
		if q.VMSteps != want.ran*one.VMSteps {
			t.Errorf("%s: %d steps, want %d times %d", statement, q.VMSteps, want.ran, one.VMSteps)
		}
		if n := int64(q.Duration.Count()); n > q.Calls || n < q.Calls*9/10 {
			t.Errorf("%s: the times of %d calls of %d", statement, n, q.Calls)
		}
	}
	db.ResetQueries()
	if rows := counted(t, db); len(rows) != 0 {
		t.Errorf("after a reset: %v", rows)
	}
}

func TestQueriesCountFailures(t *testing.T) {
	t.Parallel()
	db := openCounted(t)
	const insert = "INSERT INTO t(a, b) VALUES (?, ?)"
	run(t, db, insert, "x", 1)
	for range 2 {
		if _, err := db.Exec(insert, "x", 1); err == nil {
			t.Fatal("no violation")
		}
	}
	if _, err := db.Exec(insert, "x"); err == nil {
		t.Fatal("an argument was not missed")
	}
	if _, err := db.Batch(t.Context(), []holdfast.Statement{{SQL: insert, Args: []any{"y", 1}}, {SQL: insert, Args: []any{"x", 1}}}); err == nil {
		t.Fatal("no violation")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	const forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n"
	if err := db.QueryRowContext(ctx, forever).Scan(new(int)); err == nil {
		t.Fatal("it came to an end")
	}
	rows := counted(t, db)
	if q := rows[insertT]; q.Calls != 6 || q.Errors["SQLITE_CONSTRAINT_UNIQUE"] != 3 || q.Errors["refused"] != 1 || q.Failed() != 4 {
		t.Errorf("%d calls, %v", q.Calls, q.Errors)
	}
	for statement, q := range rows {
		if strings.HasPrefix(statement, "WITH") && (q.Errors["deadline exceeded"] != 1 || q.VMSteps < 1000 || q.MaxSeconds < 0.015) {
			t.Errorf("%+v", q)
		}
	}
}

// What waits for the writer counts as a wait.
func TestQueriesCountWaits(t *testing.T) {
	t.Parallel()
	db := openCounted(t)
	const insert = "INSERT INTO t(b) VALUES (?)"
	const held = 20 * time.Millisecond
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			if _, err := db.Exec(insert, i); err != nil {
				t.Error(err)
			}
		})
	}
	for db.Stats().Writer.Queued < 4 {
		<-time.After(time.Millisecond)
	}
	<-time.After(held)
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	q := counted(t, db)["INSERT INTO t(b) VALUES (?)"]
	if q.Calls != 4 || q.Wait.Count() != 4 || q.WaitSeconds < 4*held.Seconds() || q.WaitSeconds > q.TotalSeconds {
		t.Errorf("%d calls waited for %v s of %v", q.Wait.Count(), q.WaitSeconds, q.TotalSeconds)
	}
}

// What is repeated out of sight is one call: a statement whose group was lost to
// another one's ROLLBACK, and that one, which has to fail alone.
func TestRepetitionsAreOneCall(t *testing.T) {
	t.Parallel()
	db := openCounted(t, func(c *holdfast.Config) { c.Writer.MaxGroupDuration = time.Minute }) // on a slow machine, too, they share a group
	run(t, db, "INSERT INTO t(a) VALUES ('taken')")
	db.ResetQueries()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i, do := range []func() error{
		func() error { _, err := db.Exec("INSERT INTO t(b) VALUES (1)"); return err },
		func() error {
			_, err := db.Batch(t.Context(), []holdfast.Statement{{SQL: "INSERT INTO t(b) VALUES (2)"}, {SQL: "UPDATE t SET b = 3 WHERE b = 2"}})
			return err
		},
		func() error {
			if _, err := db.Exec("INSERT OR ROLLBACK INTO t(a) VALUES ('taken')"); err == nil {
				return errors.New("no violation")
			}
			return nil
		},
	} {
		all.Go(func() {
			if err := do(); err != nil {
				t.Error(err)
			}
		})
		for db.Stats().Writer.Queued <= i {
			<-time.After(time.Millisecond)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	rows := counted(t, db)
	for statement, want := range map[string]queries.Query{
		"INSERT INTO t(b) VALUES (?)":             {Calls: 2, Attempts: 4, RowsChanged: 2},
		"UPDATE t SET b = ? WHERE b = ?":          {Calls: 1, Attempts: 2, RowsChanged: 1},
		"INSERT OR ROLLBACK INTO t(a) VALUES (?)": {Calls: 1, Attempts: 2},
	} {
		if q := rows[statement]; q.Calls != want.Calls || q.Attempts != want.Attempts || q.RowsChanged != want.RowsChanged {
			t.Errorf("%s: %d calls, %d attempts, %d rows", statement, q.Calls, q.Attempts, q.RowsChanged)
		}
	}
	if q := rows["INSERT OR ROLLBACK INTO t(a) VALUES (?)"]; q.Errors["SQLITE_CONSTRAINT_UNIQUE"] != 1 {
		t.Errorf("%v", q.Errors)
	}
}

func TestQueriesTellPlanAndCallSite(t *testing.T) {
	t.Parallel()
	db := openCounted(t)
	const query = "SELECT id FROM t WHERE b = ?"
	list := func() {
		rows, err := db.Query(query, "canary")
		if err != nil {
			t.Fatal(err)
		}
		rows.Close()
	}
	list()
	before := counted(t, db)[query]
	run(t, db, "CREATE INDEX t_b ON t(b)")
	list()
	after := counted(t, db)[query]
	if len(before.Plan.Lines) != 1 || before.Plan.Lines[0] != "SCAN t" || before.Plan.Changes != 0 {
		t.Errorf("%+v", before.Plan)
	}
	if len(after.Plan.Lines) != 1 || !strings.Contains(after.Plan.Lines[0], "INDEX t_b (b=?)") || after.Plan.Changes != 1 || after.Plan.Hash == before.Plan.Hash {
		t.Errorf("%+v", after.Plan)
	}
	if len(after.CallSites) != 1 || !strings.HasPrefix(after.CallSites[0].Site, "queries_test.go:") || after.CallSites[0].Samples != 2 {
		t.Errorf("%v", after.CallSites)
	}
	if len(after.Samples) != 2 || after.Samples[0][0] != "TEXT(6)" {
		t.Errorf("%v", after.Samples)
	}
}

// No value of a statement or a parameter is in anything that is told, in whatever
// way it got in.
func TestQueriesHaveNoLiterals(t *testing.T) {
	t.Parallel()
	db := openCounted(t)
	ctx := t.Context()
	const canary = "kanarienvogel"
	for i, sql := range []string{
		"INSERT INTO t(a, b) VALUES ('kanarienvogel', 'kanarienvogel')", `SELECT "kanarienvogel", a FROM t WHERE a = "kanarienvogel"`, "SELECT a -- kanarienvogel\nFROM t",
		"SELECT /* kanarienvogel */ a FROM t", "SELECT x'6b616e617269656e766f67656c', 'kanarienvogel' || a FROM t WHERE a IN ('kanarienvogel', 'x') OR b LIKE '%kanarienvogel%'",
		"UPDATE t SET b = 'kanarienvogel' WHERE a = 'kanarienvogel'", "CREATE TABLE k(x DEFAULT 'kanarienvogel')", "CREATE INDEX kx ON k(x) WHERE x <> 'kanarienvogel'",
		"SELECT * FROM k WHERE x = 'kanarienvogel'", "SELECT value FROM json_each('[\"kanarienvogel\"]')", "PRAGMA table_info('kanarienvogel')", "INSERT INTO t(a) VALUES ('kanarienvogel')",
	} {
		_, err := db.ExecContext(ctx, sql)
		if wrong := i == 11; (err != nil) != wrong {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	run(t, db, "UPDATE t SET b = ? WHERE a = ? OR a = :n", canary, []byte(canary), sql.Named("n", canary))
	if _, err := db.Batch(ctx, []holdfast.Statement{{SQL: "DELETE FROM t WHERE b = ?", Args: []any{canary}}}); err != nil {
		t.Fatal(err)
	}
	for _, err := range db.Rows(ctx, "SELECT a FROM t WHERE a = ? AND b = 'kanarienvogel'", canary) {
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := db.Queries(ctx)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{canary, "6b616e617269", "kanarien"} {
		if at := strings.Index(strings.ToLower(string(text)), form); at >= 0 {
			t.Errorf("the value is in %s", text[max(0, at-200):at+50])
		}
	}
	if len(r.Queries) < 12 || len(r.Queries[0].CallSites) == 0 {
		t.Errorf("%d queries: this test looks at nothing", len(r.Queries))
	}
}

func TestSampleValues(t *testing.T) {
	t.Parallel()
	keep := func(c *holdfast.Config) { c.Telemetry.SampleValues = true }
	db := openCounted(t, keep)
	run(t, db, "INSERT INTO t(a, b) VALUES (?, ?)", strings.Repeat("v", 100), nil)
	got := counted(t, db)[insertT].Samples
	if len(got) != 1 || got[0][0] != strings.Repeat("v", 64) || got[0][1] != "NULL" {
		t.Errorf("%v", got)
	}
}

func TestTelemetryOff(t *testing.T) {
	t.Parallel()
	db := openCounted(t, func(c *holdfast.Config) { c.Telemetry.Enabled = holdfast.Off })
	run(t, db, "INSERT INTO t(a, b) VALUES (?, ?)", "a", 1)
	if _, err := db.Batch(t.Context(), []holdfast.Statement{{SQL: "DELETE FROM t"}}); err != nil {
		t.Error(err)
	}
	if _, err := db.Queries(t.Context()); !errors.Is(err, holdfast.ErrRefused) || !strings.Contains(err.Error(), "telemetry.enabled") {
		t.Errorf("%v", err)
	}
	db.ResetQueries()
}

// The watch finds the plans out, without anybody asking.
func TestPlansAreLookedAtInTheBackground(t *testing.T) {
	t.Parallel()
	db := openCounted(t)
	if err := db.QueryRow("SELECT count(*) FROM t WHERE b = 1").Scan(new(int)); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
		if holdfast.Unplanned(db) == 0 {
			return
		}
	}
	t.Error("nobody has looked")
}

// Whoever has locked the file keeps plans from being looked at, and no reader is given up
// for it: opening another one would wait for the lock.
func TestPlansWaitForNobody(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := openAt(t, path, func(c *holdfast.Config) { c.Database.EnableWALMode = holdfast.Off })
	run(t, db, "CREATE TABLE t(a)")
	if err := db.QueryRow("SELECT count(*) FROM t WHERE a = 1").Scan(new(int)); err != nil {
		t.Fatal(err)
	}
	other, err := sqlite.Open(path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if err := other.Exec("BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	before := db.Stats()
	if _, err := db.Queries(t.Context()); err != nil {
		t.Error(err)
	}
	after := db.Stats()
	if after.ConnectionsDiscarded != before.ConnectionsDiscarded || after.Readers.Open != before.Readers.Open {
		t.Errorf("%d connections were given up, %d of %d readers are left", after.ConnectionsDiscarded-before.ConnectionsDiscarded, after.Readers.Open, before.Readers.Open)
	}
	if err := other.Exec("ROLLBACK"); err != nil {
		t.Error(err)
	}
	if q := counted(t, db)["SELECT count(*) FROM t WHERE a = ?"]; len(q.Plan.Lines) != 1 {
		t.Errorf("%+v", q.Plan)
	}
}

// Both pages of "holdfast queries" tell of the same: headings, tables, and each name of a
// setting, a key or a command.
func TestBothPagesOfQueriesTellTheSame(t *testing.T) {
	t.Parallel()
	code := regexp.MustCompile("`[^`\n]+`")
	told := func(name string) (shape [2]int, names []string) {
		text, err := os.ReadFile(filepath.Join("docs", "operator", name))
		if err != nil {
			t.Fatal(err)
		}
		page := strings.ReplaceAll(string(text), "\r\n", "\n")
		shape = [2]int{strings.Count(page, "\n## "), strings.Count(page, "\n|")}
		_, page, _ = strings.Cut(page, "```\n") // what follows the commands
		names = code.FindAllString(page, -1)
		slices.Sort(names)
		return shape, slices.Compact(names)
	}
	englishShape, english := told("queries.md")
	germanShape, german := told("queries.de.md")
	if englishShape != germanShape || englishShape[1] < 20 {
		t.Errorf("%v headings and lines of tables, in German %v", englishShape, germanShape)
	}
	for _, name := range english {
		if !slices.Contains(german, name) {
			t.Errorf("the German page has no %s", name)
		}
	}
	for _, name := range german {
		if !slices.Contains(english, name) {
			t.Errorf("only the German page has %s", name)
		}
	}
}
