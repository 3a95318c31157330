package dash

import (
	"bufio"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/holdfastdb/holdfast"
)

const neighbourVariable = "HOLDFAST_TEST_DASH_NEIGHBOUR"

// TestNeighbour is what the process of TestOtherProcesses runs: it keeps a snapshot until
// its standard input ends.
func TestNeighbour(t *testing.T) {
	path := os.Getenv(neighbourVariable)
	if path == "" {
		t.Skip("run by TestOtherProcesses only")
	}
	db, err := holdfast.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	err = db.View(t.Context(), func(tx *sql.Tx) error {
		var n int
		err := tx.QueryRow("SELECT count(*) FROM orders").Scan(&n)
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// neighbour starts that process, and returns its number.
func neighbour(t *testing.T, path string) int {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestNeighbour$")
	cmd.Env = append(os.Environ(), neighbourVariable+"="+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the other process: %v", err)
		}
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "ready" {
			return cmd.Process.Pid
		}
	}
	t.Fatal("the other process ended before it was ready")
	return 0
}

// Both pages name a reader of another process, and the log's also where it reads and what
// this process itself has: the frame comes from the shared memory, who it is from the kernel.
func TestOtherProcesses(t *testing.T) {
	t.Parallel()
	db := open(t)
	for range 20 {
		run(t, db, "INSERT INTO orders(customer, status) VALUES (1, 'open')")
	}
	pid := neighbour(t, db.Path())
	for range 20 {
		run(t, db, "INSERT INTO orders(customer, status) VALUES (1, 'open')")
	}
	own, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := own.QueryRow("SELECT count(*) FROM orders").Scan(&n); err != nil {
		t.Fatal(err)
	}
	run(t, db, "INSERT INTO orders(customer, status) VALUES (1, 'open')")

	// On a machine that is too busy a look from outside takes more time than a page has, and
	// the other process more than it is given to say what it does.
	var d *Dashboard
	var v locksView
	var w walView
	at, mine := -1, -1
	soon(t, "a look from outside that sees all", func() bool {
		d = Handler(db)
		v, w = told[locksView](t, d, "/locks"), told[walView](t, d, "/wal")
		at = slices.IndexFunc(w.Log.Pins, func(p logPin) bool { return p.PID == pid && p.CallSite != "" })
		mine = slices.IndexFunc(w.Log.Pins, func(p logPin) bool { return p.PID == os.Getpid() && p.Kind == "read transaction" })
		return at >= 0 && mine >= 0 && slices.ContainsFunc(v.Outside.Holders, func(r foreignRow) bool {
			return r.PID == pid && r.Lock == "WAL_READ" && r.Statement != "" && r.CallSite != "" && r.Seconds >= 0
		})
	})
	if !slices.ContainsFunc(v.Outside.Openers, func(r foreignRow) bool { return r.PID == pid }) {
		t.Errorf("outside: %+v", v.Outside)
	}
	if slices.ContainsFunc(v.Outside.Openers, func(r foreignRow) bool { return r.PID == os.Getpid() }) {
		t.Errorf("this process is told to be another: %+v", v.Outside.Openers)
	}
	theirs := fmt.Sprintf("(process %d)", pid)
	says(t, d, "/locks", theirs, fmt.Sprintf("(Prozess %d)", pid), "other process has the database open", "anderer Prozess hat die Datenbank geöffnet")

	theirPin, ours := w.Log.Pins[at], w.Log.Pins[mine]
	if theirPin.Frame < 20 || theirPin.Frame+20 > ours.Frame || ours.Frame >= w.Log.Frames || !theirPin.Holds || ours.CallSite == "" {
		t.Errorf("of %d frames: theirs %+v, ours %+v", w.Log.Frames, theirPin, ours)
	}
	says(t, d, "/wal", theirs, fmt.Sprintf("(Prozess %d)", pid), `class="pic-pin"`, `class="pic-pinhead"`)
	if err := own.Commit(); err != nil {
		t.Fatal(err)
	}
}
