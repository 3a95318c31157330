package contention

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Worker is the child's side: it reads a Load from in, opens the database, says
// so on out, waits for the word to start, and writes its Tally. If in ends
// early, the parent is gone and so is the reason to go on.
func Worker(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	var l Load
	if err := readLine(lines, &l); err != nil {
		return fmt.Errorf("read the load: %w", err)
	}
	db, err := l.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.PingContext(ctx); err != nil {
		return err
	}
	if _, err := io.WriteString(out, "\"ready\"\n"); err != nil {
		return err
	}
	var start string
	if err := readLine(lines, &start); err != nil {
		return fmt.Errorf("wait for the start: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = lines.ReadByte() // returns when the parent is gone
		cancel()
	}()
	t, err := l.run(ctx, db)
	if err != nil {
		return err
	}
	t.waits.Encode(&t.Sketch, false)
	return json.NewEncoder(out).Encode(t)
}

func readLine(r *bufio.Reader, into any) error {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, into)
}

// worker is the parent's side of a child.
type worker struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// startWorker runs this program again, with args, and waits until it has
// opened the database.
func startWorker(ctx context.Context, l Load, args []string) (*worker, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Args[0] = os.Args[0] // a program of several names goes by it
	cmd.Stderr = os.Stderr
	w := &worker{cmd: cmd}
	if w.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.out = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a process: %w", err)
	}
	var ready string
	err = json.NewEncoder(w.in).Encode(l)
	if err == nil {
		err = readLine(w.out, &ready)
	}
	if err != nil {
		return nil, w.failed(err)
	}
	return w, nil
}

// failed ends a child that does not do its part.
func (w *worker) failed(err error) error {
	_ = w.in.Close()
	if e := w.cmd.Wait(); e != nil {
		err = e
	}
	return fmt.Errorf("a process of the benchmark failed: %w", err)
}

func (w *worker) start() error {
	_, err := io.WriteString(w.in, "\"go\"\n")
	return err
}

// tally waits for the child's counts and its end.
func (w *worker) tally() (*Tally, error) {
	var t Tally
	if err := readLine(w.out, &t); err != nil {
		return nil, w.failed(err)
	}
	_ = w.in.Close()
	if err := w.cmd.Wait(); err != nil {
		return nil, fmt.Errorf("a process of the benchmark failed: %w", err)
	}
	return &t, nil
}
