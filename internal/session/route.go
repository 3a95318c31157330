package session

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/writer"
)

// statement is one statement on its way to the connection that runs it.
type statement struct {
	text string
	v    *verdict
	args []driver.NamedValue
	rows bool  // the caller wants the rows
	call *call // that counts it, or nil
	unit *unit // that the writer counts, or nil
}

// deaf tells whether the end of a context has to interrupt the statement. Others
// ask for themselves, which costs nothing until they have run for a while.
func (s statement) deaf() bool { return s.v != nil && s.v.deaf }

// answer is what became of it: rows when they were wanted, else counters.
type answer struct {
	rows *Rows
	result
}

func checkText(sql string) error {
	if strings.IndexByte(sql, 0) >= 0 {
		return &ArgumentError{"the SQL text contains a NUL byte, where SQLite would stop reading; remove it"}
	}
	return nil
}

func (c *Conn) exec(ctx context.Context, query string, args []driver.NamedValue) (result, error) {
	if err := ctx.Err(); err != nil {
		return result{}, err
	}
	if v := c.e.verdicts.get(query); v != nil {
		a, err := c.run(ctx, statement{text: query, v: v, args: args})
		return a.result, err
	}
	if err := checkText(query); err != nil {
		return result{}, err
	}
	before, inner := c.tx, c.inner
	r, err := c.script(ctx, query, args)
	// A transaction that the text opened did not come to its end.
	switch {
	case err != nil && c.tx != before && before == nil:
		_ = c.tx.abort(nil)
		c.tx = nil
	case err != nil && c.inner != inner && inner == nil:
		_ = c.endInner(ctx, false) // err matters more
	}
	return r, err
}

// script runs the statements of a text one after the other and returns what the
// last one that changed rows did. Each is compiled when its turn comes, since it
// may need what the one before has created.
func (c *Conn) script(ctx context.Context, query string, args []driver.NamedValue) (last result, err error) {
	for rest := query; ; {
		v, text, tail, err := c.classify(ctx, rest)
		if err != nil {
			return result{}, err
		}
		if c.e.cfg.Confined && !isBlank(tail) {
			if err := c.refuseSecond(ctx, tail); err != nil {
				return result{}, err
			}
		}
		if v.class != blank {
			a, err := c.run(ctx, statement{text: text, v: v, args: args})
			if err != nil {
				return result{}, err
			}
			if v.dml || last == (result{}) {
				last = a.result
			}
		}
		if rest = tail; isBlank(rest) {
			return last, nil
		}
	}
}

func (c *Conn) query(ctx context.Context, query string, args []driver.NamedValue) (*Rows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v := c.e.verdicts.get(query)
	if v == nil {
		if err := checkText(query); err != nil {
			return nil, err
		}
		var text, tail string
		var err error
		if v, text, tail, err = c.classify(ctx, query); err != nil {
			return nil, err
		}
		if !isBlank(tail) {
			if err := c.refuseSecond(ctx, tail); err != nil {
				return nil, err
			}
		}
		query = text
	}
	a, err := c.run(ctx, statement{text: query, v: v, args: args, rows: true})
	if err != nil {
		return nil, err
	}
	if a.rows == nil {
		a.rows = noRows()
	}
	return a.rows, nil
}

// refuseSecond refuses a query whose text goes on after the first statement,
// before anything has run. Comments may follow.
func (c *Conn) refuseSecond(ctx context.Context, tail string) error {
	if v, _, _, err := c.classify(ctx, tail); err == nil && v.class == blank {
		return nil
	}
	return &ArgumentError{"the text has more than one statement, and one is run: run the others before it, each by itself"}
}

// classify compiles the first statement of sql where the session would run it.
func (c *Conn) classify(ctx context.Context, sql string) (v *verdict, text, tail string, err error) {
	t := c.tx
	if c.e.guard != nil {
		t = c.e.guard.tx
	}
	switch {
	case t != nil:
		t.mu.Lock()
		defer t.mu.Unlock()
		over := t.usable()
		if over == nil {
			return c.e.classifyOn(t.conn, sql, t.kind != pinnedTx)
		}
		// It has no connection any more, but its ROLLBACK must be understood.
		if v, text, tail, err = c.classifyOnReader(ctx, sql); err != nil {
			err = over
		}
		return v, text, tail, err
	case c.pin != nil:
		c.pin.busy.Arm(ctx, c.budget, nil)
		defer c.pin.busy.Disarm()
		return c.e.classifyOn(c.pin.conn, sql, false)
	}
	return c.classifyOnReader(ctx, sql)
}

