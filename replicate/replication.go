package replicate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/replicate/lease"
)

// Config says how a database is replicated: section replication of the configuration.
// A duration of 0 is the default, a negative one is "off" where that exists.
type Config = holdfast.ReplicationConfig

// The modes of Config.
const (
	Async   = "ASYNC"
	Durable = "DURABLE"
)

// Replication is one database that is being replicated. Its methods may be called by
// several goroutines at once, and nothing after Close.
type Replication struct {
	path   string
	config Config
	log    *slog.Logger
	target target
	engine *engine
	lock   *stateLock
	place  *lease.Place // nil without a lease, as is lease
	lease  *lease.Lease

	leaving atomic.Bool // no write is acknowledged any more: asked to leave

	kick  chan struct{} // somebody waits for the next round
	ended chan struct{} // closed when fatal is set
	close chan struct{} // closed by Close
	loops sync.WaitGroup
	stop  context.CancelFunc

	mu      sync.Mutex // guards the rest
	next    *round     // the one that has not begun; nil while nobody waits for it
	seen    seen
	begun   time.Time // since when rounds run and fail; zero after one that succeeded
	checked bool      // the target may be written to
	fatal   error     // why it can't go on
}

// round is one upload, and those who wait for it.
type round struct {
	done chan struct{}
	err  error // once done is closed
}

// seen is what Stats tells.
type seen struct {
	asOf     time.Time // everything that was committed before is at the target
	position string
	errors   int64
	last     string    // error since the last success
	warned   time.Time // of a lag
}

// Open begins to replicate the database at path, which must exist, to a directory or a
// URL (config.Target), and goes on until Close. Other programs may use the database; it is
// switched to WAL mode if it isn't in it. The first round begins at once in the
// background; Await waits for it. A target that can't be reached is tried again; one that has
// another database's history (HistoryError), and a second replication of the same database, are
// refused. log may be nil. Use it for a database that this process has not open by
// package holdfast; there, replication.target does it.
func Open(ctx context.Context, path string, config Config, log *slog.Logger) (*Replication, error) {
	engine := holdfast.Engine() // configures SQLite before Litestream's driver uses it
	if engine.Version == "" {
		return nil, fmt.Errorf("%w: SQLite can't be started", holdfast.ErrRefused)
	}
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	return open(ctx, path, config, log, connections{}, stallAfter)
}

func open(ctx context.Context, path string, config Config, log *slog.Logger, own connections, stall time.Duration) (*Replication, error) {
	if runtime.GOOS == "windows" {
		return nil, fmt.Errorf("%w: replication has not been proven on Windows; take backups instead", holdfast.ErrRefused)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t, err := parseTarget(config.Target)
	if err == nil {
		err = checkName(path)
	}
	if err == nil {
		err = t.beside(path)
	}
	if err != nil {
		return nil, err
	}
	lock, err := lockState(stateDir(path), path)
	if err != nil {
		return nil, err
	}
	r := &Replication{
		path: path, config: withDefaults(config), log: log, target: t, lock: lock,
		kick: make(chan struct{}, 1), ended: make(chan struct{}), close: make(chan struct{}),
		seen: seen{asOf: time.Now()},
	}
	if err := r.prepare(ctx, own, stall); err != nil {
		undo := lock.undo
		if r.lease != nil { // the next start has to find whose epoch it was
			undo = lock.release
		}
		return nil, errors.Join(err, r.disown(ctx, true), undo())
	}
	loop, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop = stop
	r.loops.Go(func() { r.run(loop) })
	r.loops.Go(func() { r.stage(loop) })
	if r.lease != nil {
		r.loops.Go(r.guard)
	}
	return r, nil
}

// prepare takes the lease, if there is to be one, and finds out whether the target is this database's.
func (r *Replication) prepare(ctx context.Context, own connections, stall time.Duration) (err error) {
	if r.config.Lease > 0 {
		if r.target, err = r.own(ctx); err != nil {
			return err
		}
	}
	if r.engine, err = newEngine(r.path, r.target, r.config, quiet(r.log)); err != nil {
		return err
	}
	r.engine.client.stall, r.engine.own = stall, own
	if r.lease != nil {
		r.engine.client.may = r.lease.Err
	}
	return r.begin(ctx)
}

// reachIn is how long Open waits for a target. A program must be able to start
// while it can't be reached.
const reachIn = 10 * time.Second

// begin finds out whether the target is this database's. That it can't be reached is
// no reason to fail.
func (r *Replication) begin(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, reachIn)
	defer cancel()
	err := r.engine.start(limited)
	switch {
	case err == nil:
		r.mu.Lock()
		r.checked = true
		r.mu.Unlock()
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case permanent(err):
		return err
	}
	r.failed(err)
	return nil
}

