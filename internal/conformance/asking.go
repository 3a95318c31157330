package conformance

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/history"
)

var asking = []test{
	{"capabilities", testCapabilities},
	{"health", testHealth},
	{"stats", testStats},
	{"backup", testBackup},
	{"restore", testRestore}, // the last: it replaces what others have left
}

func testCapabilities(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(a)")
	c := db.Capabilities()
	insert := "INSERT INTO " + table + " VALUES (1)"
	write := func(tx *sql.Tx) error { _, err := tx.ExecContext(t.Context(), insert); return err }
	begin := func(o *sql.TxOptions) error {
		tx, err := db.BeginTx(t.Context(), o)
		if err == nil {
			return tx.Rollback()
		}
		return err
	}
	for name, does := range map[string]struct {
		can bool
		err error
	}{
		"Update":      {c.InteractiveTransactions, db.Update(t.Context(), write)},
		"View":        {c.InteractiveTransactions, db.View(t.Context(), func(*sql.Tx) error { return nil })},
		"BeginTx":     {c.InteractiveTransactions, begin(nil)},
		"read-only":   {c.InteractiveTransactions, begin(&sql.TxOptions{ReadOnly: true})},
		"Migrate":     {c.InteractiveTransactions, errorOf(holdfast.Migrate(t.Context(), db, func(*sql.DB) error { return nil }))},
		"Explain":     {c.Explain, errorOf(db.Explain(t.Context(), "SELECT 1"))},
		"Measure":     {c.Explain, errorOf(db.Measure(t.Context(), "SELECT 1"))},
		"Verify":      {c.Verify, errorOf(db.Verify(t.Context(), holdfast.VerifyQuick))},
		"Locks":       {c.Locks, errorOf(db.Locks(t.Context()))},
		"Optimize":    {c.Optimize, errorOf(db.Optimize(t.Context()))},
		"Checkpoint":  {c.Checkpoint, errorOf(db.Checkpoint(t.Context(), holdfast.CheckpointPassive))},
		"Queries":     {c.QueryCounts, errorOf(db.Queries(t.Context()))},
		"QueryCounts": {c.QueryCounts, errorOf(db.QueryCounts())},
		"History":     {c.QueryCounts, errorOf(db.History(t.Context(), history.Request{}))},
		"Maintenance": {c.Optimize, errorOf(db.Maintenance().Run(t.Context(), "optimize"))},
		"Restore":     {c.Restore, restorable(t, db)},
	} {
		switch {
		case does.can && does.err != nil:
			t.Errorf("%s: %v", name, does.err)
		case !does.can:
			rolledBack(t, name, does.err, holdfast.ErrUnsupported, "")
		}
	}
	want := int64(0)
	if c.InteractiveTransactions {
		want = 1
	}
	if n := number(t, db, "SELECT count(*) FROM "+table); n != want {
		t.Errorf("%d rows", n)
	}
	if c.Backend == "" || len(c.ReadLevels) == 0 || !slices.Contains(c.ReadLevels, holdfast.ReadLinearizable) {
		t.Errorf("%+v", c)
	}
}

func errorOf[T any](_ T, err error) error { return err }

// restorable is nil if Restore looks at the file before it says no.
func restorable(t *testing.T, db *holdfast.DB) error {
	_, err := db.Restore(t.Context(), filepath.Join(t.TempDir(), "missing.db"))
	if errors.Is(err, holdfast.ErrCannotOpen) {
		return nil
	}
	return err
}

func testHealth(t *testing.T, db *holdfast.DB, _ string) {
	h, err := db.Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !h.DatabaseAccessible || !slices.Contains([]string{"ok", "warning"}, h.Status) || h.Findings == nil || h.LastCheck.IsZero() || h.TookSeconds < 0 {
		t.Errorf("%+v", h)
	}
	if (h.Cluster != nil) != db.Capabilities().Replicated {
		t.Errorf("cluster: %+v", h.Cluster)
	}
	if c := h.Cluster; c != nil && (!c.Ready || c.Leader == "" || !slices.ContainsFunc(c.Nodes, func(n holdfast.ClusterNode) bool { return n.ID == c.Leader && n.Leader && n.Reachable })) {
		t.Errorf("cluster: %+v", c)
	}
}

func testStats(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(a UNIQUE)")
	before := db.Stats()
	for i := range 5 {
		must(t, db, "INSERT INTO "+table+" VALUES (?)", i)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO "+table+" VALUES (1)"); err == nil {
		t.Error("a duplicate")
	}
	after := db.Stats()
	if n := after.SuccessfulOperations - before.SuccessfulOperations; n < 5 {
		t.Errorf("%d of 5 were counted", n)
	}
	if after.FailedOperations <= before.FailedOperations {
		t.Error("a failure wasn't counted")
	}
}

func testBackup(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(id INTEGER PRIMARY KEY, a)")
	const rows = 500
	must(t, db, fmt.Sprintf("INSERT INTO %s(a) WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT 'row ' || i FROM n", table, rows))
	path := filepath.Join(t.TempDir(), "backup.db")
	info, err := db.Backup(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if !info.Verified || info.Rows[table] != rows || info.Destination != path {
		t.Errorf("%+v", info)
	}
	copied, err := holdfast.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	if n := number(t, copied, "SELECT count(DISTINCT a) FROM "+table); n != rows {
		t.Errorf("%d rows in the backup", n)
	}
	if r, err := copied.Verify(t.Context(), holdfast.VerifyFull); err != nil || len(r.Problems) > 0 {
		t.Errorf("%v (%v)", r.Problems, err)
	}
	if _, err := db.Backup(t.Context(), path); err == nil {
		t.Error("a backup over another")
	}
}

func testRestore(t *testing.T, db *holdfast.DB, table string) {
	must(t, db, "CREATE TABLE "+table+"(id INTEGER PRIMARY KEY, a)")
	must(t, db, "INSERT INTO "+table+" VALUES (1, 'kept'), (2, 'kept')")
	path := filepath.Join(t.TempDir(), "backup.db")
	if _, err := db.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if !db.Capabilities().Restore {
		_, err := db.Restore(t.Context(), path)
		rolledBack(t, "Restore", err, holdfast.ErrUnsupported, "")
		return
	}
	must(t, db, "UPDATE "+table+" SET a = 'changed'")
	must(t, db, "INSERT INTO "+table+" VALUES (3, 'new')")
	info, err := db.Restore(t.Context(), path)
	if err != nil || info.Rows[table] != 2 {
		t.Fatalf("%+v (%v)", info, err)
	}
	if n := number(t, db, "SELECT count(*) FROM "+table+" WHERE a = 'kept'"); n != 2 {
		t.Errorf("%d rows are as they were", n)
	}
	must(t, db, "INSERT INTO "+table+" VALUES (3, 'afterwards')")
}
