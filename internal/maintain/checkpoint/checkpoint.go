package checkpoint

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/pool"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
	"github.com/holdfastdb/holdfast/internal/writer"
)

// ErrClosed: the Checkpointer was closed.
var ErrClosed = errors.New("the database is being closed")

// Owner is who checkpoints.
type Owner int

// The owners.
const (
	Auto     Owner = iota // Own, unless Litestream replicates the database
	Own                   // this package
	External              // somebody else: here nothing is done unless asked for
)

// Config is how a Checkpointer behaves. All functions and rooms are required.
type Config struct {
	Open   func(ctx context.Context) (*sqlite.Conn, error) // opens a connection that may write
	Fence  func() error                                    // nil while the log is the one that is open
	Pool   *pool.Pool
	Writer *writer.Writer
	Size   func() int64 // of the log in bytes, on the disk
	// Readers are the leases of this process on the database, the oldest first.
	Readers func() []locks.Lease
	// Foreign is another process that has one of the slots of the shared memory,
	// the first of them, or else keeps checkpoints away.
	Foreign func(ctx context.Context, slots []int) (locks.Process, bool)
	// Litestream tells whether its directory lies beside the database.
	Litestream func() bool
	OnEvent    func(Event)
	Times      *stats.Times // nil: nothing is timed

	Owner Owner
	Limit int64 // bytes of the log that are too many; 0 is none
	Keep  bool  // leave the log its size in quiet moments
}

// stepFrames is after how many frames the log is copied: SQLite's own default, 4 MB
// of pages of 4 KB. The log goes on at its start then, so that is also how long it
// is as a rule.
const stepFrames = 1000

// largestFrame is a page of 64 KiB and what the log adds to it. Until the first
// checkpoint knows the size of a page it could be any.
const largestFrame = 64<<10 + frameHeader

const frameHeader = 24

// Checkpointer looks after the log of one database. It has no goroutine of its own
// as long as there is nothing to do; Close ends the one that it may have. It is
// safe for concurrent use.
type Checkpointer struct {
	cfg    Config
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	all    sync.WaitGroup // the run under way
	turn   chan struct{}  // capacity 1: in it is whoever checkpoints, and owns the fields below

	conn   *sqlite.Conn
	frame  int64 // bytes of a frame
	press  pressing
	held   time.Time // since when the writer is
	stuck  stuck
	role   role
	tables tables

	mu      sync.Mutex // guards the rest; never held while SQLite works
	closed  bool
	running bool
	pass    chan struct{} // closed at the end of the one on conn; nil if there is none
	// passFrom is how long the log was when it began.
	passFrom int
	seen     seen
	pin      *Pin // who kept the log from being emptied when it was last looked at
	log      []Entry
	count    counters
}

// seen is what the last commit and the last checkpoint said of the log.
type seen struct {
	frames, copied int
	frame          int64 // bytes of one
	due            int   // frames at which the log is copied next
	step           int   // frames between two copies
	era            int   // how often the log was begun anew
	commits        uint64
	told           uint64    // commits when Round last looked
	last           time.Time // when Round last saw that there had been some
	tidied         uint64    // commits at the last run in a quiet moment that left nothing to do
	handedOver     bool
}

// counters are what Stats tells.
type counters struct {
	checkpoints, copied, truncations, readerHolds, pins, overLimit int64
	incomplete, inARow                                             int64
	longest                                                        time.Duration
}

// New returns a Checkpointer that has opened nothing.
func New(cfg Config) *Checkpointer {
	c := &Checkpointer{cfg: cfg, turn: make(chan struct{}, 1), frame: largestFrame}
	c.seen.frame = c.frame
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.seen.step = c.step()
	c.seen.due = c.seen.step
	return c
}

// step is how many frames may come between two copies: with a low limit fewer than
// usual.
func (c *Checkpointer) step() int {
	if c.cfg.Limit <= 0 {
		return stepFrames
	}
	return int(max(min(stepFrames, c.cfg.Limit/4/c.frame), 16))
}

// Committed tells that a commit of this process has left so many frames in the log.
// It returns at once, unless the writer is faster than the disk, and may be called
// while SQLite works.
func (c *Checkpointer) Committed(frames int) {
	c.mu.Lock()
	s := &c.seen
	s.commits++
	if frames < s.frames { // it was begun anew
		s.copied, s.due = 0, s.step
		s.era++
	}
	s.frames = frames
	due := frames >= s.due && !c.running
	pass := c.pass
	if frames-c.passFrom < tooFast*s.step {
		pass = nil
	}
	c.mu.Unlock()
	switch {
	case due:
		c.start(false)
	case pass != nil:
		waitFor(pass)
	}
}

