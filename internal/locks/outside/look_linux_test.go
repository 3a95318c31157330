package outside_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfastdb/holdfast/internal/locks/outside"
)

// prepare makes a database with a table of three rows, one frame of the log to
// each statement.
func prepare(t *testing.T, mode string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	h := start(t, enginePosix, path)
	h.run("1", "PRAGMA journal_mode="+mode)
	h.run("1", "CREATE TABLE t(a)")
	h.run("1", "INSERT INTO t VALUES (1), (2), (3)")
	h.end()
	t.Cleanup(func() { check(t, path) })
	return path
}

// check looks at the database when all holders are gone.
func check(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var result string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&result); err != nil || result != "ok" {
		t.Errorf("integrity_check: %s, %v", result, err)
	}
}

func look(t *testing.T, path string) *outside.Report {
	t.Helper()
	r, err := outside.Look(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// await looks until it sees a holder of lock: a process that was given a
// statement gets to it in its own time.
func await(t *testing.T, path, lock string) (*outside.Report, outside.Holder) {
	t.Helper()
	w := outside.NewWatcher(path)
	for range 5000 {
		r, err := w.Look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(r.Holders, func(h outside.Holder) bool { return h.Lock == lock && h.PID > 0 }); i >= 0 {
			return r, r.Holders[i]
		}
	}
	t.Fatalf("nobody holds %s: %+v", lock, look(t, path))
	return nil, outside.Holder{}
}

// anySlot is a read slot whose mark is the reader's: which of them it finds free
// depends on who opened the database at the same time.
const anySlot = -2

func sameSlot(got, want int) bool { return got == want || want == anySlot && got > 0 }

func wantHolder(t *testing.T, r *outside.Report, h *holder, lock string, slot int, frame uint32) {
	t.Helper()
	for _, got := range r.Holders {
		if got.PID == h.pid && got.Lock == lock && sameSlot(got.Slot, slot) && got.SnapshotFrame == frame {
			if got.Program == "" || got.User == "" || got.State == "" || got.Connections == 0 || !strings.Contains(got.Text, fmt.Sprint(h.pid)) {
				t.Errorf("%s: %+v", h.kind, got)
			}
			return
		}
	}
	t.Errorf("%s: pid %d does not hold %s, slot %d at frame %d: %+v of %+v", h.kind, h.pid, lock, slot, frame, r.Holders, r.Openers)
}

// seesAll tells whether nothing is hidden from this process: neither a
// container's wall nor another user is in the way.
func seesAll() bool {
	ns, err := os.Readlink("/proc/self/ns/pid")
	return err == nil && ns == "pid:[4026531836]" && os.Getuid() == 0
}

// locks lists what a report has of one process.
func locks(r *outside.Report, pid int) []string {
	var names []string
	for _, h := range r.Holders {
		if h.PID == pid {
			names = append(names, h.Lock)
		}
	}
	return names
}

func TestRollbackHolders(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds() {
		if kind == holdfastKind {
			continue // it makes every database a WAL one
		}
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			path := prepare(t, "DELETE")
			reader, writer := start(t, kind, path), start(t, kind, path)
			reader.run("1", "BEGIN")
			reader.run("1", "SELECT * FROM t")
			r := look(t, path)
			if r.JournalMode != outside.ModeRollback || r.WAL != nil || len(r.Openers) == 0 {
				t.Errorf("%+v", r)
			}
			wantHolder(t, r, reader, outside.Shared, -1, 0)

			writer.run("1", "BEGIN IMMEDIATE")
			r = look(t, path)
			wantHolder(t, r, reader, outside.Shared, -1, 0)
			wantHolder(t, r, writer, outside.Reserved, -1, 0)

			writer.run("1", "INSERT INTO t VALUES (4)")
			writer.send("1", "COMMIT")
			r, h := await(t, path, outside.Pending)
			wantHolder(t, r, writer, outside.Pending, -1, 0)
			if len(r.Waiters) != 1 || r.Waiters[0].PID != writer.pid || !slices.Equal(r.Waiters[0].Behind, []int{reader.pid}) {
				t.Errorf("waiters: %+v", r.Waiters)
			}
			if want := fmt.Sprintf("its COMMIT waits for reader %d", reader.pid); !strings.Contains(h.Text, want) {
				t.Errorf("%s, without %s", h.Text, want)
			}
			reader.kill()
			writer.done()
			writer.run("1", "BEGIN EXCLUSIVE")
			wantHolder(t, look(t, path), writer, outside.Exclusive, -1, 0)
		})
	}
}

