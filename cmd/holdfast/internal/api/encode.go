package api

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfastdb/holdfast"
)

// encode reads rows and writes them as the members of a JSON object. It is nil for a
// statement that has no columns.
func (c *call) encode(rows *sql.Rows, room int64) ([]byte, error) {
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	if len(types) == 0 {
		for rows.Next() {
			// A statement without columns is done after its last step.
		}
		return nil, rows.Err()
	}
	t := newTable(types, c.params)
	values := make([]any, len(types))
	into := make([]any, len(types))
	for i := range values {
		into[i] = &values[i]
	}
	n := 0
	for ; rows.Next(); n++ {
		if n == c.limits.Rows {
			return nil, fmt.Errorf("the result has more than %d rows (serve.max_rows): ask for fewer with LIMIT", n)
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		t.row(values)
		if int64(len(t.out)) > room {
			return nil, c.tooLarge()
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	out := t.members(n)
	if int64(len(out)) > room { // names alone are much, where many statements have no rows
		return nil, c.tooLarge()
	}
	return out, nil
}

func (c *call) tooLarge() error {
	return fmt.Errorf("the answer is larger than %d bytes (serve.max_response): ask for less", c.limits.Response)
}

// table is a result on its way into JSON.
type table struct {
	names   [][]byte // as JSON
	types   []string // declared, in lower case; where none is, of the first row
	boolean []bool
	params  params
	out     []byte // the rows, with commas between
}

func newTable(columns []*sql.ColumnType, p params) *table {
	t := &table{params: p}
	for _, column := range columns {
		declared := strings.ToLower(column.DatabaseTypeName())
		t.names = append(t.names, appendText(nil, column.Name()))
		t.types = append(t.types, declared)
		t.boolean = append(t.boolean, declared == "boolean")
	}
	return t
}

func (t *table) row(values []any) {
	if len(t.out) > 0 {
		t.out = append(t.out, ',')
	}
	begin, end := byte('['), byte(']')
	if t.params.associative {
		begin, end = '{', '}'
	}
	t.out = append(t.out, begin)
	for i, v := range values {
		if i > 0 {
			t.out = append(t.out, ',')
		}
		if t.params.associative {
			t.out = append(append(t.out, t.names[i]...), ':')
		}
		if t.types[i] == "" {
			t.types[i] = typeOf(v)
		}
		if n, ok := v.(int64); ok && t.boolean[i] {
			v = n > 0
		}
		t.out = t.appendValue(t.out, v)
	}
	t.out = append(t.out, end)
}

// typeOf names the type of a value, for columns that have none declared: a function's or an
// operator's.
func typeOf(v any) string {
	switch v.(type) {
	case int64, bool:
		return "integer"
	case float64:
		return "real"
	case string:
		return "text"
	case []byte:
		return "blob"
	}
	return ""
}

func (t *table) appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		return appendFloat(b, v)
	case bool:
		return strconv.AppendBool(b, v)
	case string:
		return appendText(b, v)
	case []byte:
		if !t.params.blobArray {
			b = append(b, '"')
			b = base64.StdEncoding.AppendEncode(b, v)
			return append(b, '"')
		}
		b = append(b, '[')
		for i, n := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendUint(b, uint64(n), 10)
		}
		return append(b, ']')
	case time.Time:
		b = append(b, '"')
		b = v.UTC().AppendFormat(b, time.RFC3339Nano)
		return append(b, '"')
	}
	return append(b, "null"...)
}

// appendFloat keeps a number with a fraction one, as far as JSON has such a thing. Infinity,
// which SQLite has, JSON has not.
func appendFloat(b []byte, f float64) []byte {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return strconv.AppendQuote(b, strconv.FormatFloat(f, 'g', -1, 64))
	}
	form := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		form = 'e'
	}
	return strconv.AppendFloat(b, f, form, -1, 64)
}

func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			text, _ := json.Marshal(s) // a string can't fail; what is no UTF-8 becomes U+FFFD
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// members are the result as the members of an object.
func (t *table) members(n int) []byte {
	b := make([]byte, 0, len(t.out)+32*len(t.names)+64)
	if t.params.associative {
		b = append(b, `"types":{`...)
		for i, name := range t.names {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendText(append(append(b, name...), ':'), t.types[i])
		}
		b = append(b, `},"rows":[`...)
		return append(append(b, t.out...), ']')
	}
	b = append(b, `"columns":[`...)
	for i, name := range t.names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, name...)
	}
	b = append(b, `],"types":[`...)
	for i, kind := range t.types {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, kind)
	}
	b = append(b, ']')
	if n > 0 {
		b = append(append(append(b, `,"values":[`...), t.out...), ']')
	}
	return b
}

// answer writes what became of the statements.
func (c *call) answer(out []outcome) error {
	b := make([]byte, 0, 256)
	b = append(b, `{"results":[`...)
	if !c.params.queue || failed(out) { // a queued write has no results, unless it has failed
		for i := range out {
			if i > 0 {
				b = append(b, ',')
			}
			b = c.appendOutcome(b, &out[i])
		}
	}
	b = append(b, ']')
	if c.params.queue {
		b = append(b, `,"sequence_number":`...)
		b = strconv.AppendInt(b, c.sequence.Add(1), 10)
	}
	if c.params.timings {
		b = appendFloat(append(b, `,"time":`...), time.Since(c.began).Seconds())
	}
	b = append(b, '}')
	if c.params.pretty {
		var indented bytes.Buffer
		if json.Indent(&indented, b, "", "    ") == nil {
			b = indented.Bytes()
		}
	}
	c.leave() // who takes his answer slowly is in nobody's way
	c.leave = func() {}
	h := c.w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(b))}
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(b) // whoever asked is gone
	return nil
}

var jsonType = []string{"application/json; charset=utf-8"} // never written to

func failed(out []outcome) bool {
	for i := range out {
		if out[i].err != nil {
			return true
		}
	}
	return false
}

func (c *call) appendOutcome(b []byte, o *outcome) []byte {
	b = append(b, '{')
	begin := len(b)
	comma := func() {
		if len(b) > begin {
			b = append(b, ',')
		}
	}
	switch {
	case o.err != nil:
		b = appendText(append(b, `"error":`...), c.message(o.err))
		if e, ok := errors.AsType[*holdfast.Error](o.err); ok {
			b = strconv.AppendInt(append(b, `,"code":`...), int64(e.ExtendedCode), 10)
		}
		if errors.Is(o.err, holdfast.ErrOutcomeUnknown) {
			b = append(b, `,"outcome":"unknown"`...)
		}
	case o.rows != nil:
		b = append(b, o.rows...)
	default:
		if id := o.result.LastInsertID; id != 0 {
			b = strconv.AppendInt(append(b, `"last_insert_id":`...), id, 10)
		}
		if n := o.result.RowsAffected; n != 0 {
			comma()
			b = strconv.AppendInt(append(b, `"rows_affected":`...), n, 10)
		}
		if c.params.associative {
			comma()
			b = append(b, `"rows":null`...)
		}
	}
	if c.params.timings {
		comma()
		b = appendFloat(append(b, `"time":`...), o.took.Seconds())
	}
	return append(b, '}')
}
