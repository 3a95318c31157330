package replicate

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/superfly/ltx"
)

// The database can be restored to any step of the retention, also where the last copy of
// everything before it is older: the one of a day before, or of a month in which nobody wrote.
func TestRetention(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := filepath.Join(dir, "replica")
	db := openDB(t, filepath.Join(dir, "app.db"))
	write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY)")
	r, err := Open(t.Context(), db.Path(), Config{Target: target, Interval: time.Hour, ExactFor: time.Nanosecond}, nil)
	must(t, err)
	await(t, r)
	e := r.engine
	// Copies of everything of 200, 100, 60 and 0 hours ago, and a step in the middle of each two.
	var steps []ltx.TXID
	n := int64(0)
	step := func() {
		write(t, db, "INSERT INTO t VALUES (?)", n)
		n++
		await(t, r)
		_, err := e.db.Compact(t.Context(), 1)
		must(t, err)
		steps = append(steps, e.db.Replica.Pos().TXID)
	}
	copies := func() []os.DirEntry {
		entries, _ := os.ReadDir(filepath.Join(target, "ltx", "9"))
		return slices.DeleteFunc(entries, func(e os.DirEntry) bool { return filepath.Ext(e.Name()) != ".ltx" })
	}
	for len(copies()) == 0 { // that of the beginning
		<-time.After(time.Millisecond)
	}
	for i := range 4 {
		step()
		if i > 0 {
			_, err := e.db.Snapshot(t.Context())
			must(t, err)
		}
		step()
	}
	for i, entry := range copies() {
		old := time.Now().Add(-[]time.Duration{200, 100, 60, 0}[i] * time.Hour)
		must(t, os.Chtimes(filepath.Join(target, "ltx", "9", entry.Name()), old, old))
	}
	for range 2 { // it is asked for again and again
		must(t, e.store.EnforceSnapshotRetention(t.Context(), e.db))
	}
	must(t, r.Close(t.Context()))
	// The step of 80 hours ago is the state of 72 hours ago.
	for i, tx := range steps[3:] {
		s, _ := restored(t, target, At{Transaction: tx.String()})
		wantNumbers(t, s, 0, int64(3+i))
	}
	if n := len(copies()); n != 3 {
		t.Errorf("%d copies of everything: that of 200 hours ago is of no use", n)
	}
}
