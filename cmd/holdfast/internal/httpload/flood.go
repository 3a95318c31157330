package httpload

import (
	"context"
	"net"
	"sync"
	"time"
)

// Flood has many clients begin requests that never end: each sends its header, and some
// their body, byte by byte. Who is thrown out comes again. They stop when end is called,
// which returns how many connections they made.
func Flood(ctx context.Context, address string, clients int) (end func() int64) {
	ctx, cancel := context.WithCancel(ctx)
	f := &flood{address: address}
	for n := range clients {
		f.all.Go(func() { f.client(ctx, n) })
	}
	return func() int64 {
		cancel()
		f.all.Wait()
		return f.made
	}
}

type flood struct {
	address string
	all     sync.WaitGroup

	mu   sync.Mutex
	made int64
}

const (
	slowBegin = "POST /db/execute HTTP/1.1\r\nHost: 127.0.0.1\r\n"
	slowBody  = "Content-Length: 100000\r\n\r\n["
	slowPause = time.Second // between two bytes
)

func (f *flood) client(ctx context.Context, n int) {
	var dialer net.Dialer
	for ctx.Err() == nil {
		conn, err := dialer.DialContext(ctx, "tcp", f.address)
		if err != nil {
			if !pause(ctx) {
				return
			}
			continue
		}
		f.mu.Lock()
		f.made++
		f.mu.Unlock()
		text := slowBegin
		if n%2 == 0 {
			text += slowBody
		}
		_, err = conn.Write([]byte(text))
		for err == nil && pause(ctx) {
			_, err = conn.Write([]byte("x"))
		}
		_ = conn.Close() // it never had an answer
	}
}

func pause(ctx context.Context) bool {
	timer := time.NewTimer(slowPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
