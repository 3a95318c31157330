package dash

import (
	"context"
	"strings"
	"sync"
	"time"
)

const (
	fresh       = 900 * time.Millisecond // a little less than pages wait before they ask again
	kept        = 10 * time.Minute       // the longest that an old content stands in for one that fails
	mostEntries = 64

	// What comes from the history changes once a minute, and takes some reads of a file.
	slowly = 10 * time.Second
)

// entry is a page's content.
type entry struct {
	at      time.Time
	model   any
	content []byte
	err     error // why the rest is from earlier, or missing
	keep    time.Duration
}

// cache has the contents of the last second, so that a page costs the same however many
// look at it. If a page fails it has the last one that did not, with the error.
type cache struct {
	mu    sync.Mutex
	slots map[string]*slot
}

type slot struct {
	turn chan struct{} // full while somebody makes the content
	mu   sync.Mutex
	last *entry
	made time.Time // when it was tried last
}

// get returns the content of the last second, or has it made: by one of those who want it,
// in a context that outlives his, so that the others get it when he goes away.
func (c *cache) get(ctx context.Context, key string, make func(context.Context) *entry) *entry {
	s := c.slot(key)
	if e := s.young(); e != nil {
		return e
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return &entry{at: time.Now(), err: ctx.Err()}
	}
	defer func() { <-s.turn }()
	if e := s.young(); e != nil {
		return e
	}
	return s.put(make(context.WithoutCancel(ctx)))
}

func (c *cache) slot(key string) *slot {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.slots[key]
	if s == nil {
		c.tidy()
		s = &slot{turn: make(chan struct{}, 1)}
		c.slots[key] = s
	}
	return s
}

// tidy makes room for one more, at the cost of the one that was made longest ago.
func (c *cache) tidy() {
	if c.slots == nil {
		c.slots = map[string]*slot{}
	}
	for len(c.slots) >= mostEntries {
		var oldest string
		var at time.Time
		for key, s := range c.slots {
			s.mu.Lock()
			if oldest == "" || s.made.Before(at) {
				oldest, at = key, s.made
			}
			s.mu.Unlock()
		}
		delete(c.slots, oldest)
	}
}

// young returns the content if it need not be made anew.
func (s *slot) young() *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != nil && time.Since(s.made) < max(fresh, s.last.keep) {
		return s.last
	}
	return nil
}

// put keeps a content. One that failed goes into the one before as its error.
func (s *slot) put(e *entry) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made = time.Now()
	if before := s.last; e.err != nil && before != nil && before.content != nil && statusOf(e.err) != 404 && e.at.Sub(before.at) < kept {
		e = &entry{at: before.at, model: before.model, content: before.content, err: e.err}
	}
	s.last = e
	return e
}

// forget has all contents of a database made anew: something was done to it.
func (c *cache) forget(base string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, s := range c.slots {
		if strings.HasPrefix(key, base+"\x00") {
			s.mu.Lock()
			s.made = time.Time{}
			s.mu.Unlock()
		}
	}
}
