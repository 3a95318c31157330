package stats

import "time"

// Written is a call that the writer counts when its COMMIT has returned: it has the lines
// of all calls of a group in its processor's cache, and one look at the clock for them.
type Written struct {
	Query         *Query // nil: it is not counted
	Rows, Changed int64
	Curious       bool // told by Commit.Count: Note should be told more
}

// Commit counts the calls of one COMMIT. A row that many of them are of is locked once.
type Commit struct {
	at    time.Duration // when it returned, by Now
	query *Query        // of the call before
	part  *part         // of query, locked; or nil
	hint  *int
}

// Committed begins to count the calls of a COMMIT that returned at a time. The caller must
// call End.
func Committed(at time.Time) Commit { return Commit{at: At(at)} }

// Count counts a call that began at a time.
func (m *Commit) Count(c *Written, began time.Time, waited time.Duration) {
	if c.Query != m.query {
		m.turnTo(c.Query)
	}
	took := m.at - At(began)
	if p := m.part; p != nil {
		before := p.calls
		p.worth += float64(took)
		p.written(c, took, waited, m.at)
		c.Curious = curiousAt(before, p.calls)
		return
	}
	c.Curious = c.Query.Count(&Call{Took: took, Waited: waited, Ended: m.at, Rows: c.Rows, Changed: c.Changed})
}

// turnTo locks the part of another row. One that is gone has none: its calls find out
// one by one where they belong.
func (m *Commit) turnTo(q *Query) {
	m.End()
	m.query, m.hint = q, q.table.hints.Get().(*int)
	p := q.part(*m.hint)
	p.mu.Lock()
	if p.gone {
		p.mu.Unlock()
		return
	}
	m.part = p
}

// End ends the counting.
func (m *Commit) End() {
	if m.query == nil {
		return
	}
	if m.part != nil {
		m.part.mu.Unlock()
	}
	m.query.table.hints.Put(m.hint)
	m.query, m.part = nil, nil
}

// written adds what is the caller's of a call; the engine's counters have told of the
// rest, or will.
func (s *counts) written(c *Written, took, waited, ended time.Duration) {
	if s.calls == 0 {
		s.first = ended - took
	}
	s.calls++
	s.rows += c.Rows
	s.changed += c.Changed
	s.duration.Add(took)
	if waited > 0 {
		s.wait.Add(waited)
	}
	s.last = max(s.last, ended)
}