// tooFast is how many times the usual length of the log mean, when they are written
// during one pass, that the writer is faster than the disk. It then waits for the
// end of the pass, as it would if it copied the log itself, but for no longer than
// longestPass a commit; after that it is held for the rest. On a busy disk a writer
// that syncs nothing wrote 30,000 frames during one pass.
const (
	tooFast     = 3
	longestPass = time.Second
)

func waitFor(pass <-chan struct{}) {
	limit := time.NewTimer(longestPass)
	defer limit.Stop()
	select {
	case <-pass:
	case <-limit.C:
	}
}

// quietAfter is how long nobody has to commit for a moment to be quiet. Where a
// commit comes every few seconds, a checkpoint after each would double the writes.
const quietAfter = 10 * time.Second

// Round is called every so often by a timer that the caller owns. It does what
// commits alone don't bring about: it tries again when the log could not be
// emptied, and uses quiet moments. It returns at once.
func (c *Checkpointer) Round(now time.Time) {
	c.mu.Lock()
	s := &c.seen
	if s.told != s.commits || s.last.IsZero() {
		s.told, s.last = s.commits, now
	}
	quiet := now.Sub(s.last) >= quietAfter && s.tidied != s.commits
	due := s.frames-s.copied >= s.step || s.frames > 0 && quiet
	c.mu.Unlock()
	if due {
		c.startAt(now, quiet)
	}
}

func (c *Checkpointer) start(quiet bool) { c.startAt(time.Time{}, quiet) }

// startAt begins a run on a goroutine, unless one is under way. The time is now if
// it is zero.
func (c *Checkpointer) startAt(now time.Time, quiet bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.running {
		return
	}
	c.running = true
	c.all.Add(1)
	go func() {
		defer c.all.Done()
		if c.take(c.ctx) == nil {
			if now.IsZero() {
				now = time.Now()
			}
			begun := time.Now()
			p, err := c.run(c.ctx, now, quiet) // reported as an event
			c.note(begun, "", p, err)
			c.giveBack()
		}
		c.mu.Lock()
		c.running = false
		c.mu.Unlock()
	}()
}

// take waits for the right to checkpoint.
func (c *Checkpointer) take(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.ctx.Err() != nil {
		c.giveBack()
		return ErrClosed
	}
	return nil
}

func (c *Checkpointer) giveBack() { <-c.turn }

// Close ends what is under way and closes the connection. The log is left as it is:
// whoever closes the last connection of all copies it.
func (c *Checkpointer) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.all.Wait()
	c.turn <- struct{}{} // a checkpoint that somebody asked for ends with c.ctx too
	defer c.giveBack()
	if c.conn == nil {
		return nil
	}
	conn := c.conn
	c.conn = nil
	return conn.Close()
}

// progress is how far the log has been copied.
type progress struct {
	log, copied int
	anew        bool // the next write begins it anew: nobody reads in it
	stands      bool // the last pass has copied nothing: somebody reads an older state
	short       bool // not all that there was at the beginning is copied: likewise
}

func (p progress) left() int { return p.log - p.copied }

// errTaken: somebody else checkpoints.
var errTaken = errors.New("another process checkpoints")

// passive copies what needs no waiting.
func (c *Checkpointer) passive(ctx context.Context) (progress, error) {
	if c.conn == nil {
		if err := c.open(ctx); err != nil {
			return progress{}, err
		}
	}
	pass := make(chan struct{})
	c.underWay(pass)
	defer close(pass)
	defer c.underWay(nil)
	return c.copyBy(ctx, c.conn, sqlite.CheckpointPassive)
}

func (c *Checkpointer) underWay(pass chan struct{}) {
	c.mu.Lock()
	c.pass, c.passFrom = pass, c.seen.frames
	c.mu.Unlock()
}

func (c *Checkpointer) open(ctx context.Context) error {
	conn, err := c.cfg.Open(ctx)
	if err != nil {
		return err
	}
	page, err := conn.QueryInt64("PRAGMA page_size")
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	c.conn, c.frame = conn, page+frameHeader
	c.mu.Lock()
	c.seen.frame, c.seen.step = c.frame, c.step()
	c.seen.due = max(c.seen.due, c.seen.step)
	c.mu.Unlock()
	return nil
}

