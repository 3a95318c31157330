package session

import (
	"context"

	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
	"github.com/holdfastdb/holdfast/internal/writer"
)

// runOnWriter runs a statement as a unit of the writer, which commits it
// together with whatever else is waiting. Rows (RETURNING) are collected
// before the COMMIT, so they are the caller's even if he reads only one.
func (c *Conn) runOnWriter(ctx context.Context, s statement) (answer, error) {
	if c.e.cfg.Writer == nil {
		return answer{}, ErrReadOnly
	}
	u := c.newUnit(ctx, s)
	err := c.do(u, nil)
	s.call.queued(u.times)
	return c.done(u, err)
}

// runQueued is runOnWriter for a statement that the writer counts, unless it fails.
func (c *Conn) runQueued(ctx context.Context, s statement) (answer, error) {
	u := c.newUnit(ctx, s)
	u.s.unit, u.written.Query = u, s.v.query
	err := c.do(u, &u.written)
	curious := u.written.Curious
	if err != nil {
		k := &c.call
		k.begin(s.v.query, nil)
		k.queued(u.times)
		k.attempts, k.rows = u.attempts, u.written.Rows
		curious = k.end(ctx, err)
	}
	a, err := c.done(u, err)
	if curious {
		note(s.v.query, locks.Here(2, locks.Deep), s.args, c.e.cfg.Queries.Values())
	}
	return a, err
}

// unit is one statement as work for the writer. A session has one at a time,
// so it keeps it, and the function value that would be made for each.
type unit struct {
	ctx    context.Context
	s      statement
	before counters
	a      answer
	times  writer.Times
	work   func(*sqlite.Conn) error

	written  stats.Written
	attempts int32 // that the engine's counters don't tell of
}

func (c *Conn) newUnit(ctx context.Context, s statement) *unit {
	u := c.unit
	if u == nil {
		u = new(unit)
		u.work = u.run
	}
	u.ctx, u.s, u.before = ctx, s, c.counters
	c.unit = nil // until it is known that nobody will run it again
	return u
}

func (c *Conn) do(u *unit, counted *stats.Written) error {
	return c.e.cfg.Writer.Do(u.ctx, writer.Unit{
		Atomic: true, Priority: PriorityOf(u.ctx), SQL: u.s.text, Budget: c.writeBudget(), Run: u.work, Times: &u.times, Written: counted,
	})
}

// done takes the unit's answer, and the unit back.
func (c *Conn) done(u *unit, err error) (answer, error) {
	a, v := u.a, u.s.v
	*u = unit{work: u.work}
	c.unit = u
	if err != nil {
		return answer{}, err
	}
	c.committed = true
	c.note(v, a.result)
	return a, nil
}

func (u *unit) run(conn *sqlite.Conn) (err error) {
	u.a, err = runWrite(u.ctx, conn, u.s, u.before)
	u.written.Changed = u.a.affected
	return err
}

// tried notes that the engine was set to work.
func (s *statement) tried() {
	if s.unit != nil {
		s.unit.attempts++
	} else {
		s.call.tried()
	}
}

// ran notes what the engine has done, after the last step, which err is of.
func (s *statement) ran(st *sqlite.Stmt, rows int64, err error) {
	if u := s.unit; u != nil {
		u.attempts--
		u.written.Rows = rows
		st.SetAside((*attempts)(s.v), 0)
	} else {
		s.call.ran(st, s.v, rows, err)
	}
}