func (c *Conn) classifyOnReader(ctx context.Context, sql string) (v *verdict, text, tail string, err error) {
	err = c.e.onReader(ctx, c.budget, func(r *sqlite.Conn) error {
		v, text, tail, err = c.e.classifyOn(r, sql, true)
		return err
	})
	return v, text, tail, err
}

// run runs one statement and counts it.
func (c *Conn) run(ctx context.Context, s statement) (answer, error) {
	switch {
	case s.v.query == nil:
		return c.route(ctx, s)
	case c.queues(s.v):
		return c.runQueued(ctx, s)
	}
	k := &c.call
	k.begin(s.v.query, &c.turn)
	s.call = k
	a, err := c.route(ctx, s)
	if a.rows != nil && a.rows.feed != nil {
		return a, err // counted when it is closed
	}
	failed := err
	if failed == nil && a.rows != nil {
		failed = a.rows.err
	}
	k.changed = a.affected
	if k.end(ctx, failed) {
		note(k.query, locks.Here(1, locks.Deep), s.args, c.e.cfg.Queries.Values())
	}
	return a, err
}

// queues tells whether a statement is going to be a unit of the writer.
func (c *Conn) queues(v *verdict) bool {
	return !v.readOnly && v.class == plain && c.tx == nil && c.pin == nil && c.e.guard == nil && c.e.cfg.Writer != nil
}

// route sends one statement where it belongs.
func (c *Conn) route(ctx context.Context, s statement) (answer, error) {
	if c.e.guard != nil {
		return c.runGuarded(ctx, s)
	}
	switch s.v.class {
	case blank:
		return answer{rows: noRows(), result: result{lastRowID: c.lastRowID}}, nil
	case begin:
		return answer{}, c.beginText(ctx)
	case commit, rollback:
		return answer{}, c.endText(ctx, s)
	case savepoint, release, rollbackTo:
		return answer{}, c.savepointText(ctx, s)
	case attach, outside:
		if err := c.refuseSidecar(s); err != nil {
			return answer{}, err
		}
		defer c.private(s)()
	case pragmaSet:
		if a, done, err := c.pragma(ctx, s); done || err != nil {
			return a, err
		}
	}
	if c.e.cfg.Confined && s.v.local() {
		return answer{}, refused("a statement that changes its connection is not for SQL from outside")
	}
	switch {
	case c.tx != nil:
		return c.tx.run(ctx, s)
	case s.v.local():
		if c.pin == nil {
			if err := c.pinTo(ctx, s); err != nil {
				return answer{}, err
			}
		}
		return c.runPinned(ctx, s)
	case c.pin != nil:
		return c.runPinned(ctx, s)
	case s.v.class == outside:
		return c.runOutside(ctx, s)
	case s.v.readOnly:
		a, err := c.runOnReader(ctx, s)
		if err != nil && sqlite.Code(err) == sqlite.ResultReadOnly && c.e.cfg.Writer != nil {
			// The verdict was a wrong guess (a view's trigger, a changed
			// schema): the engine refused on the reader, the writer may.
			c.e.cfg.Counters.Retries.Add(1)
			if s.call != nil {
				s.call.shared = false
			}
			return c.runOnWriter(ctx, s)
		}
		return a, err
	}
	return c.runOnWriter(ctx, s)
}

// refuseSidecar refuses to open the log or the shared memory of a database as a
// database, for ATTACH or VACUUM INTO: closing it again would drop the locks that
// a connection of this process has on it. A name that an expression makes up is
// not known before it is opened.
func (c *Conn) refuseSidecar(s statement) error {
	for _, name := range s.fileNames() {
		sidecar := c.e.cfg.Sidecar != nil && name != "" && c.e.cfg.Sidecar(name)
		for _, suffix := range []string{"-wal", "-shm", "-journal", "-holdfast.lock", "-holdfast.sock"} {
			sidecar = sidecar || strings.HasSuffix(name, suffix)
		}
		if sidecar {
			return refused("the file is a part of another database; name that one")
		}
	}
	return nil
}

