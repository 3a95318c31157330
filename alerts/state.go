package alerts

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// State is where an alert is in its life.
type State string

// The states.
const (
	Pending  State = "pending"  // true, but not for long enough
	Firing   State = "firing"   // told
	Resolved State = "resolved" // over
)

// Alert is one rule that is, or was, true.
type Alert struct {
	Rule        string    `json:"rule"`
	Name        string    `json:"name"`
	Database    string    `json:"database"` // "" of what is about all of them
	Subject     string    `json:"subject,omitempty"`
	Severity    Severity  `json:"severity"`
	State       State     `json:"state"`
	Summary     Text      `json:"summary"`
	Next        Text      `json:"next"`
	Value       float64   `json:"value"` // that was judged last: seconds, bytes, a part of 1, or a count
	Runbook     string    `json:"runbook_url"`
	Since       time.Time `json:"since"` // it became true
	FiredAt     time.Time `json:"fired_at,omitzero"`
	ResolvedAt  time.Time `json:"resolved_at,omitzero"`
	SilencedBy  string    `json:"silenced_by,omitempty"` // the ID of a silence
	Fingerprint string    `json:"fingerprint"`           // of rule, database and subject
}

// key is what makes an alert the same.
type key struct{ rule, database, subject string }

func (k key) fingerprint() string {
	sum := sha256.Sum256([]byte(k.rule + "\x00" + k.database + "\x00" + k.subject))
	return hex.EncodeToString(sum[:8])
}

// latch is one severity of an alert.
type latch struct {
	since time.Time // it is true since then; zero if it is not
	good  time.Time // it is well since then, while it is on
	on    bool
}

// step follows what was seen: bad is beyond the threshold, kept within the margin before
// it, where nothing begins and nothing ends.
func (l *latch) step(now time.Time, bad, kept bool, wait, resolveAfter time.Duration) {
	switch {
	case bad:
		if l.since.IsZero() {
			l.since = now
		}
		l.good = time.Time{}
		l.on = l.on || now.Sub(l.since) >= wait
	case kept:
		l.good = time.Time{}
		if !l.on {
			l.since = time.Time{}
		}
	case !l.on:
		l.since = time.Time{}
	case l.good.IsZero():
		l.good = now
	case now.Sub(l.good) >= resolveAfter:
		*l = latch{}
	}
}

// state is an alert that is pending or firing, and what was told of it.
type state struct {
	alert             Alert
	warning, critical latch
	told              Severity // "" if nobody was told
	toldAt            time.Time
	again             bool // there is somebody who was not told
}

// severity is the worst that is on, "" if none is.
func (s *state) severity() Severity {
	switch {
	case s.critical.on:
		return Critical
	case s.warning.on:
		return Warning
	}
	return ""
}

// pending tells whether something is true that is not on yet.
func (s *state) pending() bool { return !s.warning.since.IsZero() || !s.critical.since.IsZero() }

// step follows one round. It reports whether the alert has ended, or was never one.
func (s *state) step(now time.Time, bad, kept Severity, r *rule, c *Config) (over bool) {
	s.warning.step(now, bad != "", kept != "", r.waits(c, Warning), c.Alerts.ResolveAfter)
	s.critical.step(now, bad == Critical, kept == Critical, r.waits(c, Critical), c.Alerts.ResolveAfter)
	if _, ok := r.levels[Warning]; !ok {
		s.warning = latch{}
	}
	a := &s.alert
	switch severity := s.severity(); {
	case severity != "":
		if a.State != Firing {
			a.State, a.FiredAt = Firing, now
		}
		a.Severity = severity
	case a.State == Firing:
		a.State, a.ResolvedAt = Resolved, now
		return true
	case !s.pending():
		return true
	default:
		a.State, a.Severity = Pending, bad
	}
	return false
}
