package httpload

import (
	"context"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Flood is many clients that keep a daemon waiting, each in one of the ways there are: they
// say nothing; their header, or their body, comes byte by byte, with a token and without;
// they take no answer. Who is thrown out comes again. End must be called.
type Flood struct {
	Full <-chan struct{} // closed when the first has come again: there is no more room

	address, token string
	pause          time.Duration
	cancel         context.CancelFunc
	all            sync.WaitGroup
	clients        int64
	full           chan struct{}
	made           atomic.Int64
}

// BeginFlood sends clients to a daemon. Each sends a byte after each pause, and notices then
// that it was thrown out. A token, which may be one to read with, lets some of them further in.
func BeginFlood(ctx context.Context, address string, clients int, pause time.Duration, token string) *Flood {
	ctx, cancel := context.WithCancel(ctx)
	full := make(chan struct{})
	f := &Flood{Full: full, full: full, address: address, token: token, pause: pause, cancel: cancel, clients: int64(clients)}
	for n := range clients {
		f.all.Go(func() { f.client(ctx, n) })
	}
	return f
}

// End stops them, and returns how many connections they made.
func (f *Flood) End() int64 {
	f.cancel()
	f.all.Wait()
	return f.made.Load()
}

const (
	// lazy is one client in so many that takes no answer, and untaken the number of
	// requests whose answers are more than the buffers of a connection hold. More of
	// these would not be slow: their answers are gigabytes a second.
	lazy    = 64
	untaken = 90
)

// text is what a client sends at first. None of it is a whole request that may do something.
func (f *Flood) text(n int) string {
	const host, body = "Host: 127.0.0.1\r\n", "Content-Length: 100000\r\n\r\n[["
	token := ""
	if f.token != "" {
		token = "Authorization: Bearer " + f.token + "\r\n"
	}
	if n%lazy == 0 {
		return strings.Repeat("GET /openapi.json HTTP/1.1\r\n"+host+"\r\n", untaken)
	}
	switch n % 4 {
	case 0:
		return ""
	case 1:
		return "POST /db/execute HTTP/1.1\r\n" + host
	case 2:
		return "POST /db/execute HTTP/1.1\r\n" + host + body
	}
	return "POST /db/query HTTP/1.1\r\n" + host + token + body
}

func (f *Flood) client(ctx context.Context, n int) {
	var dialer net.Dialer
	for ctx.Err() == nil {
		conn, err := dialer.DialContext(ctx, "tcp", f.address)
		if err != nil {
			f.wait(ctx)
			continue
		}
		if tcp, ok := conn.(*net.TCPConn); ok && n%lazy == 0 {
			_ = tcp.SetReadBuffer(4 << 10) // what it does not take stays with the daemon
		}
		if f.made.Add(1) == f.clients+1 {
			close(f.full)
		}
		_, err = conn.Write([]byte(f.text(n)))
		for err == nil && f.wait(ctx) {
			_, err = conn.Write([]byte("x"))
		}
		_ = conn.Close() // it wanted no answer
	}
}

// wait is for a pause, and not for the same in all, or they would all come at once.
func (f *Flood) wait(ctx context.Context) bool {
	timer := time.NewTimer(f.pause/2 + rand.N(f.pause))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
