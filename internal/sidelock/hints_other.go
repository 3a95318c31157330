//go:build !linux

package sidelock

import "time"

// What a waiter could be told.
const (
	givenBack = iota
	passedOn
)

// hints aren't known here; waiters look again and again.
type hints struct{}

func (hints) expect(*lockFile, uint32) bool { return false }
func (hints) wait(time.Duration)            {}
func (hints) rest(*lockFile)                {}
func (hints) close() error                  { return nil }

func (*lockFile) hintGivenBack() {}