func TestWALHolders(t *testing.T) {
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
			r := look(t, path)
			if r.JournalMode != outside.ModeWAL || r.WAL == nil || r.WAL.Frames != 2 || r.WAL.CopiedFrames != 0 || r.WAL.Reset {
				t.Errorf("%+v, log %+v", r, r.WAL)
			}
			wantHolder(t, r, reader, outside.Read, anySlot, 1)
			wantHolder(t, r, writer, outside.Write, -1, 0)
			if got := locks(r, keeper.pid); got != nil {
				t.Errorf("the idle connection holds %q", got)
			}
			if len(r.Openers) != 3 {
				t.Errorf("openers: %+v", r.Openers)
			}
			if seesAll() && len(r.Blind) != 0 {
				t.Errorf("blind: %q", r.Blind)
			}
		})
	}
}

func TestReaderInSlotZero(t *testing.T) {
	t.Parallel()
	path := prepare(t, "WAL")
	reader, writer := start(t, enginePosix, path), start(t, enginePosix, path)
	reader.run("1", "BEGIN")
	reader.run("1", "SELECT * FROM t") // the log is empty
	writer.run("1", "INSERT INTO t VALUES (4)")
	writer.run("1", "PRAGMA wal_checkpoint(PASSIVE)")
	r, h := await(t, path, outside.Read)
	wantHolder(t, r, reader, outside.Read, 0, 0)
	if r.WAL.Frames != 1 || r.WAL.CopiedFrames != 0 || !strings.Contains(h.Text, "nothing of the log can be copied") {
		t.Errorf("%+v: %s", r.WAL, h.Text)
	}
}

// The kernel shows the write lock and the checkpoint lock as one range.
func TestCheckpointWaitsForReader(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds() {
		if kind == holdfastKind {
			continue // gives RESTART a short time of its own
		}
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			path := prepare(t, "WAL")
			reader, checkpointer := start(t, kind, path), start(t, kind, path)
			checkpointer.run("1", "INSERT INTO t VALUES (4)")
			reader.run("1", "BEGIN")
			reader.run("1", "SELECT * FROM t")
			checkpointer.run("1", "INSERT INTO t VALUES (5)")
			checkpointer.send("1", "PRAGMA wal_checkpoint(RESTART)")
			r, h := await(t, path, outside.Write)
			for len(r.Waiters) == 0 && t.Context().Err() == nil { // the two locks are taken one after the other
				r, h = await(t, path, outside.Write)
			}
			wantHolder(t, r, checkpointer, outside.Write, -1, 0)
			wantHolder(t, r, checkpointer, outside.Checkpoint, -1, 0)
			wantHolder(t, r, reader, outside.Read, anySlot, 1)
			if w := r.Waiters[0]; w.PID != checkpointer.pid || w.Lock != outside.Checkpoint || !slices.Equal(w.Behind, []int{reader.pid}) {
				t.Errorf("%+v", w)
			}
			if want := fmt.Sprintf("a checkpoint that waits for reader %d", reader.pid); !strings.Contains(h.Text, want) {
				t.Errorf("%s, without %s", h.Text, want)
			}
			reader.run("1", "COMMIT")
			checkpointer.done()
			if r := look(t, path); len(r.Holders) != 0 || r.WAL.CopiedFrames != 2 {
				t.Errorf("%+v, log %+v", r.Holders, r.WAL)
			}
		})
	}
}

func TestExclusiveLockingMode(t *testing.T) {
	t.Parallel()
	path := prepare(t, "WAL")
	h := start(t, enginePosix, path)
	h.run("1", "SELECT * FROM t") // with a -shm: EXCLUSIVE from the start has none
	h.run("1", "PRAGMA locking_mode=EXCLUSIVE")
	h.run("1", "INSERT INTO t VALUES (4)")
	r := look(t, path)
	wantHolder(t, r, h, outside.Exclusive, -1, 0)
	if !strings.Contains(r.Holders[0].Text, "locking_mode=EXCLUSIVE") {
		t.Error(r.Holders[0].Text)
	}
}

func TestStoppedHolder(t *testing.T) {
	t.Parallel()
	path := prepare(t, "WAL")
	h := start(t, enginePosix, path)
	h.run("1", "BEGIN IMMEDIATE")
	if err := h.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	_, got := await(t, path, outside.Write)
	for got.State != "stopped" && t.Context().Err() == nil { // the signal arrives when it arrives
		_, got = await(t, path, outside.Write)
	}
	if got.PID != h.pid || !strings.Contains(got.Text, fmt.Sprintf("kill -CONT %d", h.pid)) {
		t.Errorf("%+v", got)
	}
}

// longUpdate is one statement that runs until it is killed.
const longUpdate = "UPDATE t SET a = (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 1000000000) SELECT max(x) FROM c)"

