package writer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// group is one BEGIN IMMEDIATE ... COMMIT.
type group struct {
	tasks  []*task // executed, waiting for COMMIT
	began  time.Time
	sealed bool // takes no more units

	expected int // units that were about to come when it began
	gathered int // units it had at its last yield
	marked   int // units that are known to be executed
}

// mark notes that its units wait for the COMMIT. Called with mu held.
func (g *group) mark() {
	for _, t := range g.tasks[g.marked:] {
		t.state = executed
	}
	g.marked = len(g.tasks)
}

// lacks tells whether to let others run before the COMMIT: those who were
// answered by the last one, as a rule, are on their way back. It is worth it as
// long as each yield brings somebody, so a group waits for nobody who thinks.
func (g *group) lacks() bool {
	if n := len(g.tasks); n < g.expected && n > g.gathered {
		g.gathered = n
		return true
	}
	return false
}

// perform runs a statement unit in the current group, or opens one for it.
func (w *Writer) perform(t *task) {
	if err := t.ctx.Err(); err != nil {
		w.answer(t, err)
		return
	}
	apart := false
	if w.group == nil {
		if err := w.begin(t); err != nil {
			w.answer(t, err)
			return
		}
		w.mu.Lock()
		apart = w.known.apart[t.sql] > 0
		w.group.sealed = t.alone || apart
		w.holder = t.holder(w.clock.now)
		w.mu.Unlock()
	}
	start := w.clock.now
	waited := start.Sub(t.since)
	w.hasWaited(waited)
	t.waited = waited
	w.ctx = t.ctx
	before := w.conn.TotalChanges()
	err := w.runIsolated(t)
	w.ctx = nil
	w.clock.now = time.Now()
	switch {
	case w.clock.now.Sub(start) > slowStatement:
		w.setApart(t.sql)
	case apart && err == nil:
		w.forgive(t.sql)
	}
	w.settle(t, err, before)
}

// slowStatement is how long a statement may run before it is kept out of
// groups: the units executed before it wait for their COMMIT meanwhile, and if
// its context ends, SQLite rolls them back together with it.
const slowStatement = 10 * time.Millisecond

// What is remembered of bad company: how many statements, and for how many good
// runs. A quick statement can be slow once because the processor was taken away,
// and one that is slow once in a few times still costs its groups something.
const (
	maxApart = 256
	apartFor = 16
)

func (w *Writer) setApart(sql string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.known.apart) >= maxApart {
		clear(w.known.apart)
	}
	w.known.apart[sql] = apartFor
}

// forgive notes a good run of a statement that commits alone.
func (w *Writer) forgive(sql string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known.apart[sql]--; w.known.apart[sql] <= 0 {
		delete(w.known.apart, sql)
	}
}

func (w *Writer) runIsolated(t *task) error {
	if t.atomic {
		return t.work(w.conn)
	}
	if err := w.control("SAVEPOINT holdfast_unit"); err != nil {
		return err
	}
	err := t.work(w.conn)
	if err == nil && w.deferredViolations() {
		err = errForeignKey()
	}
	if w.conn.Autocommit() {
		return err
	}
	var e error
	if err != nil {
		e = w.control("ROLLBACK TO holdfast_unit")
	}
	if e == nil {
		e = w.control("RELEASE holdfast_unit")
	}
	if e != nil {
		// The unit can't be told apart from its group any more: drop both.
		_ = w.control("ROLLBACK")
		return errors.Join(err, e)
	}
	return err
}

// settle decides what a unit's result means for its group.
func (w *Writer) settle(t *task, err error, before int64) {
	g := w.group
	lost := w.conn.Autocommit()
	action := busy.Report
	if err != nil {
		action = busy.Classify(sqlite.Code(err))
	}
	switch {
	case t.panicked != nil:
		// Nobody knows which statements it has left running.
		w.lose(t, err)
		if w.conn != nil {
			w.discard("unclean")
		}
	case lost:
		w.lose(t, err)
	case t.atomic && err == nil && w.deferredViolations():
		// A statement unit has no savepoint to go back to: the group is given
		// up, the others run again, this one has its answer.
		_ = w.control("ROLLBACK")
		w.lose(t, errForeignKey())
	case err != nil && action == busy.Broken:
		_ = w.control("ROLLBACK")
		w.lose(t, err)
	case err != nil && !(t.atomic && w.conn.TotalChanges() != before):
		w.sealLoose()
		w.tell()
		w.answer(t, err) // it left no trace; its answer needs no COMMIT
		if len(g.tasks) == 0 {
			w.abandonGroup()
		}
	default:
		// Done; or INSERT OR FAIL, whose first rows stay although it failed.
		t.err = err
		w.sealLoose()
		w.executed(t)
	}
}

