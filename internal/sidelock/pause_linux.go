package sidelock

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pauser sleeps by a timer descriptor. Go's own timers end a sleep of an idle
// process at the next full millisecond (epoll's unit: 20 µs took 1.07 ms),
// which is longer than most turns. A descriptor ends it on time, and unlike
// nanosleep(2) blocks no thread: that kept other goroutines of a process with
// GOMAXPROCS=1 waiting for milliseconds.
//
// The descriptor is made at the first pause; the zero value is ready.
type pauser struct {
	timer *os.File
	fd    int // of timer, for the call that os.File doesn't have
	ticks [8]byte
}

// pause sleeps for d.
func (p *pauser) pause(d time.Duration) {
	if !p.start(d) {
		time.Sleep(d) // out of descriptors: later, but no less correct
		return
	}
	if _, err := p.timer.Read(p.ticks[:]); err != nil {
		time.Sleep(d)
	}
}

func (p *pauser) start(d time.Duration) bool {
	if p.timer == nil {
		fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
		if err != nil {
			return false
		}
		p.timer, p.fd = os.NewFile(uintptr(fd), "timerfd"), fd
	}
	once := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	return unix.TimerfdSettime(p.fd, 0, &once, nil) == nil
}

func (p *pauser) close() error {
	if p.timer == nil {
		return nil
	}
	return p.timer.Close()
}
