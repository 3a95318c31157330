package session

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/pool"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
	"github.com/holdfastdb/holdfast/internal/writer"
	"github.com/holdfastdb/holdfast/queries"
)

// call is one call of a statement while it is being counted. Where nothing is
// counted it is a nil pointer, or has no query, and its methods do nothing.
//
// It is small, and not the stats.Call that is made of it in the end: whoever leads the
// group of a write fills it on another processor than its caller's, and each
// cache line that goes there and back costs a write 100 ns.
type call struct {
	query *stats.Query
	figures
}

// figures have no pointer: begin sets them to zero without the garbage collector's barriers.
type figures struct {
	writer.Times // began, or 0 while the call is not timed; waited: for whatever
	rows         int64
	effort       sqlite.Effort
	attempts     int32
	busyWaits    int32
	code         int32
	again        bool   // a repetition of what was counted as a call before
	shared       bool   // on a connection whose executions may be set aside
	aside        bool   // it was
	unusual      bool   // the clock runs because it was seen to take long
	before       uint32 // executions that were set aside before it, and are counted with it
	changed      int64
}

// begin starts the clock, or lets it be: if it is not its turn, or without
// a turn, because somebody else has looked.
func (k *call) begin(q *stats.Query, t *stats.Turn) {
	k.query, k.figures = q, figures{}
	if t == nil {
		return
	}
	if step := q.Step(); step == 0 || t.Due(step) {
		k.Began = stats.Now()
	}
}

// slow starts the clock of a call that turns out to take long: then, which is zero if it
// isn't known, or now.
func (k *call) slow(then time.Time) {
	if k == nil || k.query == nil || k.Began != 0 {
		return
	}
	k.Began, k.unusual = stats.Now(), true
	if !then.IsZero() {
		k.Began = min(k.Began, stats.At(then))
	}
}

// tally counts the statements of a batch. A statement's time is that of its own work, and
// the first has besides what is nobody's: the wait for the writer and the COMMIT.
type tally struct {
	call                // the statement that runs
	first call          // counted at the end
	rest  time.Duration // of the others' work
	ended time.Duration // when the statement before did
	times writer.Times
	runs  int
	asked *stats.Query // was curious,
	about int          // about this statement
}

// next begins with statement i.
func (t *tally) next(i int, q *stats.Query) *call {
	if q == nil {
		t.call = call{}
		return nil
	}
	began := t.ended
	if i == 0 {
		t.runs++
		t.rest, began = 0, stats.Now()
	}
	t.call = call{q, figures{Times: writer.Times{Began: began}}}
	t.again = t.runs > 1
	return &t.call
}

// done counts statement i, unless it is the first.
func (t *tally) done(ctx context.Context, i int, changed int64, err error) {
	if t.query == nil {
		return
	}
	t.changed = changed
	t.ended = stats.Now()
	if i == 0 {
		began, attempts := t.first.Began, t.first.attempts
		t.first = t.call
		t.first.Began, t.first.again = began, false
		t.first.attempts += attempts
		return
	}
	t.rest += t.ended - t.Began
	if t.endAt(ctx, t.ended, err) {
		t.asked, t.about = t.query, i
	}
}

// settle counts the first statement after all of them; q is its row.
func (t *tally) settle(ctx context.Context, q *stats.Query, err error) {
	k := &t.first
	k.query, k.Waited = q, t.times.Waited
	k.Began += t.rest
	if failed, ok := errors.AsType[*BatchError](err); ok && failed.Index > 0 {
		err = nil // another's
	}
	if k.end(ctx, err) {
		t.asked, t.about = q, 0
	}
}

// handOver returns the call for a result that is read on after the statement has
// returned, and that counts it when it is closed.
func (k *call) handOver() call {
	if k == nil {
		return call{}
	}
	k.slow(time.Time{})
	return *k
}

// ran notes what the engine has done for the call, after the last step, which err is of.
func (k *call) ran(s *sqlite.Stmt, v *verdict, rows int64, err error) {
	if k == nil || k.query == nil {
		return
	}
	if k.shared && k.Began == 0 && err == nil {
		s.SetAside(v, uint32(rows))
		k.aside = true
		return
	}
	e := s.Effort()
	if k.shared {
		k.before += e.Runs
		rows += int64(e.Rows)
	} else {
		k.attempts += int32(e.Runs) // of calls that the writer counts
	}
	if k.attempts > 1 {
		e.VMSteps += k.effort.VMSteps
		e.FullScanSteps += k.effort.FullScanSteps
		e.Sorts += k.effort.Sorts
		e.AutoIndexes += k.effort.AutoIndexes
		e.PageHits += k.effort.PageHits
		e.PageMisses += k.effort.PageMisses
	}
	k.effort = e
	k.rows += rows
}

// restart forgets the rows of an execution that was undone.
func (k *call) restart() {
	if k != nil {
		k.rows = 0
	}
}

// tried notes that the engine was set to work.
func (k *call) tried() {
	if k != nil {
		k.attempts++
	}
}

