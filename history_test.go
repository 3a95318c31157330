package holdfast

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	recording "github.com/holdfastdb/holdfast/internal/stats/history"
	"github.com/holdfastdb/holdfast/queries"
)

func openRecorded(t *testing.T, path string) *DB {
	t.Helper()
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var verdict string
		if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil && !strings.Contains(err.Error(), "closed") || err == nil && verdict != "ok" {
			t.Errorf("integrity_check: %q, %v", verdict, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func mustRead(t *testing.T, db *DB, q history.Request) history.Report {
	t.Helper()
	r, err := db.History(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The history has what Stats and Queries tell, and another process reads the same.
func TestHistory(t *testing.T) {
	t.Parallel()
	db := openRecorded(t, filepath.Join(t.TempDir(), "app.db"))
	if r := mustRead(t, db, history.Request{Queries: true, Series: []string{"*"}}); len(r.Series) != 0 || len(r.Queries.Queries) != 0 || !r.Since.IsZero() {
		t.Errorf("%+v", r)
	}
	mustExec(t, db, "CREATE TABLE t(a)")
	for range 100 {
		mustExec(t, db, "INSERT INTO t VALUES ('canary')")
	}
	now := time.Now()
	db.h.d.history.Record(now)
	mustExec(t, db, "INSERT INTO t VALUES ('canary')")
	db.h.d.history.Record(now)
	read := history.Request{To: now.Add(time.Hour), Queries: true, Series: []string{"writer.*", "file.*", "readers.max"}}
	r := mustRead(t, db, read)
	sums := map[string]float64{}
	for _, s := range r.Series {
		sums[s.Name] = s.Whole().Sum
	}
	if want := db.Stats().Writer; sums["writer.units"] != float64(want.Units) || sums["writer.groups"] != float64(want.Groups) || sums["file.bytes"] == 0 || sums["readers.max"] == 0 {
		t.Errorf("%v, want %+v", sums, want)
	}
	calls := map[string]int64{}
	for _, q := range r.Queries.Queries {
		calls[q.Statement] = q.Calls
	}
	if calls["INSERT INTO t VALUES (?)"] != 101 {
		t.Errorf("%v", calls)
	}
	elsewhere, err := ReadHistory(t.Context(), db.Path(), read)
	if err != nil || fmt.Sprintf("%+v", elsewhere.Series) != fmt.Sprintf("%+v", r.Series) || len(elsewhere.Queries.Queries) != len(r.Queries.Queries) {
		t.Errorf("%v: %+v", err, elsewhere)
	}
	info, err := os.Stat(db.Path() + recording.Suffix)
	text, e := os.ReadFile(db.Path() + recording.Suffix)
	if err = errors.Join(err, e); err != nil || strings.Contains(string(text), "canary") {
		t.Errorf("%v; a value is in it: %t", err, strings.Contains(string(text), "canary"))
	} else if mode := info.Mode().Perm(); filepath.Separator == '/' && mode != 0o600 {
		t.Errorf("its mode is %v", mode)
	}
}

// Who doesn't write the database, or has none, keeps no history; it can be turned off.
func TestWhoKeepsNoHistory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	mustExec(t, openRecorded(t, path), "CREATE TABLE t(a)")
	dir := filepath.Dir(path)
	for name, set := range map[string]func(*Config){
		"memory":    func(c *Config) { c.Database.Path = ":memory:" },
		"off":       func(c *Config) { c.Database.Path, c.Telemetry.History = filepath.Join(dir, "off.db"), Off },
		"read only": func(c *Config) { c.Database.Path, c.Database.ReadOnly = filepath.Join(dir, "read.db"), true },
	} {
		if name == "read only" {
			other, err := Open(t.Context(), filepath.Join(dir, "read.db"))
			if err = errors.Join(err, other.Close()); err != nil {
				t.Fatal(err)
			}
		}
		cfg := DefaultConfig()
		set(&cfg)
		db, err := OpenConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if db.h.d.history != nil {
			t.Errorf("%s: a history is kept", name)
		}
		_, err = db.History(t.Context(), history.Request{})
		if refused := errors.Is(err, ErrRefused); refused != (name == "memory") || err != nil && !refused {
			t.Errorf("%s: %v", name, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := ReadHistory(t.Context(), ":memory:", history.Request{}); !errors.Is(err, ErrRefused) {
		t.Errorf("%v", err)
	}
}

// Whatever is the matter with the file, no statement fails and none waits.
func TestABrokenHistoryDisturbsNobody(t *testing.T) {
	t.Parallel()
	db := openRecorded(t, filepath.Join(t.TempDir(), "app.db"))
	mustExec(t, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
	k := db.h.d.history
	k.Record(time.Now())
	other, err := sqlite.Open(db.Path()+recording.Suffix, sqlite.OpenReadWrite)
	if err == nil {
		err = other.Exec("BEGIN EXCLUSIVE")
	}
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan int)
	go func() {
		tries := 0
		for ; ; tries++ {
			select {
			case <-stop:
				stopped <- tries
				return
			default:
				k.Record(time.Now())
			}
		}
	}()
	statements := 10_000
	if testing.Short() {
		statements = 2000
	}
	before := db.Stats()
	for i := range statements / 2 {
		if _, err := db.Exec("INSERT INTO t(b) VALUES (?)", i); err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRow("SELECT b FROM t WHERE a = ?", i+1).Scan(new(int)); err != nil {
			t.Fatal(err)
		}
	}
	after := db.Stats()
	close(stop)
	tries := <-stopped
	if n := after.SuccessfulOperations - before.SuccessfulOperations; n < int64(statements) || after.FailedOperations != before.FailedOperations ||
		after.LockConflicts != before.LockConflicts || after.RetryAttempts != before.RetryAttempts || after.Readers.Waits != before.Readers.Waits {
		t.Errorf("%d of %d statements while the history was locked: %+v", n, statements, after)
	}
	if _, err := db.History(t.Context(), history.Request{}); !errors.Is(err, ErrBusy) {
		t.Errorf("a locked history: %v", err)
	}
	if err := errors.Join(other.Exec("ROLLBACK"), other.Close()); err != nil {
		t.Fatal(err)
	}
	k.Record(time.Now())
	for _, q := range mustRead(t, db, history.Request{To: time.Now().Add(time.Hour), Queries: true}).Queries.Queries {
		if strings.HasPrefix(q.Statement, "INSERT") && q.Calls != int64(statements/2) {
			t.Errorf("%d calls are recorded after %d attempts, want %d", q.Calls, tries, statements/2)
		}
	}

	// Damage: it is told as the history's own, the next minute begins a new file.
	if err := os.WriteFile(db.Path()+recording.Suffix, []byte(strings.Repeat("no history", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := db.History(t.Context(), history.Request{}); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "not the database") {
		t.Errorf("%v", err)
	}
	k.Record(time.Now())
	mustRead(t, db, history.Request{})
	if s := db.Stats(); s.Damaged || s.Fenced {
		t.Errorf("the database is blamed: %+v", s)
	}
}

// Close writes down the rest of a minute, and the next process goes on from there.
func TestARestartGoesOn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	for range 2 {
		db, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		mustExec(t, db, "CREATE TABLE IF NOT EXISTS t(a)")
		mustExec(t, db, "INSERT INTO t VALUES (1)")
		db.h.d.history.Record(time.Now())
		mustExec(t, db, "INSERT INTO t VALUES (2)") // Close writes it down
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r, err := ReadHistory(t.Context(), path, history.Request{To: time.Now().Add(time.Hour), Queries: true, Series: []string{"writer.units"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range r.Queries.Queries {
		if strings.HasPrefix(q.Statement, "INSERT") && q.Calls != 4 {
			t.Errorf("%d calls, want 4", q.Calls)
		}
	}
	if len(r.Series) != 1 || r.Series[0].Whole().Sum < 4 || len(r.Queries.Queries) == 0 {
		t.Errorf("%+v", r)
	}
}

// A statement that became slow because an index is gone comes first when two periods
// are compared, with the plan that changed.
func TestARegressionComesFirst(t *testing.T) {
	t.Parallel()
	db := openRecorded(t, filepath.Join(t.TempDir(), "app.db"))
	mustExec(t, db, "CREATE TABLE t(a, b)")
	mustExec(t, db, "CREATE INDEX i ON t(a)")
	mustExec(t, db, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 5000) INSERT INTO t SELECT x, x FROM c")
	work := func() {
		for i := range 200 {
			for _, sql := range []string{"SELECT b FROM t WHERE a = ?", "SELECT a FROM t WHERE rowid = ?"} {
				if err := db.QueryRow(sql, i+1).Scan(new(int)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := db.Queries(t.Context()); err != nil { // looks at the plans
			t.Fatal(err)
		}
	}
	day := 24 * time.Hour
	now := time.Now().Truncate(time.Hour)
	work()
	db.h.d.history.Record(now.Add(-day - time.Hour))
	mustExec(t, db, "DROP INDEX i")
	db.h.d.history.Record(now.Add(-day - time.Minute)) // however long that took, it is not new in the second
	work()
	db.h.d.history.Record(now.Add(-time.Hour))

	period := func(from, to time.Time) history.Report {
		return mustRead(t, db, history.Request{From: from, To: to, Queries: true, Series: []string{"successful_operations"}})
	}
	c := history.Compare(period(now.Add(-2*day), now.Add(-day)), period(now.Add(-day), now))
	if len(c.Queries) < 2 || len(c.Series) != 1 {
		t.Fatalf("%+v", c)
	}
	first := c.Queries[0]
	if first.Statement != "SELECT b FROM t WHERE a = ?" || !first.PlanChanged || first.MeanFactor <= 1 || first.Before.Calls != 200 || first.Now.Calls != 200 || first.Now.VMSteps < 10*first.Before.VMSteps {
		t.Errorf("first is %+v", first)
	}
	for _, q := range c.Queries {
		if strings.HasPrefix(q.Statement, "SELECT a") && q.PlanChanged {
			t.Errorf("its plan has not changed: %+v", q)
		}
	}
	course := mustRead(t, db, history.Request{From: now.Add(-2 * day), Query: first.ID, Step: time.Hour}).Course
	sum := queries.Report{}
	for _, m := range course {
		sum = queries.Merge(sum, queries.Report{Queries: []queries.Query{m.Query}})
	}
	if len(course) != 2 || sum.Queries[0].Calls != 400 {
		t.Errorf("%+v", course)
	}
}

func TestHistoryEndsWithItsContext(t *testing.T) {
	t.Parallel()
	db := openRecorded(t, filepath.Join(t.TempDir(), "app.db"))
	db.h.d.history.Record(time.Now())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.History(ctx, history.Request{Series: []string{"*"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A program that says what its build is called has its releases on record, and what each
// statement has cost since the newest, beside before.
func TestReleasesOfAProgram(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	now := time.Now().Truncate(time.Hour)
	for i, release := range []string{"v1.0.0", "v1.1.0"} {
		cfg := Config{}
		cfg.Database.Path, cfg.Telemetry.Release = path, release
		db, err := OpenConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		mustExec(t, db, "CREATE TABLE IF NOT EXISTS t(a)")
		for range 10 * (i + 1) {
			mustExec(t, db, "INSERT INTO t VALUES (1)")
		}
		db.h.d.history.Record(now.Add(time.Duration(i-2) * time.Hour))
		db.h.d.history.Record(now.Add(time.Duration(i-2)*time.Hour + time.Minute)) // the same build: no release
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	all, err := ReadHistory(t.Context(), path, history.Request{})
	if err != nil || len(all.Releases) != 2 || !strings.HasSuffix(all.Releases[0].Name, " v1.0.0") || !strings.HasSuffix(all.Releases[1].Name, " v1.1.0") {
		t.Fatalf("%v, %v", all.Releases, err)
	}
	newest := all.Releases[1].At
	before, err := ReadHistory(t.Context(), path, history.Request{From: newest.Add(-time.Hour), To: newest, Queries: true})
	if err != nil {
		t.Fatal(err)
	}
	since, err := ReadHistory(t.Context(), path, history.Request{From: newest, To: newest.Add(time.Hour), Queries: true}) // the rest is written at Close, now
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, q := range history.Compare(before, since).Queries {
		if q.Statement == "INSERT INTO t VALUES (?)" {
			found = q.Before.Calls == 10 && q.Now.Calls == 20
		}
	}
	if !found {
		t.Errorf("%+v", history.Compare(before, since).Queries)
	}
	openRecorded(t, path) // is checked when the test ends
}
