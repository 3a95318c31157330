package sidelock

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// What is done for a database now and then is noted in the lock file with the
// time, so that a process knows what another has done, and the next one what was
// done before it began. A lock file that is gone means that it is done once more.
//
// Each name has a line of fixed length, the first that is free: the name, blanks,
// the time in UTC, a newline.
const (
	timesAt  = 512
	timeSize = 40
	timeName = 19
	maxTimes = 16
)

// SetTime notes when something was last done. The name has up to 18 characters
// and no blank. Only one process at a time may call it: the one that has the duty.
// There is room for 16 names.
func (l *Lock) SetTime(name string, at time.Time) error {
	if name == "" || len(name) >= timeName || strings.ContainsAny(name, " \n\x00") {
		return fmt.Errorf("sidelock: %q can't name a time", name)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == closed {
		return ErrClosed
	}
	lines := l.times()
	for i := range maxTimes {
		line := lines[i*timeSize:][:timeSize]
		noted, _, ok := parseTime(line)
		if ok && noted != name {
			continue
		}
		copy(line, fmt.Sprintf("%-*s%-*s\n", timeName, name, timeSize-timeName-1, at.UTC().Format(time.RFC3339)))
		return l.file.writeAt(line, int64(timesAt+i*timeSize))
	}
	return fmt.Errorf("sidelock: there is no room for the time of %q", name)
}

// Time is what SetTime noted last, to the second; the zero time if there is
// nothing. Any goroutine may call it.
func (l *Lock) Time(name string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == closed {
		return time.Time{}
	}
	lines := l.times()
	for i := range maxTimes {
		if noted, at, ok := parseTime(lines[i*timeSize:][:timeSize]); ok && noted == name {
			return at
		}
	}
	return time.Time{}
}

func (l *Lock) times() (lines [maxTimes * timeSize]byte) {
	_, _ = l.file.readAt(lines[:], timesAt) // a file that is shorter has fewer
	return lines
}

func parseTime(line []byte) (name string, at time.Time, ok bool) {
	fields := bytes.Fields(line)
	if len(fields) != 2 || line[len(line)-1] != '\n' {
		return "", time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, string(fields[1]))
	return string(fields[0]), at, err == nil
}
