package pydesign

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestRetryByText(t *testing.T) {
	locked := errors.New("Database is LOCKED (5) (SQLITE_BUSY)")
	other := errors.New("no such table: t")
	for _, c := range []struct {
		name        string
		err         error
		failures    int // how often it fails before it succeeds
		calls       int
		least, most time.Duration
		want        error
	}{
		{"at once", nil, 0, 1, 0, 0, nil},
		{"second try", locked, 1, 2, 50 * time.Millisecond, 150 * time.Millisecond, nil},
		{"last try", locked, 4, 5, 750 * time.Millisecond, 1150 * time.Millisecond, nil},
		{"never", locked, 9, 5, 750 * time.Millisecond, 1150 * time.Millisecond, locked},
		{"other error", other, 9, 1, 0, 0, other},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := DatabaseLockManager{maxRetries: 5, baseWaitTime: 50 * time.Millisecond, maxWaitTime: 5 * time.Second}
			calls := 0
			start := time.Now()
			err := m.ExecuteWithRetry(t.Context(), func() error {
				if calls++; calls <= c.failures {
					return c.err
				}
				return nil
			})
			took := time.Since(start)
			if err != c.want || calls != c.calls || took < c.least || took > c.most {
				t.Errorf("%s: %v after %d calls and %s", c.name, err, calls, took)
			}
		})
	}
}

func TestTransactionIsAllOrNothing(t *testing.T) {
	ctx := t.Context()
	db, err := New("file:"+filepath.Join(t.TempDir(), "a.db"), Options{MaxConnections: 5, Synchronous: "NORMAL"})
	must(t, err)
	defer db.Close()
	must(t, db.ExecuteTransaction(ctx, []Operation{{Query: "CREATE TABLE t(a)"}, {Query: "INSERT INTO t VALUES (?)", Params: []any{1}}}))
	err = db.ExecuteTransaction(ctx, []Operation{{Query: "INSERT INTO t VALUES (2)"}, {Query: "INSERT INTO nowhere VALUES (3)"}})
	if err == nil {
		t.Error("a transaction with an impossible statement succeeded")
	}
	var n int
	must(t, db.ExecuteQuery(ctx, "SELECT count(*) FROM t", nil, func() {}, func(r *sql.Rows) error { return r.Scan(&n) }))
	if n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
	s := db.LockManager().GetStatistics()
	if s.ConnectionsCreated != 1 || s.SuccessfulOperations != 2 || s.FailedOperations != 1 {
		t.Errorf("the statistics are %+v", s)
	}
}

func TestPoolIsAListWithALimit(t *testing.T) {
	db, err := New("file:"+filepath.Join(t.TempDir(), "a.db"), Options{MaxConnections: 20, Synchronous: "NORMAL"})
	must(t, err)
	defer db.Close()
	m := db.LockManager()
	var last *sql.Conn
	for range 10 { // the design's own bound
		last, err = m.GetConnection(t.Context())
		must(t, err)
		defer m.ReturnConnection(last)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.GetConnection(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("an eleventh connection: %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
