package lease

import (
	"fmt"
	"strings"
	"testing"
)

// The part of the protocol that needs clocks: that who was the owner has stopped
// acknowledging by itself when another begins, also where nobody looks at the manifest before
// each acknowledgement. Time goes on in ticks, in each of which both clocks go on at speeds of
// their own; renewals take as long as they like to arrive, and their answers to come back.

// timing is how it is decided, right or wrong.
type timing struct {
	wall       bool // the manifest says until when it holds by the owner's clock, and the watcher compares that with its own
	fullTTL    bool // the owner trusts its lease to the end of the TTL
	fromAnswer bool // ... and from when the answer came
}

const (
	ttl      = 40 // units of a clock; speeds are a tenth apart at most
	margin   = ttl / 10
	ticks    = 10
	renewals = 3 // versions
)

// speeds are units in a tick, and ahead is what the owner's clock shows more.
type speeds struct{ owner, watcher, ahead int16 }

// moment is all there is at a time.
type moment struct {
	tick           int8
	owner, watcher int16 // what their clocks show

	version int8 // of the manifest
	expires int16
	taken   bool // by the watcher

	sent, answered bool // a renewal is on its way, has been made
	sentAt         int16
	renewedAt      int16

	seen  int8
	since int16
	both  bool // the old owner acknowledged when there was a new one
}

func (r timing) start(s speeds) moment {
	return moment{owner: s.ahead, renewedAt: s.ahead, expires: s.ahead + ttl, version: 1}
}

func (r timing) steps(s speeds) func(moment, adder[moment]) {
	return func(m moment, add adder[moment]) {
		if m.tick < ticks {
			next := m
			next.tick++
			next.owner, next.watcher = m.owner+s.owner, m.watcher+s.watcher
			add(next, "a tick: the owner's clock shows %d, the watcher's %d", next.owner, next.watcher)
		}
		r.renew(m, add)
		if m.seen != m.version {
			next := m
			next.seen, next.since = m.version, m.watcher
			add(next, "the watcher sees version %d", m.version)
		}
		expired := m.seen > 0 && m.watcher-m.since >= ttl
		if r.wall {
			expired = m.watcher >= m.expires
		}
		if expired && m.seen == m.version && !m.taken {
			next := m
			next.version++
			next.taken = true
			add(next, "the watcher takes over")
		}
		lasts := int16(ttl - margin)
		if r.fullTTL {
			lasts = ttl
		}
		if m.taken && m.owner-m.renewedAt < lasts {
			next := m
			next.both = true
			add(next, "the owner acknowledges")
		}
	}
}

func (r timing) renew(m moment, add adder[moment]) {
	switch {
	case !m.sent:
		if m.version == renewals {
			return
		}
		next := m
		next.sent, next.answered, next.sentAt = true, false, m.owner
		add(next, "the owner sends a renewal")
	case !m.answered && !m.taken:
		next := m
		next.answered = true
		next.version++
		next.expires = m.sentAt + ttl
		add(next, "it arrives: version %d", next.version)
	case m.answered:
		next := m
		next.sent, next.answered = false, false
		next.renewedAt = m.sentAt
		if r.fromAnswer {
			next.renewedAt = m.owner
		}
		add(next, "its answer arrives")
	}
}

func (m moment) wrong() string {
	if m.both {
		return "two have acknowledged at a time"
	}
	return ""
}

// every calls f for clocks that are up to a tenth apart, and far apart in what they show.
func every(f func(speeds)) {
	for _, s := range []speeds{{9, 10, 0}, {10, 9, 0}, {10, 10, 0}} {
		for _, s.ahead = range []int16{-ttl, 0, ttl} {
			f(s)
		}
	}
}

func TestTheOwnerStopsInTime(t *testing.T) {
	moments := 0
	every(func(s speeds) {
		r := timing{}
		n, wrong, way := explore(r.start(s), r.steps(s), moment.wrong)
		if moments += n; wrong != "" {
			t.Errorf("%+v: %s:\n%s", s, wrong, strings.Join(way, "\n"))
		}
	})
	t.Logf("%d moments", moments)
}

func TestEachMeasureOfTimeIsNeeded(t *testing.T) {
	for name, r := range map[string]timing{
		"expiry by what the clocks show":         {wall: true},
		"no margin":                              {fullTTL: true},
		"counted from the answer of the renewal": {fromAnswer: true},
	} {
		t.Run(name, func(t *testing.T) {
			found := ""
			every(func(s speeds) {
				if found == "" {
					if _, wrong, way := explore(r.start(s), r.steps(s), moment.wrong); wrong != "" {
						found = fmt.Sprintf("%+v: %s:\n%s", s, wrong, strings.Join(way, "\n"))
					}
				}
			})
			if found == "" {
				t.Error("nothing goes wrong")
			}
			t.Log(found)
		})
	}
}