// sealLoose has the group committed after a unit that has set PRAGMA defer_foreign_keys,
// which lives until then, also when the unit is undone. To those who followed it would
// say nothing of a violation before their end.
func (w *Writer) sealLoose() {
	if w.conn.DefersForeignKeys() {
		w.group.sealed = true
	}
}

// executed puts t into the group. Its state follows in decide, which takes mu
// anyway: nobody asks for it before the baton goes on.
func (w *Writer) executed(t *task) {
	w.group.tasks = append(w.group.tasks, t)
}

// lose deals with a transaction that SQLite has dropped because of guilty.
// The others run again before anything that queued later. The guilty one has
// its answer, unless it failed on what the others had written: then it is run
// again too, alone, so that its answer is the one it would have had alone.
func (w *Writer) lose(guilty *task, err error) {
	others := w.group.tasks
	w.group = nil
	w.releaseTurn()
	w.tell()
	if err != nil && len(others) > 0 && guilty.kind == statement && guilty.panicked == nil && busy.Classify(sqlite.Code(err)) == busy.Report {
		guilty.alone = true
		w.setApart(guilty.sql) // it would do the same to its next group
		w.runAgain(append(others, guilty), err)
	} else {
		w.runAgain(others, err)
		if err == nil {
			err = ErrRolledBack
		}
		w.answer(guilty, err)
	}
	w.discardIf(err)
}

// runAgain puts the units of a dropped transaction back to the head of the
// queue; the interactive ones have to be begun again by their owners. Who has
// left is looked at and the rest queued under one lock: a unit whose caller
// goes in between would be handed the baton and never pass it on.
func (w *Writer) runAgain(tasks []*task, cause error) {
	var again, gone []*task
	w.mu.Lock()
	for _, t := range tasks {
		if t.kind == interactive || t.gone {
			gone = append(gone, t)
			continue
		}
		t.err = nil
		again = append(again, t)
	}
	w.queue.pushFront(again)
	w.mu.Unlock()
	w.cfg.Counters.Retries.Add(int64(len(again)))
	for _, t := range gone {
		w.answer(t, rolledBack(cause))
	}
}

// rolledBack is the answer to a unit that somebody else's failure undid. It
// tells the kind of failure only: the engine's message may quote the other
// caller's values.
func rolledBack(cause error) error {
	if cause == nil {
		return ErrRolledBack
	}
	code := sqlite.Code(cause)
	return fmt.Errorf("%w (cause: %s)", ErrRolledBack, code.Message())
}

// proceed is what the owner of the baton does when its own unit is done: it
// fills the group, commits it, and hands the baton on.
func (w *Writer) proceed() {
	for {
		t, act := w.decide()
		switch act {
		case doRun:
			w.perform(t)
		case doCommit:
			w.commit()
		case doYield:
			w.yield()
		case doShow:
			w.show()
		case doHandOver:
			t.ready <- struct{}{}
			return
		case doClose:
			w.closeIdle()
			return
		case doRest:
			return
		}
	}
}

type step int

const (
	doRun step = iota
	doCommit
	doYield
	doShow
	doHandOver
	doClose
	doRest
)