// copyBy is one checkpoint of SQLite's, and notes what it has achieved. ErrTaken is
// what a PASSIVE one says to somebody else's; for the others busy is.
func (c *Checkpointer) copyBy(ctx context.Context, conn *sqlite.Conn, mode sqlite.CheckpointMode) (progress, error) {
	c.mu.Lock()
	era, before, commits := c.seen.era, c.seen.copied, c.seen.commits
	c.mu.Unlock()
	over, began := conn.InterruptAfter(ctx), time.Now()
	log, copied, err := conn.WALCheckpoint("main", mode)
	over()
	c.timed(mode, time.Since(began))
	p := progress{log: log, copied: copied, short: copied < log}
	if err != nil && (sqlite.Code(err).Primary() != sqlite.ResultBusy || log < 0) {
		return progress{}, c.failed(ctx, conn, err)
	}
	// SQLite tells how long the log was when the checkpoint began.
	if now := conn.LogPending(); now > p.log {
		p.log = now
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count.checkpoints++
	if era == c.seen.era { // else nobody knows which log the numbers are about
		c.count.copied += int64(max(copied-before, 0))
		c.seen.copied = copied
		if commits == c.seen.commits {
			c.seen.frames = p.log // others may have written, or begun it anew
		}
	}
	return p, err
}

func (c *Checkpointer) timed(mode sqlite.CheckpointMode, took time.Duration) {
	t := c.cfg.Times
	if t == nil {
		return
	}
	switch mode {
	case sqlite.CheckpointPassive:
		t.Passive.Add(took)
	case sqlite.CheckpointTruncate:
		t.Truncate.Add(took)
	default:
		t.Restart.Add(took)
	}
}

// failed is what becomes of a checkpoint that SQLite has not made at all.
func (c *Checkpointer) failed(ctx context.Context, conn *sqlite.Conn, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case sqlite.Code(err).Primary() == sqlite.ResultBusy:
		return errTaken
	}
	if conn == c.conn { // nobody can vouch for its state
		c.conn = nil
		_ = conn.Close()
	}
	return err
}

// cut notes that the log has been cut to nothing.
func (c *Checkpointer) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count.truncations++
	c.seen.frames, c.seen.copied, c.seen.due = 0, 0, c.seen.step
	c.seen.era++
}

// ended notes whether a checkpoint got anywhere. It did not if frames are left that were
// there when it began, and it has copied none: under load there is a reader a few frames
// behind at any moment, so that few copy all. One that was left to somebody else, or
// ended with its context, says nothing.
func (c *Checkpointer) ended(before seen, p progress, err error) {
	if errors.Is(err, errTaken) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && !(p.short && p.copied <= before.copied && c.seen.era == before.era) {
		c.count.inARow = 0
		return
	}
	c.count.incomplete++
	c.count.inARow++
}

func (c *Checkpointer) lastSeen() seen {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

// again sets the number of frames at which the next run is due.
func (c *Checkpointer) again(p progress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.seen
	next := s.step
	if p.left() == 0 {
		// Unless it is begun anew now, somebody reads in it at this moment. As reads
		// take microseconds, another try soon is likely to do.
		next /= 16
	}
	if s.frames < p.log { // it was, meanwhile
		s.due = s.step
	} else {
		s.due = max(p.log+next, s.step)
	}
}

// Stats are the numbers of a Checkpointer.
type Stats struct {
	Frames, Copied int   // in the log as of the last commit, and of them as of the last checkpoint
	Bytes          int64 // of Frames
	HandedOver     bool
	Pin            *Pin // who keeps the log from being emptied; nil if nobody is known to

	Checkpoints, FramesCopied, Restarts, Truncations int64
	ReaderHolds, Pins, OverLimit                     int64
	Incomplete, InARow                               int64         // that copied nothing of what was left; the last ones
	LongestHold                                      time.Duration // of the writer
}

// Stats returns the numbers as they are now.
func (c *Checkpointer) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{
		Frames: c.seen.frames, Bytes: int64(c.seen.frames) * c.seen.frame, Copied: min(c.seen.copied, c.seen.frames), HandedOver: c.seen.handedOver, Pin: c.pin,
		Checkpoints: c.count.checkpoints, FramesCopied: c.count.copied,
		Restarts: int64(c.seen.era), Truncations: c.count.truncations,
		ReaderHolds: c.count.readerHolds, Pins: c.count.pins, OverLimit: c.count.overLimit,
		Incomplete: c.count.incomplete, InARow: c.count.inARow,
		LongestHold: c.count.longest,
	}
}
