package sidelock

import (
	"context"
	"fmt"
	"os"
	"time"
)

// Duty is something that one process at a time does for a database. It has a
// lock of its own: it needs no turn, and who has a duty holds up nobody's turn.
type Duty int

// The duties. A number stands for the same one in every version of Holdfast.
const (
	Migration   Duty = iota // changes the schema
	Maintenance             // looks after log, statistics and space
	Replication             // copies everything to somewhere else
	Durable                 // and acknowledges its own writes after that
	duties
)

func (d Duty) at() int64   { return dutiesAt + int64(d) }
func (d Duty) note() int64 { return dutyNotes + recordSize*int64(d) }

// TryTake takes a duty, until Return, Close or the end of the process: false if
// another process has it, or this one. Any goroutine may call it. Where file
// locks are not supported only this process is excluded.
func (l *Lock) TryTake(d Duty) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.checkDuty(d); err != nil {
		return false, err
	}
	if l.taken[d] {
		return false, nil
	}
	ok, err := l.file.tryLock(d.at(), 1)
	if ok {
		l.taken[d] = true
		l.file.sign(d.note())
	}
	return ok, err
}

func (l *Lock) checkDuty(d Duty) error {
	switch {
	case d < 0 || d >= duties:
		return fmt.Errorf("sidelock: there is no duty %d", d)
	case l.state == closed:
		return ErrClosed
	}
	return nil
}

// A duty is had for long, so nobody looks often whether it is free.
const (
	dutyPause     = time.Millisecond
	dutyLongPause = 50 * time.Millisecond
)

// Take waits for a duty and returns how long that took. When ctx ends, it
// returns ctx.Err() and the duty is not taken. Those who wait have no order.
func (l *Lock) Take(ctx context.Context, d Duty) (waited time.Duration, err error) {
	start := time.Now()
	for pause := dutyPause; ; pause = min(2*pause, dutyLongPause) {
		if ok, err := l.TryTake(d); ok || err != nil {
			return time.Since(start), err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return time.Since(start), ctx.Err()
		}
	}
}

// Return ends what Take or TryTake began; a duty that this Lock has not is
// [ErrInUse].
func (l *Lock) Return(d Duty) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.checkDuty(d); err != nil {
		return err
	}
	if !l.taken[d] {
		return ErrInUse
	}
	l.taken[d] = false
	return l.file.unlock(d.at(), 1)
}

// TakenBy tells which process has a duty, as [Lock.Holder] does for the turn.
func (l *Lock) TakenBy(d Duty) (pid int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.checkDuty(d) != nil {
		return 0, false
	}
	if l.taken[d] {
		return os.Getpid(), true
	}
	return l.file.holder(d.at(), d.note())
}
