package replicate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/benbjohnson/litestream"
	"github.com/benbjohnson/litestream/file"
	"github.com/superfly/ltx"
)

// errStalled is why a request was given up.
var errStalled = errors.New("nothing has moved for a while")

// stallAfter is how long a request to a target may stand still. Litestream's own
// client waits for a day.
const stallAfter = 30 * time.Second

// ErrForeign: somebody else writes to the target.
var ErrForeign = errors.New("somebody else writes to this target: two replications of one target destroy each other; end the other one, then name a new target for this one")

// ErrTargetLost: what was put at the target is not there any more. What came next would
// lack its beginning.
var ErrTargetLost = errors.New("what was put at this target is gone from it: it was emptied or put back, or is not mounted; bring it back, and the replication goes on, or begin it again, with a copy of everything")

// client is Litestream's, with what that lacks: requests end when they stand still,
// are counted, and what is at the target is compared with what was put there.
type client struct {
	litestream.ReplicaClient
	stall time.Duration
	may   func() error            // nil, or why nothing may be changed at the target any more
	life  context.Context         //nolint:containedctx // it is the client's
	end   context.CancelCauseFunc // gives up all requests, for good

	mu       sync.Mutex // guards the rest
	uploads  int64
	last     time.Time
	sizes    map[ltx.TXID]int64 // of transactions that were put there since
	foreign  error
	lost     error    // what was put there is not; until a list has it again
	tip      ltx.TXID // the last one of sizes
	newest   ltx.TXID // that is ours; 0: not known yet
	failures int64
}

func newClient(inner litestream.ReplicaClient) *client {
	c := &client{ReplicaClient: inner, stall: stallAfter, may: func() error { return nil }, sizes: map[ltx.TXID]int64{}}
	c.life, c.end = context.WithCancelCause(context.Background())
	return c
}

// watched returns a context that ends when touch isn't called for stall.
func (c *client) watched(ctx context.Context) (_ context.Context, touch, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.stall, func() { cancel(fmt.Errorf("%w (%s)", errStalled, c.stall)) })
	alive := context.AfterFunc(c.life, func() { cancel(context.Cause(c.life)) })
	return ctx, func() { timer.Reset(c.stall) }, func() { timer.Stop(); alive(); cancel(context.Canceled) }
}

// because prefers the reason for which a context ended.
func because(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		return context.Cause(ctx)
	}
	return err
}

func (c *client) Init(ctx context.Context) error {
	ctx, _, stop := c.watched(ctx)
	defer stop()
	return because(ctx, c.ReplicaClient.Init(ctx))
}

func (c *client) LTXFiles(ctx context.Context, level int, seek ltx.TXID, useMetadata bool) (ltx.FileIterator, error) {
	ctx, touch, stop := c.watched(ctx)
	defer stop()
	before := c.put(level, seek)
	itr, err := c.ReplicaClient.LTXFiles(ctx, level, seek, useMetadata)
	if err != nil {
		return nil, because(ctx, err)
	}
	var all []*ltx.FileInfo
	for itr.Next() {
		info := *itr.Item()
		all = append(all, &info)
		touch()
	}
	if err := itr.Close(); err != nil {
		return nil, because(ctx, err)
	}
	if level == 0 {
		if err := c.compare(all, before); err != nil {
			return nil, err
		}
	}
	return ltx.NewFileInfoSliceIterator(all), nil
}

// put are the transactions that a list which begins now has to have.
func (c *client) put(level int, seek ltx.TXID) (txs []ltx.TXID) {
	if level > 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for tx := range c.sizes {
		if tx >= seek {
			txs = append(txs, tx)
		}
	}
	return txs
}

// compare looks whether the transactions at the target are those that were put there, and
// all that were there before.
func (c *client) compare(at []*ltx.FileInfo, before []ltx.TXID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.newest == 0 {
		return nil
	}
	there := make(map[ltx.TXID]bool, len(at))
	for _, info := range at {
		there[info.MaxTXID] = true
		size, ours := c.sizes[info.MaxTXID]
		if info.MaxTXID > c.newest || ours && size != info.Size {
			c.foreign = fmt.Errorf("%w (transaction %s)", ErrForeign, info.MaxTXID)
		}
	}
	c.lost = nil
	for _, tx := range before {
		if _, ours := c.sizes[tx]; ours && !there[tx] { // else it was removed meanwhile, from here
			c.lost = fmt.Errorf("%w (transaction %s)", ErrTargetLost, tx)
		}
	}
	return c.lost
}

// owns has what is at the target from now on compared.
func (c *client) owns(newest ltx.TXID, tail *ltx.FileInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if tail != nil {
		c.tip, c.sizes[tail.MaxTXID] = tail.MaxTXID, tail.Size
	}
	c.newest = max(c.newest, newest, 1)
}