// private makes a file that the statement creates the owner's alone, where its
// name can be known: SQLite creates it as the umask says. VACUUM fills it, so
// there it has to be private before.
func (c *Conn) private(s statement) (afterwards func()) {
	if c.e.cfg.Private == nil || c.e.cfg.Writer == nil || s.v.name == "wal_checkpoint" {
		return func() {}
	}
	return c.e.cfg.Private(s.fileNames(), s.v.class == outside)
}

// fileNames are the names that ATTACH or VACUUM INTO may mean.
func (s statement) fileNames() (names []string) {
	if s.v.name != "" {
		return []string{s.v.name}
	}
	for _, a := range s.args {
		if name, ok := a.Value.(string); ok && name != "" {
			names = append(names, name)
		}
	}
	return names
}

// runOnReader runs a read-only statement on a leased reader. When all rows fit
// the read-ahead the reader is back before the caller sees the first.
func (c *Conn) runOnReader(ctx context.Context, s statement) (answer, error) {
	r, err := c.e.cfg.Pool.Read(ctx)
	if err != nil {
		return answer{}, err
	}
	s.call.leased(r)
	r.Busy.Arm(ctx, c.budget, nil)
	if s.v.counters {
		r.Conn.SetCounters(c.lastRowID, c.changes, c.total)
	}
	if !s.rows {
		err := drain(ctx, r.Conn, s)
		s.call.met(&r.Busy)
		c.e.giveBack(r, err)
		return answer{result: result{lastRowID: c.lastRowID}}, err
	}
	rows, err := c.openRows(ctx, r.Conn, s)
	if err != nil {
		s.call.met(&r.Busy)
		c.e.giveBack(r, err)
		return answer{}, err
	}
	if rows.done {
		s.call.met(&r.Busy)
		c.e.giveBack(r, rows.err)
		return answer{rows: rows}, nil
	}
	rows.keepReader(ctx, r, c, s)
	return answer{rows: rows}, nil
}

// runWrite runs a statement to its end on a connection that writes. It touches
// no session: the writer may run it on another goroutine, and twice.
func runWrite(ctx context.Context, conn *sqlite.Conn, s statement, before counters) (answer, error) {
	s.call.restart()
	total := conn.TotalChanges()
	start := before.present(conn, s.v)
	// The writer tells by the connection's own total what a unit has changed.
	defer func() {
		conn.SetCounters(conn.LastInsertRowID(), conn.Changes(), total+conn.TotalChanges()-start)
	}()
	var a answer
	var err error
	if s.rows {
		a.rows, err = collect(ctx, conn, s)
	} else {
		err = drain(ctx, conn, s)
	}
	if err != nil {
		return answer{}, err
	}
	a.lastRowID = conn.LastInsertRowID()
	a.total = conn.TotalChanges() - start
	if s.v.dml {
		a.affected = conn.Changes()
	}
	return a, nil
}

// present makes a connection answer the session's counters to a statement that
// asks for them; another one starts from no changes. It returns the total that
// the connection starts from.
func (k *counters) present(conn *sqlite.Conn, v *verdict) (total int64) {
	if v.counters {
		conn.SetCounters(k.lastRowID, k.changes, k.total)
		return k.total
	}
	total = conn.TotalChanges()
	if !v.readOnly {
		conn.SetCounters(k.lastRowID, 0, total)
	}
	return total
}

// note keeps what the session's own functions and results will answer.
func (c *Conn) note(v *verdict, r result) {
	c.lastRowID = r.lastRowID
	c.total += r.total
	if v.dml {
		c.changes = r.affected
	}
}

