package cluster

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cluster/internal/statement"
	"github.com/holdfastdb/holdfast/cluster/internal/wire"
)

// Connect makes a session for the *sql.DB. It sends nothing.
func (c *client) Connect(context.Context) (driver.Conn, error) {
	if c.life.Err() != nil {
		return nil, holdfast.NewError(holdfast.Failure{Kind: holdfast.ErrClosed, Code: codeMisuse, Op: "open", Text: "the database was closed"})
	}
	c.counts.sessions.Add(1)
	return &conn{c: c}, nil
}

// Driver is for sql.DB.Driver.
func (c *client) Driver() driver.Driver { return sessions{c} }

// sessions is a driver of this client alone: an address that is opened by name would be nobody's
// to close.
type sessions struct{ c *client }

func (s sessions) Open(string) (driver.Conn, error) { return s.c.Connect(context.Background()) }

// conn is a driver.Conn, which has no state and so is never bad; one goroutine at a time uses it.
type conn struct{ c *client }

var (
	_ driver.ExecerContext      = (*conn)(nil)
	_ driver.QueryerContext     = (*conn)(nil)
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.Pinger             = (*conn)(nil)
)

func (s *conn) Close() error { return nil }

// Begin is refused: a transaction that is open in the cluster while its client thinks would be
// everybody's.
func (s *conn) Begin() (driver.Tx, error) {
	return s.BeginTx(context.Background(), driver.TxOptions{})
}

func (s *conn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	return nil, s.c.refusal("begin", "", 0, fmt.Errorf("%w: a cluster has none that stay open between two requests", statement.ErrTransaction))
}

func (s *conn) Prepare(query string) (driver.Stmt, error) {
	return s.PrepareContext(context.Background(), query)
}

// PrepareContext looks at the text and sends nothing; a mistake that only the server sees comes to
// light when it is run.
func (s *conn) PrepareContext(_ context.Context, query string) (driver.Stmt, error) {
	if _, err := statement.Parse(query); err != nil {
		return nil, s.c.refusal("prepare", query, 0, err)
	}
	return &prepared{s, query}, nil
}

// Ping reads at the level of ctx, so it tells whether that can be done.
func (s *conn) Ping(ctx context.Context) error {
	rows, err := s.QueryContext(ctx, "SELECT 1", nil)
	if err != nil {
		return err
	}
	return rows.Close()
}

type prepared struct {
	s     *conn
	query string
}

func (p *prepared) Close() error  { return nil }
func (p *prepared) NumInput() int { return -1 }

func (p *prepared) Exec(args []driver.Value) (driver.Result, error) {
	return p.ExecContext(context.Background(), numbered(args))
}

func (p *prepared) Query(args []driver.Value) (driver.Rows, error) {
	return p.QueryContext(context.Background(), numbered(args))
}

func (p *prepared) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return p.s.ExecContext(ctx, p.query, args)
}

func (p *prepared) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return p.s.QueryContext(ctx, p.query, args)
}

