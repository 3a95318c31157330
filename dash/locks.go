package dash

import (
	"context"
	"os"
	"strconv"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/locks"
)

func locksPage() page {
	return page{id: "locks", params: []string{"range"}, view: func(ctx context.Context, v *visit) (any, error) { return v.locks(ctx) }}
}

// locksView is who has what, and who waits for whom.
type locksView struct {
	Sentences      []sentence            `json:"sentences"`
	Holders        []holdfast.LockHolder `json:"holders"` // in this process
	Waiters        []waitingRow          `json:"waiters"`
	Queued         int                   `json:"queued"`
	ReadersWaiting int                   `json:"readers_waiting"`
	OldestReader   *holdfast.LockHolder  `json:"oldest_reader"`
	Outside        outsideView           `json:"outside"`
	Timeline       timeline              `json:"timeline"`
	Causes         causes                `json:"causes"`
	Range          string                `json:"range"`
	Charts         []chart               `json:"charts"`
}

// sentence says one thing, with how bad it is.
type sentence struct {
	State string `json:"state"` // "ok", "warning", "critical" or "unknown"
	Text  string `json:"text"`
}

// waitingRow is who waits, and for whom.
type waitingRow struct {
	holdfast.LockWaiter
	Behind string `json:"behind"` // call site or process; "" if it is not known
}

// outsideView is what other processes do.
type outsideView struct {
	Known   bool          `json:"known"` // it could be looked at
	Why     string        `json:"why"`   // it could not
	Holders []foreignRow  `json:"holders"`
	Waiters []foreignRow  `json:"waiters"`
	Openers []foreignRow  `json:"openers"` // all who have the database open
	Blind   []string      `json:"blind"`   // what can't be seen from here
	report  *locks.Report // what they are made of
}

// foreignRow is a process, and a lock of it if it is about one.
type foreignRow struct {
	PID         int       `json:"pid"`
	Program     string    `json:"program"`
	User        string    `json:"user"`
	State       string    `json:"state"`
	Connections int       `json:"connections"`
	Lock        string    `json:"lock,omitempty"`
	Slot        int       `json:"slot"` // of WAL_READ, otherwise -1
	Since       time.Time `json:"since,omitzero"`
	Seconds     float64   `json:"at_least_seconds"`
	Behind      []int     `json:"behind,omitempty"`
	Statement   string    `json:"statement"`
	CallSite    string    `json:"call_site"`
}

// causes are counts of what made somebody wait, since the database was opened.
type causes struct {
	WriterWaits        int64   `json:"writer_waits"`
	WriterWaitSeconds  float64 `json:"writer_wait_seconds"`
	ReaderWaits        int64   `json:"reader_waits"`
	ReaderWaitSeconds  float64 `json:"reader_wait_seconds"`
	LockConflicts      int64   `json:"lock_conflicts"`
	Retries            int64   `json:"retry_attempts"`
	Inversions         int64   `json:"lock_order_inversions"`
	Leaks              int64   `json:"leaks"`
	Evictions          int64   `json:"evictions"`
	ConflictResolution float64 `json:"lock_conflict_resolution_rate"`
}

// Measures of the locks page, which others show too.
var (
	writerWaits = rate("writer_waits", "writer.waits", func(s *holdfast.Stats) int64 { return s.Writer.Waits })
	readerWaits = rate("reader_waits", "readers.waits", func(s *holdfast.Stats) int64 { return s.Readers.Waits })
)

func (v *visit) locks(ctx context.Context) (*locksView, error) {
	held, err := v.db.Locks(ctx)
	if err != nil {
		return nil, err
	}
	h, err := v.watch.healthNow(ctx)
	if err != nil {
		return nil, err
	}
	o := &locksView{
		Holders: held.Holders[:min(len(held.Holders), mostHolders)], Waiters: []waitingRow{},
		Queued: held.Queued, ReadersWaiting: held.ReadersWaiting, OldestReader: held.OldestReader, Outside: v.outside(ctx),
	}
	for _, w := range held.Waiters[:min(len(held.Waiters), mostWaiters)] {
		o.Waiters = append(o.Waiters, waitingRow{w, v.writerIs(held)})
	}
	s := h.ConnectionStats
	o.Causes = causes{
		s.Writer.Waits, s.Writer.WaitSeconds, s.Readers.Waits, s.Readers.WaitSeconds, s.LockConflicts, s.RetryAttempts,
		s.Writer.LockOrderInversions, s.Leaks, s.Evictions, h.Reliability.LockConflictResolution,
	}
	o.Sentences = v.lockSentences(held, o.Outside)
	o.Timeline = v.timeline()
	o.Range, _ = v.stretch()
	o.Charts, err = v.charts(ctx, plot{"waits", "lines", []measure{writerWaits, readerWaits}}, plot{"wait_time", "lines", []measure{writerWait, readerWait}},
		plot{"conflicts", "lines", []measure{conflicts, failures}})
	return o, err
}

