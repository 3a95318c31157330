package sqlite

import (
	"runtime"
	"testing"
)

func TestSnapshot(t *testing.T) {
	db := newTestDB(t, "CREATE TABLE t(a, b)")
	w, r := db.open(), db.open()
	must(t, w.WALAutocheckpoint(0))
	snapshot := func() *Snapshot {
		t.Helper()
		mustExec(t, r, "BEGIN")
		s, err := r.SnapshotGet("")
		must(t, err)
		mustExec(t, r, "COMMIT")
		return s
	}
	mustExec(t, w, "INSERT INTO t VALUES (1, 1)")
	s1 := snapshot()
	same := snapshot()
	mustExec(t, w, "INSERT INTO t VALUES (2, 2)")
	s2 := snapshot()
	if s1.Compare(same) != 0 || s1.Compare(s2) >= 0 || s2.Compare(s1) <= 0 {
		t.Error(s1.Compare(same), s1.Compare(s2), s2.Compare(s1))
	}

	other := db.open()
	mustExec(t, other, "BEGIN")
	wantCode(t, other.SnapshotOpen("main", s1), ResultError) // has not read yet
	mustExec(t, other, "COMMIT; PRAGMA application_id")
	for s, want := range map[*Snapshot]int64{s1: 1, s2: 2} {
		mustExec(t, other, "BEGIN")
		must(t, other.SnapshotOpen("main", s))
		wantInt(t, other, want, "SELECT count(*) FROM t")
		mustExec(t, other, "COMMIT")
	}
	// A reader may change over; from an old snapshot nothing can be written.
	mustExec(t, other, "BEGIN; SELECT * FROM t")
	must(t, other.SnapshotOpen("main", s1))
	wantInt(t, other, 1, "SELECT count(*) FROM t")
	wantCode(t, other.Exec("INSERT INTO t VALUES (3, 3)"), ResultBusySnapshot)
	mustExec(t, other, "ROLLBACK")

	wantCode(t, other.SnapshotOpen("main", s1), ResultError) // outside of a transaction
	_, err := other.SnapshotGet("main")
	wantCode(t, err, ResultError)
	_, err = other.SnapshotGet("nowhere")
	wantCode(t, err, ResultError)

	_, _, err = w.WALCheckpoint("main", CheckpointTruncate)
	must(t, err)
	mustExec(t, w, "INSERT INTO t VALUES (3, 3)")
	mustExec(t, other, "BEGIN")
	wantCode(t, other.SnapshotOpen("main", s1), ResultErrorSnapshot)
	mustExec(t, other, "ROLLBACK")
	must(t, other.SnapshotRecover(""))

	s2.Free()
	mustExec(t, other, "BEGIN")
	wantCode(t, other.SnapshotOpen("main", s2), ResultMisuse)
	mustExec(t, other, "ROLLBACK")
}

func TestFileControl(t *testing.T) {
	db := newTestDB(t, "CREATE TABLE t(a, b)")
	c, other := db.open(), db.open()
	v1, err := c.DataVersion("")
	must(t, err)
	mustExec(t, other, "INSERT INTO t VALUES (1, 1)")
	mustExec(t, c, "SELECT * FROM t")
	if v2, err := c.DataVersion("main"); v2 == v1 || err != nil {
		t.Error(v1, v2, err)
	}
	must(t, c.PersistWAL(true))
	if on, err := c.FileControlInt("", FileControlPersistWAL, -1); on != 1 || err != nil {
		t.Error(on, err)
	}
	must(t, c.PersistWAL(false))
	if moved, err := c.HasMoved(""); moved || err != nil && runtime.GOOS != "windows" { // can't happen there, and isn't known
		t.Error(moved, err)
	}
	must(t, c.ChunkSize("main", 1<<16))
	must(t, c.SizeHint("main", 1<<17))
	if n, err := c.MMapSize("main", -1); n != 0 || err != nil {
		t.Error(n, err)
	}
	if n, err := c.ReserveBytes("main", -1); n != 0 || err != nil {
		t.Error(n, err)
	}
	if n, err := c.FileControlInt("", FileControlLockState, 0); n < 0 || n > 4 || err != nil {
		t.Error(n, err)
	}
	_, err = c.FileControlInt("", 7 /* takes a pointer */, 0)
	wantCode(t, err, ResultNotFound)
	_, err = c.FileControlInt("nowhere", FileControlHasMoved, 0)
	wantCode(t, err, ResultError)
}
