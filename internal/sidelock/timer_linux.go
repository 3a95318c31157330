package sidelock

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// timer sleeps by a timer descriptor. Go's own timers end a sleep of an idle
// process at the next full millisecond (epoll's unit: 20 µs took 1.07 ms),
// which is longer than many turns. A descriptor ends it on time, and unlike
// nanosleep(2) blocks no thread: that kept other goroutines of a process with
// GOMAXPROCS=1 waiting for milliseconds.
//
// The descriptor is made when it is first needed; the zero value is ready.
type timer struct {
	file  *os.File
	fd    int // of file, for the call that os.File doesn't have
	ticks [8]byte
}

// open makes the descriptor if it isn't there; false: there is none to be had.
func (t *timer) open() bool {
	if t.file != nil {
		return true
	}
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return false
	}
	t.file, t.fd = os.NewFile(uintptr(fd), "timerfd"), fd
	return true
}

func (t *timer) set(d time.Duration) bool {
	once := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	return unix.TimerfdSettime(t.fd, 0, &once, nil) == nil
}

// wait waits for what was set; false: closed.
func (t *timer) wait() bool {
	_, err := t.file.Read(t.ticks[:])
	return err == nil
}

// sleep sleeps for d.
func (t *timer) sleep(d time.Duration) {
	if !t.open() || !t.set(d) || !t.wait() {
		time.Sleep(d) // out of descriptors: later, but no less correct
	}
}

func (t *timer) close() error {
	if t.file == nil {
		return nil
	}
	return t.file.Close()
}

// alarm calls ring, on a goroutine of its own that ends with close, some time
// after it was set.
type alarm struct {
	ring  func()
	timer timer
	ended chan struct{}
}

// set lets ring be called in d, instead of when it was set for before. false:
// it won't be called.
func (a *alarm) set(d time.Duration) bool {
	if a.ended == nil {
		if !a.timer.open() {
			return false
		}
		a.ended = make(chan struct{})
		go func() {
			defer close(a.ended)
			for a.timer.wait() {
				a.ring()
			}
		}()
	}
	return a.timer.set(d)
}

// close returns when ring runs no more and won't again.
func (a *alarm) close() error {
	err := a.timer.close()
	if a.ended != nil {
		<-a.ended
	}
	return err
}