// writerIs names who has the writer.
func (v *visit) writerIs(held holdfast.LockReport) string {
	if len(held.Holders) == 0 || !forWriting(held.Holders[0]) {
		return ""
	}
	return v.nameOf(held.Holders[0])
}

// nameOf names a holder in one place: the other process, or the call site.
func (v *visit) nameOf(h holdfast.LockHolder) string {
	switch {
	case h.PID != 0:
		return v.text.process(h.Program, h.PID)
	case h.CallSite != "":
		return h.CallSite
	}
	return v.text.T("layout.unknown_place")
}

// forWriting tells who keeps others from writing from who reads.
func forWriting(h holdfast.LockHolder) bool { return h.Lock != "WAL_READ" && h.Lock != "SHARED" }

// Bounds of what is worth a warning: what the alerts have by default, too.
const (
	longHold     = 5. // s, of the writer
	veryLongHold = 30.
	oldRead      = 60. // s
)

func (v *visit) lockSentences(held holdfast.LockReport, o outsideView) []sentence {
	t := v.text
	var out []sentence
	say := func(state, key string, args ...any) { out = append(out, sentence{state, t.T(key, args...)}) }
	if len(held.Holders) > 0 && forWriting(held.Holders[0]) {
		h := held.Holders[0]
		state := "ok"
		switch {
		case h.HeldSeconds > veryLongHold:
			state = "critical"
		case h.HeldSeconds > longHold:
			state = "warning"
		}
		kind := t.T("kind." + h.Kind)
		if held.Queued > 0 {
			say(state, "locks.held_waiting", v.nameOf(h), kind, t.Dur(h.HeldSeconds), t.Int(int64(held.Queued)))
		} else {
			say(state, "locks.held", v.nameOf(h), kind, t.Dur(h.HeldSeconds))
		}
	} else {
		say("ok", "locks.free")
	}
	if r := held.OldestReader; r != nil {
		state := "ok"
		if r.HeldSeconds > oldRead {
			state = "warning"
		}
		say(state, "locks.oldest", v.nameOf(*r), t.T("kind."+r.Kind), t.Dur(r.HeldSeconds))
	}
	if held.ReadersWaiting > 0 {
		out = append(out, sentence{"warning", t.N("locks.readers_waiting", int64(held.ReadersWaiting))})
	}
	switch n := len(o.Openers); {
	case !o.Known:
		say("unknown", "locks.outside.unknown", o.Why)
	case n == 0:
		say("ok", "locks.outside.none")
	default:
		out = append(out, sentence{"ok", t.N("locks.outside.some", int64(n))})
	}
	return out
}

// outside is what other processes do, as far as it can be seen.
func (v *visit) outside(ctx context.Context) outsideView {
	o := outsideView{Holders: []foreignRow{}, Waiters: []foreignRow{}, Openers: []foreignRow{}, Blind: []string{}}
	path := v.db.Path()
	if path == "" {
		o.Why = v.text.T("locks.outside.memory")
		return o
	}
	r, err := v.watch.outside.look(ctx, path, v.now)
	if err != nil {
		o.Why = err.Error()
		return o
	}
	o.Known, o.report = true, r
	for _, h := range r.Holders {
		if h.PID != os.Getpid() && len(o.Holders) < mostHolders {
			row := processRow(h.Process)
			row.Lock, row.Slot, row.Since, row.Seconds, row.Statement, row.CallSite = h.Lock, h.Slot, h.Since.UTC(), since(h.Since, v.now), h.Statement, h.CallSite
			o.Holders = append(o.Holders, row)
		}
	}
	for _, w := range r.Waiters {
		if w.PID != os.Getpid() && len(o.Waiters) < mostHolders {
			row := processRow(w.Process)
			row.Lock, row.Since, row.Seconds, row.Behind = w.Lock, w.Since.UTC(), since(w.Since, v.now), w.Behind
			row.Statement, row.CallSite = w.Statement, w.CallSite
			o.Waiters = append(o.Waiters, row)
		}
	}
	for _, p := range r.Openers {
		if p.PID != os.Getpid() && len(o.Openers) < mostHolders {
			o.Openers = append(o.Openers, processRow(p))
		}
	}
	o.Blind = append(o.Blind, r.Blind...)
	return o
}

func processRow(p locks.Process) foreignRow {
	return foreignRow{PID: p.PID, Program: p.Program, User: p.User, State: p.State, Connections: p.Connections, Slot: -1}
}

// since is for how long something was seen. A look takes a moment, so what it saw first can
// be younger than the page.
func since(at, now time.Time) float64 { return max(now.Sub(at).Seconds(), 0) }

// process names a process; locks of open files are told without a number.
func (t *text) process(program string, pid int) string {
	if pid == 0 {
		return t.T("locks.process.unnamed")
	}
	return t.T("locks.process", program, strconv.Itoa(pid))
}