func (w *Writer) decide() (*task, step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.served = nil
	t := w.queue.first()
	if g := w.group; g != nil {
		g.mark()
		full := g.sealed || len(g.tasks) >= w.cfg.MaxGroup ||
			w.cfg.MaxGroupTime > 0 && w.clock.now.Sub(g.began) >= w.cfg.MaxGroupTime
		switch {
		case t == nil && !full && g.lacks():
			return nil, doYield
		case t == nil || full || t.alone || t.kind == hold || t.kind == statement && w.known.apart[t.sql] > 0:
			return nil, doCommit
		case t.kind == interactive && !w.joins(t.site):
			return nil, doCommit
		}
		w.queue.remove(t)
		if t.kind == statement {
			t.state = granted
			w.holder = t.holder(w.clock.now)
			w.served = t
			return t, doRun
		}
		w.grant(t)
		return t, doHandOver
	}
	if w.visit.next != nil && w.visited() {
		return nil, doShow
	}
	if t == nil {
		w.owned = false
		w.holder = Holder{}
		if w.closed {
			return nil, doClose
		}
		return nil, doRest
	}
	w.queue.remove(t)
	w.grant(t)
	return t, doHandOver
}

// grant makes t the next owner of the baton. Called with mu held.
func (w *Writer) grant(t *task) {
	t.state = granted
	t.lead = true
	// After one who has given up on another process this one is in the way still:
	// those behind, whose patience ends together with his, have not waited for t.
	if w.holder.Kind != kindForeign {
		w.holder = t.holder(time.Now())
	}
}

// commit ends the group and answers everybody in it.
func (w *Writer) commit() {
	g := w.group
	w.group = nil
	if len(g.tasks) == 0 {
		_ = w.control("ROLLBACK")
		w.releaseTurn()
		w.tell()
		return
	}
	w.mu.Lock()
	w.holder.Kind = kindStatement // COMMIT: nobody's think time any more
	w.holder.SQL = "COMMIT"
	w.mu.Unlock()
	err := w.commitEngine()
	w.releaseTurn()
	w.tell()
	if err == nil {
		// Committed, but to which file? An answer would be a promise about the
		// one that the path names.
		err = Unacknowledged(w.look())
	}
	w.pace.last = len(g.tasks)
	if err == nil {
		w.cfg.Counters.Groups.Add(1)
		w.cfg.Counters.GroupedUnits.Add(int64(len(g.tasks)))
		if t := w.cfg.Times; t != nil {
			t.WriterUse.Add(w.clock.looked.Sub(g.began))
			t.GroupUnits.Add(time.Duration(len(g.tasks)) * time.Second)
		}
		w.answerAll(g.tasks)
		clear(g.tasks)
		*g = group{tasks: g.tasks[:0]}
		w.spare.group = g
		return
	}
	w.commitFailed(g, err)
}

func (w *Writer) commitEngine() error {
	var err error
	_, _, _ = busy.Poll(context.Background(), w.cfg.Budget, func() bool {
		err = w.control("COMMIT")
		return err == nil || busy.Classify(sqlite.Code(err)) != busy.Wait
	})
	if err != nil && !w.conn.Autocommit() {
		if e := w.control("ROLLBACK"); e != nil {
			err = errors.Join(err, e)
		}
	}
	return w.outcome(err)
}

// Unacknowledged marks what the fence says after a COMMIT.
func Unacknowledged(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrUnacknowledged, err)
}

// outcome marks the error of a COMMIT that may have reached the disk. It comes right
// after the COMMIT, before anybody else may write.
func (w *Writer) outcome(err error) error {
	if err != nil && busy.CommitOutcomeUnknown(w.conn, err) {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return err
}

func (w *Writer) commitFailed(g *group, err error) {
	switch {
	case errors.Is(err, ErrOutcomeUnknown):
		w.cfg.Counters.UnknownOutcomes.Add(int64(len(g.tasks)))
	case sqlite.Code(err).Primary() == sqlite.ResultConstraint && len(g.tasks) > 1:
		w.commitApart(g, err)
		return
	}
	for _, t := range g.tasks {
		w.answer(t, err)
	}
	w.discardIf(err)
}

// commitApart handles a COMMIT that a constraint refused although every unit
// passed its own check: each unit is committed by itself, so that one cannot
// spoil the others.
func (w *Writer) commitApart(g *group, err error) {
	for _, t := range g.tasks {
		t.alone = true
	}
	w.runAgain(g.tasks, err)
}

func (w *Writer) answer(t *task, err error) {
	w.mu.Lock()
	t.state = answered
	t.err = err
	if w.served == t {
		w.served = nil
	}
	w.mu.Unlock()
	t.ready <- struct{}{}
}
