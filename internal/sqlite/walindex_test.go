package sqlite

import (
	"slices"
	"testing"
	"unsafe"

	sqlite3 "modernc.org/sqlite/lib"
)

// The layout is the file format's; the engine's struct has to agree with it.
func TestWALIndexLayout(t *testing.T) {
	if n := unsafe.Sizeof(sqlite3.TWalIndexHdr{}); n != walIndexHeaderWords*4 {
		t.Errorf("the header has %d bytes", n)
	}
	if n := unsafe.Offsetof(sqlite3.TWalIndexHdr{}.FmxFrame); n != walIndexFrames*4 {
		t.Errorf("mxFrame is at %d of the header", n)
	}
	if n := unsafe.Offsetof(sqlite3.TWalCkptInfo{}.FnBackfill); n != 0 {
		t.Errorf("nBackfill is at %d of the checkpoint information", n)
	}
}

func TestSnapshotCurrent(t *testing.T) {
	db := newTestDB(t, "CREATE TABLE t(a, b)")
	w, r := db.open(), db.open()
	must(t, w.WALAutocheckpoint(0))
	want := func(want bool, when string) {
		t.Helper()
		if got := r.SnapshotCurrent(); got != want {
			t.Errorf("%s: %v", when, got)
		}
	}
	begin := func() {
		t.Helper()
		mustExec(t, r, "BEGIN")
		wantInt(t, r, 0, "SELECT count(*) FROM t WHERE a = -1")
	}
	want(false, "outside of a transaction")
	mustExec(t, r, "BEGIN")
	want(false, "before the first read")
	mustExec(t, r, "COMMIT")

	begin()
	want(true, "empty log")
	mustExec(t, w, "BEGIN IMMEDIATE; INSERT INTO t VALUES (1, 1)")
	want(true, "while somebody writes")
	mustExec(t, w, "ROLLBACK")
	want(true, "after a rollback")
	mustExec(t, w, "INSERT INTO t VALUES (1, 1)")
	want(false, "after a commit")
	wantInt(t, r, 0, "SELECT count(*) FROM t")
	want(false, "a read does not change it")
	if n := r.LogPending(); n != 1 {
		t.Errorf("%d frames", n)
	}
	mustExec(t, r, "COMMIT")
	want(false, "ended")
	if n := r.LogPending(); n != 1 {
		t.Errorf("%d frames outside of a transaction", n)
	}

	begin()
	want(true, "log with frames")
	_, _, err := w.WALCheckpoint("", CheckpointPassive)
	must(t, err)
	want(false, "the log is in the database, and the transaction keeps it from starting over")
	if n := r.LogPending(); n != 0 {
		t.Errorf("%d frames, all of which are in the database", n)
	}
	mustExec(t, r, "COMMIT")
	begin()
	want(true, "reads the database alone")
	mustExec(t, w, "INSERT INTO t VALUES (2, 2)") // starts the log over
	want(false, "after a commit into a new log")
	mustExec(t, r, "COMMIT")

	other := db.open() // recovers nothing, but maps the index itself
	begin()
	mustExec(t, other, "CREATE TABLE u(a)")
	want(false, "after a schema change")
	mustExec(t, r, "COMMIT")
}

func TestSnapshotCurrentWithoutWAL(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a)")
	mustExec(t, c, "PRAGMA journal_mode=DELETE; BEGIN; SELECT * FROM t")
	if c.SnapshotCurrent() || c.LogPending() != 0 {
		t.Error("a database without a log")
	}
	mustExec(t, c, "COMMIT")
	memory, err := Open(":memory:", OpenReadWrite)
	must(t, err)
	mustExec(t, memory, "CREATE TABLE t(a); BEGIN; SELECT * FROM t")
	if memory.SnapshotCurrent() || memory.LogPending() != 0 {
		t.Error("a database in memory")
	}
	must(t, memory.Close())
	if memory.SnapshotCurrent() || memory.LogPending() != 0 {
		t.Error("a closed connection")
	}
}

func TestLogState(t *testing.T) {
	db := newTestDB(t, "CREATE TABLE t(a)")
	w, r := db.open(), db.open()
	must(t, w.WALAutocheckpoint(0))
	want := func(frames, copied int, known bool) {
		t.Helper()
		if f, c, k := r.LogState(); f != frames || c != copied || k != known {
			t.Errorf("%d, %d, %v; want %d, %d, %v", f, c, k, frames, copied, known)
		}
	}
	want(0, 0, false)
	wantInt(t, r, 0, "SELECT count(*) FROM t")
	want(0, 0, true)
	mustExec(t, w, "INSERT INTO t VALUES (1)")
	want(1, 0, true)
	_, _, err := w.WALCheckpoint("main", CheckpointPassive)
	must(t, err)
	want(1, 1, true)
	mustExec(t, w, "INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)")
	want(2, 0, true) // begun anew
	mustExec(t, w, "BEGIN; SELECT * FROM t")
	if got, known := r.ReadMarks(); !known || got[0] != 0 || !slices.Contains(got[:], 2) || !slices.Contains(got[:], -1) {
		t.Errorf("read marks %v, %t; one is of a reader of 2 frames", got, known)
	}
	mustExec(t, w, "COMMIT")
	memory, err := Open(":memory:", OpenReadWrite)
	must(t, err)
	defer memory.Close()
	if _, known := memory.ReadMarks(); known {
		t.Error("a database in memory has read marks")
	}
	if _, _, known := memory.LogState(); known {
		t.Error("a database in memory has a log")
	}
}

// PinningSlots names the slots of those who keep the log from being copied, and
// only those.
func TestPinningSlots(t *testing.T) {
	db := newTestDB(t, "CREATE TABLE t(a)")
	w, old, older, own := db.open(), db.open(), db.open(), db.open()
	must(t, w.WALAutocheckpoint(0))
	wantInt(t, own, 0, "SELECT count(*) FROM t")
	slots := func(want ...int) {
		t.Helper()
		if got := own.PinningSlots(); !slices.Equal(got, want) {
			t.Errorf("slots %v, want %v", got, want)
		}
	}
	copyLog := func() (log, copied int) {
		t.Helper()
		log, copied, err := own.WALCheckpoint("main", CheckpointPassive)
		must(t, err)
		return log, copied
	}
	slots()
	mustExec(t, w, "INSERT INTO t VALUES (1)")
	mustExec(t, older, "BEGIN; SELECT count(*) FROM t")
	mustExec(t, w, "INSERT INTO t VALUES (2)")
	mustExec(t, old, "BEGIN; SELECT count(*) FROM t")
	mustExec(t, w, "INSERT INTO t VALUES (3)")
	if log, copied := copyLog(); copied >= log {
		t.Errorf("%d of %d frames are copied past a reader", copied, log)
	}
	got := own.PinningSlots()
	if len(got) < 3 || got[0] != 0 {
		t.Fatalf("slots %v", got)
	}
	first, second := got[1], got[2]
	if wal, _ := walIndex(older.mainTree()); int(wal.FreadLock) != first {
		t.Errorf("the oldest reader has slot %d, not %d", wal.FreadLock, first)
	}
	if wal, _ := walIndex(old.mainTree()); int(wal.FreadLock) != second {
		t.Errorf("the next has slot %d, not %d", wal.FreadLock, second)
	}
	mustExec(t, older, "COMMIT")
	mustExec(t, old, "COMMIT")
	if log, copied := copyLog(); copied != log {
		t.Errorf("%d of %d frames are copied", copied, log)
	}
	slots()
}
