package session

import (
	"context"
	"database/sql/driver"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/pool"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
)

// Rows is a result: first the rows that were read ahead, then, if the result
// is longer, those that the statement still yields.
type Rows struct {
	*shape

	ahead  []driver.Value // rows read ahead, one after the other
	few    [4]driver.Value
	next   int            // index in ahead of the next row
	shown  []driver.Value // the row that Next returned last, for column types
	done   bool           // the statement has no more rows
	err    error          // what it failed with after the rows read ahead,
	failed error          // and the same as the caller will see it

	boxes boxes
	owner *Conn // until Close
	// While the statement still yields rows.
	stmt *sqlite.Stmt
	feed *feed
}

// shape is what the columns of a result are. It is made once for a compiled
// statement and never changed, so results share it.
type shape struct {
	columns []string
	types   []string // declared types, upper case
	times   []bool
}

// feed is what keeps a long result open.
type feed struct {
	c       *Conn
	ctx     context.Context
	text    string
	args    []driver.NamedValue // for the error of a later row
	deaf    bool                // as its statement
	tx      *transaction        // rows of a transaction, or
	reader  *pool.Reader        // rows that hold a reader, or
	pin     *pinned             // rows of a session with a connection of its own
	lease   *locks.Lease
	call    call
	mu      sync.Mutex // held while the statement steps; the evictor tries it
	stop    stopper
	evicted bool
}

var (
	_ driver.RowsColumnTypeDatabaseTypeName = (*Rows)(nil)
	_ driver.RowsColumnTypeScanType         = (*Rows)(nil)
	_ driver.RowsColumnTypeLength           = (*Rows)(nil)
	_ driver.RowsColumnTypeNullable         = (*Rows)(nil)
	_ driver.RowsColumnTypePrecisionScale   = (*Rows)(nil)
)

// openRows starts a statement and reads ahead. If the result ends there
// (r.done) the statement is released already.
func (c *Conn) openRows(ctx context.Context, conn *sqlite.Conn, s statement) (*Rows, error) {
	r, err := startRows(ctx, conn, s, c.e.cfg.ReadAheadRows, c.e.cfg.ReadAheadBytes)
	if err == nil && r.err != nil {
		r.failed = c.fail(ctx, "query", s.text, s.args, r.err)
	}
	return r, err
}

// collect runs a statement to its end and keeps all its rows.
func collect(ctx context.Context, conn *sqlite.Conn, s statement) (*Rows, error) {
	r, err := startRows(ctx, conn, s, math.MaxInt, math.MaxInt)
	if err == nil && r.err != nil {
		return nil, r.err
	}
	return r, err
}

func startRows(ctx context.Context, conn *sqlite.Conn, s statement, maxRows, maxBytes int) (*Rows, error) {
	if s.deaf() {
		defer conn.InterruptAfter(ctx)()
	}
	st, err := prepare(conn, s)
	if err != nil {
		return nil, err
	}
	// The first step may find the schema changed and compile the statement
	// anew, so the columns are described after it.
	row, err := st.Step()
	if err != nil {
		s.ran(st, 0, err)
		_ = st.Release() // repeats err
		return nil, err
	}
	r := &Rows{shape: shapeOf(st), stmt: st}
	n := 0
	for size := 0; row; {
		size += r.take()
		if n++; n >= maxRows || size >= maxBytes {
			if s.call != nil {
				s.call.rows += int64(n)
			}
			return r, nil
		}
		if row, err = st.Step(); err != nil {
			r.err = err
			break
		}
	}
	r.done, r.stmt = true, nil
	s.ran(st, int64(n), r.err)
	if err := st.Release(); err != nil && r.err == nil {
		r.err = err
	}
	return r, nil
}

// noRows is the result of a statement that has none.
func noRows() *Rows { return &Rows{shape: new(shape), done: true} }

func shapeOf(st *sqlite.Stmt) *shape {
	if s, ok := st.ColumnNote().(*shape); ok {
		return s
	}
	n := st.ColumnCount()
	s := &shape{columns: make([]string, n), types: make([]string, n), times: make([]bool, n)}
	for i := range n {
		s.columns[i] = st.ColumnName(i)
		s.types[i] = strings.ToUpper(st.ColumnDeclType(i))
		s.times[i] = isTimeType(s.types[i])
	}
	st.SetColumnNote(s)
	return s
}

