package session

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/pool"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
	"github.com/holdfastdb/holdfast/internal/writer"
)

// Reading is a query whose rows are read from the engine's own memory, without
// database/sql and without a session: there is no transaction it could be part
// of. It is for one goroutine.
type Reading struct {
	e      *Engine
	ctx    context.Context
	text   string
	args   []any
	reader *pool.Reader
	stmt   *sqlite.Stmt
	deaf   bool // as the statement
	metered

	// What a reading on record has besides.
	lease *locks.Lease
	stop  stopper
}

// Read runs a query up to its first row; row is false if it has none. The caller
// must Close r, also after an error of Next, unless Read itself fails.
func (e *Engine) Read(ctx context.Context, text string, args []any) (r *Reading, row bool, err error) {
	r = &Reading{e: e, ctx: ctx, text: text, args: args}
	if row, err = r.begin(); err != nil {
		if r.reader != nil {
			e.giveBack(r.reader, err)
			r.reader = nil
		}
		return nil, false, r.fail(err)
	}
	return r, row, nil
}

func (r *Reading) begin() (row bool, err error) {
	v, text, err := r.e.readingVerdict(r.ctx, r.text)
	if err != nil {
		return false, err
	}
	if v.query != nil {
		r.v = v
		if v.query.Step() == 0 {
			r.began = stats.Now()
		}
	}
	if r.reader, err = r.e.cfg.Pool.Read(r.ctx); err != nil {
		r.count(nil, err)
		return false, err
	}
	if r.v != nil && r.began == 0 {
		r.leased()
	}
	r.reader.Busy.Arm(r.ctx, r.e.cfg.Budget, &r.stop.told)
	r.deaf = v.deaf
	if v.counters {
		r.reader.Conn.SetCounters(0, 0, 0) // those of a session that has written nothing
	}
	s, _, err := r.reader.Conn.PrepareCached(text)
	if outdated(r.reader.Conn, &err) {
		s, _, err = r.reader.Conn.PrepareCached(text)
	}
	if err != nil {
		r.count(nil, err)
		return false, err
	}
	if err = bindAny(s, r.args); err == nil {
		row, err = r.step(s)
	}
	if err != nil {
		r.count(s, err)
		_ = s.Release() // repeats err
		return false, err
	}
	r.stmt = s
	return row, nil
}

// readingVerdict refuses what is no query.
func (e *Engine) readingVerdict(ctx context.Context, query string) (v *verdict, text string, err error) {
	if v = e.verdicts.get(query); v != nil {
		text = query
	} else {
		if err := checkText(query); err != nil {
			return nil, "", err
		}
		var tail string
		err := e.onReader(ctx, e.cfg.Budget, func(c *sqlite.Conn) (err error) {
			v, text, tail, err = e.classifyOn(c, query, true)
			if err == nil && !isBlank(tail) {
				var more *verdict
				if more, _, _, err = classify(c, tail); err == nil && more.class != blank {
					err = &ArgumentError{"the text has more than one statement: read the rows of each by itself"}
				}
			}
			return err
		})
		if err != nil {
			return nil, "", err
		}
	}
	switch {
	case v.class == blank:
		return nil, "", &ArgumentError{"the SQL text holds no statement"}
	case v.class != plain || !v.readOnly:
		return nil, "", refused(firstWord(text) + " is no query that only reads; run it with ExecContext or QueryContext")
	}
	return v, text, nil
}

// Stmt is the statement, on its current row. It must not be stepped.
func (r *Reading) Stmt() *sqlite.Stmt { return r.stmt }

// Names are the names of the columns, shared by all results of the statement.
func (r *Reading) Names() []string { return shapeOf(r.stmt).columns }

// Next steps to the next row; false says that there is none.
func (r *Reading) Next() (row bool, err error) {
	if r.lease == nil {
		if row, err = r.step(r.stmt); err != nil {
			err = r.fail(err)
		}
		return row, err
	}
	// The engine asks every so many instructions, which can be hundreds of rows.
	if err := r.ctx.Err(); err != nil {
		return false, r.fail(err)
	}
	row, err = r.step(r.stmt)
	if r.stop.told.Load() {
		return false, r.fail(evictedBy(r.lease))
	}
	if err != nil {
		return false, r.fail(err)
	}
	return row, nil
}

func (r *Reading) step(s *sqlite.Stmt) (row bool, err error) {
	if r.deaf {
		defer r.reader.Conn.InterruptAfter(r.ctx)()
		if r.lease != nil { // before, nobody evicts it
			defer r.reader.Conn.InterruptAfter(r.stop.context())()
		}
	}
	row, err = s.Step()
	if row {
		r.rows++
	}
	return row, err
}

// Keep puts the reading on record, before its reader is held while the caller's
// own code runs. site is where the caller is.
func (r *Reading) Keep(site locks.Site) {
	r.lease = &locks.Lease{Kind: locks.Rows, Site: site, Since: time.Now(), SQL: r.text, Last: r.text, Context: r.ctx, Evict: r.evict}
	if r.v != nil {
		r.late(time.Time{})
		r.reader.Conn.Settle()
	}
	r.e.cfg.Pool.Keep(r.reader)
	r.e.cfg.Locks.Add(r.lease)
}

// Close ends the reading and gives the reader back. Closing again does nothing.
func (r *Reading) Close() {
	if r.reader == nil {
		return
	}
	r.count(r.stmt, nil)
	err := r.stmt.Release()
	if r.lease != nil {
		outcome := closed
		if r.stop.told.Load() {
			outcome = evicted
		}
		r.e.release(r.lease, outcome)
	}
	r.e.giveBack(r.reader, err)
	r.reader, r.stmt = nil, nil
}

