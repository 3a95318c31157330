package sidelock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Suffix is how the name of every lock file ends.
const Suffix = "-holdfast.lock"

// The queue is a row of bytes in the lock file. Whoever holds byte 0 has the
// turn, byte 1 is next, and so on. One joins at the last byte and moves up by
// taking the byte ahead and then giving back one's own, so nobody in the queue
// can be overtaken. Waiters beyond the last place wait outside without order.
//
// Two bytes, "next" and "turn", would do if the kernel kept waiters in order,
// but a wait in the kernel can't be ended by a context, and with polling the
// race for "next" is luck: four processes had longest waits of 52 to 171 ms
// where eight places give 4 to 9 ms, at nearly the same throughput.
const (
	turn   = 0
	next   = 1
	places = 8
)

// A waiter looks again after shortPause, then each time after an eighth more,
// and at least every longPause. So it finds the place free at most an eighth
// late: with pauses that double, turns of 2 ms came every 2.8 ms.
const (
	yields     = 4 // looks between which only other goroutines run
	shortPause = 20 * time.Microsecond
	longPause  = time.Millisecond
)

// What a Lock is doing. One goroutine at a time owns it; a call that doesn't
// fit is refused instead of corrupting the queue.
const (
	idle int32 = iota
	acquiring
	held
	releasing
	closed
)

var (
	// ErrInUse: the call doesn't fit what the Lock is doing. Another goroutine
	// is inside a method, or Acquire came twice, or Release without Acquire.
	ErrInUse = errors.New("sidelock: lock is in use or not held")
	// ErrClosed: the Lock was closed.
	ErrClosed = errors.New("sidelock: lock is closed")
)

// Lock is this process's access to the queue of one database. Acquire, Release
// and Close belong to one goroutine at a time (the writer); a call that comes
// while another one runs returns [ErrInUse] and does nothing. Holder may be
// called by any goroutine at any time.
type Lock struct {
	state  atomic.Int32
	pauser pauser

	// mu keeps Close from closing the file under Holder. Acquire and Release
	// go without it: state keeps them apart from Close.
	mu   sync.Mutex
	file *lockFile
}

// Open opens the lock file at path and creates it if it is missing, with the
// permissions of the database, or 0600 if there is no database yet. The name
// must end in "-holdfast.lock"; a symbolic or hard link there is refused.
// (Closing a descriptor that leads to the database would drop SQLite's locks.)
// The one descriptor that Open takes stays open until Close.
//
// Open a path once per process. On Linux and Windows two Locks of one path
// exclude each other as two processes do; elsewhere file locks belong to the
// process, so both would have the turn, and closing one would drop the other's.
func Open(path string) (*Lock, error) {
	if !strings.HasSuffix(path, Suffix) {
		return nil, fmt.Errorf("sidelock: %s is not a lock file: its name doesn't end in %s", path, Suffix)
	}
	file, err := openLockFile(path)
	if err != nil {
		return nil, fmt.Errorf("sidelock: %w", err)
	}
	return &Lock{file: file}, nil
}

// Supported reports whether this platform has file locks that this package
// knows. Where it hasn't, Acquire returns at once and excludes nobody.
func Supported() bool { return supported }

// Acquire waits for the turn and returns how long that took, which is 0 if it
// was free (on Windows a few microseconds). When ctx ends, it returns ctx.Err()
// within about a millisecond; one that has ended already leaves one attempt,
// which gets the turn if it is free. After any error nothing is held. Acquire is
// not reentrant.
func (l *Lock) Acquire(ctx context.Context) (waited time.Duration, err error) {
	if err := l.enter(idle, acquiring); err != nil {
		return 0, err
	}
	defer func() {
		if err == nil {
			l.state.Store(held)
		} else {
			l.state.Store(idle)
		}
	}()
	free, err := l.skipQueue()
	if err == nil && !free {
		start := time.Now()
		err = l.queue(ctx)
		waited = time.Since(start)
	}
	if err == nil {
		l.file.signHolder()
	}
	return waited, err
}

// skipQueue takes all places in one step, which succeeds only if nobody has
// the turn and nobody waits, and keeps the turn.
func (l *Lock) skipQueue() (bool, error) {
	if !rangesSplit {
		return false, nil
	}
	ok, err := l.file.tryLock(turn, places)
	if !ok || err != nil {
		return false, err
	}
	if err := l.file.unlock(next, places-next); err != nil {
		return false, errors.Join(err, l.file.unlock(turn, places))
	}
	return true, nil
}

// queue joins at the last place and moves up to the turn. If it returns an
// error, it holds no place.
func (l *Lock) queue(ctx context.Context) error {
	if err := l.take(ctx, places-1); err != nil {
		return err
	}
	for place := int64(places - 1); place > turn; place-- {
		err := l.take(ctx, place-1)
		// Either the place behind is not needed any more, or the walk ends here.
		if uerr := l.file.unlock(place, 1); uerr != nil {
			if err == nil {
				uerr = errors.Join(uerr, l.file.unlock(place-1, 1))
			}
			return errors.Join(err, uerr)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// take waits for one place.
func (l *Lock) take(ctx context.Context, place int64) error {
	pause := shortPause
	for look := 0; ; look++ {
		ok, err := l.file.tryLock(place, 1)
		if ok || err != nil {
			return err
		}
		if look < yields {
			runtime.Gosched()
		} else {
			l.pauser.pause(pause)
			pause = min(pause+pause/8, longPause)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// Release gives the turn to whoever is next. Without a successful Acquire
// before it, it returns [ErrInUse].
func (l *Lock) Release() error {
	if err := l.enter(held, releasing); err != nil {
		return err
	}
	err := l.file.unlock(turn, 1)
	l.state.Store(idle)
	return err
}

// Holder tells which process has the turn; ok is false if nobody has it or it
// can't be told. It is an observation that may be old when it arrives, meant
// for messages: on Linux and Windows the number is what the holder wrote into
// the file, so in the instant after a change of turn it may still be that of
// the one before, and a process in another PID namespace writes its number
// there. On other Unix systems the kernel tells.
func (l *Lock) Holder() (pid int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.state.Load() {
	case closed:
		return 0, false
	case held:
		return os.Getpid(), true
	}
	return l.file.holder()
}

// Close gives up the turn if it is held, and the file. The file itself stays,
// since another process may be using it. A second Close returns [ErrClosed].
func (l *Lock) Close() error {
	wasHeld := false
	if err := l.enter(idle, closed); err != nil {
		if wasHeld = l.enter(held, closed) == nil; !wasHeld {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	if wasHeld {
		// Said in so many words, because a child process that is just being
		// started may still share the descriptor and so keep the lock alive.
		err = l.file.unlock(turn, 1)
	}
	return errors.Join(err, l.pauser.close(), l.file.close())
}

// enter moves from one state to another, or says why that can't be.
func (l *Lock) enter(from, to int32) error {
	if l.state.CompareAndSwap(from, to) {
		return nil
	}
	if l.state.Load() == closed {
		return ErrClosed
	}
	return ErrInUse
}