// take appends the current row to those read ahead and returns its size.
func (r *Rows) take() (size int) {
	if r.ahead == nil {
		r.ahead = r.few[:0] // a row by key has few columns
	}
	r.ahead = slices.Grow(r.ahead, len(r.columns))
	for i := range r.columns {
		v := r.boxes.column(r.stmt, i, r.times[i])
		switch x := v.(type) {
		case string:
			size += len(x)
		case []byte:
			size += len(x)
		}
		r.ahead = append(r.ahead, v)
	}
	return size + 16*len(r.columns)
}

// keepReader makes a long autocommit result hold its reader, on record.
func (r *Rows) keepReader(ctx context.Context, reader *pool.Reader, c *Conn, s statement) {
	f := &feed{c: c, ctx: ctx, text: s.text, args: s.args, deaf: s.deaf(), reader: reader, call: s.call.handOver()}
	f.lease = &locks.Lease{Kind: locks.Rows, Site: locks.Here(3, locks.Deep), Since: time.Now(), SQL: s.text, Last: s.text, Context: ctx, Evict: r.evict}
	reader.Busy.Arm(ctx, c.budget, &f.stop.told)
	reader.Conn.Settle()
	c.e.cfg.Pool.Keep(reader)
	r.feed = f
	c.e.cfg.Locks.Add(f.lease)
	c.occupied(1)
}

// Columns returns the names of the columns.
func (r *Rows) Columns() []string { return r.columns }

// Next yields the next row, io.EOF at the end.
func (r *Rows) Next(dest []driver.Value) error {
	n := len(r.columns)
	if r.next < len(r.ahead) {
		r.shown = r.ahead[r.next : r.next+n]
		copy(dest, r.shown)
		r.next += n
		return nil
	}
	if r.done {
		if r.failed != nil {
			return r.failed
		}
		return io.EOF
	}
	r.feed.mu.Lock()
	defer r.feed.mu.Unlock()
	if r.feed.tx != nil {
		return r.nextInTx(dest)
	}
	return r.readOn(dest)
}

func (r *Rows) nextInTx(dest []driver.Value) error {
	f := r.feed
	f.tx.mu.Lock()
	defer f.tx.mu.Unlock()
	if err := f.tx.usable(); err != nil {
		// The transaction has ended under its rows. io.EOF would say that these
		// were all.
		return f.fail(err)
	}
	return r.readOn(dest)
}

// readOn steps to the next row. The feed's mu is held.
func (r *Rows) readOn(dest []driver.Value) error {
	f := r.feed
	if f.evicted {
		return f.fail(evictedBy(f.lease))
	}
	row, err := f.step(r.stmt)
	if err != nil {
		if f.stop.told.Load() {
			err = evictedBy(f.lease)
		}
		return f.fail(err)
	}
	if !row {
		r.done = true
		return io.EOF
	}
	f.call.rows++
	for i := range r.columns {
		dest[i] = r.boxes.column(r.stmt, i, r.times[i])
	}
	r.shown = dest
	return nil
}

// step runs the statement to its next row; in a transaction its mu is held.
func (f *feed) step(s *sqlite.Stmt) (bool, error) {
	switch {
	case f.tx != nil:
		f.tx.arm(f.ctx, f.c.budget, "")
		row, err := f.heed(s)
		f.tx.disarm()
		return row, f.tx.after(err)
	case f.pin != nil:
		f.pin.busy.Arm(f.ctx, f.c.budget, nil)
		row, err := f.heed(s)
		f.pin.busy.Disarm()
		return row, err
	}
	return f.heed(s)
}

// heed is the step alone, so that an interrupt hits nothing else.
func (f *feed) heed(s *sqlite.Stmt) (bool, error) {
	if f.deaf {
		conn, stop := f.source()
		defer conn.InterruptAfter(f.ctx)()
		defer conn.InterruptAfter(stop.context())()
	}
	return s.Step()
}

// source is where the statement runs, and what evicts it.
func (f *feed) source() (*sqlite.Conn, *stopper) {
	switch {
	case f.tx != nil:
		return f.tx.conn, &f.tx.stop
	case f.pin != nil:
		return f.pin.conn, &f.stop
	}
	return f.reader.Conn, &f.stop
}

func (f *feed) fail(err error) error {
	if f.call.query != nil {
		f.call.code = outcomeOf(f.ctx, err)
	}
	return f.c.fail(f.ctx, "query", f.text, f.args, err)
}

