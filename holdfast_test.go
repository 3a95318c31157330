package holdfast_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfastdb/holdfast"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a database of its own for one test and proves it sound at the end.
func open(t *testing.T, opts ...holdfast.Option) *holdfast.DB {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "app.db"), opts...)
}

func openAt(t *testing.T, path string, opts ...holdfast.Option) *holdfast.DB {
	t.Helper()
	db, err := holdfast.Open(context.Background(), path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if db.PingContext(context.Background()) == nil { // not closed by the test
			check(t, db)
		}
		if err := db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return db
}

func check(t *testing.T, db *holdfast.DB) {
	t.Helper()
	if got := text(t, db, "PRAGMA integrity_check"); got != "ok" {
		t.Errorf("integrity_check: %s", got)
	}
}

func must(t *testing.T, db interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}, query string, args ...any,
) sql.Result {
	t.Helper()
	r, err := db.ExecContext(context.Background(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return r
}

type querier interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

func text(t *testing.T, db querier, query string, args ...any) string {
	t.Helper()
	var s string
	if err := db.QueryRowContext(context.Background(), query, args...).Scan(&s); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return s
}

func number(t *testing.T, db querier, query string, args ...any) int64 {
	t.Helper()
	var n int64
	if err := db.QueryRowContext(context.Background(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func TestReadModifyWriteFromManyGoroutines(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE counter(id INTEGER PRIMARY KEY, n INTEGER NOT NULL)")
	must(t, db, "INSERT INTO counter VALUES (1, 0)")
	const workers, each = 32, 50
	var acknowledged atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				err := db.Update(context.Background(), func(tx *sql.Tx) error {
					var n int64
					if err := tx.QueryRow("SELECT n FROM counter WHERE id = 1").Scan(&n); err != nil {
						return err
					}
					_, err := tx.Exec("UPDATE counter SET n = ? WHERE id = 1", n+1)
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
				acknowledged.Add(1)
			}
		})
	}
	wg.Wait()
	if got, want := number(t, db, "SELECT n FROM counter"), acknowledged.Load(); got != want || want != workers*each {
		t.Errorf("counter is %d, %d were acknowledged", got, want)
	}
	s := db.Stats()
	t.Logf("%+v", s)
	if s.Writer.Groups >= s.Writer.Units {
		t.Errorf("%d units in %d groups: nothing was shared", s.Writer.Units, s.Writer.Groups)
	}
	if s.EngineBytes <= 0 {
		t.Errorf("the engine has %d bytes of memory", s.EngineBytes)
	}
}
