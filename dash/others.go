package dash

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/queries"
)

// WithOthers shows what other programs count: all that run Holdfast, have the database open
// and tell it by their control sockets. It is for a program that opens a database to look at it, and does nothing
// with it itself. Each page says whose figures it has. Default: what the handle's own process counts.
func WithOthers() Option { return func(o *options) { o.others = true } }

// A source tells what was counted.
type source interface {
	// figures are those of a sample.
	figures(ctx context.Context) (answers, error)
	health(ctx context.Context) (holdfast.Health, error)
}

// answers are figures of one moment.
type answers struct {
	stats   holdfast.Stats
	locks   holdfast.LockReport
	queries queries.Report
	uncount error // why there are no queries
	who     []string
	silent  []string // who has said nothing, and why
}

// own is this process.
type own struct{ db *holdfast.DB }

func (s own) figures(ctx context.Context) (t answers, err error) {
	if t.locks, err = s.db.Locks(ctx); err != nil {
		return t, err
	}
	t.stats = s.db.Stats()
	t.queries, t.uncount = s.db.QueryCounts()
	return t, nil
}

func (s own) health(ctx context.Context) (holdfast.Health, error) { return s.db.Health(ctx) }

// others are the other processes that have the database open.
type others struct{ db *holdfast.DB }

// figures add up what processes tell. Who holds what is of them what they say of
// themselves: package locks sees all.
func (s others) figures(ctx context.Context) (answers, error) {
	t := answers{locks: holdfast.LockReport{Holders: []holdfast.LockHolder{}, Waiters: []holdfast.LockWaiter{}}}
	well, silent, err := holdfast.AskHealth(ctx, s.db.Path())
	if err != nil {
		return t, err
	}
	counted, _, err := holdfast.AskQueries(ctx, s.db.Path(), false)
	if err != nil {
		return t, err
	}
	t.silent = silent
	for _, p := range well {
		t.who = append(t.who, fmt.Sprintf("%s (pid %d)", p.Program, p.PID))
		addUp(reflect.ValueOf(&t.stats).Elem(), reflect.ValueOf(p.Health.ConnectionStats))
		t.add(p)
	}
	var reports []queries.Report
	for _, p := range counted {
		reports = append(reports, p.Report)
	}
	if t.queries = queries.Merge(reports...); len(counted) == 0 {
		t.uncount = errNobodyCounts
	}
	return t, nil
}

// add adds what one process says of its locks.
func (t *answers) add(p holdfast.ProcessHealth) {
	h, l := p.Health, &t.locks
	l.Queued += h.Writer.Queued
	l.WAL = holdfast.WALReport{
		Bytes: h.WAL.Bytes, Frames: h.WAL.Frames, CopiedFrames: h.WAL.CopiedFrames, LimitBytes: h.ConnectionStats.WAL.LimitBytes, HandedOver: h.ConnectionStats.WAL.HandedOver,
		PinnedBy: l.WAL.PinnedBy, PinnedSeconds: l.WAL.PinnedSeconds,
	}
	holder := func(h *holdfast.LeaseHealth, lock string) holdfast.LockHolder {
		return holdfast.LockHolder{Kind: h.Kind, Lock: lock, CallSite: h.CallSite, Since: h.Since, HeldSeconds: h.HeldSeconds, PID: p.PID, Program: p.Program}
	}
	if h.Writer.Holder != nil {
		l.Holders = append([]holdfast.LockHolder{holder(h.Writer.Holder, "WAL_WRITE")}, l.Holders...)
	}
	if h.OldestReader != nil {
		reader := holder(h.OldestReader, "WAL_READ")
		l.Holders = append(l.Holders, reader)
		if l.OldestReader == nil || reader.Since.Before(l.OldestReader.Since) {
			l.OldestReader, l.WAL.PinnedBy, l.WAL.PinnedSeconds = &reader, reader.CallSite, reader.HeldSeconds
		}
	}
}

// errNobodyCounts is in place of counts.
var errNobodyCounts = fmt.Errorf("no program that runs Holdfast has the database open and tells what it counts")

