package api

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/holdfastdb/holdfast"
)

// statements are what a request asks to run.
func (c *call) statements() ([]holdfast.Statement, error) {
	if c.r.Method != http.MethodPost { // HEAD is a GET
		if c.params.q == "" {
			return nil, badRequest("q is missing: GET takes the SQL text in ?q=")
		}
		return []holdfast.Statement{{SQL: c.params.q}}, nil
	}
	body, err := c.body()
	if err != nil {
		return nil, err
	}
	if contentType(c.r) == "text/plain" {
		if len(bytes.TrimSpace(body)) == 0 {
			return nil, errNoStatements
		}
		return []holdfast.Statement{{SQL: string(body)}}, nil
	}
	return parseBody(body)
}

// firstBytes is how much memory a body may have before it has arrived.
const firstBytes = 64 << 10

func (c *call) body() ([]byte, error) {
	in := http.MaxBytesReader(c.w, c.r.Body, c.limits.Body)
	var body []byte
	var err error
	if n := c.r.ContentLength; n > 0 && n <= min(c.limits.Body, firstBytes) {
		body = make([]byte, n) // the most frequent: no growing
		_, err = io.ReadFull(in, body)
	} else {
		// What was announced is not made room for before it comes: a client could announce much and send nothing.
		var grown bytes.Buffer
		_, err = grown.ReadFrom(in)
		body = grown.Bytes()
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &httpError{http.StatusRequestEntityTooLarge, badRequest("the body is larger than %d bytes (serve.max_body)", tooLarge.Limit)}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, &httpError{http.StatusRequestTimeout, errors.New("the body did not arrive within serve.read_timeout, or others had to have its place (serve.max_requests): try again")}
	}
	if err != nil {
		return nil, badRequest("the body did not arrive whole")
	}
	if !utf8.Valid(body) { // JSON's decoder would put U+FFFD in its place, and that into the database
		return nil, badRequest("the body is not valid UTF-8")
	}
	return body, nil
}

// parseBody reads a JSON array: each entry is an SQL text, or an array of one and its
// parameters, by position or, in an object, by name. No error quotes what it read.
func parseBody(body []byte) ([]holdfast.Statement, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, errNoStatements
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var entries []any
	if err := d.Decode(&entries); err != nil {
		return nil, badRequest("the body is no JSON array: %s", jsonProblem(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, badRequest("the body goes on after its array")
	}
	if len(entries) == 0 {
		return nil, errNoStatements
	}
	list := make([]holdfast.Statement, len(entries))
	for i, entry := range entries {
		switch entry := entry.(type) {
		case string:
			list[i].SQL = entry
		case []any:
			if err := parseStatement(&list[i], entry); err != nil {
				return nil, badRequest("statement %d %w", i+1, err)
			}
		default:
			return nil, badRequest("statement %d is neither an SQL text nor an array that begins with one", i+1)
		}
	}
	return list, nil
}

// jsonProblem keeps what was read out of an error.
func jsonProblem(err error) string {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return e.Error()
	}
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return "it is another kind of value"
	}
	return "it ends too early"
}

func parseStatement(s *holdfast.Statement, entry []any) error {
	if len(entry) == 0 {
		return errors.New("is an empty array")
	}
	text, ok := entry[0].(string)
	if !ok {
		return errors.New("does not begin with its SQL text")
	}
	s.SQL = text
	if len(entry) == 1 {
		return nil
	}
	s.Args = make([]any, 0, len(entry)-1)
	for _, v := range entry[1:] {
		named, ok := v.(map[string]any)
		if !ok {
			arg, err := parameter(v)
			if err != nil {
				return err
			}
			s.Args = append(s.Args, arg)
			continue
		}
		for name, v := range named {
			arg, err := parameter(v)
			if err != nil {
				return err
			}
			s.Args = append(s.Args, sql.Named(name, arg))
		}
	}
	return nil
}

// parameter makes a value of SQLite of one of JSON. An array of bytes is a blob.
func parameter(v any) (any, error) {
	switch v := v.(type) {
	case nil, string, bool:
		return v, nil
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		f, err := v.Float64()
		if err != nil || !strings.ContainsAny(string(v), ".eE") { // as a float it would lose digits
			return nil, errors.New("has a number that is too large; send it as text")
		}
		return f, nil
	case []any:
		blob := make([]byte, len(v))
		for i, b := range v {
			number, ok := b.(json.Number)
			n, err := number.Int64()
			if !ok || err != nil || n < 0 || n > 255 {
				return nil, errors.New("has an array as parameter that is not one of bytes")
			}
			blob[i] = byte(n)
		}
		return blob, nil
	}
	return nil, errors.New("has an object among the values of its named parameters")
}