func withDefaults(c Config) Config {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	c.Interval = max(c.Interval, 0) // there is no "off" of it
	set(&c.Interval, time.Second)
	set(&c.LagLimit, time.Minute)
	set(&c.SnapshotInterval, 24*time.Hour)
	set(&c.Retention, 72*time.Hour)
	set(&c.ExactFor, 10*time.Minute)
	if c.Mode == "" {
		c.Mode = Async
	}
	return c
}

// Await returns when everything that was committed before the call is at the target, or
// with an error that says it may not be. Uploads that fail are tried again until ctx
// ends. Calls that overlap share uploads: while one runs, all who come wait for the next.
func (r *Replication) Await(ctx context.Context) error {
	var last error
	for {
		round, err := r.join()
		if err != nil {
			return errors.Join(err, last)
		}
		select {
		case <-round.done:
			if round.err == nil {
				return nil
			}
			if last = r.told(round.err); permanent(round.err) {
				return last
			}
		case <-r.ended:
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.told(r.fatal)
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), last)
		}
	}
}

// told is an error as the caller gets it.
func (r *Replication) told(err error) error {
	return fmt.Errorf("%s: %w", r.target.name, err)
}

// join waits for the next round that begins: one that is running may have read the log
// before the caller's commit.
func (r *Replication) join() (*round, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.close:
		return nil, holdfast.ErrClosed
	default:
	}
	if r.fatal != nil {
		return nil, r.told(r.fatal)
	}
	if r.next == nil {
		r.next = &round{done: make(chan struct{})}
	}
	select {
	case r.kick <- struct{}{}:
	default:
	}
	return r.next, nil
}

// run ships: one round after the other, when somebody waits or the interval is over.
func (r *Replication) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for failures := 0; ; {
		select {
		case <-r.close:
			return
		case <-r.ended:
			return
		case <-r.asked():
			r.leave(ctx)
			return
		case <-timer.C:
		case <-r.kick:
		}
		err := r.ship(ctx)
		if err == nil {
			failures = 0
			timer.Reset(r.config.Interval)
			continue
		}
		if permanent(err) {
			return
		}
		failures++
		timer.Reset(max(r.config.Interval, pause(failures, longPause)))
		if !r.rest(pause(failures, shortPause)) {
			return
		}
	}
}

// stage keeps the log short while a round takes long, or failed ones are waited after.
func (r *Replication) stage(ctx context.Context) {
	ticker := time.NewTicker(r.config.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-r.close:
			return
		case <-r.ended:
			return
		case <-ticker.C:
		}
		r.mu.Lock()
		late := !r.begun.IsZero() && time.Since(r.begun) > r.config.Interval && r.seen.position != ""
		r.mu.Unlock()
		if !late { // rounds do it, the first one in any case
			continue
		}
		if err := r.engine.stage(ctx); err != nil && ctx.Err() == nil {
			r.failed(err)
		}
	}
}

// After a failure nobody is tried for again at once: longer each time, up to this for one
// who waits, and to the long one for nobody.
const (
	firstPause = 50 * time.Millisecond
	shortPause = time.Second
	longPause  = 30 * time.Second
)

func pause(failures int, most time.Duration) time.Duration {
	return min(firstPause<<min(failures-1, 16), most)
}

// rest waits; false if it was ended by Close, or the replication has ended.
func (r *Replication) rest(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.close:
		return false
	case <-r.ended:
		return false
	}
}

// ship is one round.
func (r *Replication) ship(ctx context.Context) error {
	r.mu.Lock()
	now := r.next
	r.next = nil
	begun := time.Now()
	if r.begun.IsZero() {
		r.begun = begun
	}
	r.mu.Unlock()
	err := r.engine.ship(ctx)
	if r.lease != nil {
		// The upload has ended: if the manifest still names this session, whoever takes over will
		// find it. One look serves all who wait.
		if err == nil {
			err = r.lease.Confirm(ctx)
		} else if lost := r.lease.Err(); lost != nil {
			err = lost
		}
	}
	switch {
	case err == nil:
		r.shipped(begun)
	case permanent(err):
		r.end(err)
	default:
		r.failed(err)
	}
	if now != nil {
		now.err = err
		close(now.done)
	}
	return err
}

func (r *Replication) shipped(begun time.Time) {
	position := r.engine.position()
	r.mu.Lock()
	recovered := r.seen.last != ""
	r.begun = time.Time{}
	r.seen.asOf, r.seen.position, r.seen.last, r.seen.warned = begun, position, "", time.Time{}
	r.checked = true
	r.mu.Unlock()
	if recovered {
		r.log.Info("holdfast: replication goes on", "path", r.path, "target", r.target.name, "position", position)
	}
}

