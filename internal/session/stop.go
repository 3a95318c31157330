package session

import (
	"context"
	"sync"
	"sync/atomic"
)

// stopper is how an evictor stops the statement of somebody else. The flag is
// for those that ask; for a deaf one there is a context, made when one runs.
type stopper struct {
	told atomic.Bool

	mu     sync.Mutex // guards the fields below
	ctx    context.Context
	cancel context.CancelFunc
}

// stop tells every statement to stop, from now on; first says that nobody had.
func (s *stopper) stop() (first bool) {
	first = !s.told.Swap(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		s.cancel()
	}
	return first
}

// context ends with stop.
func (s *stopper) context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil {
		s.ctx, s.cancel = context.WithCancel(context.Background())
		if s.told.Load() {
			s.cancel()
		}
	}
	return s.ctx
}
