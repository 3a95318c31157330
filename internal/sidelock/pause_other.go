//go:build !linux

package sidelock

import "time"

// pauser sleeps by Go's timers, which are fine enough where the scheduler
// doesn't wait in epoll.
type pauser struct{}

func (*pauser) pause(d time.Duration) { time.Sleep(d) }
func (*pauser) close() error          { return nil }
