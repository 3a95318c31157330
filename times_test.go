package holdfast_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/queries"
)

func histograms(db *holdfast.DB) map[string]history.Histogram {
	all := map[string]history.Histogram{}
	for _, h := range db.Histograms() {
		all[h.Name+" "+h.Value] = h
	}
	return all
}

// Waits, uses, locks and checkpoints of a known number are counted, all of them.
func TestHistograms(t *testing.T) {
	t.Parallel()
	cfg := holdfast.Config{}
	cfg.Database.Path = filepath.Join(t.TempDir(), "app.db")
	cfg.ConnectionPool.ReadAheadRows = 1
	db, err := holdfast.OpenConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var verdict string
		if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
			t.Errorf("integrity_check: %q, %v", verdict, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	do := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(db.Exec("CREATE TABLE t(a)"))
	for range 7 {
		do(db.Exec("INSERT INTO t VALUES (1), (2), (3)"))
	}
	for range 3 {
		do(nil, db.Update(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec("INSERT INTO t VALUES (4)")
			return err
		}))
	}
	for range 5 {
		do(nil, db.View(t.Context(), func(tx *sql.Tx) error {
			var n int
			return tx.QueryRow("SELECT count(*) FROM t").Scan(&n)
		}))
	}
	do(db.Checkpoint(t.Context(), holdfast.CheckpointTruncate))
	rows, err := db.Query("SELECT a FROM t")
	do(nil, err)
	for rows.Next() {
	}
	do(nil, rows.Close())
	all := histograms(db)
	want := map[string]uint64{
		"connection.wait write": uint64(db.Stats().Writer.Waits), "connection.create write": 1, "connection.use write": 11, "lock.held write": 11, "writer.group_units ": 11,
		"lock.held write transaction": 3, "lock.held read transaction": 5, "lock.held rows": 1,
		"connection.wait read": 0,
	}
	for name, n := range want {
		if got := all[name].Counts; got == nil || got.Count() != n {
			t.Errorf("%s: %v, want %d", name, count(got), n)
		}
	}
	if h := all["writer.group_units "]; h.Counts.Sum().Seconds() != 11 || h.Unit != "" {
		t.Errorf("%v units", h.Counts.Sum().Seconds())
	}
	if n := count(all["connection.create read"].Counts); n != uint64(db.Stats().ConnectionsCreated)-2 { // the writer's and that of the checkpoints
		t.Errorf("%d readers were opened", n)
	}
	for _, name := range []string{"wal.checkpoint passive", "wal.checkpoint truncate", "lock.held exclusive work"} { // what runs in the background may add to them
		if count(all[name].Counts) == 0 {
			t.Errorf("%s is empty", name)
		}
	}
}

func count(h *queries.Histogram) uint64 {
	if h == nil {
		return 0
	}
	return h.Count()
}

// One in 256 short reads is timed and stands for all; who keeps a reader is timed always.
func TestShortReadsAreSampled(t *testing.T) {
	t.Parallel()
	db, err := holdfast.Open(t.Context(), filepath.Join(t.TempDir(), "app.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	read := func() {
		var one int
		if err := db.QueryRowContext(context.Background(), "SELECT 1").Scan(&one); err != nil {
			t.Fatal(err)
		}
	}
	for range 25600 {
		read()
	}
	if n := count(histograms(db)["connection.use read"].Counts); n%256 != 0 || n < 25600-256 || n > 25600+10*256 { // plans are looked for in the background
		t.Errorf("%d leases of 25600", n)
	}
	was := count(histograms(db)["connection.use read"].Counts)
	for range 10 {
		tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
		if err == nil {
			err = tx.Commit()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := count(histograms(db)["connection.use read"].Counts); (n-was)%256 != 10 {
		t.Errorf("%d of 10 that kept a reader", n-was)
	}
}
