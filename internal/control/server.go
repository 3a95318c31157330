package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	conversations = 8 // at once; more wait in the kernel's backlog
	maxRequest    = 64
	patience      = time.Second // for a whole conversation
)

// Config is what a Server needs to know of its database.
type Config struct {
	// Path is the database, absolute.
	Path string
	// Delay is how long after Start the socket is made: a process that ends
	// before that has no work with it.
	Delay time.Duration
	// Claim takes a place, until the process ends or the caller gives it back
	// after Close. It returns false if another process has it.
	Claim func(place int) (bool, error)
	// What is answered; called by several goroutines at once, with a context
	// that ends with the conversation and with Close.
	Locks, Stats, Statements, Health func(context.Context) (any, error)
	Queries                          func(ctx context.Context, reset bool) (any, error)
	Log                              *slog.Logger
}

// Server has the socket of one database in this process.
type Server struct {
	cfg     Config
	timer   *time.Timer
	running sync.WaitGroup // run, and the conversations
	ctx     context.Context
	end     context.CancelFunc
	slots   chan struct{} // taken by conversations

	mu     sync.Mutex // guards the following
	open   map[io.Closer]struct{}
	closed bool
}

// Start returns a Server whose socket will be there after the delay. Whether
// that succeeds is not reported but logged, at debug level: a database works
// without. The caller must Close it.
func Start(cfg Config) *Server {
	s := &Server{cfg: cfg, slots: make(chan struct{}, conversations), open: make(map[io.Closer]struct{})}
	s.ctx, s.end = context.WithCancel(context.Background())
	s.running.Add(1)
	s.timer = time.AfterFunc(cfg.Delay, s.run)
	return s
}

// Close removes the socket, ends the conversations, and waits for both. It must
// be called once.
func (s *Server) Close() {
	s.end()
	if s.timer.Stop() {
		s.running.Done()
	}
	s.mu.Lock()
	s.closed = true
	for c := range s.open {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

// keep notes what Close has to close, or closes it if it comes too late.
func (s *Server) keep(c io.Closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = c.Close()
		return false
	}
	s.open[c] = struct{}{}
	return true
}

func (s *Server) drop(c io.Closer) {
	_ = c.Close()
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
}

func (s *Server) run() {
	defer s.running.Done()
	l, remove, err := s.listen()
	if err != nil {
		s.cfg.Log.Debug("holdfast: no control socket", "path", s.cfg.Path, "error", err)
		return
	}
	defer remove()
	if !s.keep(l) {
		return
	}
	defer s.drop(l)
	for {
		select {
		case s.slots <- struct{}{}:
		case <-s.ctx.Done():
			return
		}
		c, err := l.Accept()
		if err != nil {
			<-s.slots
			if !s.rest() {
				return
			}
			continue
		}
		s.running.Add(1)
		go s.converse(c)
	}
}

// rest pauses after a failure, which mostly means that the process is out of
// descriptors; false when it is time to end.
func (s *Server) rest() bool {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-s.ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (s *Server) converse(c net.Conn) {
	defer s.running.Done()
	defer func() { <-s.slots }()
	if !s.keep(c) {
		return
	}
	defer s.drop(c)
	deadline := time.Now().Add(patience)
	if c.SetDeadline(deadline) != nil {
		return
	}
	request, ok := readRequest(c)
	if !ok {
		return
	}
	ctx, cancel := context.WithDeadline(s.ctx, deadline)
	defer cancel()
	line, err := json.Marshal(s.answer(ctx, request))
	if err != nil {
		s.cfg.Log.Debug("holdfast: an answer on the control socket failed", "path", s.cfg.Path, "error", err)
		return
	}
	_, _ = c.Write(append(line, '\n')) // whoever has asked may be gone
}

// readRequest reads the request line; a longer one is none.
func readRequest(c io.Reader) (Request, bool) {
	line := make([]byte, 0, maxRequest)
	for len(line) < maxRequest {
		n, err := c.Read(line[len(line):maxRequest])
		line = line[:len(line)+n]
		if request, _, whole := bytes.Cut(line, []byte("\n")); whole {
			return Request(request), true
		}
		if err != nil {
			break
		}
	}
	return "", false
}

func (s *Server) answer(ctx context.Context, request Request) envelope {
	e := envelope{Schema: Schema, PID: os.Getpid(), Program: filepath.Base(os.Args[0])}
	var err error
	switch request {
	case RequestLocks:
		e.Locks, err = s.cfg.Locks(ctx)
	case RequestStats:
		e.Stats, err = s.cfg.Stats(ctx)
	case RequestStatements:
		e.Statements, err = s.cfg.Statements(ctx)
	case RequestHealth:
		e.Health, err = s.cfg.Health(ctx)
	case RequestQueries, RequestQueriesReset:
		e.Queries, err = s.cfg.Queries(ctx, request == RequestQueriesReset)
	default:
		err = fmt.Errorf("unknown request; ask for %s, %s, %s, %s or %s", RequestLocks, RequestStats, RequestStatements, RequestHealth, RequestQueries)
	}
	if err != nil {
		e.Error = err.Error()
	}
	return e
}

var errAllTaken = fmt.Errorf("%d processes have one already", Places)

// listen takes the first place that is free.
func (s *Server) listen() (l net.Listener, remove func(), err error) {
	if !supported {
		return nil, nil, errors.ErrUnsupported
	}
	for place := range Places {
		if s.ctx.Err() != nil {
			return nil, nil, s.ctx.Err()
		}
		free, err := s.cfg.Claim(place)
		if err != nil {
			return nil, nil, err
		}
		if !free {
			continue
		}
		path := Name(s.cfg.Path, place)
		switch cleared, err := clearPlace(s.ctx, path); {
		case err != nil:
			return nil, nil, err
		case !cleared:
			continue
		}
		if l, err = bind(s.ctx, path); err != nil {
			return nil, nil, err
		}
		made, err := os.Lstat(path)
		if err != nil {
			return nil, nil, errors.Join(err, l.Close())
		}
		return l, func() { removeSame(path, made) }, nil
	}
	return nil, nil, errAllTaken
}

// clearPlace removes the socket of a process that was killed, and tells whether
// there is nothing left. The claim says that the place is free; but if somebody
// has deleted the lock file, another process may have it nonetheless, and what
// answers is left alone. So is what is no socket.
func clearPlace(ctx context.Context, path string) (bool, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, err
	case info.Mode().Type() != fs.ModeSocket:
		return false, nil
	}
	c, err := dial(ctx, path)
	if err == nil {
		return false, c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) { // nobody listens: the kernel's word for a left-over
		return false, nil
	}
	return true, os.Remove(path)
}

// removeSame removes the socket if it still is the one that was made.
func removeSame(path string, made fs.FileInfo) {
	if now, err := os.Lstat(path); err == nil && os.SameFile(now, made) {
		_ = os.Remove(path) // a directory that is read-only by now keeps it, and the next process clears it
	}
}

// dial connects to a socket.
func dial(ctx context.Context, path string) (net.Conn, error) {
	address, done, err := reach(path)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	return d.DialContext(ctx, "unix", address)
}
