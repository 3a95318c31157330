package objects

import (
	"context"
	"net"
	"time"
)

// silence is how long a connection may stand still. Without a limit a machine that
// vanished would hold up a backup for a quarter of an hour, or for good.
const silence = 2 * time.Minute

// conn gives up if nothing was read or written for so long.
type conn struct {
	net.Conn
	silence time.Duration
}

func (c conn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write puts off the end of the wait for an answer too: none comes before all is sent.
func (c conn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// dialing connects within 30 s.
func dialing(limit time.Duration) func(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: min(30*time.Second, limit)}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return conn{c, limit}, nil
	}
}
