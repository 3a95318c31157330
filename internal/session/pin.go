package session

import (
	"context"
	"database/sql/driver"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/writer"
)

// checkpointWait bounds how long a RESTART or TRUNCATE checkpoint waits for
// readers: it holds the write lock meanwhile.
const checkpointWait = time.Second

// pinned is a session's own connection. It exists while the session's state
// differs from what every connection has.
type pinned struct {
	conn    *sqlite.Conn
	busy    busy.Handler
	changed map[string]bool // pragmas away from their default
	extra   bool            // attached databases or TEMP objects, asked of the engine
	sticky  bool            // state that can't be taken back, such as data_version
	rows    int             // results still being read
	drifts  int             // of the changed ones, those that count in Engine.Drifting
}

// pinTo opens the session's own connection because of s.
func (c *Conn) pinTo(ctx context.Context, s statement) error {
	conn, err := c.e.cfg.OpenPinned(ctx)
	if err != nil {
		return err
	}
	c.adopt(conn)
	if c.e.cfg.Notice != nil && s.v.class == pragmaSet {
		c.e.cfg.Notice("a PRAGMA gave this session a connection of its own; set it for all in the configuration", s.v.name, locks.Here(2, locks.Deep))
	}
	return nil
}

func (c *Conn) adopt(conn *sqlite.Conn) {
	p := &pinned{conn: conn, changed: make(map[string]bool), extra: true}
	conn.SetBusyHandler(p.busy.Busy)
	conn.SetProgressHandler(progressOps, p.busy.Interrupted)
	c.pin = p
}

// progressOps is how many virtual machine instructions run between two looks
// at the context.
const progressOps = 1000

func (c *Conn) unpin() {
	if c.pin != nil {
		_ = c.pin.conn.Close() // no transaction is open on it
		c.e.drifting.Add(-int64(c.pin.drifts))
		c.pin = nil
	}
}

// visitPin shows the session's connection around, unless the program has chosen the size
// of its cache itself.
func (c *Conn) visitPin() {
	if p := c.pin; p != nil && c.e.cfg.Visit != nil && !p.changed["cache_size"] {
		c.e.cfg.Visit(p.conn)
	}
}

// pinFailed gives the session up after its connection has failed: database/sql
// replaces it.
func (c *Conn) pinFailed(err error) {
	if c.pin != nil && (broken(err) || !c.pin.conn.Autocommit()) {
		c.bad.Store(true)
	}
}

// runPinned runs a statement outside a transaction on the session's own
// connection. A write passes the writer's gate, so that it is ordered with
// everybody's.
func (c *Conn) runPinned(ctx context.Context, s statement) (answer, error) {
	p := c.pin
	p.busy.Arm(ctx, c.budget, nil)
	defer p.busy.Disarm()
	defer s.call.met(&p.busy)
	defer c.visitPin()
	if s.v.readOnly || s.v.local() && s.v.class != temporary {
		a, err := c.onPin(ctx, s)
		if err == nil && s.v.local() {
			c.settlePin(s)
		}
		c.pinFailed(err)
		return a, err
	}
	w := c.e.cfg.Writer
	if w == nil {
		return answer{}, ErrReadOnly
	}
	waited := s.call.waiting()
	gate, err := w.Hold(ctx, c.request(ctx, locks.Here(2, locks.Deep), s.text))
	waited()
	if err != nil {
		return answer{}, err
	}
	defer releaseOnPanic(gate)
	before := c.present(p.conn, s.v)
	var a answer
	a.rows, err = collect(ctx, p.conn, s)
	if err != nil && busy.CommitOutcomeUnknown(p.conn, err) {
		err = errors.Join(writer.ErrOutcomeUnknown, err)
	}
	if err == nil {
		err = writer.Unacknowledged(c.e.cfg.Fence())
	}
	gate.Release(nil)
	c.pinFailed(err)
	if err != nil {
		return answer{}, err
	}
	c.committed = true
	a.lastRowID = p.conn.LastInsertRowID()
	a.total = p.conn.TotalChanges() - before
	if s.v.dml {
		a.affected = p.conn.Changes()
	}
	c.note(s.v, a.result)
	if s.v.class == temporary {
		c.settlePin(s)
	}
	return a, nil
}

