package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// answerWait is how long Ask waits for one process.
const answerWait = 200 * time.Millisecond

// maxAnswer bounds what Ask reads of one answer: a thousand waiters with long
// statements are less than half of it.
const maxAnswer = 4 << 20

// Silence is a socket that gave no answer that could be used.
type Silence struct {
	Path string
	Err  error // a net.Error with Timeout when nothing came in time; never of a socket that a killed process has left
}

// ErrImpostor says that an answer names another process than the one that has
// sent it.
var ErrImpostor = errors.New("the answer names another process than the one that sent it")

// Ask asks every process that has a socket beside the database, all at once, and
// waits for 200 ms at most. Answers are in the order of their places, and an
// answer counts only for the process that the kernel says it comes from: its PID
// is the one it has in the namespace of this process.
//
// It may be called in a process that has such a socket itself.
func Ask(ctx context.Context, database string, request Request) (answers []Answer, silent []Silence) {
	if !supported {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	var told [Places]Answer
	var errs [Places]error
	var all sync.WaitGroup
	for place := range Places {
		path := Name(database, place)
		if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSocket {
			errs[place] = fs.ErrNotExist
			continue
		}
		all.Go(func() { told[place], errs[place] = askOne(ctx, path, request) })
	}
	all.Wait()
	for place, err := range errs {
		switch {
		case err == nil:
			answers = append(answers, told[place])
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED): // nobody is there
		default:
			silent = append(silent, Silence{Name(database, place), err})
		}
	}
	return answers, silent
}

func askOne(ctx context.Context, path string, request Request) (a Answer, err error) {
	c, err := dial(ctx, path)
	if err != nil {
		return a, err
	}
	defer c.Close()
	// What is under way then fails with os.ErrDeadlineExceeded.
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	pid, err := peer(c)
	if err != nil {
		return a, err
	}
	if _, err := io.WriteString(c, string(request)+"\n"); err != nil {
		return a, err
	}
	if err := json.NewDecoder(io.LimitReader(c, maxAnswer)).Decode(&a); err != nil {
		return a, err
	}
	switch {
	case a.Schema != Schema:
		return a, fmt.Errorf("it speaks %q and not %q: it is of another version", clip(a.Schema), Schema)
	case a.PID != pid && !isAlso(pid, a.PID):
		return a, ErrImpostor
	case a.Error != "":
		return a, errors.New(clip(a.Error))
	}
	a.PID, a.Program = pid, clip(a.Program)
	return a, nil
}

// clip keeps what another process says to a length that fits into a sentence.
func clip(s string) string { return s[:min(len(s), 200)] }

// peerOf asks the kernel by the descriptor of a connection.
func peerOf(c net.Conn, ask func(fd int) (int, error)) (pid int, err error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, err
	}
	if e := raw.Control(func(fd uintptr) { pid, err = ask(int(fd)) }); e != nil {
		return 0, e
	}
	if err == nil && pid <= 0 {
		err = errors.New("its process is in another PID namespace")
	}
	return pid, err
}
