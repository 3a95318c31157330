package torture

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
)

// role is what a child does. config is what Trial.Child was given.
type role func(ctx context.Context, p *Parent, config json.RawMessage) error

// roles lists them all.
func roles() map[string]role {
	return map[string]role{
		"back-up":         backUpRole,
		"clients":         clientsRole,
		"hold":            holdRole,
		"live":            lifeRole,
		"migrate":         migrateRole,
		"serve":           serveRole,
		"soak":            soakRole,
		"try-open":        tryOpenRole,
		"volume":          volumeRole,
		"visit-damaged":   visitDamagedRole,
		"write":           writeRole,
		"write-slots":     writeSlotsRole,
		"write-when-told": writeWhenToldRole,
	}
}

// Parent is the child's end of the pipes. It is safe for concurrent use.
type Parent struct {
	mu    sync.Mutex
	out   io.Writer
	lines chan string
}

// Tell writes one line, in one system call and far below the size that a pipe
// takes in one piece: a child that is killed has told it or not.
func (p *Parent) Tell(format string, args ...any) error {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")
	if len(text) > maxLine {
		text = text[:maxLine]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := fmt.Fprintf(p.out, "%d %s\n", len(text), text)
	return err
}

const maxLine = 2000

// Next waits for the parent's next line.
func (p *Parent) Next(ctx context.Context) (string, error) {
	select {
	case line, ok := <-p.lines:
		if !ok {
			return "", io.EOF
		}
		return line, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// RunChild is a child: it learns its role from in and plays it. The context that
// the role gets ends when the parent closes in, or is gone.
func RunChild(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := bufio.NewReader(in)
	text, err := r.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the role: %w", err)
	}
	var o order
	if err := json.Unmarshal(text, &o); err != nil {
		return fmt.Errorf("read the role: %w", err)
	}
	play, ok := roles()[o.Role]
	if !ok {
		return fmt.Errorf("there is no role %q", o.Role)
	}
	p := &Parent{out: out, lines: make(chan string, 64)}
	go func() { // ends with the parent's end of the pipe, at the latest with the process
		defer cancel()
		defer close(p.lines)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			select {
			case p.lines <- strings.TrimSuffix(line, "\n"):
			case <-ctx.Done():
				return
			}
		}
	}()
	return play(ctx, p, o.Config)
}
