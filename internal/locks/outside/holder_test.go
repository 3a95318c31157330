package outside_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/locks/outside"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite" // with POSIX locks, as long as the process uses no Holdfast
)

// holderEnv makes the test binary a process that holds locks.
const holderEnv = "HOLDFAST_TEST_HOLDER"

func TestMain(m *testing.M) {
	if kind := os.Getenv(holderEnv); kind != "" {
		run := hold
		if kind == looker {
			run = printLook
		}
		if err := run(kind, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// looker is no holder: it prints what it sees as JSON.
const looker = "looker"

func printLook(_, path string) error {
	r, err := outside.Look(context.Background(), path)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// hold answers each line "connection SQL" of standard input with one line.
func hold(kind, path string) error {
	ctx := context.Background()
	open := func() (*sql.DB, error) { return sql.Open("sqlite", path+"?_pragma=busy_timeout(600000)") }
	if kind == holdfastKind {
		open = func() (*sql.DB, error) {
			db, err := holdfast.Open(ctx, path)
			if err != nil {
				return nil, err
			}
			return db.DB, nil
		}
	}
	if kind == engineOFD && !sqlite.OFDLocks() { // asking switches them on
		return errors.New("there are no OFD locks")
	}
	db, err := open()
	if err != nil {
		return err
	}
	connections := map[string]*sql.Conn{}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		name, text, _ := strings.Cut(in.Text(), " ")
		if name == "touch" { // what no process with POSIX locks may do
			if f, err := os.Open(text); err == nil {
				_ = f.Close()
			}
			fmt.Println("ok")
			continue
		}
		c := connections[name]
		if c == nil {
			if c, err = db.Conn(ctx); err != nil {
				return err
			}
			connections[name] = c
		}
		answer := "ok"
		if kind == holdfastKind && text == "BEGIN" { // in text it would be a transaction that writes
			_, err = c.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		} else {
			_, err = c.ExecContext(ctx, text)
		}
		if err != nil {
			answer = err.Error()
		}
		fmt.Println(answer)
	}
	for _, c := range connections {
		_ = c.Close()
	}
	return db.Close()
}

// The kinds of holder.
const (
	enginePosix  = "the engine with POSIX locks"
	engineOFD    = "the engine with OFD locks"
	holdfastKind = "Holdfast"
	pythonKind   = "Python's sqlite3 module"
	shellKind    = "the sqlite3 command"
)

// ofd tells whether its locks are those of open files.
func (h *holder) ofd() bool { return h.kind == engineOFD || h.kind == holdfastKind }

// kinds are all that there are on this machine.
func kinds() []string {
	all := []string{enginePosix, engineOFD, holdfastKind}
	if exec.Command("python3", "-c", "import sqlite3").Run() == nil {
		all = append(all, pythonKind)
	}
	if exec.Command("sqlite3", "-version").Run() == nil {
		all = append(all, shellKind)
	}
	return all
}

const python = `import sqlite3, sys
open_ = {}
for line in sys.stdin:
    name, _, text = line.rstrip("\n").partition(" ")
    try:
        if name == "touch":
            open(text, "rb").close()
        else:
            if name not in open_:
                open_[name] = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=600)
            open_[name].execute(text).fetchall()
        print("ok", flush=True)
    except Exception as e:
        print(e, flush=True)
`

// holder is a process that holds locks.
type holder struct {
	t    testing.TB
	kind string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	pid  int
}

func start(t testing.TB, kind, path string) *holder {
	t.Helper()
	var cmd *exec.Cmd
	switch kind {
	case pythonKind:
		// By the path that it has itself: a wrapper in between has another pid.
		exe, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
		if err != nil {
			t.Fatal(err)
		}
		cmd = exec.Command(strings.TrimSpace(string(exe)), "-c", python, path)
	case shellKind:
		cmd = exec.Command("sqlite3", "-cmd", ".timeout 600000", path)
	default:
		cmd = exec.Command(os.Args[0], path)
		cmd.Env = append(os.Environ(), holderEnv+"="+kind)
	}
	cmd.Stderr = os.Stderr
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
	h := &holder{t, kind, cmd, in, bufio.NewReader(out), cmd.Process.Pid}
	t.Cleanup(h.kill)
	return h
}

// end lets the process close the database.
func (h *holder) end() {
	h.t.Helper()
	_ = h.in.Close()
	if err := h.cmd.Wait(); err != nil {
		h.t.Fatal(err)
	}
}

// kill ends the process, whatever it is doing.
func (h *holder) kill() {
	_ = h.in.Close()
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
}

// send gives a statement to a connection of the process, and doesn't wait.
func (h *holder) send(connection, text string) {
	h.t.Helper()
	line := connection + " " + text + "\n"
	if h.kind == shellKind { // it has one connection, and says nothing of its own
		line = strings.TrimSuffix(text, ";") + ";\n.print ok\n"
	}
	if _, err := io.WriteString(h.in, line); err != nil {
		h.t.Fatal(err)
	}
}

// run gives a statement to a connection and waits until it has run.
func (h *holder) run(connection, text string) {
	h.t.Helper()
	h.send(connection, text)
	h.done()
}

// done waits until the statement that was sent has run.
func (h *holder) done() {
	h.t.Helper()
	for {
		answer, err := h.out.ReadString('\n')
		if err != nil {
			h.t.Fatalf("%s: %q, %v", h.kind, answer, err)
		}
		switch answer = strings.TrimSpace(answer); {
		case answer == "ok":
			return
		case h.kind != shellKind: // rows, there
			h.t.Fatalf("%s: %s", h.kind, answer)
		}
	}
}
