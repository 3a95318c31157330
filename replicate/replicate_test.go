package replicate

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// openDB opens a database that is closed, and checked, at the end.
func openDB(t testing.TB, path string, options ...holdfast.Option) *holdfast.DB {
	t.Helper()
	db, err := holdfast.Open(t.Context(), path, options...)
	must(t, err)
	t.Cleanup(func() {
		check(t, db.DB)
		must(t, db.Close())
	})
	return db
}

func check(t testing.TB, db *sql.DB) {
	t.Helper()
	var ok string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&ok); ok != "ok" {
		t.Error("integrity_check:", ok, err)
	}
}

func write(t testing.TB, db *holdfast.DB, text string, args ...any) {
	t.Helper()
	_, err := db.ExecContext(context.Background(), text, args...)
	must(t, err)
}

func to(target string, set ...func(*holdfast.ReplicationConfig)) holdfast.Option {
	return func(c *holdfast.Config) {
		c.Replication.Target = target
		for _, f := range set {
			f(&c.Replication)
		}
	}
}

// restored is the database at a target, put together elsewhere and checked.
func restored(t testing.TB, target string, at At) (*sql.DB, backup.RestoreReport) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("a restore is refused there")
	}
	path := filepath.Join(t.TempDir(), "restored.db")
	report, err := backup.Restore(t.Context(), Source(target, at), path, backup.RestoreOptions{})
	must(t, err)
	db := openDB(t, path)
	return db.DB, report
}

func numbers(t testing.TB, db *sql.DB, query string) (out []int64) {
	t.Helper()
	rows, err := db.Query(query)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var n int64
		must(t, rows.Scan(&n))
		out = append(out, n)
	}
	must(t, rows.Err())
	return out
}

func wantNumbers(t testing.TB, db *sql.DB, first, last int64) {
	t.Helper()
	got := numbers(t, db, "SELECT n FROM t ORDER BY n")
	var want []int64
	for n := first; n <= last; n++ {
		want = append(want, n)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d rows (%v...), want %d to %d", len(got), got[:min(3, len(got))], first, last)
	}
}

// logged is a log that a test reads.
func logged(t testing.TB) (*slog.Logger, func() string) {
	name := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(name)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return slog.New(slog.NewTextHandler(f, nil)), func() string {
		text, err := os.ReadFile(name)
		must(t, err)
		return string(text)
	}
}

func await(t testing.TB, r *Replication) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must(t, r.Await(ctx))
}

// What is committed is at the target after Close, and after each restart. A restart
// ships what has changed, and not everything again, except where Litestream can't tell:
// of a log with a single frame when it was last read. Whether that is so
// depends on when it was read, so one restart in ten has to show it.
func TestReplicatesAndRestores(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, target := filepath.Join(dir, "app.db"), filepath.Join(dir, "replica")
	var l Timeline
	copies := 0
	for round := range int64(11) {
		db, err := holdfast.Open(t.Context(), path, to(target))
		must(t, err)
		if round == 0 {
			write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY, pad)")
			write(t, db, "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<500) INSERT INTO t SELECT -i, randomblob(2000) FROM r")
		}
		for n := range int64(10) {
			write(t, db, "INSERT INTO t(n) VALUES (?)", round*10+n)
		}
		check(t, db.DB)
		must(t, db.Close())
		s, report := restored(t, target, At{})
		wantNumbers(t, s, -500, round*10+9)
		if report.RestoredTo.IsZero() || !report.Verified || time.Since(report.RestoredTo) > time.Minute {
			t.Errorf("%+v", report)
		}
		l, err = List(t.Context(), target, true)
		must(t, err)
		before := copies
		copies = 0
		for _, p := range l.Points {
			if p.Bytes > 500_000 {
				copies++
			}
		}
		if round > 1 && copies == before {
			break
		}
	}
	if copies > 10 {
		t.Errorf("each of 10 restarts copied everything: %+v", l.Points)
	}
	if !slices.IsSortedFunc(l.Points, func(a, b Point) int { return a.Time.Compare(b.Time) }) {
		t.Errorf("%+v", l.Points)
	}
	fi, err := os.Stat(target)
	must(t, err)
	_ = filepath.WalkDir(target, func(p string, d os.DirEntry, err error) error {
		must(t, err)
		if i, _ := d.Info(); i.Mode().Perm()&0o077 != 0 && !d.IsDir() {
			t.Errorf("%s: %s, of a directory %s", p, i.Mode(), fi.Mode())
		}
		return nil
	})
}

// A replication of its own, beside a program that knows nothing of it.
func TestBesideAnotherProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, target := filepath.Join(dir, "app.db"), filepath.Join(dir, "replica")
	db := openDB(t, path)
	write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY)")
	log, said := logged(t)
	r, err := Open(t.Context(), path, Config{Target: "file://" + filepath.ToSlash(target)}, log)
	must(t, err)
	if _, err := Open(t.Context(), path, Config{Target: target}, log); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second one: %v", err)
	}
	for n := range int64(100) {
		write(t, db, "INSERT INTO t VALUES (?)", n)
		if n%10 == 0 {
			await(t, r)
			s := r.Stats()
			if s.Position == "" || s.Uploads == 0 || s.Errors != 0 || s.LastUpload.IsZero() || s.Target != target {
				t.Errorf("%+v", s)
			}
		}
	}
	await(t, r)
	must(t, r.Close(t.Context()))
	s, _ := restored(t, target, At{})
	wantNumbers(t, s, 0, 99)
	if text := said(); strings.Contains(text, "level=WARN") || strings.Contains(text, "level=ERROR") {
		t.Error(text)
	}
}

// An interval that there can't be is the default.
func TestNegativeInterval(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openDB(t, filepath.Join(dir, "app.db"))
	r, err := Open(t.Context(), db.Path(), Config{Target: filepath.Join(dir, "replica"), Interval: -1}, nil)
	must(t, err)
	await(t, r)
	must(t, r.Close(t.Context()))
}
