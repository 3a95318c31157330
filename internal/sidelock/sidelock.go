package sidelock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// Suffix is how the name of every lock file ends.
const Suffix = "-holdfast.lock"

// What a Lock is doing. One goroutine at a time owns it; a call that doesn't
// fit is refused instead of corrupting the queue.
type state uint8

const (
	idle state = iota
	acquiring
	held
	kept // released, but not given back
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
	queue queue // belongs to whoever is acquiring

	mu    sync.Mutex // guards the following; not held while waiting for the turn
	file  *lockFile
	state state

	claimed bool         // a place: see Claim
	taken   [duties]bool // see Take

	began     time.Time     // of the turn, or of its newest quantum
	released  time.Time     // the last Release
	contended bool          // others waited when the turn began
	gap       time.Duration // usual time from a Release to the next Acquire
	alarm     alarm         // rings when a kept turn may have to be given back
	alarmSet  bool
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
	l := &Lock{file: file, queue: queue{file: file}, gap: graceAlone}
	l.alarm.ring = l.giveBackUnused
	return l, nil
}

// Supported reports whether this platform has file locks that this package
// knows. Where it hasn't, Acquire returns at once and excludes nobody.
func Supported() bool { return supported }

// Acquire waits for the turn and returns how long that took, which is 0 if it
// was free (on Windows a few microseconds). When ctx ends, it returns ctx.Err()
// within a millisecond or two; one that has ended already leaves one attempt,
// which gets the turn if it is free. After any error nothing is held. Acquire is
// not reentrant.
func (l *Lock) Acquire(ctx context.Context) (waited time.Duration, err error) {
	free, err := l.TryAcquire()
	if free || err != nil {
		return 0, err
	}
	if err := l.enter(acquiring); err != nil {
		return 0, err
	}
	start := time.Now()
	err = l.queue.wait(ctx)
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.state = idle
		return now.Sub(start), err
	}
	l.has(now)
	l.contended = true
	return now.Sub(start), nil
}

// TryAcquire takes the turn if that needs no waiting.
func (l *Lock) TryAcquire() (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != idle && l.state != kept {
		return false, l.refusal()
	}
	now := time.Now()
	l.comesBack(now)
	if l.state == kept {
		l.state = held
		return true, nil
	}
	free, err := l.queue.skip()
	if free {
		l.has(now)
		l.contended = false
	}
	return free, err
}

// has notes that the turn has begun.
func (l *Lock) has(now time.Time) {
	l.state, l.began = held, now
	l.file.sign(recordAt)
}

// Release ends what Acquire began. The turn goes to whoever is next, at once
// or, if this process is likely to come back for it, very soon (see keep.go).
// Without a successful Acquire before it, it returns [ErrInUse].
func (l *Lock) Release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != held {
		return l.refusal()
	}
	l.released = time.Now()
	if l.keeps(l.released) {
		l.state = kept
		return nil
	}
	return l.giveBack()
}

func (l *Lock) giveBack() error {
	l.state = idle
	err := l.file.unlock(turn, 1)
	l.file.hintGivenBack()
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
	switch l.state {
	case closed:
		return 0, false
	case held, kept:
		return os.Getpid(), true
	}
	return l.file.holder(turn, recordAt)
}

// Claims is how many places there are to Claim.
const Claims = 8

// Claim takes one of several places that processes have for themselves, beside
// the queue, until Close or the end of the process: false if another process has
// it. It needs no turn and may be called by any goroutine. Where file locks are
// not supported it always succeeds.
func (l *Lock) Claim(place int) (bool, error) {
	if place < 0 || place >= Claims {
		return false, fmt.Errorf("sidelock: there is no place %d", place)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == closed {
		return false, ErrClosed
	}
	ok, err := l.file.tryLock(claims+int64(place), 1)
	l.claimed = l.claimed || ok
	return ok, err
}

// Close gives up the turn if it is held, its claims and duties, and the file. The file itself
// stays, since another process may be using it. A second Close returns [ErrClosed].
func (l *Lock) Close() error {
	l.mu.Lock()
	had := l.state
	if had == acquiring || had == closed {
		defer l.mu.Unlock()
		return l.refusal()
	}
	l.state = closed
	var err error
	if had != idle {
		// Said in so many words, because a child process that is just being
		// started may still share the descriptor and so keep the lock alive.
		err = l.file.unlock(turn, 1)
	}
	if l.claimed && rangesSplit {
		err = errors.Join(err, l.file.unlock(claims, Claims))
	}
	for d, taken := range l.taken {
		if taken {
			err = errors.Join(err, l.file.unlock(Duty(d).at(), 1))
		}
	}
	err = errors.Join(err, l.file.close())
	l.mu.Unlock()
	return errors.Join(err, l.queue.close(), l.alarm.close()) // an alarm that rings now finds the Lock closed
}

// enter goes from idle to another state, or says why that can't be.
func (l *Lock) enter(to state) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != idle {
		return l.refusal()
	}
	l.state = to
	return nil
}

// refusal is the answer to a call that doesn't fit the state.
func (l *Lock) refusal() error {
	if l.state == closed {
		return ErrClosed
	}
	return ErrInUse
}
