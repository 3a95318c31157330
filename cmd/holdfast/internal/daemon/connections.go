package daemon

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// mostConnections is how many connections there may be: each costs memory and a descriptor
// before anybody knows who it is.
func mostConnections(requests int) int { return max(4*requests, 512) }

// connections bounds how many there are. Of those that keep the daemon waiting, for a
// request or for their answer to be taken, the oldest makes room: slow clients wait there,
// honest ones pass in no time. One that has had an answer counts as younger by grace, or it
// would be taken for one of those that all come at once.
type connections struct {
	most  int
	ended func() // is told of each that had to go

	mu   sync.Mutex
	open map[net.Conn]standing
}

const (
	grace = time.Second // of a body, too: who takes longer is slow

	// least is how long a connection has before it may have to go: it was new when a
	// thousand came at once, and had not been read from yet. Meanwhile nobody is accepted.
	least = 100 * time.Millisecond
)

// standing is how a connection stands.
type standing struct {
	idle  bool // no request is under way
	since time.Time
}

// changed is told of every connection by net/http, of new ones by what accepts them.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	conn = beneath(conn)
	c.note(conn, state)
	if state != http.StateNew {
		return
	}
	victim, wait := c.room(conn)
	if wait > 0 {
		time.Sleep(wait) // who accepts waits: those who come stay with the system
		victim, _ = c.room(conn)
	}
	if victim == nil {
		return
	}
	c.note(victim, http.StateClosed)
	_ = victim.Close() // nobody is told
	c.ended()
}

// beneath is the connection below TLS, whose Close would wait for a client that reads nothing.
func beneath(conn net.Conn) net.Conn {
	if over, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return over.NetConn()
	}
	return conn
}

// note keeps how a connection stands.
func (c *connections) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[net.Conn]standing{}
	}
	switch state {
	case http.StateNew:
		c.open[conn] = standing{idle: true, since: time.Now()}
	case http.StateIdle:
		c.open[conn] = standing{idle: true, since: time.Now().Add(grace)}
	case http.StateActive:
		c.open[conn] = standing{}
	default:
		delete(c.open, conn)
	}
}

// room returns the connection that has to go for a new one, and how long it still has; nil
// if there is room. If all others are worked on it is the new one.
func (c *connections) room(newcomer net.Conn) (victim net.Conn, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.open) <= c.most {
		return nil, 0
	}
	oldest := c.open[newcomer].since
	victim = newcomer
	for conn, s := range c.open {
		if !s.idle {
			s.since, s.idle = untaken(conn)
		}
		if s.idle && s.since.Before(oldest) {
			victim, oldest = conn, s.since
		}
	}
	return victim, least - time.Since(oldest)
}

// untaken tells since when an answer waits to be taken, made younger by grace: it is nothing
// bad as such.
func untaken(conn net.Conn) (since time.Time, waits bool) {
	w, ok := conn.(*watched)
	if !ok {
		return since, false
	}
	nanos := w.writing.Load()
	return time.Unix(0, nanos).Add(grace), nanos != 0
}

// listener makes connections that tell how long they have been writing. What else they
// wait for net/http tells, or the arrivals know.
type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &watched{Conn: conn}, nil
}

type watched struct {
	net.Conn
	writing atomic.Int64 // since, in nanoseconds of Unix time; 0: it isn't
}

func (w *watched) Write(p []byte) (int, error) {
	w.writing.Store(time.Now().UnixNano())
	defer w.writing.Store(0)
	return w.Conn.Write(p)
}
