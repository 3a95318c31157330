//go:build !linux

package sidelock

import "time"

// timer sleeps by Go's timers, which are fine enough where the scheduler
// doesn't wait in epoll.
type timer struct{}

func (*timer) sleep(d time.Duration) { time.Sleep(d) }
func (*timer) close() error          { return nil }

// alarm calls ring some time after it was set.
type alarm struct {
	ring  func()
	timer *time.Timer
}

// set lets ring be called in d, instead of when it was set for before. false:
// it won't be called.
func (a *alarm) set(d time.Duration) bool {
	if a.timer == nil {
		a.timer = time.AfterFunc(d, a.ring)
	} else {
		a.timer.Reset(d)
	}
	return true
}

// close keeps ring from being called again. One call may be under way.
func (a *alarm) close() error {
	if a.timer != nil {
		a.timer.Stop()
	}
	return nil
}
