package faults

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// engine is what every node of a cluster has: one connection that writes, whoever asks.
type engine struct {
	mu      sync.Mutex
	conn    *sqlite.Conn
	entries int // requests that were applied, as the replicated log counts them
}

func newEngine() (*engine, error) {
	c, err := new(sqlite.Probe).Open(":memory:", sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		return nil, err
	}
	return &engine{conn: c}, nil
}

// stmt is a statement of a request as the server reads it.
type stmt struct {
	sql  string
	args []any
}

// parse reads a request, with what the server makes of its values: text that looks like X'..' is a
// blob, an array of numbers too, and a number without a point is an integer.
func parse(body []byte) ([]stmt, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var raw []any
	if err := d.Decode(&raw); err != nil {
		return nil, errors.New("invalid JSON body")
	}
	var out []stmt
	for _, r := range raw {
		s := stmt{}
		switch r := r.(type) {
		case string:
			s.sql = r
		case []any:
			if len(r) == 0 {
				return nil, errors.New("invalid request")
			}
			text, ok := r[0].(string)
			if !ok {
				return nil, errors.New("invalid request")
			}
			s.sql = text
			for _, a := range r[1:] {
				v, err := parameter(a)
				if err != nil {
					return nil, err
				}
				s.args = append(s.args, v)
			}
		default:
			return nil, errors.New("invalid request")
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, errors.New("no statements")
	}
	return out, nil
}

func parameter(a any) (any, error) {
	switch a := a.(type) {
	case json.Number:
		if n, err := a.Int64(); err == nil {
			return n, nil
		}
		return a.Float64()
	case string:
		t := strings.TrimSpace(a)
		if len(t) >= 3 && (t[0] == 'x' || t[0] == 'X') && t[1] == '\'' && t[len(t)-1] == '\'' {
			if b, err := hex.DecodeString(t[2 : len(t)-1]); err == nil {
				return b, nil
			}
		}
		return a, nil
	case []any:
		b := make([]byte, len(a))
		for i, e := range a {
			n, ok := e.(json.Number)
			if !ok {
				return nil, errors.New("unsupported type")
			}
			v, err := n.Int64()
			if err != nil || v < 0 || v > 255 {
				return nil, errors.New("unsupported type")
			}
			b[i] = byte(v)
		}
		return b, nil
	case bool, nil:
		return a, nil
	}
	return nil, errors.New("unsupported type")
}

type object = map[string]any

// execute applies a request as one transaction, as ?transaction asks: up to the first statement that fails.
func (e *engine) execute(stmts []stmt) object {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.entries++
	if err := e.conn.Exec("BEGIN"); err != nil {
		return object{"results": []any{}, "error": text(err)}
	}
	results := []any{}
	for _, s := range stmts {
		if s.sql == "" {
			continue
		}
		r, err := e.one(s, strings.Contains(strings.ToLower(s.sql), "returning "))
		if err != nil {
			results = append(results, object{"error": text(err)})
			if !e.conn.Autocommit() {
				_ = e.conn.Exec("ROLLBACK")
			}
			return object{"results": results}
		}
		results = append(results, r)
	}
	if err := e.conn.Exec("COMMIT"); err != nil {
		_ = e.conn.Exec("ROLLBACK")
		return object{"results": []any{}, "error": text(err)}
	}
	return object{"results": results}
}

func (e *engine) query(stmts []stmt) object {
	e.mu.Lock()
	defer e.mu.Unlock()
	results := []any{}
	for _, s := range stmts {
		r, err := e.one(s, true)
		if err != nil {
			r = object{"error": text(err)}
		}
		results = append(results, r)
	}
	return object{"results": results}
}

// text is SQLite's own, which is all that the server passes on.
func text(err error) string {
	var e *sqlite.Error
	if errors.As(err, &e) && e.Msg != "" {
		return e.Msg
	}
	return err.Error()
}

func (e *engine) one(s stmt, rows bool) (object, error) {
	st, _, err := e.conn.Prepare(s.sql)
	if err != nil || st == nil {
		return object{}, err
	}
	defer st.Finalize()
	for i := range min(len(s.args), st.BindParamCount()) {
		if err := bind(st, i+1, s.args[i]); err != nil {
			return nil, err
		}
	}
	out := object{}
	var values []any
	for {
		more, err := st.Step()
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		if rows {
			values = append(values, row(st))
		}
	}
	if !rows {
		if id := e.conn.LastInsertRowID(); id != 0 {
			out["last_insert_id"] = id
		}
		if n := e.conn.Changes(); n != 0 {
			out["rows_affected"] = n
		}
		return out, nil
	}
	columns, types := []string{}, []string{}
	for i := range st.ColumnCount() {
		columns = append(columns, st.ColumnName(i))
		types = append(types, strings.ToLower(st.ColumnDeclType(i)))
	}
	for i := range types {
		if types[i] == "" && len(values) > 0 {
			types[i] = kindOf(values[0].([]any)[i])
		}
	}
	if len(columns) > 0 {
		out["columns"], out["types"] = columns, types
	}
	if len(values) > 0 {
		out["values"] = values
	}
	return out, nil
}

func bind(st *sqlite.Stmt, i int, v any) error {
	switch v := v.(type) {
	case nil:
		return st.BindNull(i)
	case int64:
		return st.BindInt64(i, v)
	case float64:
		return st.BindFloat(i, v)
	case bool:
		if v {
			return st.BindInt64(i, 1)
		}
		return st.BindInt64(i, 0)
	case string:
		return st.BindText(i, v)
	case []byte:
		return st.BindBlob(i, v)
	}
	return fmt.Errorf("unsupported type %T", v)
}

func kindOf(v any) string {
	switch v.(type) {
	case int64:
		return "integer"
	case float64, whole:
		return "real"
	case string, raw:
		return "text"
	}
	return ""
}

// raw is JSON that is written as it is.
type raw string

// MarshalJSON returns it.
func (r raw) MarshalJSON() ([]byte, error) { return []byte(r), nil }

// whole is a float without a fraction, which is written as an integer is.
type whole float64

// MarshalJSON writes it so.
func (w whole) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(w), 'f', -1, 64), nil
}

// row writes values as the server does: a float without a fraction as an integer, a blob in a column
// that is not declared BLOB as text, and text in a time column as a time.
func row(st *sqlite.Stmt) []any {
	out := []any{}
	for i := range st.ColumnCount() {
		declared := strings.ToLower(st.ColumnDeclType(i))
		var v any
		switch st.ColumnType(i) {
		case sqlite.TypeInteger:
			v = st.ColumnInt64(i)
			if declared == "boolean" {
				v = st.ColumnInt64(i) > 0
			}
		case sqlite.TypeFloat:
			f := st.ColumnFloat(i)
			v = f
			if f == math.Trunc(f) && math.Abs(f) < 1e21 {
				v = whole(f)
			}
		case sqlite.TypeText:
			v = timeOrText(declared, st.ColumnText(i))
		case sqlite.TypeBlob:
			if b := st.ColumnBlob(i); declared == "" || declared == "text" {
				v = asText(string(b))
			} else {
				ints := make([]int, len(b))
				for k := range b {
					ints[k] = int(b[k])
				}
				v = ints
			}
		}
		out = append(out, v)
	}
	return out
}

// asText writes bytes that are no UTF-8 as encoding/json does.
func asText(s string) any {
	if utf8.ValidString(s) {
		return s
	}
	b, _ := json.Marshal(s)
	return raw(b)
}
