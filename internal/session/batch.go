package session

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"

	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
	"github.com/holdfastdb/holdfast/internal/writer"
)

// Statement is one statement of a batch with its arguments, converted as
// database/sql converts them.
type Statement struct {
	SQL  string
	Args []driver.NamedValue
	// Expect is how many rows it must affect, where Guarded.
	Expect  int64
	Guarded bool
}

// GuardError is a statement of a batch that affected another number of rows than it had to.
type GuardError struct{ Expected, Affected int64 }

func (e *GuardError) Error() string {
	return fmt.Sprintf("%d rows were affected where %d were expected", e.Affected, e.Expected)
}

// Result is what one statement of a batch did.
type Result struct {
	LastInsertID int64 `json:"last_insert_id"`
	RowsAffected int64 `json:"rows_affected"`
}

// BatchError says which statement of a batch failed.
type BatchError struct {
	Index int // counted from 0
	SQL   string
	Args  []driver.NamedValue
	Err   error
}

func (e *BatchError) Error() string {
	return fmt.Sprintf("statement %d of the batch: %v", e.Index+1, e.Err)
}

// Unwrap returns the statement's own error.
func (e *BatchError) Unwrap() error { return e.Err }

// Hooks surround a batch inside its transaction.
type Hooks struct {
	// Before may answer instead of the statements: done skips them.
	Before func(*sqlite.Conn) (done bool, err error)
	// After runs when all statements have succeeded.
	After func(*sqlite.Conn, []Result) error
}

// Batch is a list of statements that run as one unit of the writer: all or
// nothing. It is for one goroutine, and for one run at a time.
type Batch struct {
	e       *Engine
	ctx     context.Context // of Run
	stmts   []Statement
	args    []driver.NamedValue // of all statements, one after the other
	hooks   Hooks
	guarded bool // a statement can succeed, and what it did be rolled back

	results []Result
	tally   tally
	work    func(*sqlite.Conn) error // run, made once
}

// A batch larger than this is not kept for the next.
const (
	keptStatements = 256
	keptArguments  = 1024
)

// NewBatch returns an empty batch with room for some statements and arguments.
func (e *Engine) NewBatch(stmts, args int) *Batch {
	b, ok := e.batches.Get().(*Batch)
	if !ok {
		b = &Batch{e: e}
		b.work = b.run
	}
	b.stmts = slices.Grow(b.stmts, stmts)
	b.args = slices.Grow(b.args, args)
	return b
}

// Add appends a statement with n arguments and returns where these go.
func (b *Batch) Add(sql string, n int) []driver.NamedValue {
	first := len(b.args)
	b.args = slices.Grow(b.args, n)[:first+n]
	args := b.args[first : first+n : first+n]
	b.stmts = append(b.stmts, Statement{SQL: sql, Args: args})
	return args
}

// Guard has the last statement that was added affect n rows, or the batch fail.
func (b *Batch) Guard(n int64) {
	s := &b.stmts[len(b.stmts)-1]
	s.Expect, s.Guarded = n, true
	b.guarded = true
}

// Statements returns those that were added.
func (b *Batch) Statements() []Statement { return b.stmts }

// Run runs the statements and returns when their COMMIT has. After an error it
// may be called again. The results are valid until Release.
func (b *Batch) Run(ctx context.Context, hooks Hooks) ([]Result, error) {
	w := b.e.cfg.Writer
	if w == nil {
		return nil, ErrReadOnly
	}
	for i, s := range b.stmts {
		if err := checkText(s.SQL); err != nil {
			return nil, &BatchError{Index: i, SQL: s.SQL, Err: err}
		}
	}
	label := ""
	if len(b.stmts) > 0 {
		label = b.stmts[0].SQL
	}
	b.ctx, b.hooks = ctx, hooks
	b.results = slices.Grow(b.results[:0], len(b.stmts))[:len(b.stmts)]
	if b.e.cfg.Queries != nil {
		b.tally = tally{first: call{figures: figures{Times: writer.Times{Began: stats.Now()}}}}
	}
	err := w.Do(ctx, writer.Unit{
		Atomic:   len(b.stmts) == 1 && hooks.Before == nil && hooks.After == nil && !b.guarded,
		Priority: PriorityOf(ctx), SQL: label, Run: b.work, Times: &b.tally.times,
	})
	b.count(label, err)
	if err == nil {
		err = w.Uploaded(ctx)
	}
	if err != nil {
		return nil, err
	}
	return b.results, nil
}

// count counts the first statement, and answers what was asked about any. Who ran the
// statements may have been another caller.
func (b *Batch) count(first string, err error) {
	t := &b.tally
	if b.e.cfg.Queries == nil {
		return
	}
	q := t.first.query
	if v := b.e.verdicts.get(first); q == nil && err != nil && v != nil { // it never ran
		q = v.query
	}
	if q != nil {
		t.settle(b.ctx, q, err)
	}
	if t.asked != nil {
		note(t.asked, locks.Here(2, locks.Deep), b.stmts[t.about].Args, b.e.cfg.Queries.Values())
	}
}

// Release gives back a batch that has succeeded. An error may still hold the
// arguments of one that has not.
func (b *Batch) Release() {
	if cap(b.stmts) > keptStatements || cap(b.args) > keptArguments {
		return
	}
	clear(b.stmts)
	clear(b.args)
	b.stmts, b.args, b.ctx, b.hooks, b.guarded = b.stmts[:0], b.args[:0], nil, Hooks{}, false
	b.e.batches.Put(b)
}

// run is the batch as work for the writer.
func (b *Batch) run(conn *sqlite.Conn) error {
	if b.hooks.Before != nil {
		if done, err := b.hooks.Before(conn); done || err != nil {
			return err
		}
	}
	if err := b.runStatements(conn); err != nil {
		return err
	}
	if b.hooks.After != nil {
		return b.hooks.After(conn, b.results)
	}
	return nil
}

func (b *Batch) runStatements(conn *sqlite.Conn) error {
	var last counters
	var v *verdict
	for i, s := range b.stmts {
		var err error
		if v == nil || s.SQL != b.stmts[i-1].SQL { // most batches repeat one text
			v, err = b.e.batchVerdict(conn, s.SQL)
		}
		if err == nil {
			var a answer
			a, err = runWrite(b.ctx, conn, statement{text: s.SQL, v: v, args: s.Args, call: b.tally.next(i, v.query)}, last)
			if b.tally.done(b.ctx, i, a.affected, err); err == nil {
				last.lastRowID = a.lastRowID
				last.total += a.total
				if v.dml {
					last.changes = a.affected
				}
				b.results[i] = Result{LastInsertID: a.lastRowID, RowsAffected: a.affected}
				if s.Guarded && a.affected != s.Expect {
					err = &GuardError{Expected: s.Expect, Affected: a.affected}
				}
			}
		}
		if err != nil {
			return &BatchError{Index: i, SQL: s.SQL, Args: s.Args, Err: err}
		}
	}
	return nil
}

// batchVerdict refuses what would end the transaction of the group or change
// the connection that everybody's writes share.
func (e *Engine) batchVerdict(conn *sqlite.Conn, sql string) (*verdict, error) {
	v := e.verdicts.get(sql)
	if v == nil {
		var tail string
		var err error
		if v, _, tail, err = e.classifyOn(conn, sql, true); err != nil {
			return nil, err
		}
		if !isBlank(tail) {
			return nil, &ArgumentError{"the text has more than one statement; give each its own entry in the batch"}
		}
	}
	if v.class != plain && v.class != blank {
		return nil, refused(firstWord(sql) + " can't be part of a batch; run it by itself")
	}
	return v, nil
}