func numbered(args []driver.Value) []driver.NamedValue {
	out := make([]driver.NamedValue, len(args))
	for i, a := range args {
		out[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	return out
}

type result struct{ of holdfast.Result }

func (r result) LastInsertId() (int64, error) { return r.of.LastInsertID, nil }
func (r result) RowsAffected() (int64, error) { return r.of.RowsAffected, nil }

// ExecContext runs a text. Several statements in it are one transaction.
func (s *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if parsed, err := statement.Parse(query); err == nil && len(parsed) == 1 && parsed[0].Kind == statement.Read {
		rows, err := s.QueryContext(ctx, query, args) // nothing for the log
		if err != nil {
			return nil, err
		}
		return result{}, rows.Close()
	}
	tasks, r, err := s.c.write(ctx, "exec", query, args)
	if err != nil || len(tasks) == 0 {
		return result{}, err
	}
	all := publicResults(tasks, r)
	return result{all[len(all)-1]}, nil
}

// write sends the statements of a text as one unit.
func (c *client) write(ctx context.Context, op, query string, args []driver.NamedValue) ([]task, reply, error) {
	tasks, err := work(query, args)
	if err != nil {
		return nil, reply{}, c.refusal(op, query, 0, err)
	}
	for i := range tasks {
		if err := c.mayWrite(&tasks[i]); err != nil {
			return nil, reply{}, c.refusal(op, query, 0, err)
		}
	}
	if len(tasks) == 0 {
		return nil, reply{}, nil
	}
	ctx, cancel := c.budget(ctx)
	defer cancel()
	r, _, err := c.settle(ctx, call{op: op, tasks: tasks}, holdfast.BatchSettings{}, nil)
	if err == nil {
		c.counts.succeeded.Add(1)
	}
	return tasks, r, err
}

// QueryContext runs one statement that reads, at the level of ctx, or one that writes and answers
// with rows. Its rows are in memory: the server sends them when it has them all.
func (s *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c := s.c
	tasks, err := work(query, args)
	switch {
	case err != nil:
		return nil, c.refusal("query", query, 0, err)
	case len(tasks) != 1:
		return nil, c.refusal("query", query, 0, fmt.Errorf("%w: a query is one statement, and there are %d in it", statement.ErrInvalid, len(tasks)))
	}
	t := &tasks[0]
	if t.Kind != statement.Read {
		if holdfast.MustRead(ctx) {
			return nil, c.refusal("query", query, 0, fmt.Errorf("%w: a statement that writes, where only reading is allowed", statement.ErrRefused))
		}
		tasks, r, err := c.write(ctx, "query", query, args)
		if err != nil {
			return nil, err
		}
		got := r.results[tasks[0].at]
		if tasks[0].Returning && len(got.Columns) == 0 {
			return nil, c.withoutRows(query, "the cluster has not handed back its rows")
		}
		return newRows(c, query, &got, true), nil
	}
	ctx, cancel := c.budget(ctx)
	defer cancel()
	body, err := wire.Append([]byte{'['}, &t.Statement, args)
	if err != nil {
		return nil, c.refusal("query", query, 0, err)
	}
	what := call{op: "query", tasks: tasks, reads: true, start: time.Now()}
	level, freshness := c.levelOf(ctx)
	r := c.read(ctx, append(body, ']'), level, freshness)
	if r.verdict == acknowledged && len(r.results[0].Columns) == 0 && !t.Pragma {
		r = reply{failed: -1, text: "the answer has no columns"}
	}
	if r.verdict != acknowledged {
		return nil, c.failed(ctx, what, r)
	}
	c.counts.succeeded.Add(1)
	return newRows(c, query, &r.results[0], false), nil
}

// rows is a result in memory.
type rows struct {
	c     *client
	query string
	got   *wire.Result
	wrote bool // the statement is committed, whatever becomes of its rows
	next  int
}

func newRows(c *client, query string, got *wire.Result, wrote bool) *rows {
	return &rows{c: c, query: query, got: got, wrote: wrote}
}

// withoutRows is the error of a statement that is committed and can't show what it has written.
// No error may say that it was not, so the outcome is called unknown.
func (c *client) withoutRows(query, why string) error {
	return holdfast.NewError(holdfast.Failure{
		Kind: holdfast.ErrOutcomeUnknown, Code: codeError, Op: "query", SQL: query, Cause: holdfast.ErrUnsupported,
		Text: "the statement is committed, but " + why, Next: "read what it has written",
	})
}

func (r *rows) Columns() []string { return r.got.Columns }
func (r *rows) Close() error      { r.next = len(r.got.Values); return nil }

func (r *rows) Next(dest []driver.Value) error {
	if r.next >= len(r.got.Values) {
		return io.EOF
	}
	row := r.got.Values[r.next]
	for i := range dest {
		v, err := wire.Value(row[i], r.got.Types[i])
		switch {
		case err != nil && r.wrote:
			return r.c.withoutRows(r.query, fmt.Sprintf("column %d of row %d: %v", i+1, r.next+1, err))
		case err != nil:
			return holdfast.NewError(holdfast.Failure{
				Kind: holdfast.ErrUnsupported, Code: codeError, Op: "query", SQL: r.query,
				Text: fmt.Sprintf("column %d of row %d: %v", i+1, r.next+1, err),
			})
		}
		dest[i] = v
	}
	r.next++
	return nil
}

// ColumnTypeDatabaseTypeName is the declared type; of an expression that of the first row.
func (r *rows) ColumnTypeDatabaseTypeName(i int) string { return strings.ToUpper(r.got.Types[i]) }

// ColumnTypeScanType goes by the declared type.
func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	switch t := r.got.Types[i]; {
	case wire.IsTime(t):
		return reflect.TypeFor[time.Time]()
	case strings.Contains(t, "int"):
		return reflect.TypeFor[int64]()
	case wire.IsReal(t):
		return reflect.TypeFor[float64]()
	case t == "blob":
		return reflect.TypeFor[[]byte]()
	case t == "text":
		return reflect.TypeFor[string]()
	}
	return reflect.TypeFor[any]()
}