// onPin runs a statement that needs no gate.
func (c *Conn) onPin(ctx context.Context, s statement) (answer, error) {
	p := c.pin
	if s.v.counters {
		p.conn.SetCounters(c.lastRowID, c.changes, c.total)
	}
	if !s.rows {
		return answer{result: result{lastRowID: c.lastRowID}}, drain(ctx, p.conn, s)
	}
	rows, err := c.openRows(ctx, p.conn, s)
	if err == nil && !rows.done {
		rows.feed = &feed{c: c, ctx: ctx, text: s.text, args: s.args, deaf: s.deaf(), pin: p, call: s.call.handOver()}
		p.rows++
	}
	return answer{rows: rows}, err
}

// settlePin looks at the state after a statement that changed it, and gives the
// connection up when nothing is left that others don't have.
func (c *Conn) settlePin(s statement) {
	p := c.pin
	if s.v.class == pragmaSet {
		switch {
		case s.v.name == "data_version":
			p.sticky = true
		case c.isDefault(s.v.name, s.v.value):
			delete(p.changed, s.v.name)
		default:
			p.changed[s.v.name] = true
		}
	}
	n, err := p.conn.QueryInt64("SELECT (SELECT count(*) FROM pragma_database_list WHERE name NOT IN ('main','temp')) + (SELECT count(*) FROM temp.sqlite_schema)")
	p.extra = err != nil || n > 0
	c.drift()
	if !p.extra && !p.sticky && p.rows == 0 && len(p.changed) == 0 && c.tx == nil {
		c.unpin()
	}
}

// drift counts the settings of the session's connection on which it depends what a write
// is worth, and which every other connection has otherwise. The engine is asked: in a
// transaction it changes neither.
func (c *Conn) drift() {
	p, n := c.pin, 0
	for _, name := range [...]string{"foreign_keys", "synchronous"} {
		if p.changed[name] {
			got, err := p.conn.QueryInt64("PRAGMA " + name)
			if err == nil && strconv.FormatInt(got, 10) != c.e.cfg.Defaults[name] {
				n++
			}
		}
	}
	c.e.drifting.Add(int64(n - p.drifts))
	p.drifts = n
}

// isDefault tells whether a pragma is set to what every connection has.
func (c *Conn) isDefault(name, value string) bool {
	want, ok := c.e.cfg.Defaults[name]
	return ok && normalize(name, value) == want
}

// normalize turns the words that pragmas accept into the number they answer.
func normalize(name, value string) string {
	v := strings.ToUpper(strings.Trim(value, `'" `))
	switch v {
	case "ON", "TRUE", "YES":
		return "1"
	case "OFF", "FALSE", "NO", "DEFAULT":
		return "0"
	case "NORMAL", "FILE":
		return "1"
	case "FULL", "MEMORY":
		return "2"
	case "EXTRA":
		return "3"
	}
	return v
}

// pragma serves what the session answers itself, refuses what would endanger
// the file, and passes over what changes nothing. done means that no
// connection has to run it.
func (c *Conn) pragma(_ context.Context, s statement) (a answer, done bool, err error) {
	name, value := s.v.name, s.v.value
	if why := refusal(name, value); why != "" && !c.e.cfg.AllowUnsafe {
		return answer{}, true, refused(why)
	}
	switch name {
	case "busy_timeout":
		return c.busyTimeout(value)
	case "journal_mode":
		if value != "" && !strings.EqualFold(strings.Trim(value, `'"`), c.e.cfg.JournalMode) && c.e.cfg.Notice != nil {
			c.e.cfg.Notice("PRAGMA journal_mode was not changed: the file keeps its mode while Holdfast has it open", value, locks.Here(2, locks.Deep))
		}
		return oneRow(name, c.e.cfg.JournalMode), true, nil
	case "locking_mode":
		return oneRow(name, "normal"), true, nil
	}
	if value != "" && c.pin == nil && c.isDefault(name, value) {
		return answer{rows: noRows(), result: result{lastRowID: c.lastRowID}}, true, nil
	}
	return answer{}, false, nil
}

// busyTimeout makes PRAGMA busy_timeout the session's wait budget.
func (c *Conn) busyTimeout(value string) (answer, bool, error) {
	if value != "" {
		ms, err := strconv.ParseInt(strings.TrimSpace(value), 10, 32)
		if err != nil || ms < 0 {
			ms = 0
		}
		c.budget = time.Duration(ms) * time.Millisecond
	}
	return oneRow("timeout", c.budget.Milliseconds()), true, nil
}

func oneRow(name string, value driver.Value) answer {
	return answer{rows: &Rows{shape: &shape{columns: []string{name}, types: []string{""}, times: []bool{false}}, ahead: []driver.Value{value}, done: true}}
}