// end notes why nothing is shipped from now on.
func (r *Replication) end(err error) {
	r.mu.Lock()
	r.seen.errors++
	r.seen.last = err.Error()
	first := r.fatal == nil
	if first {
		r.fatal = err
		close(r.ended)
	}
	r.mu.Unlock()
	if first {
		r.log.Error("holdfast: the replication has ended", "path", r.path, "target", r.target.name, "error", err)
	}
}

// Ended is closed when the replication can't go on; Await says why.
func (r *Replication) Ended() <-chan struct{} { return r.ended }

// warnAgain is how often a failure that goes on is told.
const warnAgain = time.Minute

func (r *Replication) failed(err error) {
	now := time.Now()
	r.mu.Lock()
	r.seen.errors++
	r.seen.last = err.Error()
	tell := now.Sub(r.seen.warned) >= warnAgain
	if tell {
		r.seen.warned = now
	}
	since := r.seen.asOf
	r.mu.Unlock()
	if !tell {
		return
	}
	r.log.Warn("holdfast: the database is not being replicated", "path", r.path, "target", r.target.name,
		"since", since.UTC().Format(time.RFC3339), "pending_bytes", r.engine.pending(), "error", err,
		"next", "until the target is back, what is committed is kept beside the database: see that the disk has room for it")
}

// Stats waits for nobody.
func (r *Replication) Stats() holdfast.ReplicationStats {
	uploads, last, _ := r.engine.client.numbers()
	r.mu.Lock()
	seen, checked, fatal := r.seen, r.checked, r.fatal
	r.mu.Unlock()
	s := holdfast.ReplicationStats{
		Target: r.target.name, Mode: r.config.Mode, Position: seen.position,
		Uploads: uploads, Errors: seen.errors, LastUpload: last.UTC(), LastError: seen.last,
		Ended: fatal != nil, OtherWriter: errors.Is(fatal, ErrForeign),
	}
	if last.IsZero() {
		s.LastUpload = time.Time{}
	}
	if !checked || seen.position == "" || !r.engine.written().Before(seen.asOf.Add(-clockStep)) {
		s.LagSeconds = time.Since(seen.asOf).Seconds()
		s.PendingBytes = r.engine.pending()
	}
	return s
}

// clockStep is how far the time that a file was written may be behind the clock: the
// kernel has it of the last tick.
const clockStep = 20 * time.Millisecond

// Checkpoint copies the log into the database, by PASSIVE only; the other modes are
// holdfast.ErrRefused.
func (r *Replication) Checkpoint(ctx context.Context, mode holdfast.CheckpointMode) (holdfast.CheckpointResult, error) {
	begun := time.Now()
	out := holdfast.CheckpointResult{Mode: mode, BytesBefore: r.engine.logBytes(0)}
	r.mu.Lock()
	checked := r.checked
	r.mu.Unlock()
	if !checked {
		return out, fmt.Errorf("%w: the replication has not begun, as %s was not reached yet", holdfast.ErrBusy, r.target.name)
	}
	frames, err := r.engine.checkpoint(ctx, mode)
	out.LogFrames, out.CopiedFrames = frames, frames
	out.BytesAfter = r.engine.logBytes(0)
	out.DurationSeconds = time.Since(begun).Seconds()
	return out, err
}

// Close ships what is left, trying again until ctx ends, and stops. The error says
// whether something may not be at the target; what was committed is in the database in any
// case, and the next Open ships it.
func (r *Replication) Close(ctx context.Context) error {
	r.mu.Lock()
	close(r.close)
	last := r.next
	r.next = nil
	r.mu.Unlock()
	// A round that is running may stand still; ctx bounds that too.
	release := context.AfterFunc(ctx, r.stop)
	defer release()
	r.loops.Wait()
	if last != nil {
		last.err = holdfast.ErrClosed
		close(last.done)
	}
	err := r.finish(ctx)
	r.stop()
	// The store ships once more, which is nothing by now, and is not to wait for a target
	// that isn't there.
	ending := ctx
	if err != nil {
		var cancel context.CancelFunc
		ending, cancel = context.WithCancel(ctx)
		cancel()
	}
	e := r.engine.close(ending)
	if err == nil {
		err = e
	}
	err = errors.Join(err, r.disown(ctx, err == nil), r.lock.release())
	if err != nil {
		return r.told(err)
	}
	r.mu.Lock()
	r.seen.asOf = time.Now().Add(clockStep) // nobody of ours writes any more
	r.mu.Unlock()
	return nil
}

// finish ships what is left.
func (r *Replication) finish(ctx context.Context) error {
	r.mu.Lock()
	fatal := r.fatal
	r.mu.Unlock()
	if fatal != nil {
		return fatal
	}
	for failures := 1; ; failures++ {
		err := r.ship(ctx)
		if err == nil || permanent(err) {
			return err
		}
		timer := time.NewTimer(pause(failures, shortPause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(context.Cause(ctx), err)
		}
	}
}
