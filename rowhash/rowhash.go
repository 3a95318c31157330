// Package rowhash hashes the rows of tables, so that two databases can be compared that
// are too far apart, or too large, to be laid beside each other: a file and a cluster, a
// database and what was restored of it.
//
// A hash is of values and their types: the INTEGER 1 is not the REAL 1.0, and a text is no
// blob of the same bytes. That of a table is the sum of those of its rows, so the order of
// the rows, and rowids that no column shows, don't matter. It finds what was lost, doubled or
// changed by mistake; it is no signature that somebody who wants to deceive couldn't meet.
//
// Generated columns are left out, since they follow from the others, and so are the
// statistics of ANALYZE, which a database may make by itself. Virtual tables are compared by
// the tables in which they keep their content. -0.0 counts as 0.0, as it does in SQL.
package rowhash

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Querier reads a database: a *sql.DB, *sql.Tx or *sql.Conn of SQLite, or of what is it at
// the other end.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Table is what is compared of one table.
type Table struct {
	Name string `json:"name"`
	Rows int64  `json:"rows"`
	Hash string `json:"hash"` // 256 bits, in hexadecimal
}

// Schema is the name under which the schema is compared: what sqlite_schema says but for
// page numbers.
const Schema = "sqlite_schema"

// Database hashes the schema and every table of the main database, in the order of their
// names. It reads pages of rows by their key, each by queries of its own that answer with
// 1 MiB of content at most, or with one row that is larger: memory is bounded, and no
// transaction is held. So who wants one state reads in a transaction, or while nobody
// writes. It needs SQLite 3.43 or later.
//
// progress, if it is not nil, is called after each page with the rows of the table so far.
func Database(ctx context.Context, db Querier, progress func(table string, rows int64)) ([]Table, error) {
	list, err := tables(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("rowhash: list the tables: %w", err)
	}
	out := make([]Table, 0, len(list))
	for _, t := range list {
		sum, err := t.read(ctx, db, progress)
		if err != nil {
			return nil, fmt.Errorf("rowhash: read table %s: %w", t.name, err)
		}
		out = append(out, sum)
	}
	return out, nil
}

// Difference is a table that isn't the same in two databases.
type Difference struct {
	Name   string `json:"name"`
	First  *Table `json:"first"` // nil where there is none
	Second *Table `json:"second"`
}

// String says it to a person, who is told elsewhere which is the first.
func (d Difference) String() string {
	switch {
	case d.Name == Schema:
		return "the schema differs"
	case d.First == nil:
		return fmt.Sprintf("table %s is in the second only", d.Name)
	case d.Second == nil:
		return fmt.Sprintf("table %s is in the first only", d.Name)
	case d.First.Rows != d.Second.Rows:
		return fmt.Sprintf("table %s has %d rows in the first and %d in the second", d.Name, d.First.Rows, d.Second.Rows)
	}
	return fmt.Sprintf("table %s has %d rows in both, and not the same values", d.Name, d.First.Rows)
}

// Compare names the tables that differ, in the order of their names.
func Compare(first, second []Table) []Difference {
	var out []Difference
	for len(first) > 0 || len(second) > 0 {
		switch {
		case len(second) == 0 || len(first) > 0 && first[0].Name < second[0].Name:
			out, first = append(out, Difference{Name: first[0].Name, First: &first[0]}), first[1:]
		case len(first) == 0 || second[0].Name < first[0].Name:
			out, second = append(out, Difference{Name: second[0].Name, Second: &second[0]}), second[1:]
		default:
			if first[0] != second[0] {
				out = append(out, Difference{Name: first[0].Name, First: &first[0], Second: &second[0]})
			}
			first, second = first[1:], second[1:]
		}
	}
	return out
}

// sum is the sum of the hashes of rows, modulo 2^256.
type sum [4]uint64

func (s *sum) add(row []byte) {
	carry := uint64(0)
	for i := range s {
		s[i], carry = bits.Add64(s[i], binary.LittleEndian.Uint64(row[8*i:]), carry)
	}
}

func (s *sum) String() string {
	var out []byte
	for _, word := range s {
		out = binary.LittleEndian.AppendUint64(out, word)
	}
	return hex.EncodeToString(out)
}

// Cells come as one value each, from any end and through JSON too: a REAL as a number, which
// the way may have made an integer of, and everything else as text that says what it was.
func cell(expression string) string {
	return strings.ReplaceAll("CASE typeof(@) WHEN 'real' THEN CASE @ WHEN 9e999 THEN 'r+inf' WHEN -9e999 THEN 'r-inf' ELSE @ END"+
		" WHEN 'integer' THEN 'i'||@ WHEN 'text' THEN 't'||hex(@) WHEN 'blob' THEN 'b'||hex(@) END", "@", expression)
}

// value is a cell as SQLite has it: nil, int64, float64, text or []byte.
func value(c any) (any, error) {
	switch c := c.(type) {
	case nil:
		return nil, nil
	case int64:
		return float64(c), nil
	case float64:
		if c == 0 {
			return 0.0, nil
		}
		return c, nil
	case []byte:
		return tagged(string(c))
	case string:
		return tagged(c)
	}
	return nil, fmt.Errorf("a cell is a %T", c)
}

// text is told from a blob of the same bytes.
type text []byte

func tagged(c string) (any, error) {
	if c == "" {
		return nil, errors.New("a cell is empty")
	}
	switch rest := c[1:]; c[0] {
	case 'r':
		return strconv.ParseFloat(rest, 64)
	case 'i':
		return strconv.ParseInt(rest, 10, 64)
	case 't':
		b, err := hex.DecodeString(rest)
		return text(b), err
	case 'b':
		return hex.DecodeString(rest)
	}
	return nil, fmt.Errorf("a cell is of an unknown kind %q", c[0])
}

// write puts a value into the hash of its row, so that no two rows are written alike.
func write(h hash.Hash, v any) {
	var head [9]byte
	body := []byte(nil)
	switch v := v.(type) {
	case nil:
		head[0] = 'n'
	case int64:
		head[0] = 'i'
		binary.LittleEndian.PutUint64(head[1:], uint64(v)) //nolint:gosec // the bits
	case float64:
		head[0] = 'r'
		binary.LittleEndian.PutUint64(head[1:], math.Float64bits(v))
	case text:
		head[0], body = 't', v
		binary.LittleEndian.PutUint64(head[1:], uint64(len(v)))
	case []byte:
		head[0], body = 'b', v
		binary.LittleEndian.PutUint64(head[1:], uint64(len(v)))
	}
	h.Write(head[:])
	h.Write(body)
}

// bound is a value as a parameter that is compared as the value itself would be: nothing on
// the way takes bytes for something else, and the + takes from CAST the affinity that would
// make a text of what it is compared with.
func bound(v any) (placeholder string, args []any) {
	switch v := v.(type) {
	case text:
		return "+CAST(? AS TEXT)", []any{[]byte(v)}
	case float64:
		switch {
		case math.IsInf(v, 1):
			return "9e999", nil
		case math.IsInf(v, -1):
			return "-9e999", nil
		}
	}
	return "?", []any{v}
}

func newHash() hash.Hash { return sha256.New() }