// met notes the waits for other connections' locks, and whether the call took long.
func (k *call) met(h *busy.Handler) {
	if k == nil {
		return
	}
	since := h.Since()
	if since.IsZero() {
		return
	}
	waited, n := h.Waited()
	k.Waited += waited
	k.busyWaits += int32(n)
	if k.Began == 0 && (n > 0 || time.Since(since) >= stats.Unusual) {
		k.slow(since)
	}
}

// leased notes the wait for a reader.
func (k *call) leased(r *pool.Reader) {
	if k == nil || k.query == nil {
		return
	}
	k.shared = true
	if k.Waited += r.Waited; r.Waited > 0 {
		k.slow(time.Now().Add(-r.Waited))
	}
}

// waiting returns what adds the time until it is called to the waits.
func (k *call) waiting() func() {
	if k == nil {
		return func() {}
	}
	k.slow(time.Time{})
	from := stats.Now()
	return func() { k.Waited += stats.Now() - from }
}

// queued notes what the writer's clock has told.
func (k *call) queued(at writer.Times) {
	if k == nil {
		return
	}
	k.Waited += at.Waited
	if k.Began == 0 {
		k.Began = at.Began
	}
	if k.Began == 0 { // it never came to the queue
		k.Began = stats.Now()
	}
}

// end counts the call. It tells whether note should be called.
func (k *call) end(ctx context.Context, err error) (curious bool) {
	if k == nil || k.query == nil {
		return false
	}
	if k.Began == 0 {
		if k.aside && err == nil && k.code == 0 {
			return false
		}
		return k.endAt(ctx, 0, err)
	}
	return k.endAt(ctx, stats.Now(), err)
}

func (k *call) endAt(ctx context.Context, now time.Duration, err error) (curious bool) {
	if err != nil && k.code == 0 {
		k.code = outcomeOf(ctx, err)
	}
	c := stats.Call{
		Took: now - k.Began, Waited: k.Waited, Ended: now, Rows: k.rows, Changed: k.changed,
		Attempts: int64(k.attempts) + int64(k.before), BusyWaits: int64(k.busyWaits), Code: k.code, Again: k.again,
		Effort: effortOf(&k.effort),
	}
	c.Untimed, c.Unusual, c.Counted, c.Aside = k.Began == 0, k.unusual, k.aside, int64(k.before)
	if k.aside {
		c.Attempts = 0
	}
	return k.query.Count(&c)
}

func effortOf(e *sqlite.Effort) queries.Effort {
	return queries.Effort{
		VMSteps: int64(e.VMSteps), FullScanSteps: int64(e.FullScanSteps), Sorts: int64(e.Sorts), AutoIndexes: int64(e.AutoIndexes),
		PageHits: int64(e.PageHits), PageMisses: int64(e.PageMisses),
	}
}

// outcomeOf is what a call that failed is counted under.
func outcomeOf(ctx context.Context, err error) int32 {
	var late *writer.BusyError
	var argument *ArgumentError
	switch code := sqlite.Code(err); {
	case ctx.Err() != nil && (errors.Is(err, ctx.Err()) || busy.Classify(code) == busy.Cancelled), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return stats.DeadlineExceeded
		}
		return stats.Canceled
	case errors.Is(err, ErrEvicted):
		return stats.Evicted
	case errors.As(err, &late), errors.Is(err, pool.ErrExhausted):
		return int32(sqlite.ResultBusy)
	case errors.As(err, &argument), errors.Is(err, ErrRefused), errors.Is(err, ErrReadOnly), errors.Is(err, ErrReadOnlyTx):
		return stats.Refused
	default:
		if _, ok := errors.AsType[*sqlite.Error](err); ok {
			return int32(code)
		}
	}
	return stats.Other
}

// note tells where the call comes from, and of what kind its arguments are. It runs
// once in a thousand calls, so it may look names up.
func note(q *stats.Query, site locks.Site, args []driver.NamedValue, values bool) {
	what := make([]string, 0, len(args))
	for _, a := range args {
		what = append(what, sample(a.Value, values))
	}
	q.Note(site.String(), what)
}

// longest is how much of a value is kept of those that may be kept.
const longest = 64

// sample is an argument as it is kept: its type, or a short form of its value.
func sample(v driver.Value, keep bool) string {
	if keep {
		switch x := v.(type) {
		case nil:
			return "NULL"
		case string:
			return x[:min(len(x), longest)]
		case []byte:
			return fmt.Sprintf("x'%x'", x[:min(len(x), longest/2)])
		case time.Time:
			return x.Format(timeFormat)
		default:
			return fmt.Sprint(x)
		}
	}
	switch x := v.(type) {
	case nil:
		return "NULL"
	case int64, bool:
		return "INTEGER"
	case float64:
		return "REAL"
	case string:
		return fmt.Sprintf("TEXT(%d)", len(x))
	case []byte:
		return fmt.Sprintf("BLOB(%d)", len(x))
	case time.Time:
		return "TEXT"
	}
	return "?"
}
