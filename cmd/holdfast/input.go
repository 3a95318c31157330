package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/spf13/cobra"
)

// maxInput is the most that is read for SQL text or a batch: SQLite's own
// limit for a statement.
const maxInput = 1_000_000_000

// sqlText returns the SQL of an argument; "-" reads it from standard input.
func (a *app) sqlText(arg string) (string, error) {
	if arg != "-" {
		return arg, nil
	}
	text, err := readAll(a.in)
	return string(text), err
}

// errEmpty is the answer to a text that holds no statement. The library runs
// it as nothing, as other drivers do; on a command line it is a mistake.
var errEmpty = exitcode.Usagef("the SQL text is empty; pass a statement")

func readAll(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, exitcode.With(exitcode.IO, fmt.Errorf("read the input: %w", err))
	}
	if len(text) > maxInput {
		return nil, exitcode.Usagef("the input is longer than %d bytes: split it", maxInput)
	}
	return text, nil
}

// bindings says how the words of the command line become parameters.
type bindings struct {
	text bool   // all are text
	null string // the word that stands for NULL, if it isn't empty
}

func (b *bindings) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&b.text, "text", false, "bind all arguments as text, also those that look like numbers")
	cmd.Flags().StringVar(&b.null, "null", "", "the `word` that stands for NULL among the arguments")
}

const bindingsHelp = `Each argument is the value of one parameter (?, ?1, $1). One that is written like
a number is bound as that number, everything else as text: 007 and +5 stay text. --text
binds all as text, --null WORD names a word for NULL. Put -- before the first argument
that begins with a minus.`

var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// values turns arguments into parameters.
func (b bindings) values(args []string) []any {
	out := make([]any, len(args))
	for i, arg := range args {
		switch {
		case b.null != "" && arg == b.null:
			out[i] = nil
		case b.text:
			out[i] = arg
		default:
			out[i] = number(arg)
		}
	}
	return out
}

// number returns arg as an int64 or float64 if it is written as one and loses
// nothing, else as it is.
func number(arg string) any {
	parts := decimal.FindStringSubmatch(arg)
	if parts == nil {
		return arg
	}
	if parts[2] == "" && parts[3] == "" {
		if n, err := strconv.ParseInt(arg, 10, 64); err == nil && arg != "-0" {
			return n
		}
		return arg // more digits than a number can keep
	}
	f, err := strconv.ParseFloat(arg, 64)
	if err != nil {
		return arg
	}
	return f
}

// querier is a database or a connection of it.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// checkCount refuses arguments that statement has no parameter for. The driver
// ignores them, as others do, but on a command line they are a mistake. The
// engine tells: if the statement compiles without the last argument, that one
// is too many. EXPLAIN compiles and runs nothing.
func checkCount(ctx context.Context, db querier, statement string, args []any) error {
	takes := len(args)
	for takes > 0 {
		rows, err := db.QueryContext(ctx, "EXPLAIN "+statement, args[:takes-1]...)
		if err != nil {
			break // it needs this one; or it is wrong, which running it will tell better
		}
		if err := rows.Close(); err != nil {
			return err
		}
		takes--
	}
	if takes == len(args) {
		return nil
	}
	return exitcode.Usagef("the statement takes %s, but %d %s given; check the parameters in the SQL text",
		count(takes, "argument"), len(args), plural(len(args), "was", "were"))
}

func count(n int, what string) string {
	return fmt.Sprintf("%d %s", n, plural(n, what, what+"s"))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// readBatch reads a JSON array of [sql, [args]]. It runs before the database is
// opened: a process that has one open must not open and close its file.
func (a *app) readBatch(name string) ([]holdfast.Statement, error) {
	in := io.Reader(a.in)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read the batch: %w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := readAll(in)
	if err != nil {
		return nil, err
	}
	return parseBatch(text)
}

func parseBatch(text []byte) ([]holdfast.Statement, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var entries [][]any
	if err := d.Decode(&entries); err != nil {
		return nil, exitcode.Usagef("the batch is no JSON array of [sql, [args]]: %s", jsonProblem(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, exitcode.Usagef("the batch goes on after its array; put all statements into one")
	}
	batch := make([]holdfast.Statement, len(entries))
	for i, entry := range entries {
		s, err := parseEntry(entry)
		if err != nil {
			return nil, exitcode.Usagef("statement %d of the batch %s", i+1, err)
		}
		batch[i] = s
	}
	return batch, nil
}

// jsonProblem keeps values of the batch out of an error.
func jsonProblem(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf("at byte %d is another kind of value", e.Offset)
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("%s (at byte %d)", e, e.Offset)
	}
	return "it ends too early"
}

func parseEntry(entry []any) (holdfast.Statement, error) {
	var s holdfast.Statement
	if len(entry) == 0 || len(entry) > 2 {
		return s, errors.New("is not of the form [sql] or [sql, [args]]")
	}
	text, ok := entry[0].(string)
	if !ok {
		return s, errors.New("does not begin with its SQL text")
	}
	s.SQL = text
	if len(entry) == 1 {
		return s, nil
	}
	args, ok := entry[1].([]any)
	if !ok {
		return s, errors.New("has arguments that are no array")
	}
	for i, arg := range args {
		v, err := jsonValue(arg)
		if err != nil {
			return s, fmt.Errorf("has an argument %d that %w", i+1, err)
		}
		s.Args = append(s.Args, v)
	}
	return s, nil
}

// jsonValue turns a decoded JSON value into a parameter: the kinds that query
// --json writes are read back.
func jsonValue(v any) (any, error) {
	switch x := v.(type) {
	case nil, string, bool:
		return x, nil
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return n, nil
		}
		f, err := x.Float64()
		if err != nil || !bytes.ContainsAny([]byte(x), ".eE") {
			return nil, errors.New("is a number too large to keep; write it as text")
		}
		return f, nil
	case map[string]any:
		if text, ok := x["base64"].(string); ok && len(x) == 1 {
			if blob, err := base64.StdEncoding.DecodeString(text); err == nil {
				return blob, nil
			}
		}
	}
	return nil, errors.New(`is neither null, a number, a text, true, false nor {"base64": "..."}`)
}
