// Package httpload writes single rows to a daemon over HTTP, from many clients at once, as
// fast as it answers, and measures how long each answer takes.
package httpload

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Load is what is done. Address, Clients, and Duration or Writes must be set.
type Load struct {
	Address  string // host:port
	Clients  int    // each has a connection of its own, and waits for each answer
	Duration time.Duration
	Writes   int    // of each client, however long they take; 0: as many as Duration allows
	Token    string // that lets them write, if one is needed
}

// Report is what came of it.
type Report struct {
	Writes  int64 // acknowledged
	Errors  int64
	First   string // of the errors
	Elapsed time.Duration

	times []time.Duration // of all answers, in order of their length
}

// PerSecond is the throughput.
func (r *Report) PerSecond() float64 { return float64(r.Writes) / r.Elapsed.Seconds() }

// Quantile is the time within which that part of all answers came.
func (r *Report) Quantile(q float64) time.Duration {
	if len(r.times) == 0 {
		return 0
	}
	return r.times[min(int(q*float64(len(r.times))), len(r.times)-1)]
}

// Table is where the rows go.
const Table = "CREATE TABLE bench_http (id INTEGER PRIMARY KEY, client INTEGER, n INTEGER, note TEXT)"

// Run writes until the time is over or ctx ends. An error is about the load; those of
// single writes are counted.
func Run(ctx context.Context, l Load) (*Report, error) {
	clients := make([]*client, l.Clients)
	defer func() {
		for _, c := range clients {
			if c != nil {
				_ = c.conn.Close() // all answers are read
			}
		}
	}()
	var dialer net.Dialer
	for i := range clients {
		conn, err := dialer.DialContext(ctx, "tcp", l.Address)
		if err != nil {
			return nil, err
		}
		clients[i] = &client{number: i, conn: conn, in: bufio.NewReader(conn), most: l.Writes, header: writeHeader(l.Token)}
	}
	var over atomic.Bool
	defer context.AfterFunc(ctx, func() { over.Store(true) })()
	begin := time.Now()
	if l.Writes == 0 {
		timer := time.AfterFunc(l.Duration, func() { over.Store(true) })
		defer timer.Stop()
	}
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() { c.run(&over) })
	}
	all.Wait()
	r := &Report{Elapsed: time.Since(begin)}
	for _, c := range clients {
		r.Writes += int64(len(c.times))
		r.times = append(r.times, c.times...)
		if c.err != nil {
			r.Errors++
			r.First = c.err.Error()
		}
	}
	slices.Sort(r.times)
	return r, ctx.Err()
}

// client is one of those who write. It speaks as much HTTP as it needs: net/http's client
// takes more of the processor than the daemon does.
type client struct {
	number int
	most   int    // writes; 0: until it is over
	header string // of each request, but its length
	conn   net.Conn
	in     *bufio.Reader
	out    []byte
	body   []byte
	times  []time.Duration
	err    error // it ends with the first
}

func (c *client) run(over *atomic.Bool) {
	for n := 0; !over.Load() && (c.most == 0 || n < c.most); n++ {
		begin := time.Now()
		if c.err = c.write(n); c.err != nil {
			return
		}
		c.times = append(c.times, time.Since(begin))
	}
}

func writeHeader(token string) string {
	header := "POST /db/execute HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
	if token != "" {
		header += "Authorization: Bearer " + token + "\r\n"
	}
	return header
}

func (c *client) write(n int) error {
	c.body = fmt.Appendf(c.body[:0], `[["INSERT INTO bench_http(client, n, note) VALUES(?, ?, ?)", %d, %d, "a note of some length, as rows have"]]`, c.number, n)
	c.out = fmt.Appendf(append(c.out[:0], c.header...), "Content-Length: %d\r\n\r\n", len(c.body))
	if _, err := c.conn.Write(append(c.out, c.body...)); err != nil {
		return err
	}
	return c.answer()
}

var (
	lengthHeader = []byte("Content-Length: ")
	errorMember  = []byte(`"error"`)
)

// answer reads one answer and judges it.
func (c *client) answer() error {
	status, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	fine := bytes.HasPrefix(status, []byte("HTTP/1.1 200 "))
	said := string(bytes.TrimSpace(status[:min(len(status), 40)]))
	length := -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if digits, ok := bytes.CutPrefix(line, lengthHeader); ok {
			if length, err = strconv.Atoi(string(digits)); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("the answer does not say how long it is")
	}
	c.body = slices.Grow(c.body[:0], length)[:length]
	if _, err := io.ReadFull(c.in, c.body); err != nil {
		return err
	}
	if !fine || bytes.Contains(c.body, errorMember) {
		return fmt.Errorf("%s: %.200s", said, c.body)
	}
	return nil
}