// metered is what a Reading knows of itself until it is counted. All of a call would
// make it half as large again, and there is one for each.
type metered struct {
	v       *verdict      // nil if it is not counted
	began   time.Duration // 0: it is not timed
	rows    int64
	code    int32
	unusual bool // timed because it was seen to take long
}

// leased starts the clock of one that wasn't to be timed, now that it has its reader, if it
// is its turn after all, or if it had to wait.
func (r *Reading) leased() {
	if waited := r.reader.Waited; waited > 0 {
		r.began, r.unusual = stats.Now()-waited, true
	} else if r.reader.Turn.Due(r.v.query.Step()) {
		r.began = stats.Now()
	}
}

// late starts the clock of a reading that turns out to take long: then, or now.
func (r *Reading) late(then time.Time) {
	k := call{r.v.query, figures{Times: writer.Times{Began: r.began}, unusual: r.unusual}}
	k.slow(then)
	r.began, r.unusual = k.Began, k.unusual
}

// count counts the reading, once, before its statement, if there is one, and its reader are
// given back.
func (r *Reading) count(s *sqlite.Stmt, err error) {
	if r.v == nil {
		return
	}
	if r.began == 0 && err == nil && r.code == 0 && r.reader.Busy.Since().IsZero() {
		s.SetAside(r.v, uint32(r.rows))
		return
	}
	k := call{r.v.query, figures{Times: writer.Times{Began: r.began}, unusual: r.unusual, code: r.code, shared: true}}
	if s != nil {
		k.ran(s, r.v, r.rows, err)
	}
	if r.reader != nil {
		k.tried()
		k.Waited = r.reader.Waited
		k.met(&r.reader.Busy)
	}
	if !k.end(r.ctx, err) {
		return
	}
	var site locks.Site
	if r.lease != nil {
		site = r.lease.Site
	} else {
		site = locks.Here(2, locks.Deep)
	}
	named, _ := namedValues(r.args) // those that don't fit are not kept
	note(k.query, site, named, r.e.cfg.Queries.Values())
}

// evict ends a reading that holds its reader for too long. Between two rows the
// caller may be looking at the engine's memory, so only a statement that runs is
// stopped at once; else the next step finds out.
func (r *Reading) evict() bool {
	if !r.stop.stop() {
		return false
	}
	r.e.cfg.Counters.Evictions.Add(1)
	return true
}

func (r *Reading) fail(err error) error {
	if r.v != nil {
		r.code = outcomeOf(r.ctx, err)
	}
	named, e := namedValues(r.args)
	if e != nil {
		named = nil
	}
	return r.e.fail(r.ctx, "query", r.text, locks.Site{}, named, err)
}

// Counted notes that a reading has come to its end without an error.
func (r *Reading) Counted() { r.e.cfg.Counters.Succeeded.Add(1) }

// fail hands an error to the library's translator; a context that has ended
// explains every interruption.
func (e *Engine) fail(ctx context.Context, op, text string, site locks.Site, args []driver.NamedValue, err error) error {
	e.cfg.Counters.Failed.Add(1)
	if cerr := ctx.Err(); cerr != nil && (err == cerr || busy.Classify(sqlite.Code(err)) == busy.Cancelled) {
		return cerr
	}
	return e.cfg.Fail(op, text, site, args, err)
}

// bindAny sets every parameter of s to an argument of a caller. The common types
// go to the engine as they are; database/sql would box each twice.
func bindAny(s *sqlite.Stmt, args []any) error {
	n := s.BindParamCount()
	if n > len(args) {
		return bindNamed(s, args)
	}
	for i := 1; i <= n; i++ {
		if name := s.BindParamName(i); name != "" && name != "?" {
			return bindNamed(s, args)
		}
		var err error
		switch x := args[i-1].(type) {
		case int:
			err = s.BindInt64(i, int64(x))
		case int64:
			err = s.BindInt64(i, x)
		case string:
			err = s.BindText(i, x)
		case []byte:
			err = s.BindBlob(i, x)
		case float64:
			err = s.BindFloat(i, x)
		default:
			return bindNamed(s, args)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func bindNamed(s *sqlite.Stmt, args []any) error {
	named, err := namedValues(args)
	if err != nil {
		return err
	}
	return bind(s, named)
}

// namedValues gives arguments the types that a driver takes, as database/sql
// does.
func namedValues(args []any) ([]driver.NamedValue, error) {
	if len(args) == 0 {
		return nil, nil
	}
	out := make([]driver.NamedValue, len(args))
	for i, a := range args {
		var err error
		if out[i], err = NamedValue(i+1, a); err != nil {
			return nil, &ArgumentError{fmt.Sprintf("argument %d has type %T, which SQLite can't store", i+1, out[i].Value)}
		}
	}
	return out, nil
}

// NamedValue gives an argument, an sql.NamedArg or not, the type that a driver
// takes. With an error its Value is as it came.
func NamedValue(ordinal int, a any) (v driver.NamedValue, err error) {
	v.Ordinal = ordinal
	if n, ok := a.(sql.NamedArg); ok {
		v.Name, a = n.Name, n.Value
	}
	if v.Value, err = driver.DefaultParameterConverter.ConvertValue(a); err != nil {
		v.Value = a
	}
	return v, err
}