// runOutside runs a statement that can't be part of a transaction, with the
// writer to itself. wal_checkpoint must not make every writer wait for the
// slowest reader, so its own waits are short.
func (c *Conn) runOutside(ctx context.Context, s statement) (answer, error) {
	w := c.e.cfg.Writer
	if w == nil {
		return answer{}, ErrReadOnly
	}
	site := locks.Here(1, locks.Deep)
	if s.v.name == "wal_checkpoint" && c.e.cfg.Checkpoint != nil {
		over, err := c.e.cfg.Checkpoint(ctx) // before the writer, as the background does
		if err != nil {
			return answer{}, err
		}
		defer over()
	}
	waited := s.call.waiting()
	h, err := w.Hold(ctx, c.request(ctx, site, s.text))
	waited()
	if err != nil {
		return answer{}, err
	}
	defer releaseOnPanic(h)
	if s.v.name == "wal_checkpoint" {
		c.e.cfg.Pool.Cool()
		h.Budget(ctx, min(c.budget, checkpointWait))
	}
	rows, err := collect(ctx, h.Conn(), s)
	if err == nil {
		err = writer.Unacknowledged(c.e.cfg.Fence())
	}
	h.Release(err)
	return answer{rows: rows, result: result{lastRowID: c.lastRowID}}, err
}

// releaseOnPanic gives the writer back if the engine panics: a damaged file must
// not lock everybody out for the rest of the process.
func releaseOnPanic(h *writer.Held) {
	if v := recover(); v != nil {
		h.Release(&sqlite.Error{Code: sqlite.ResultCorrupt, Op: "step", Msg: "the engine panicked", Offset: -1})
		panic(v)
	}
}

func drain(ctx context.Context, conn *sqlite.Conn, s statement) error {
	if s.deaf() {
		defer conn.InterruptAfter(ctx)()
	}
	st, err := prepare(conn, s)
	if err != nil {
		return err
	}
	rows := int64(-1) // the last step has none
	for row := true; row && err == nil; rows++ {
		row, err = st.Step()
	}
	s.ran(st, rows, err)
	if e := st.Release(); err == nil {
		err = e
	}
	return err
}

func prepare(conn *sqlite.Conn, s statement) (*sqlite.Stmt, error) {
	s.tried()
	st, _, err := conn.PrepareCached(s.text)
	if outdated(conn, &err) {
		st, _, err = conn.PrepareCached(s.text)
	}
	if err != nil {
		return nil, err
	}
	if st == nil {
		return nil, &ArgumentError{"the SQL text holds no statement"}
	}
	if err := bind(st, s.args); err != nil {
		_ = st.Release() // never stepped: there is no second error to report
		return nil, err
	}
	return st, nil
}

// broken tells whether a connection can't be trusted after err.
func broken(err error) bool {
	return err != nil && busy.Classify(sqlite.Code(err)) == busy.Broken
}

// writeBudget is how long the session's writes wait; PRAGMA busy_timeout=0 says
// not at all.
func (c *Conn) writeBudget() time.Duration {
	if c.budget == 0 {
		return -1
	}
	return c.budget
}

func (c *Conn) request(ctx context.Context, site locks.Site, sql string) writer.Request {
	return writer.Request{Priority: PriorityOf(ctx), Site: site, SQL: sql, Budget: c.writeBudget()}
}

// Closure is a context for the transaction in which a function runs that its
// beginner calls and waits for, with Mark on the stack.
type Closure struct {
	context.Context
	Mark locks.Mark
}

type closureKey struct{}

// Value is the closure itself to whoever begins the transaction.
func (c *Closure) Value(key any) any {
	if key == (closureKey{}) {
		return c
	}
	return c.Context.Value(key)
}

func mark(ctx context.Context) locks.Mark {
	if c, ok := ctx.Value(closureKey{}).(*Closure); ok {
		return c.Mark
	}
	return 0
}

type priorityKey struct{}

// WithPriority returns a context whose writes queue with priority p.
func WithPriority(ctx context.Context, p writer.Priority) context.Context {
	return context.WithValue(ctx, priorityKey{}, p)
}

// PriorityOf is the priority that WithPriority has given a context.
func PriorityOf(ctx context.Context) writer.Priority {
	if p, ok := ctx.Value(priorityKey{}).(writer.Priority); ok {
		return p
	}
	return writer.Normal
}

func refused(reason string) error { return fmt.Errorf("%w: %s", ErrRefused, reason) }
