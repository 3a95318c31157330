package work

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// Each job runs in a process of its own, so that no contestant meets another's
// heap, engine or file locks, and a contestant need not be Go. The process
//
//	opens the database, warms up and prints "ready",
//	waits for a line on its standard input,
//	does the job and prints its Tally as one line of JSON,
//
// and ends itself when its standard input does before.

// Child is the process's side, for contestants in Go.
func Child(ctx context.Context, j Job, open Opener, in io.Reader, out io.Writer) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	profile := withProfile(j.Profile)
	var db Database
	if !j.opensItself() {
		if db, err = open(ctx, j.Settings); err != nil {
			return fmt.Errorf("open: %w", err)
		}
		defer func() { err = errors.Join(err, db.Close()) }()
	}
	var before usage
	t, err := j.Run(ctx, open, db, func() error {
		if err := errors.Join(awaitStart(in, out, cancel), profile.start()); err != nil {
			return err
		}
		before = used()
		return nil
	})
	if err != nil {
		return err
	}
	t.note(before)
	if err := profile.stop(); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(t)
}

// awaitStart tells the parent that everything is warm and waits until it lets
// the job begin. When the parent goes away after that, it calls gone.
func awaitStart(in io.Reader, out io.Writer, gone func()) error {
	if _, err := fmt.Fprintln(out, "ready"); err != nil {
		return err
	}
	lines := bufio.NewReader(in)
	if _, err := lines.ReadString('\n'); err != nil {
		return fmt.Errorf("wait for the start: %w", err)
	}
	go func() {
		_, _ = lines.ReadByte() // returns when the parent is gone
		gone()
	}()
	return nil
}

// Process is the parent's side of one process.
type Process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

// Start starts a process and waits until it is ready. It must be ended by
// Finish or Kill.
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd}
	var err error
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	cmd.Stderr = &p.stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := p.out.ReadString('\n')
	if strings.TrimSpace(line) != "ready" {
		p.Kill()
		return nil, p.failure(errors.Join(errors.New("the process did not become ready"), err))
	}
	return p, nil
}

// Go lets the process begin.
func (p *Process) Go() error {
	_, err := io.WriteString(p.in, "go\n")
	return err
}

// Finish waits for the process to end and returns what it says. Its standard
// input stays open until then: the end of that would end it.
func (p *Process) Finish() (*Tally, error) {
	t := new(Tally)
	line, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, t)
	}
	err = errors.Join(err, p.cmd.Wait())
	if err != nil {
		return nil, p.failure(err)
	}
	return t, nil
}

// Kill ends a process that is not wanted any more.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	_ = p.cmd.Wait()
}

// failure adds what the process itself had to say.
func (p *Process) failure(err error) error {
	if said := strings.TrimSpace(p.stderr.String()); said != "" {
		return fmt.Errorf("%s (%w)", said, err)
	}
	return err
}
