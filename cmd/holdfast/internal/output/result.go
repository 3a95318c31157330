package output

import (
	"database/sql"
	"encoding/json"
	"fmt"
)

// Column is one column of a result.
type Column struct {
	Name string
	Type string // as declared, upper case; "" if it has none
}

// Result is a whole result in memory. Values are what database/sql scans into
// an any: nil, int64, float64, bool, string, []byte or time.Time.
type Result struct {
	Columns []Column
	Rows    [][]any
}

// Fields is a result that lists names and values, one pair to a row.
func Fields(pairs ...any) *Result {
	r := &Result{Columns: []Column{{Name: "name"}, {Name: "value"}}}
	for i := 0; i+1 < len(pairs); i += 2 {
		r.Rows = append(r.Rows, []any{pairs[i], pairs[i+1]})
	}
	return r
}

// Grid is a result of rows under the given headings.
func Grid(rows [][]any, names ...string) *Result {
	r := &Result{Rows: rows}
	for _, n := range names {
		r.Columns = append(r.Columns, Column{Name: n})
	}
	return r
}

// Names returns the names of the columns, never nil.
func (r *Result) Names() []string {
	names := make([]string, len(r.Columns))
	for i, c := range r.Columns {
		names[i] = c.Name
	}
	return names
}

// JSON returns the rows as an array of arrays.
func (r *Result) JSON() json.RawMessage {
	b := []byte{'['}
	for i, row := range r.Rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		for j, v := range row {
			if j > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, v, r.Columns[j])
		}
		b = append(b, ']')
	}
	return append(b, ']')
}

// Columns describes the columns of rows. A result may have none.
func Columns(rows *sql.Rows) ([]Column, error) {
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	columns := make([]Column, len(types))
	for i, t := range types {
		columns[i] = Column{Name: t.Name(), Type: t.DatabaseTypeName()}
	}
	return columns, nil
}

// each calls fn with every row, in a slice that is used again for the next.
func each(rows *sql.Rows, columns int, fn func([]any) error) error {
	row := make([]any, columns)
	into := make([]any, columns)
	for i := range row {
		into[i] = &row[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			if cause := rows.Err(); cause != nil { // the rows were closed under it
				return cause
			}
			return fmt.Errorf("read a row: %w", err)
		}
		if err := fn(row); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Collect reads rows to their end. The caller closes them.
func Collect(rows *sql.Rows) (*Result, error) {
	columns, err := Columns(rows)
	if err != nil {
		return nil, err
	}
	r := &Result{Columns: columns}
	err = each(rows, len(columns), func(row []any) error {
		r.Rows = append(r.Rows, append([]any(nil), row...))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}