func TestAutocommitWriter(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			path := prepare(t, "WAL")
			h := start(t, kind, path)
			h.run("1", "SELECT * FROM t") // the first to come has the write lock for a moment, to recover the log
			h.send("1", longUpdate)
			r, got := await(t, path, outside.Write)
			wantHolder(t, r, h, outside.Write, -1, 0)
			w := outside.NewWatcher(path)
			for first := (outside.Holder{}); ; { // the second look knows it from the first
				r, err := w.Look(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				i := slices.IndexFunc(r.Holders, func(h outside.Holder) bool { return h.Lock == outside.Write })
				if i < 0 {
					t.Fatalf("the writer is gone: %+v", r.Holders)
				}
				if first.PID != 0 {
					if !r.Holders[i].Since.Equal(first.Since) || r.Holders[i].Since.Before(got.Since) {
						t.Errorf("since %s, then since %s", first.Since, r.Holders[i].Since)
					}
					break
				}
				first = r.Holders[i]
			}
			h.kill()
			if r := look(t, path); len(r.Holders) != 0 {
				t.Errorf("a dead process holds %+v", r.Holders)
			}
		})
	}
}

// A writer that commits and begins again is a new holder each time.
func TestACommitEndsAHold(t *testing.T) {
	t.Parallel()
	path := prepare(t, "WAL")
	h := start(t, enginePosix, path)
	w := outside.NewWatcher(path)
	since := func() outside.Holder {
		r, err := w.Look(t.Context())
		if err != nil || len(r.Holders) == 0 || r.Holders[0].Lock != outside.Write {
			t.Fatalf("%+v, %v", r, err)
		}
		return r.Holders[0]
	}
	h.run("1", "BEGIN IMMEDIATE")
	first := since()
	h.run("1", "INSERT INTO t VALUES (4)")
	if second := since(); !second.Since.Equal(first.Since) {
		t.Error("an insert made it another transaction")
	}
	h.run("1", "COMMIT")
	h.run("1", "BEGIN IMMEDIATE")
	if third := since(); !third.Since.After(first.Since) {
		t.Error("a commit did not end the transaction")
	}
}

func TestNobody(t *testing.T) {
	t.Parallel()
	path := prepare(t, "WAL")
	r := look(t, path)
	if len(r.Holders)+len(r.Waiters)+len(r.Openers) != 0 || seesAll() && len(r.Blind) != 0 || r.JournalMode != outside.ModeWAL || r.PageSize != 4096 {
		t.Errorf("%+v", r)
	}
	// Links lead to the same file.
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	h := start(t, enginePosix, path)
	h.run("1", "BEGIN IMMEDIATE")
	r = look(t, link)
	wantHolder(t, r, h, outside.Write, -1, 0)
	if r.Path != path {
		t.Errorf("path %s", r.Path)
	}
}

// lookBy has another process look, started through a command.
func lookBy(t *testing.T, path string, command ...string) outside.Report {
	t.Helper()
	if err := exec.Command(command[0], append(command[1:], "true")...).Run(); err != nil {
		t.Skipf("%s: %v", strings.Join(command, " "), err)
	}
	cmd := exec.Command(command[0], append(command[1:], os.Args[0], path)...)
	cmd.Env = append(os.Environ(), holderEnv+"="+looker)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var r outside.Report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// From inside a container the lock table is empty, and only the headers tell.
func TestOtherNamespaceIsBlind(t *testing.T) {
	t.Parallel()
	path := prepare(t, "WAL")
	h := start(t, enginePosix, path)
	h.run("1", "BEGIN IMMEDIATE")
	r := lookBy(t, path, "unshare", "--pid", "--fork", "--mount-proc")
	if len(r.Holders) != 0 || r.WAL == nil || len(r.Blind) != 1 || !strings.Contains(r.Blind[0], "docker run --pid=container:NAME") {
		t.Errorf("%+v", r)
	}
}

// The lock table has no process for the lock of an open file, and who may not
// see the file's descriptor can't know whose it is.
func TestOpenFileOfOthersHasNoName(t *testing.T) {
	t.Parallel()
	path := prepare(t, "DELETE")
	h := start(t, engineOFD, path)
	h.run("1", "BEGIN IMMEDIATE")
	wantHolder(t, look(t, path), h, outside.Reserved, -1, 0)
	if os.Getuid() != 0 {
		t.Skip("takes a right away, so it needs to have it")
	}
	r := lookBy(t, path, "setpriv", "--bounding-set=-sys_ptrace")
	if len(r.Holders) != 1 || r.Holders[0].Lock != outside.Reserved || r.Holders[0].PID != 0 || !strings.Contains(strings.Join(r.Blind, "\n"), "as root") {
		t.Errorf("%+v", r)
	}
}