// buffer reads what is left of a result of a transaction, before the place it
// comes from goes away; the transaction's mu is held.
func (r *Rows) buffer() {
	f := r.feed
	for row := true; row && r.err == nil && r.stmt != nil; {
		if row, r.err = f.step(r.stmt); row {
			f.call.rows++
			r.take()
		}
	}
	r.done = true
	if r.err != nil {
		r.failed = f.fail(r.err)
	}
	if r.stmt != nil {
		_ = r.release() // repeats r.err
	}
	delete(f.tx.open, r)
}

// Close ends the result and gives back what it held.
func (r *Rows) Close() error {
	r.done = true
	if r.owner != nil {
		r.owner.unread.Add(-1)
		r.owner = nil
	}
	f := r.feed
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tx != nil {
		f.tx.mu.Lock()
		defer f.tx.mu.Unlock()
	}
	r.end()
	return nil
}

// release gives the statement of a result back that was read on, and counts it. The
// feed's mu is held, or its transaction's.
func (r *Rows) release() error {
	f := r.feed
	f.call.ran(r.stmt, nil, 0, nil)
	if f.reader != nil {
		f.call.met(&f.reader.Busy)
	}
	if f.call.end(f.ctx, nil) {
		note(f.call.query, f.site(), f.args, f.c.e.cfg.Queries.Values())
	}
	err := r.stmt.Release()
	r.stmt = nil
	return err
}

// site is where the result comes from; of one that keeps no reader, where it is closed.
func (f *feed) site() locks.Site {
	if f.lease != nil {
		return f.lease.Site
	}
	return locks.Here(2, locks.Deep)
}

// end releases statement and reader; f.mu is held.
func (r *Rows) end() {
	f := r.feed
	if r.stmt == nil {
		return
	}
	if f.stop.told.Load() && f.call.code == 0 {
		f.call.code = stats.Evicted
	}
	err := r.release()
	switch {
	case f.tx != nil:
		delete(f.tx.open, r)
	case f.pin != nil:
		f.pin.rows--
	case f.reader != nil:
		outcome := closed
		if f.stop.told.Load() {
			outcome = evicted
		}
		f.c.e.release(f.lease, outcome)
		f.c.occupied(-1)
		f.c.e.giveBack(f.reader, err)
	}
}

// evict ends a result that holds a reader for too long. If its owner is in the
// middle of a step, that step is interrupted and the owner ends it.
func (r *Rows) evict() bool {
	f := r.feed
	f.stop.stop()
	if !f.mu.TryLock() {
		return true
	}
	defer f.mu.Unlock()
	if r.stmt == nil {
		return false
	}
	f.evicted = true
	r.end()
	f.c.e.cfg.Counters.Evictions.Add(1)
	return true
}

// ColumnTypeDatabaseTypeName is the declared type, upper case, or "".
func (r *Rows) ColumnTypeDatabaseTypeName(i int) string { return r.types[i] }

// current is the value that column types are told from: of the row shown, or
// of the first before it has been shown.
func (r *Rows) current(i int) driver.Value {
	switch {
	case r.shown != nil:
		return r.shown[i]
	case len(r.ahead) > 0:
		return r.ahead[i]
	}
	return nil
}

// ColumnTypeScanType follows the current row: SQLite's values have types, its
// columns only leanings.
func (r *Rows) ColumnTypeScanType(i int) reflect.Type {
	switch r.current(i).(type) {
	case int64:
		switch {
		case r.types[i] == "BOOLEAN":
			return reflect.TypeFor[bool]()
		case r.times[i] || r.types[i] == "TIME":
			return reflect.TypeFor[time.Time]()
		}
		return reflect.TypeFor[int64]()
	case float64:
		return reflect.TypeFor[float64]()
	case string:
		return reflect.TypeFor[string]()
	case []byte:
		return reflect.TypeFor[[]byte]()
	case time.Time:
		return reflect.TypeFor[time.Time]()
	}
	return reflect.TypeOf(nil)
}

// ColumnTypeLength is unlimited for text and blobs.
func (r *Rows) ColumnTypeLength(i int) (int64, bool) {
	switch r.current(i).(type) {
	case string, []byte, time.Time:
		return math.MaxInt64, true
	}
	return 0, false
}

// ColumnTypeNullable: SQLite does not tell, so every column may be NULL.
func (r *Rows) ColumnTypeNullable(int) (nullable, ok bool) { return true, true }

// ColumnTypePrecisionScale: SQLite has no decimal type.
func (r *Rows) ColumnTypePrecisionScale(int) (precision, scale int64, ok bool) { return 0, 0, false }