// isOurs tells whether a transaction is the last one that was put at the target from here.
func (c *client) isOurs(info *ltx.FileInfo) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return info != nil && info.MaxTXID == c.newest && c.sizes[info.MaxTXID] == info.Size
}

// kept is how many transactions are remembered for comparison: those of the last
// minute or so.
const kept = 10_000

func (c *client) WriteLTXFile(ctx context.Context, level int, first, last ltx.TXID, r io.Reader) (*ltx.FileInfo, error) {
	ctx, touch, stop := c.watched(ctx)
	defer stop()
	err := c.may()
	if err == nil {
		err = c.gone()
	}
	if err != nil {
		return nil, err
	}
	if level == 0 {
		c.mu.Lock()
		c.newest = max(c.newest, last) // before it is there: a listing may see it sooner than this returns
		delete(c.sizes, last)
		c.mu.Unlock()
	}
	info, err := c.ReplicaClient.WriteLTXFile(ctx, level, first, last, touching(r, touch))
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failures++
		return nil, because(ctx, err)
	}
	c.last = time.Now()
	if level == 0 {
		c.uploads++
		c.tip, c.sizes[last] = last, info.Size
		delete(c.sizes, last-kept)
	}
	return info, nil
}

// gone is why nothing may be put at the target. In a directory it is looked up each time: a
// disk that is not mounted leaves one that takes everything.
func (c *client) gone() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir, ok := c.ReplicaClient.(*file.ReplicaClient)
	if _, put := c.sizes[c.tip]; c.lost == nil && ok && put {
		if _, err := os.Stat(dir.LTXFilePath(0, c.tip, c.tip)); errors.Is(err, fs.ErrNotExist) {
			c.lost = fmt.Errorf("%w (transaction %s)", ErrTargetLost, c.tip)
		}
	}
	return c.lost
}

// DeleteLTXFiles leaves the newest of the copies of everything that are too old: the steps
// between it and the next one are not, and begin with it.
func (c *client) DeleteLTXFiles(ctx context.Context, a []*ltx.FileInfo) error {
	if len(a) > 0 && a[0].Level == litestream.SnapshotLevel {
		newest := slices.MaxFunc(a, func(x, y *ltx.FileInfo) int { return cmp.Compare(x.MaxTXID, y.MaxTXID) })
		a = slices.DeleteFunc(slices.Clone(a), func(info *ltx.FileInfo) bool { return info == newest })
	}
	const batch = 1000 // of one request
	for len(a) > 0 {
		n := min(batch, len(a))
		if err := c.deleteSome(ctx, a[:n]); err != nil {
			return err
		}
		a = a[n:]
	}
	return nil
}

func (c *client) deleteSome(ctx context.Context, a []*ltx.FileInfo) error {
	if err := c.may(); err != nil {
		return err
	}
	ctx, _, stop := c.watched(ctx)
	defer stop()
	c.mu.Lock()
	for _, info := range a {
		if info.Level == 0 {
			delete(c.sizes, info.MaxTXID)
		}
	}
	c.mu.Unlock()
	return because(ctx, c.ReplicaClient.DeleteLTXFiles(ctx, a))
}

// OpenLTXFile's reader ends with its own stall, not with the call.
func (c *client) OpenLTXFile(ctx context.Context, level int, first, last ltx.TXID, offset, size int64) (io.ReadCloser, error) {
	ctx, touch, stop := c.watched(ctx)
	r, err := c.ReplicaClient.OpenLTXFile(ctx, level, first, last, offset, size)
	if err != nil {
		defer stop()
		return nil, because(ctx, err)
	}
	return &body{r, ctx, touch, stop}, nil
}

// body is a file that is being read.
type body struct {
	io.ReadCloser
	ctx   context.Context //nolint:containedctx // it ends the request that is behind the reader
	touch func()
	stop  func()
}

func (b *body) Read(p []byte) (int, error) {
	b.touch()
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = because(b.ctx, err)
	}
	return n, err
}

func (b *body) Close() error {
	b.stop()
	return b.ReadCloser.Close()
}

// touching calls touch with each read. What can seek still can: S3's client sends a
// file that it can't in parts, each of which it holds in memory.
func touching(r io.Reader, touch func()) io.Reader {
	t := touchingReader{r, touch}
	if s, ok := r.(io.ReadSeeker); ok {
		return struct {
			touchingReader
			io.Seeker
		}{t, s}
	}
	return t
}

type touchingReader struct {
	r     io.Reader
	touch func()
}

func (t touchingReader) Read(p []byte) (int, error) {
	t.touch()
	return t.r.Read(p)
}

// numbers are what was counted.
func (c *client) numbers() (uploads int64, last time.Time, foreign error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.uploads, c.last, c.foreign
}
