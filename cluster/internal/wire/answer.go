package wire

import (
	"bytes"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrMalformed is an answer that is not, or not all, of what the interface promises.
var ErrMalformed = errors.New("malformed answer")

// Result is what one statement did, or the rows that it has.
type Result struct {
	LastInsertID int64               `json:"last_insert_id"`
	RowsAffected int64               `json:"rows_affected"`
	Columns      []string            `json:"columns"`
	Types        []string            `json:"types"` // as declared, lower case; of an expression what the first row has
	Values       [][]json.RawMessage `json:"values"`
	Error        *string             `json:"error"`
}

// Answer is the body of an answer with status 200.
type Answer struct {
	Results []Result
	Error   string // of the whole request
}

// Decode reads a body, which has to be one JSON object with results and nothing after it.
func Decode(body []byte) (a Answer, err error) {
	var raw struct {
		Results *[]*Result `json:"results"`
		Error   *string    `json:"error"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&raw); err != nil {
		return a, fmt.Errorf("%w: it is no JSON, or not all of it", ErrMalformed)
	}
	if d.More() || len(bytes.TrimSpace(body[d.InputOffset():])) > 0 {
		return a, fmt.Errorf("%w: something follows the JSON", ErrMalformed)
	}
	if raw.Error != nil {
		a.Error = orSomething(*raw.Error)
	}
	if raw.Results == nil {
		if a.Error != "" {
			return a, nil
		}
		return a, fmt.Errorf("%w: it has no results", ErrMalformed)
	}
	for _, r := range *raw.Results {
		if r == nil {
			return a, fmt.Errorf("%w: a result is null", ErrMalformed)
		}
		if err := r.check(); err != nil {
			return a, err
		}
		a.Results = append(a.Results, *r)
	}
	return a, nil
}

// orSomething keeps an error with an empty text an error.
func orSomething(s string) string {
	if s == "" {
		return "an error without a text"
	}
	return s
}

// Failed returns the error of one statement, "" if it has none.
func (r *Result) Failed() string {
	if r.Error == nil {
		return ""
	}
	return orSomething(*r.Error)
}

func (r *Result) check() error {
	if len(r.Types) != len(r.Columns) {
		return fmt.Errorf("%w: %d columns have %d types", ErrMalformed, len(r.Columns), len(r.Types))
	}
	for _, row := range r.Values {
		if len(row) != len(r.Columns) {
			return fmt.Errorf("%w: a row of %d values for %d columns", ErrMalformed, len(row), len(r.Columns))
		}
	}
	return nil
}

// ErrDamaged is a text that was lost on the way: it is no UTF-8, or a blob that the server took
// for text because its column isn't declared BLOB.
var ErrDamaged = errors.New("a blob, or text that is not UTF-8, does not come through as text; select hex(...) of it, or declare the column BLOB")

// Value reads one value of a result.
func Value(raw json.RawMessage, typ string) (driver.Value, error) {
	if len(raw) == 0 {
		return nil, fmt.Errorf("%w: an empty value", ErrMalformed)
	}
	switch raw[0] {
	case 'n':
		return nil, nil
	case 't':
		return int64(1), nil // of a column BOOLEAN; a file has integers there, too
	case 'f':
		return int64(0), nil
	case '"':
		if damaged(raw) {
			return nil, ErrDamaged
		}
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if IsTime(typ) {
			if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
				return t, nil
			}
		}
		return s, nil
	case '[':
		return blob(raw)
	}
	return numeric(string(raw), typ)
}

// numeric reads a number. A float without a fraction is written as an integer is, so the type of
// the column has to tell.
func numeric(s, typ string) (driver.Value, error) {
	if !IsReal(typ) {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n, nil
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: no number", ErrMalformed)
	}
	return f, nil
}

// IsTime tells whether text in a column of that declared type is read as a time.
func IsTime(typ string) bool { return typ == "date" || typ == "datetime" || typ == "timestamp" }

// IsReal goes by SQLite's rule for REAL affinity, https://www.sqlite.org/datatype3.html.
func IsReal(typ string) bool {
	if strings.Contains(typ, "int") {
		return false
	}
	return strings.Contains(typ, "real") || strings.Contains(typ, "floa") || strings.Contains(typ, "doub") //nolint:misspell // SQLite looks for these four letters
}

// damaged finds what the server's encoder writes for a byte that is no UTF-8: the escape
// \ufffd. The character itself it writes as it is.
func damaged(raw []byte) bool {
	for i := 0; i+6 <= len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if string(raw[i+1:i+6]) == "ufffd" {
			return true
		}
		i++ // what is escaped is no beginning of an escape
	}
	return false
}

func blob(raw []byte) ([]byte, error) {
	out := make([]byte, 0, len(raw)/4+1)
	body := bytes.TrimSpace(bytes.TrimSuffix(raw[1:], []byte("]")))
	if len(body) == 0 {
		return out, nil
	}
	for more := true; more; {
		var one []byte
		one, body, more = bytes.Cut(body, []byte(","))
		n, err := strconv.ParseUint(string(bytes.TrimSpace(one)), 10, 8)
		if err != nil {
			return nil, fmt.Errorf("%w: no byte of a blob", ErrMalformed)
		}
		out = append(out, byte(n))
	}
	return out, nil
}
