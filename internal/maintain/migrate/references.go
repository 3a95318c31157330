package migrate

import (
	"context"
	"fmt"
	"strings"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// violation is a row that refers to a missing one, or a foreign key that can't
// refer to anything: then it has no row, and the sentence of SQLite for a parent.
// The number of the key is left out: a table that is rebuilt may have others.
type violation struct {
	table, parent string
	row           int64
	noRow         bool // also of a table without rowid
}

// maxViolations bounds the memory for those that a database has had all along.
const maxViolations = 200_000

// ViolationError says that rows refer to missing ones, and did not before.
type ViolationError struct {
	Count int
	First []string // a sentence each
	cause string
}

func (e *ViolationError) Error() string {
	if e.cause != "" {
		return e.cause
	}
	return fmt.Sprintf("after the migration %d foreign keys lead nowhere that did not before: %s", e.Count, strings.Join(e.First, "; "))
}

// references looks at the foreign keys of each table.
func references(ctx context.Context, c *sqlite.Conn) (map[violation]int, error) {
	found := make(map[violation]int)
	names, err := tables(c)
	if err != nil {
		return nil, err
	}
	parents := make(map[string]string) // one text for all rows
	for _, name := range names {
		sql := "PRAGMA main.foreign_key_check(" + quote(name) + ")"
		err := each(c, sql, func(s *sqlite.Stmt) {
			if len(found) > maxViolations {
				return
			}
			parent, ok := parents[s.ColumnText(2)]
			if !ok {
				parent = s.ColumnText(2)
				parents[parent] = parent
			}
			null := s.ColumnType(1) == sqlite.TypeNull
			found[violation{name, parent, s.ColumnInt64(1), null}]++
		})
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil && sqlite.Code(err) == sqlite.ResultError: // "foreign key mismatch"
			found[violation{table: name, parent: err.Error(), noRow: true}]++
		case err != nil:
			return nil, err
		}
		if len(found) > maxViolations {
			return nil, &ViolationError{cause: fmt.Sprintf("more than %d rows refer to missing ones, too many to tell new ones from old", maxViolations)}
		}
	}
	return found, nil
}

// judge compares the violations of before and after.
func (w *Watch) judge(before, after map[violation]int) error {
	e := new(ViolationError)
	w.Report.Existing = 0
	for v, n := range after {
		fresh := max(n-before[v], 0)
		w.Report.Existing += n - fresh
		if fresh == 0 {
			continue
		}
		e.Count += fresh
		if len(e.First) < 5 {
			e.First = append(e.First, v.String())
		}
	}
	if e.Count == 0 {
		return nil
	}
	return e
}

func (v violation) String() string {
	switch {
	case v.noRow && strings.Contains(v.parent, "mismatch"):
		return v.parent
	case v.noRow:
		return fmt.Sprintf("a row of %s refers to a missing one of %s", v.table, v.parent)
	}
	return fmt.Sprintf("row %d of %s refers to a missing one of %s", v.row, v.table, v.parent)
}
