package writer

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/internal/stats"
)

// UploadError says that a write is committed here, and that nobody knows whether
// it is safe elsewhere, too. It is an ErrOutcomeUnknown.
type UploadError struct{ Cause error }

func (e *UploadError) Error() string {
	return "committed here, and perhaps not yet at the target of the replication: " + e.Cause.Error()
}

// Is makes it an ErrOutcomeUnknown.
func (e *UploadError) Is(target error) bool { return target == ErrOutcomeUnknown }

// Unwrap returns the reason.
func (e *UploadError) Unwrap() error { return e.Cause }

var errUploadLate = errors.New("the upload took longer than replication.upload_timeout")

// Uploaded waits until everything that was committed before the call is safe
// elsewhere, which is at once if there is no Config.Await. It is for whoever is
// about to acknowledge a write, and has given the baton back: the next group
// commits meanwhile. ctx ends this wait and nobody else's. An error is an
// *UploadError, or the fence's: an upload takes long enough for somebody to have
// found the file damaged or gone since the look after COMMIT.
func (w *Writer) Uploaded(ctx context.Context) error {
	if w.uploads == nil {
		return nil
	}
	if err := w.uploads.wait(ctx); err != nil {
		return err
	}
	return Unacknowledged(w.cfg.Fence())
}

// LastUpload has last upload what is left, when the one that is under way has
// ended or ctx has. It is for after Close: who still waits, or comes to wait, is
// answered by what last returns. Without a Config.Await last is all it does.
func (w *Writer) LastUpload(ctx context.Context, last func(context.Context) error) error {
	if w.uploads == nil {
		return last(ctx)
	}
	return w.uploads.close(ctx, last)
}

// uploads is who waits for an upload. One at a time is under way, and all who
// come meanwhile share the next: as with COMMITs, the slower they are the more
// share one.
type uploads struct {
	await    func(context.Context) error
	limit    time.Duration // of one wait; 0 is none
	counters *stats.Counters

	mu     sync.Mutex // guards the rest
	next   *upload    // that nobody has begun; nil while nobody waits for one
	busy   chan struct{}
	cancel context.CancelFunc // ends the one that is under way
	closed bool               // who comes waits for last

	last *upload // answers everybody once it is done
}

// upload is one call of await, for all who share it.
type upload struct {
	waiting int // guarded by uploads.mu
	done    chan struct{}
	err     error // before done is closed
}

func newUploads(c Config) *uploads {
	if c.Await == nil {
		return nil
	}
	return &uploads{
		await: c.Await, limit: max(c.AwaitLimit, 0), counters: c.Counters,
		last: &upload{done: make(chan struct{})},
	}
}

func (u *uploads) wait(ctx context.Context) error {
	start := time.Now()
	mine := u.join()
	err := u.outcome(ctx, mine)
	u.counters.AddUploadWait(time.Since(start))
	if err == nil {
		return nil
	}
	u.counters.UnknownOutcomes.Add(1)
	return &UploadError{err}
}

// join finds the upload that has not begun, so that it contains what the caller
// has committed, and sees to it that it will.
func (u *uploads) join() *upload {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return u.last
	}
	if u.next == nil {
		u.next = &upload{done: make(chan struct{})}
	}
	u.next.waiting++
	if u.busy == nil {
		u.busy = make(chan struct{})
		go u.run()
	}
	return u.next
}

func (u *uploads) outcome(ctx context.Context, mine *upload) error {
	var late <-chan time.Time
	if u.limit > 0 {
		timer := time.NewTimer(u.limit)
		defer timer.Stop()
		late = timer.C
	}
	var err error
	select {
	case <-mine.done:
		return mine.err
	case <-u.last.done: // mine hears nothing any more
		err = u.last.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-late:
		err = errUploadLate
	}
	select {
	case <-mine.done: // at the same moment: this is the truth
		return mine.err
	default:
		return err
	}
}

// run makes one upload after the other, until nobody waits.
func (u *uploads) run() {
	for {
		u.gather()
		ctx, cancel := u.context()
		mine := u.begin(cancel)
		if mine == nil {
			cancel()
			return
		}
		mine.err = u.await(ctx)
		close(mine.done)
		cancel()
	}
}

func (u *uploads) context() (context.Context, context.CancelFunc) {
	if u.limit > 0 {
		return context.WithTimeout(context.Background(), u.limit)
	}
	return context.WithCancel(context.Background())
}

// begin takes those who wait, or ends run if nobody does.
func (u *uploads) begin(cancel context.CancelFunc) *upload {
	u.mu.Lock()
	defer u.mu.Unlock()
	mine := u.next
	u.next, u.cancel = nil, cancel
	if mine == nil {
		close(u.busy)
		u.busy = nil
	}
	return mine
}

// gather yields as long as each yield brings somebody: the units of a group are
// answered one after the other, and who is not yet here would wait for the
// upload after this one.
func (u *uploads) gather() {
	for before := -1; ; {
		u.mu.Lock()
		now := 0
		if u.next != nil {
			now = u.next.waiting
		}
		u.mu.Unlock()
		if now <= before || now == 0 {
			return
		}
		before = now
		runtime.Gosched()
	}
}

// deafGrace is how long an upload has that was told to end.
const deafGrace = time.Second

func (u *uploads) close(ctx context.Context, last func(context.Context) error) error {
	u.mu.Lock()
	u.closed = true
	busy, cancel := u.busy, u.cancel
	u.mu.Unlock()
	if busy != nil {
		select {
		case <-busy:
		case <-ctx.Done():
			if cancel != nil {
				cancel()
			}
			grace := time.NewTimer(deafGrace)
			defer grace.Stop()
			select {
			case <-busy:
			case <-grace.C:
			}
		}
	}
	u.last.err = last(ctx)
	close(u.last.done)
	return u.last.err
}
