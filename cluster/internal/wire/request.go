// Package wire writes requests to rqlite's HTTP interface and reads its answers, strictly: what
// is not a complete acknowledgement is none. See https://rqlite.io/docs/api/.
package wire

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfastdb/holdfast/cluster/internal/statement"
)

// ErrValue is an argument that can't be sent as what it is.
var ErrValue = errors.New("a value that can't be sent")

// timeFormat is that of the driver on a file: SQLite's date functions read it.
const timeFormat = "2006-01-02 15:04:05.999999999-07:00"

// Append appends a statement with its arguments, as an element of the array that a request is.
// Arguments go as parameters, one for each number, and never into the text.
func Append(b []byte, s *statement.Statement, args []driver.NamedValue) ([]byte, error) {
	values, err := s.Bind(args)
	if err != nil {
		return b, err
	}
	var cast map[int]bool
	for i, v := range values {
		if text, ok := v.(string); ok && looksLikeBlob(text) {
			if cast == nil {
				cast = map[int]bool{}
			}
			cast[i+1] = true
		}
	}
	b = append(b, '[')
	b = appendText(b, s.Cast(cast))
	for i, v := range values {
		b = append(b, ',')
		if cast[i+1] {
			v = []byte(v.(string))
		}
		if b, err = appendValue(b, v); err != nil {
			return b, fmt.Errorf("argument %d: %w", i+1, err)
		}
	}
	return append(b, ']'), nil
}

// AppendRaw is Append for a text of this library's own.
func AppendRaw(b []byte, sql string, values ...driver.Value) ([]byte, error) {
	b = append(b, '[')
	b = appendText(b, sql)
	var err error
	for _, v := range values {
		b = append(b, ',')
		if b, err = appendValue(b, v); err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

// looksLikeBlob tells whether the server would store a text as a blob: X'6869', whatever case,
// with white space around it.
func looksLikeBlob(s string) bool {
	s = strings.TrimSpace(s)
	return len(s) >= 3 && (s[0] == 'x' || s[0] == 'X') && s[1] == '\'' && s[len(s)-1] == '\''
}

func appendText(b []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string never fails
	return append(b, text...)
}

func appendValue(b []byte, v driver.Value) ([]byte, error) {
	switch x := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case int64:
		return strconv.AppendInt(b, x, 10), nil
	case float64:
		return appendFloat(b, x)
	case bool:
		if x {
			return append(b, '1'), nil
		}
		return append(b, '0'), nil
	case string:
		if !utf8.ValidString(x) {
			return b, fmt.Errorf("%w: text that is not UTF-8; send it as []byte", ErrValue)
		}
		return appendText(b, x), nil
	case []byte:
		if x == nil {
			return append(b, "null"...), nil
		}
		return appendBlob(b, x), nil
	case time.Time:
		return appendText(b, x.Format(timeFormat)), nil
	}
	return b, fmt.Errorf("%w: %T is no type of SQLite", ErrValue, v)
}

// appendFloat keeps a float apart from an integer: the server tells them by the point.
func appendFloat(b []byte, x float64) ([]byte, error) {
	switch {
	case math.IsNaN(x): // as SQLite itself stores it
		return append(b, "null"...), nil
	case math.IsInf(x, 0):
		return b, fmt.Errorf("%w: infinity has no JSON", ErrValue)
	}
	from := len(b)
	b = strconv.AppendFloat(b, x, 'g', -1, 64)
	for _, c := range b[from:] {
		if c == '.' || c == 'e' {
			return b, nil
		}
	}
	return append(b, ".0"...), nil
}

// appendBlob writes an array of numbers. A text X'...' would be shorter, and is text to whoever
// looks at the request without knowing.
func appendBlob(b, blob []byte) []byte {
	b = append(b, '[')
	for i, c := range blob {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(c), 10)
	}
	return append(b, ']')
}
