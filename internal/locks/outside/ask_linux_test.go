package outside_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/internal/locks/outside"
	"golang.org/x/sys/unix"
)

func ask(t *testing.T, path string) *outside.Report {
	t.Helper()
	r, err := outside.Ask(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What other Unix systems show: the kernel is asked for each lock. OFD locks have
// no process.
func TestAskingRollbackHolders(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds() {
		if kind == holdfastKind {
			continue // it makes every database a WAL one
		}
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			path := prepare(t, "DELETE")
			reader, writer := start(t, kind, path), start(t, kind, path)
			if r := ask(t, path); len(r.Holders) != 0 || r.JournalMode != outside.ModeRollback {
				t.Errorf("before anybody reads: %+v", r)
			}
			reader.run("1", "BEGIN")
			reader.run("1", "SELECT * FROM t")
			wantAsked(t, ask(t, path), reader, outside.Shared, -1, 0)

			writer.run("1", "BEGIN IMMEDIATE")
			wantAsked(t, ask(t, path), writer, outside.Reserved, -1, 0)

			writer.run("1", "INSERT INTO t VALUES (4)")
			writer.send("1", "COMMIT")
			await(t, path, outside.Pending)
			wantAsked(t, ask(t, path), writer, outside.Pending, -1, 0)
			reader.kill()
			writer.done()
			writer.run("1", "BEGIN EXCLUSIVE")
			wantAsked(t, ask(t, path), writer, outside.Exclusive, -1, 0)
		})
	}
}

func TestAskingWALHolders(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			path := prepare(t, "WAL")
			keeper := start(t, enginePosix, path) // leaves the log in place
			keeper.run("1", "INSERT INTO t VALUES (4)")
			reader, writer := start(t, kind, path), start(t, kind, path)
			reader.run("1", "BEGIN")
			reader.run("1", "SELECT * FROM t")
			keeper.run("1", "INSERT INTO t VALUES (5)")
			writer.run("1", "BEGIN IMMEDIATE")
			r := ask(t, path)
			wantAsked(t, r, reader, outside.Read, anySlot, 1)
			wantAsked(t, r, writer, outside.Write, -1, 0)
			if len(r.Openers) < 2 && !reader.ofd() || len(r.Blind) == 0 || !strings.Contains(r.Blind[0], "one holder of each lock") {
				t.Errorf("openers %+v, blind %q", r.Openers, r.Blind)
			}
		})
	}
}

// A checkpoint that waits shows as one range over two of its locks.
func TestAskingForACheckpoint(t *testing.T) {
	t.Parallel()
	path := prepare(t, "WAL")
	reader, checkpointer := start(t, enginePosix, path), start(t, enginePosix, path)
	checkpointer.run("1", "INSERT INTO t VALUES (4)")
	reader.run("1", "BEGIN")
	reader.run("1", "SELECT * FROM t")
	checkpointer.run("1", "INSERT INTO t VALUES (5)")
	checkpointer.send("1", "PRAGMA wal_checkpoint(RESTART)")
	for r := look(t, path); len(r.Waiters) == 0; r = look(t, path) {
		if t.Context().Err() != nil {
			t.Fatal("the checkpoint does not wait")
		}
	}
	r := ask(t, path)
	wantHeld(t, r, checkpointer.pid, outside.Write, -1, 0)
	wantHeld(t, r, checkpointer.pid, outside.Checkpoint, -1, 0)
	wantHeld(t, r, reader.pid, outside.Read, 1, 1)
	if len(r.Waiters) != 1 || r.Waiters[0].PID != checkpointer.pid || !slices.Equal(r.Waiters[0].Behind, []int{reader.pid}) {
		t.Errorf("waiters: %+v", r.Waiters)
	}
	reader.run("1", "COMMIT")
	checkpointer.done()
}

func wantAsked(t *testing.T, r *outside.Report, h *holder, lock string, slot int, frame uint32) {
	t.Helper()
	if h.ofd() {
		wantHeld(t, r, 0, lock, slot, frame)
		if !strings.Contains(strings.Join(r.Blind, "\n"), "belong to open files") {
			t.Errorf("blind: %q", r.Blind)
		}
		return
	}
	wantHeld(t, r, h.pid, lock, slot, frame)
}

func wantHeld(t *testing.T, r *outside.Report, pid int, lock string, slot int, frame uint32) {
	t.Helper()
	if !slices.ContainsFunc(r.Holders, func(h outside.Holder) bool {
		return h.PID == pid && h.Lock == lock && sameSlot(h.Slot, slot) && h.SnapshotFrame == frame && h.Text != ""
	}) {
		t.Errorf("pid %d does not hold %s, slot %d at frame %d: %+v", pid, lock, slot, frame, r.Holders)
	}
}

// Asking takes nothing away and gives nobody a lock, however often.
func TestAskingLeavesLocksAlone(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"DELETE", "WAL"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			path := prepare(t, mode)
			h := start(t, enginePosix, path)
			h.run("1", "BEGIN IMMEDIATE")
			h.run("1", "INSERT INTO t VALUES (4)")
			before := locks(look(t, path), h.pid)
			for range 1000 {
				ask(t, path)
			}
			r := look(t, path)
			if after := locks(r, h.pid); len(before) == 0 || !slices.Equal(before, after) {
				t.Errorf("locks before %q, after %q", before, after)
			}
			if got := locks(r, os.Getpid()); got != nil {
				t.Errorf("asking has left %q to the one who asks", got)
			}
			if mayWrite(t, path) {
				t.Error("a second process may write")
			}
		})
	}
}

// A process that has the database open opens nothing, so it keeps its locks.
func TestAskingFromTheHolder(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "own.db")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: 1<<30 + 1, Len: 1}
	if err := unix.FcntlFlock(file.Fd(), unix.F_SETLK, &lock); err != nil {
		t.Fatal(err)
	}
	if r := ask(t, path); len(r.Holders) != 0 || !strings.Contains(strings.Join(r.Blind, "\n"), "from another process") {
		t.Errorf("%+v", r)
	}
	if r := look(t, path); len(r.Holders) != 1 || r.Holders[0].Lock != outside.Reserved {
		t.Errorf("after asking: %+v", r.Holders)
	}
}
