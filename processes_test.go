package holdfast_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// What each process of TestProcessesShareAFile writes.
const (
	batches      = 200
	rowsPerBatch = 50
)

// rowWriter is the job of one process. It comes through the environment,
// because the process is this test binary, run again for TestRowWriter alone.
type rowWriter struct {
	Path    string
	ID      int
	Endless bool // begins again and again, until it is killed
}

const rowWriterVariable = "HOLDFAST_TEST_ROW_WRITER"

// TestRowWriter is what the processes run; by itself it does nothing.
func TestRowWriter(t *testing.T) {
	var w rowWriter
	job := os.Getenv(rowWriterVariable)
	if job == "" {
		t.Skip("run by TestProcessesShareAFile only")
	}
	if err := json.Unmarshal([]byte(job), &w); err != nil {
		t.Fatal(err)
	}
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	w.run(t)
}

// run writes all rows from the first on: a process that was killed does not
// know how far it had come, but its keys do.
func (w rowWriter) run(t *testing.T) {
	ctx := t.Context()
	db, err := holdfast.Open(ctx, w.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	// No constraint: one that refuses duplicates would hide them.
	must(t, db, "CREATE TABLE IF NOT EXISTS entries(writer INTEGER NOT NULL, number INTEGER NOT NULL)")
	for n := 0; w.Endless || n < batches; n++ {
		batch := n % batches
		stmts := make([]holdfast.Statement, rowsPerBatch)
		for i := range stmts {
			stmts[i] = holdfast.Statement{SQL: "INSERT INTO entries VALUES (?, ?)", Args: []any{w.ID, batch*rowsPerBatch + i}}
		}
		key := holdfast.IdempotencyKey(fmt.Sprintf("writer %d, batch %d", w.ID, batch))
		if _, err := db.Batch(ctx, stmts, key); err != nil {
			t.Fatal(err)
		}
		fmt.Println("committed", batch)
	}
}

// process is a test of this binary that runs as a process of its own.
type process struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
	errs bytes.Buffer
}

func startRowWriter(ctx context.Context, t *testing.T, w rowWriter) *process {
	t.Helper()
	return startProcess(ctx, t, "TestRowWriter", rowWriterVariable, w)
}

// startProcess runs one test of this binary as a process, with its job in a variable
// of the environment, and waits until it is ready.
func startProcess(ctx context.Context, t *testing.T, test, variable string, job any) *process {
	t.Helper()
	text, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.CommandContext(ctx, os.Args[0], "-test.run=^"+test+"$", "-test.v")}
	p.cmd.Env = append(os.Environ(), variable+"="+string(text))
	p.cmd.Stderr = &p.errs
	p.cmd.WaitDelay = 10 * time.Second
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewScanner(out)
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.waitFor(t, "ready")
	return p
}

func (p *process) begin(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		t.Fatal(err)
	}
}

// waitFor reads the process's lines until one is line.
func (p *process) waitFor(t *testing.T, line string) {
	t.Helper()
	seen := ""
	for p.out.Scan() {
		if p.out.Text() == line {
			return
		}
		seen += p.out.Text() + "\n"
	}
	t.Fatalf("the process ended before %q: %s%s", line, seen, &p.errs)
}

// finish waits for the end and returns what went wrong.
func (p *process) finish() error {
	var said string
	for p.out.Scan() {
		said += p.out.Text() + "\n"
	}
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s%s", err, said, &p.errs)
	}
	return nil
}

// TestProcessesShareAFile starts five processes at once on a file that does not
// exist. Each writes 10,000 rows; one is killed in the middle and begins anew.
// There is no error, and no row is lost or there twice.
func TestProcessesShareAFile(t *testing.T) {
	t.Parallel()
	const writers = 5
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	path := filepath.Join(t.TempDir(), "shared.db")
	processes := make([]*process, writers)
	for i := range processes {
		processes[i] = startRowWriter(ctx, t, rowWriter{Path: path, ID: i, Endless: i == 0})
	}
	for _, p := range processes {
		p.begin(t)
	}

	victim := processes[0]
	victim.waitFor(t, fmt.Sprint("committed ", batches/3))
	if err := victim.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := victim.finish(); err == nil {
		t.Fatal("the victim was done before it was killed")
	}
	processes[0] = startRowWriter(ctx, t, rowWriter{Path: path, ID: 0})
	processes[0].begin(t)

	for i, p := range processes {
		if err := p.finish(); err != nil {
			t.Errorf("process %d: %v", i, err)
		}
	}
	db := openAt(t, path) // checks the integrity when the test ends
	const want = writers * batches * rowsPerBatch
	if got := number(t, db, "SELECT count(*) FROM entries"); got != want {
		t.Errorf("%d rows, want %d", got, want)
	}
	if got := number(t, db, "SELECT count(*) FROM (SELECT DISTINCT writer, number FROM entries)"); got != want {
		t.Errorf("%d distinct rows, want %d", got, want)
	}
}
