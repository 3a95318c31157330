package torture

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Line is what a child has told, and when the parent read it.
type Line struct {
	At   time.Time
	Text string
}

// Child is this program, started again in a role. What it tells arrives through
// a pipe, so that what was told before it died is read after it has died.
type Child struct {
	PID int

	trial  *Trial
	cmd    *exec.Cmd
	in     io.WriteCloser
	errs   *tail
	lines  chan Line
	done   chan struct{}
	err    error // once done is closed
	killed atomic.Bool
}

// order is what a child is told first.
type order struct {
	Role   string          `json:"role"`
	Config json.RawMessage `json:"config"`
}

// Child starts a child in a role (see roles), with a config that the role reads
// from JSON. Each line that it tells is given to on, from a goroutine of its own
// but one at a time and in order; if on is nil, the lines wait for Next. The child
// is killed when ctx ends, and with the trial at the latest.
func (t *Trial) Child(ctx context.Context, role string, config any, on func(Line)) (*Child, error) {
	return t.ChildUnder(ctx, nil, role, config, on)
}

// ChildUnder is Child with a command in front, such as unshare, which must become
// the child by exec.
func (t *Trial) ChildUnder(ctx context.Context, prefix []string, role string, config any, on func(Line)) (*Child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	args := append(append([]string(nil), prefix...), program)
	cmd := exec.CommandContext(ctx, args[0], append(args[1:], t.childArgs...)...)
	if len(prefix) == 0 {
		cmd.Args[0] = os.Args[0] // a program of several names goes by it
	}
	c, err := t.start(cmd, on)
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(c.in).Encode(order{role, text}); err != nil {
		return nil, errors.Join(fmt.Errorf("tell a child its role: %w", err), c.Kill())
	}
	return c, nil
}

// Stranger starts another program, which has to tell its lines in the same way:
// their length, a space, and the text.
func (t *Trial) Stranger(ctx context.Context, on func(Line), name string, args ...string) (*Child, error) {
	return t.start(exec.CommandContext(ctx, name, args...), on)
}

func (t *Trial) start(cmd *exec.Cmd, on func(Line)) (*Child, error) {
	c := &Child{trial: t, cmd: cmd, errs: new(tail), done: make(chan struct{})}
	cmd.Stderr = c.errs
	cmd.WaitDelay = 10 * time.Second
	var err error
	if c.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a child: %w", err)
	}
	c.PID = cmd.Process.Pid
	if on == nil {
		c.lines = make(chan Line, 1024)
		on = func(l Line) { c.lines <- l }
	}
	t.mu.Lock()
	t.children[c] = struct{}{}
	t.mu.Unlock()
	go c.listen(out, on)
	return c, nil
}

// listen reads until the child has closed its end, and then buries it.
func (c *Child) listen(out io.Reader, on func(Line)) {
	r := bufio.NewReader(out)
	var err error
	for {
		text, e := r.ReadString('\n')
		if e != nil {
			// The rest is a line that the child had no time to finish.
			if !errors.Is(e, io.EOF) && !errors.Is(e, os.ErrClosed) {
				err = e
			}
			break
		}
		if text, e = unframe(text); e != nil {
			err = e
			break
		}
		on(Line{time.Now(), text})
	}
	if err != nil {
		_ = c.cmd.Process.Kill() // nobody listens any more
	}
	if c.lines != nil {
		close(c.lines)
	}
	if e := c.cmd.Wait(); e != nil && !c.killed.Load() && err == nil {
		err = fmt.Errorf("child %d: %w%s", c.PID, e, c.errs.said())
	}
	c.err = err
	c.trial.mu.Lock()
	delete(c.trial.children, c)
	c.trial.mu.Unlock()
	close(c.done)
}

// unframe checks that a line is as long as it says, so that lines of two writers
// that got mixed, or output that is none of ours, can't pass for an
// acknowledgement.
func unframe(line string) (string, error) {
	size, text, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	if n, err := strconv.Atoi(size); !ok || err != nil || n != len(text) {
		return "", fmt.Errorf("a child told something that is no line of the protocol: %.200q", line)
	}
	return text, nil
}

// Next returns the next line that the child tells. It is an error if the child
// ends instead.
func (c *Child) Next(ctx context.Context) (Line, error) {
	select {
	case l, ok := <-c.lines:
		if !ok {
			<-c.done
			return Line{}, errors.Join(fmt.Errorf("child %d ended early%s", c.PID, c.errs.said()), c.err)
		}
		return l, nil
	case <-ctx.Done():
		return Line{}, context.Cause(ctx)
	}
}

// Expect returns the rest of the next line, which must begin with word.
func (c *Child) Expect(ctx context.Context, word string) (Line, error) {
	l, err := c.Next(ctx)
	if err != nil {
		return l, fmt.Errorf("wait for %q: %w", word, err)
	}
	rest, ok := strings.CutPrefix(l.Text, word)
	if !ok {
		return l, fmt.Errorf("child %d told %q instead of %q", c.PID, l.Text, word)
	}
	l.Text = strings.TrimPrefix(rest, " ")
	return l, nil
}

// Say writes a line to the child. A child that is dead hears nothing, which is no
// error here: its end says more.
func (c *Child) Say(line string) { _, _ = io.WriteString(c.in, line+"\n") }

// doom says that the child will be killed: that it ends by itself is no failure
// any more.
func (c *Child) doom() { c.killed.Store(true) }

// Kill ends the child as the kernel does when memory is short, and returns when
// everything that it had told has been read.
func (c *Child) Kill() error {
	c.doom()
	_ = c.cmd.Process.Kill()
	<-c.done
	return c.err
}

// Stop stops the child where it is, Continue lets it go on.
func (c *Child) Stop() error { return stopProcess(c.cmd.Process) }

// Continue is the end of Stop.
func (c *Child) Continue() error { return continueProcess(c.cmd.Process) }

// Done is closed when the child has ended and all it told was read.
func (c *Child) Done() <-chan struct{} { return c.done }

// Finish closes the child's standard input, which ends most roles, and waits
// until it has ended by itself.
func (c *Child) Finish(ctx context.Context) error {
	_ = c.in.Close()
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), c.Kill())
	}
}

// tail keeps the end of what a child writes to standard error.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - tailBytes; over > 0 {
		t.text = t.text[over:]
	}
	return len(p), nil
}

func (t *tail) said() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.text) == 0 {
		return ""
	}
	return ": " + strings.TrimSpace(string(t.text))
}
