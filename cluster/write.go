package cluster

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cluster/internal/statement"
	"github.com/holdfastdb/holdfast/cluster/internal/wire"
)

// task is one statement of a unit.
type task struct {
	statement.Statement
	text    string // the caller's, which may hold comments
	args    []driver.NamedValue
	guarded bool
	expect  int64
	at      int // its place in the unit
}

// guardSQL fails, and with it the transaction, if the statement before it has changed another
// number of rows than expected: abs of the smallest integer is an error. No table is needed for
// it, and changes() is that of the connection which all of the unit runs on.
const guardSQL = `SELECT CASE WHEN changes() <> ? THEN abs(-9223372036854775808) END`

// work makes a task of each statement of a text.
func work(sql string, args []driver.NamedValue) ([]task, error) {
	parsed, err := statement.Parse(sql)
	if err != nil {
		return nil, err
	}
	out := make([]task, len(parsed))
	for i, s := range parsed {
		out[i] = task{Statement: s, text: sql, args: args}
	}
	return out, nil
}

// newUnit writes tasks as they are sent.
func newUnit(tasks []task, set holdfast.BatchSettings, of []byte, keep time.Duration) (*unit, error) {
	u := &unit{keyed: set.IdempotencyKey != "", priority: set.Priority}
	if u.keyed {
		if err := u.appendKey(set.IdempotencyKey, of, keep, time.Now()); err != nil {
			return nil, err
		}
	}
	for i := range tasks {
		t := &tasks[i]
		if u.n > 0 {
			u.body = append(u.body, ',')
		}
		var err error
		t.at = u.n
		u.n++
		if u.body, err = wire.Append(u.body, &t.Statement, t.args); err != nil {
			return nil, &taskError{i, t, err}
		}
		if t.guarded {
			if err := u.append(guardSQL, t.expect); err != nil {
				return nil, err
			}
		}
		if u.keyed {
			if err := u.note(t, set.IdempotencyKey, i == len(tasks)-1); err != nil {
				return nil, err
			}
		}
	}
	if u.keyed && len(tasks) == 0 {
		return u, u.append(noteNone, set.IdempotencyKey)
	}
	return u, nil
}

// note keeps what a statement did for who asks by its key.
func (u *unit) note(t *task, key string, last bool) error {
	sql, end := noteSchema, ","
	switch {
	case t.Inserts:
		sql = noteInsert
	case t.Kind == statement.Write:
		sql = noteChange
	}
	if last {
		end = "]"
	}
	return u.append(sql, end, key)
}

// taskError says which statement can't be sent.
type taskError struct {
	index int
	task  *task
	err   error
}

func (e *taskError) Error() string { return fmt.Sprintf("statement %d: %v", e.index+1, e.err) }
func (e *taskError) Unwrap() error { return e.err }

// Batch is holdfast.DB's Batch.
func (c *client) Batch(ctx context.Context, stmts []holdfast.Statement, set holdfast.BatchSettings) (holdfast.BatchResult, error) {
	tasks := make([]task, 0, len(stmts))
	for i, s := range stmts {
		t, err := c.batchTask(s)
		if err != nil {
			return holdfast.BatchResult{}, c.refusal("batch", s.SQL, i+1, err)
		}
		tasks = append(tasks, t)
	}
	var of []byte
	if set.IdempotencyKey != "" {
		of = digest(tasks)
	} else if len(tasks) == 0 {
		return holdfast.BatchResult{}, nil
	}
	ctx, cancel := c.budget(ctx)
	defer cancel()
	r, results, err := c.settle(ctx, call{op: "batch", tasks: tasks}, set, of)
	if err != nil {
		return holdfast.BatchResult{}, err
	}
	c.counts.succeeded.Add(1)
	if results != nil {
		return holdfast.BatchResult{Results: results, Repeated: true}, nil
	}
	return holdfast.BatchResult{Results: publicResults(tasks, r)}, nil
}

func (c *client) batchTask(s holdfast.Statement) (t task, err error) {
	args, err := namedValues(s.Args)
	if err != nil {
		return t, err
	}
	tasks, err := work(s.SQL, args)
	switch {
	case err != nil:
		return t, err
	case len(tasks) != 1:
		return t, fmt.Errorf("%w: there are %d statements in it; each is one of the batch", statement.ErrInvalid, len(tasks))
	}
	t = tasks[0]
	t.expect, t.guarded = s.Expect.Rows()
	return t, c.mayWrite(&t)
}

// mayWrite refuses what a handle that only reads has no business with.
func (c *client) mayWrite(t *task) error {
	if c.readOnly && t.Kind != statement.Read {
		return holdfast.ErrReadOnly
	}
	return nil
}

// settle writes tasks until it is known what became of them or the budget is over. Without a key
// it never sends again what may have been applied. known are the results of the first time.
func (c *client) settle(ctx context.Context, what call, set holdfast.BatchSettings, of []byte) (r reply, known []holdfast.Result, err error) {
	what.start = time.Now()
	var unknown error
	for attempt := 1; ; attempt++ {
		u, err := newUnit(what.tasks, set, of, c.keepKeys)
		if err != nil {
			return r, nil, c.refusedTask(what.op, err)
		}
		u.ctx, what.attempts = ctx, attempt
		r = c.writes.do(u)
		if keyKnown(r) {
			known, found, err := c.recall(ctx, set.IdempotencyKey, of)
			if found || err != nil {
				return r, nonNil(known), unsettled(unknown, err)
			}
			continue // it has expired in between
		}
		if r.verdict == acknowledged {
			return r, nil, nil
		}
		err = c.failed(ctx, what, r)
		if set.IdempotencyKey == "" || r.verdict != doubtful || ctx.Err() != nil {
			return r, nil, unsettled(unknown, err)
		}
		unknown = err
		c.counts.retries.Add(1)
		select {
		case <-time.After(pause(attempt)):
		case <-ctx.Done():
			return r, nil, unknown
		}
	}
}

func nonNil(results []holdfast.Result) []holdfast.Result {
	if results == nil {
		return []holdfast.Result{}
	}
	return results
}

// unsettled keeps an outcome unknown that a repetition has not settled: what that dies of says
// nothing about the attempt before, which may still be applied.
func unsettled(unknown, err error) error {
	if unknown == nil || err == nil || errors.Is(err, holdfast.ErrOutcomeUnknown) {
		return err
	}
	return fmt.Errorf("%w; repeating it failed: %w", unknown, err)
}

// publicResults are what the caller's own statements did.
func publicResults(tasks []task, r reply) []holdfast.Result {
	out := make([]holdfast.Result, len(tasks))
	for i := range tasks {
		t, got := &tasks[i], &r.results[tasks[i].at]
		switch t.Kind {
		case statement.Write:
			out[i].RowsAffected = rowsAffected(got, t.Returning)
			if t.Inserts && out[i].RowsAffected > 0 {
				out[i].LastInsertID = got.LastInsertID
			}
		default: // the server repeats what a statement before it has done
		}
	}
	return out
}