// health is what this process sees of the file, with the figures of the others and what they have found.
func (s others) health(ctx context.Context) (holdfast.Health, error) {
	h, err := s.db.Health(ctx)
	if err != nil {
		return h, err
	}
	well, _, err := holdfast.AskHealth(ctx, s.db.Path())
	if err != nil {
		return h, err
	}
	own := h.ConnectionStats
	h.ConnectionStats = holdfast.Stats{Backup: own.Backup}
	h.Reliability = holdfast.Reliability{SuccessRate: 1, LockConflictResolution: 1, PoolEfficiency: 1, HealthCheckAvailability: 1}
	seen := map[string]bool{}
	for _, f := range h.Findings {
		seen[f.ID] = true
	}
	worst := map[string]int{"ok": 0, "info": 0, "warning": 1, "critical": 2}
	for _, p := range well {
		o := p.Health
		addUp(reflect.ValueOf(&h.ConnectionStats).Elem(), reflect.ValueOf(o.ConnectionStats))
		r := &h.Reliability
		r.SuccessRate = min(r.SuccessRate, o.Reliability.SuccessRate)
		r.LockConflictResolution = min(r.LockConflictResolution, o.Reliability.LockConflictResolution)
		r.PoolEfficiency = min(r.PoolEfficiency, o.Reliability.PoolEfficiency)
		h.Writer.Queued += o.Writer.Queued
		if o.Writer.Holder != nil {
			h.Writer.Holder = o.Writer.Holder
		}
		if o.OldestReader != nil && (h.OldestReader == nil || o.OldestReader.Since.Before(h.OldestReader.Since)) {
			h.OldestReader = o.OldestReader
		}
		h.File.Fenced = h.File.Fenced || o.File.Fenced
		for _, f := range o.Findings {
			if !seen[f.ID] {
				seen[f.ID] = true
				h.Findings = append(h.Findings, f)
			}
		}
		if worst[o.Status] > worst[h.Status] {
			h.Status = o.Status
		}
	}
	return h, nil
}

// addUp adds the figures of one process to a sum. What each has a part of adds up: counters, its
// pool, its queue; of what all of them see the largest counts.
func addUp(sum, one reflect.Value) {
	for i := range sum.NumField() {
		to, from, field := sum.Field(i), one.Field(i), sum.Type().Field(i)
		adds := strings.HasPrefix(field.Tag.Get("figure"), "counter") || sum.Type() == reflect.TypeFor[holdfast.ReaderStats]() ||
			field.Name == "Queued" || field.Name == "Sessions" || field.Name == "EngineBytes"
		switch {
		case field.Type == reflect.TypeFor[time.Time]():
			if from.Interface().(time.Time).After(to.Interface().(time.Time)) {
				to.Set(from)
			}
		case to.Kind() == reflect.Struct:
			addUp(to, from)
		case to.CanInt() && adds:
			to.SetInt(to.Int() + from.Int())
		case to.CanInt():
			to.SetInt(max(to.Int(), from.Int()))
		case to.CanFloat() && adds:
			to.SetFloat(to.Float() + from.Float())
		case to.CanFloat():
			to.SetFloat(max(to.Float(), from.Float()))
		case to.Kind() == reflect.Bool:
			to.SetBool(to.Bool() || from.Bool())
		case to.Kind() == reflect.String && to.String() == "":
			to.Set(from)
		case to.Kind() == reflect.Pointer && to.IsNil(), to.Kind() == reflect.Slice && to.Len() == 0:
			to.Set(from)
		}
	}
}

// Of is a text about this process, or what stands for it where the figures are those of
// others.
func (s *scene) Of(key string) string {
	if s.others {
		key += ".others"
	}
	return s.text.T(key)
}

// whose says in a sentence whose figures a page has; "" if they are this process's.
func (v *visit) whose() string {
	if !v.others || v.watch == nil {
		return ""
	}
	who, silent := v.watch.tellers()
	said := v.text.T("others.none")
	if len(who) > 0 {
		said = v.text.T("others.some", strings.Join(who, ", "))
	}
	if len(silent) > 0 {
		said += " " + v.text.T("others.silent", strings.Join(silent, "; "))
	}
	return said
}
