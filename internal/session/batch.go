package session

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/writer"
)

// Statement is one statement of a batch with its arguments, converted as
// database/sql converts them.
type Statement struct {
	SQL  string
	Args []driver.NamedValue
}

// Result is what one statement of a batch did.
type Result struct{ LastInsertID, RowsAffected int64 }

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

// Batch runs statements as one unit of the writer: all or nothing. It returns
// when their COMMIT has.
func (e *Engine) Batch(ctx context.Context, stmts []Statement, hooks Hooks) ([]Result, error) {
	w := e.cfg.Writer
	if w == nil {
		return nil, ErrReadOnly
	}
	for i, s := range stmts {
		if err := checkText(s.SQL); err != nil {
			return nil, &BatchError{Index: i, SQL: s.SQL, Err: err}
		}
	}
	results := make([]Result, len(stmts))
	label := ""
	if len(stmts) > 0 {
		label = stmts[0].SQL
	}
	err := w.Do(ctx, writer.Unit{
		Atomic:   len(stmts) == 1 && hooks.Before == nil && hooks.After == nil,
		Priority: priority(ctx),
		SQL:      label,
		Run: func(conn *sqlite.Conn) error {
			if hooks.Before != nil {
				if done, err := hooks.Before(conn); done || err != nil {
					return err
				}
			}
			if err := e.runBatch(conn, stmts, results); err != nil {
				return err
			}
			if hooks.After != nil {
				return hooks.After(conn, results)
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

func (e *Engine) runBatch(conn *sqlite.Conn, stmts []Statement, results []Result) error {
	var last counters
	for i, s := range stmts {
		v, err := e.batchVerdict(conn, s.SQL)
		if err == nil {
			var a answer
			if a, err = runWrite(conn, statement{text: s.SQL, v: v, args: s.Args}, last); err == nil {
				last.lastRowID = a.lastRowID
				last.total += a.total
				if v.dml {
					last.changes = a.affected
				}
				results[i] = Result{LastInsertID: a.lastRowID, RowsAffected: a.affected}
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

// IsBatch returns the BatchError in err, if there is one.
func IsBatch(err error) (*BatchError, bool) {
	var b *BatchError
	ok := errors.As(err, &b)
	return b, ok
}
