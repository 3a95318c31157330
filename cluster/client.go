package cluster

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast"
)

// client is one Open of an address: the holdfast.Backend. It is safe for concurrent use.
type client struct {
	addr     address
	http     *http.Client
	nodes    *nodes
	writes   *queue
	log      *slog.Logger
	readOnly bool
	timeout  time.Duration
	keepKeys time.Duration
	counts   counts

	life context.Context // ends with Close; dials and reads end with it
	end  context.CancelFunc
	once sync.Once
}

// counts are since Open.
type counts struct {
	sessions, succeeded, failed, retries, requests atomic.Int64
}

// closeWait is how long Close waits for writes that are under way, whose callers would not know
// what became of them.
const closeWait = 5 * time.Second

func init() {
	holdfast.RegisterBackend(Scheme, open)
}

// open makes a client. It sends nothing: a cluster without a leader at the moment can be opened,
// and what is asked of it waits for one.
func open(_ context.Context, text string, cfg holdfast.Config) (holdfast.Backend, error) {
	a, err := parseAddress(text)
	if err != nil {
		return nil, holdfast.NewError(holdfast.Failure{
			Kind: holdfast.ErrRefused, Code: codeMisuse, Op: "open", Text: err.Error(), Next: "write " + Scheme + "://user:password@host:4001,host:4001?tls=on&level=weak",
		})
	}
	return newClient(a, cfg), nil
}

func newClient(a address, cfg holdfast.Config) *client {
	c := &client{
		addr: a, nodes: &nodes{list: a.nodes, tls: a.tls != nil}, log: cfg.Logger,
		readOnly: cfg.Database.ReadOnly, timeout: a.timeout, keepKeys: cfg.Writer.IdempotencyRetention,
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.timeout <= 0 {
		c.timeout = max(cfg.Database.BusyTimeout, time.Second)
	}
	c.life, c.end = context.WithCancel(context.Background())
	c.http = newHTTPClient(a, c.life)
	c.writes = newQueue(c.leading, c.sendGroup)
	return c
}

// Capabilities is what a cluster can do.
func (c *client) Capabilities() holdfast.Capabilities {
	return holdfast.Capabilities{
		Backend: Scheme, ReadLevels: []holdfast.ReadLevel{holdfast.ReadNone, holdfast.ReadWeak, holdfast.ReadLinearizable}, Replicated: true, Restore: true,
	}
}

// Close refuses what comes, waits for writes under way, and leaves no goroutine.
func (c *client) Close() error {
	c.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeWait)
		defer cancel()
		c.writes.close(ctx)
		c.end()
		c.http.CloseIdleConnections()
	})
	return nil
}

type budgetKey struct{}

// budget bounds a call whose context has no end of its own, or a late one. The caller's context is
// kept, to tell its end from that of the budget.
func (c *client) budget(ctx context.Context) (context.Context, context.CancelFunc) {
	outer := ctx
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, budgetKey{}, outer), c.timeout)
	stop := context.AfterFunc(c.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// sendGroup is one attempt of the queue, the turn-th in a row that was not taken.
func (c *client) sendGroup(ctx context.Context, node string, turn int, body []byte, n int) (r reply, atOnce bool) {
	c.counts.requests.Add(1)
	r = c.watched(ctx, node, c.deposed, func(ctx context.Context) reply {
		return c.exchange(ctx, node, "/db/execute?transaction&redirect&blob_array", body, n)
	})
	switch r.verdict {
	case notTaken:
		atOnce = c.moveOn(ctx, node, r, turn)
	case doubtful:
		c.nodes.failed(node)
	}
	return r, atOnce
}

// ended is the error of the caller's own context, not that of the budget.
func ended(ctx context.Context) error {
	if outer, ok := ctx.Value(budgetKey{}).(context.Context); ok {
		ctx = outer
	}
	return ctx.Err()
}

// rest pauses between two attempts.
func (c *client) rest(ctx context.Context, turn int) error {
	select {
	case <-time.After(pause(turn)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
