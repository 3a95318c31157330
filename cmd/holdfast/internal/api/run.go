package api

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
)

// outcome is what became of one statement: rows, counts, or an error.
type outcome struct {
	rows   []byte // the part of the answer that has them, without braces; nil if the statement returns none
	result holdfast.Result
	err    error
	took   time.Duration
}

// time is how long the request may take.
func (c *call) time() time.Duration {
	if t := c.params.timeout; t > 0 && t < c.limits.Time {
		return t
	}
	return c.limits.Time
}

func (c *call) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.r.Context(), c.time())
}

// begin reads the request. One that arrives slowly is in nobody's way until it has.
func (c *call) begin() ([]holdfast.Statement, error) {
	list, err := c.statements()
	if err != nil {
		return nil, err
	}
	leave, ok := c.Enter()
	if !ok {
		c.w.Header().Set("Retry-After", "1")
		return nil, &httpError{http.StatusServiceUnavailable, errors.New("too many requests are under way (serve.max_requests): try again")}
	}
	c.leave, c.began = leave, time.Now()
	return list, nil
}

// aroundOutcome is what an answer has for a statement beside its result: {"error":""},
const aroundOutcome = 13

// query runs statements that read.
func (c *call) query() error {
	c.reading = true
	list, err := c.begin()
	if err != nil {
		return err
	}
	ctx, cancel := c.within()
	defer cancel()
	out := make([]outcome, 0, len(list))
	room := c.limits.Response
	each := func(from querier) {
		for _, s := range list {
			o := c.read(ctx, from, s, &room)
			out = append(out, o)
			if o.err != nil {
				room -= int64(len(c.message(o.err)))
			}
			if room -= aroundOutcome; room < 0 || o.err != nil && c.params.transaction {
				return
			}
		}
	}
	if !c.params.transaction {
		each(c.db.Reader)
	} else if err = c.db.Reader.View(ctx, func(tx *sql.Tx) error { each(tx); return nil }); err != nil && len(out) == 0 {
		out = append(out, outcome{err: err})
	}
	if room < 0 { // by errors, as results are measured before: 16 MiB of "" were 242 MB of them
		return &httpError{http.StatusBadRequest, c.tooLarge()}
	}
	return c.answer(out)
}

// querier is a *holdfast.DB, a *sql.Conn or a *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// read runs a statement that may return rows. room is what is left of the answer.
func (c *call) read(ctx context.Context, from querier, s holdfast.Statement, room *int64) (o outcome) {
	if err := unfit(s.SQL); err != nil {
		return outcome{err: err}
	}
	start := time.Now()
	defer func() { o.took = time.Since(start) }()
	rows, err := from.QueryContext(ctx, s.SQL, s.Args...)
	if err != nil {
		return outcome{err: err}
	}
	defer rows.Close()
	if o.rows, err = c.encode(rows, *room); err != nil {
		return outcome{err: err}
	}
	*room -= int64(len(o.rows))
	return o
}

// execute runs statements that write.
func (c *call) execute() error {
	list, err := c.begin()
	if err != nil {
		return err
	}
	k, err := key(c.r)
	if err != nil {
		return err
	}
	ctx, cancel := c.within()
	defer cancel()
	rows := slices.ContainsFunc(list, func(s holdfast.Statement) bool { return returning(s.SQL) })
	room := c.limits.Response
	switch together := k != "" || c.params.transaction; {
	case together && rows:
		return c.answer(c.mixed(ctx, list, k, &room))
	case together:
		return c.answer(c.together(ctx, list, k))
	case rows:
		return c.answer(c.eachReturning(ctx, list, &room))
	}
	return c.answer(c.each(ctx, list))
}

// eachReturning is each where some return rows.
func (c *call) eachReturning(ctx context.Context, list []holdfast.Statement, room *int64) []outcome {
	out := make([]outcome, 0, len(list))
	for i := range list {
		if returning(list[i].SQL) {
			out = append(out, c.returned(ctx, list[i], room))
		} else {
			out = append(out, c.each(ctx, list[i:i+1])...)
		}
	}
	return out
}

// batch runs statements as one transaction, which shares its COMMIT with those of other
// requests.
func (c *call) batch(ctx context.Context, list []holdfast.Statement, key string) ([]outcome, error) {
	for i, s := range list {
		err := unfit(s.SQL)
		if keyword(s.SQL) == "PRAGMA" { // a batch takes some that set: they are no matter of a connection
			err = errPragma
		}
		if err != nil {
			return nil, &statementError{i + 1, err}
		}
	}
	start := time.Now()
	var options []holdfast.BatchOption
	if key != "" {
		options = []holdfast.BatchOption{holdfast.IdempotencyKey(key)}
	}
	done, err := c.db.DB.Batch(ctx, list, options...)
	if err != nil {
		return nil, err
	}
	if done.Repeated {
		c.w.Header().Set(repeatedHeader, "true")
	}
	out := make([]outcome, len(done.Results))
	took := time.Since(start) / time.Duration(max(1, len(out)))
	for i, r := range done.Results {
		out[i].took = took
		if word := keyword(list[i].SQL); word != "SELECT" && word != "VALUES" { // the last insert was somebody else's
			out[i].result = r
		}
	}
	return out, nil
}

// repeatedHeader says that the idempotency key was known, and nothing was run again.
const repeatedHeader = "Holdfast-Repeated"

var errPragma = errors.New("a PRAGMA can't be run here: those that ask belong to /db/query, the others to the daemon's configuration")

// statementError is about one statement of several, counted from 1.
type statementError struct {
	statement int
	error
}

func (e *statementError) Unwrap() error { return e.error }

// failedAt says which statement of a batch an error is about; 0 is all of them.
func failedAt(err error) int {
	if e, ok := errors.AsType[*statementError](err); ok {
		return e.statement
	}
	if e, ok := errors.AsType[*holdfast.Error](err); ok {
		return e.Statement
	}
	return 0
}

// constraint tells whether an error is about what a table allows: SQLITE_CONSTRAINT.
func constraint(err error) bool {
	e, ok := errors.AsType[*holdfast.Error](err)
	return ok && e.ExtendedCode&0xff == 19
}

// together runs statements all or nothing.
func (c *call) together(ctx context.Context, list []holdfast.Statement, key string) []outcome {
	out, err := c.batch(ctx, list, key)
	if err == nil {
		return out
	}
	return undone(err, failedAt(err))
}

// undone are the answers of a transaction that failed at a statement, counted from 1: it
// is the last that has one, and those before have it too, as nothing of them is left.
func undone(err error, failed int) []outcome {
	out := make([]outcome, max(failed, 1))
	for i := range out[:len(out)-1] {
		out[i].err = fmt.Errorf("rolled back with the transaction, because statement %d failed: %w", failed, err)
	}
	out[len(out)-1].err = err
	return out
}

// afterFailures is how many statements of a request may fail before the rest is run one
// by one.
const afterFailures = 16

// each runs statements each for itself: one that fails leaves the others alone. As long as
// none does they are one transaction, and so one COMMIT; of one that fails the ones before
// are run again without it. Nobody can tell, since it was rolled back.
func (c *call) each(ctx context.Context, list []holdfast.Statement) []outcome {
	out := make([]outcome, 0, len(list))
	for failures := 0; len(out) < len(list); {
		rest := list[len(out):]
		if failures >= afterFailures {
			rest = rest[:1]
		}
		done, err := c.batch(ctx, rest, "")
		if failed := failedAt(err); failed > 1 { // nothing is kept of what stands before it
			done, err = c.batch(ctx, rest[:failed-1], "")
			if failedAt(err) > 1 { // it was another world meanwhile
				done, err = c.batch(ctx, rest[:1], "")
			}
		}
		if err == nil {
			out = append(out, done...)
			continue
		}
		deferred := failedAt(err) == 0 && constraint(err) // the COMMIT has found it
		if deferred && len(rest) > 1 {
			failures = afterFailures // one by one they show whose it is
			continue
		}
		failures++
		out = append(out, outcome{err: err})
		if failedAt(err) == 0 && !deferred { // not the statement's fault: the rest would fare no better
			for len(out) < len(list) {
				out = append(out, outcome{err: err})
			}
		}
	}
	return out
}

// request runs statements of either kind.
func (c *call) request() error {
	list, err := c.begin()
	if err != nil {
		return err
	}
	k, err := key(c.r)
	if err != nil {
		return err
	}
	ctx, cancel := c.within()
	defer cancel()
	room := c.limits.Response
	switch {
	case k == "" && !c.params.transaction:
		out := make([]outcome, 0, len(list))
		for _, s := range list {
			out = append(out, c.either(ctx, s, &room))
		}
		return c.answer(out)
	case onlyWrites(list):
		return c.answer(c.together(ctx, list, k))
	default:
		return c.answer(c.mixed(ctx, list, k, &room))
	}
}

// either runs one statement of either kind. The engine decides: what a reader refuses to
// run because it writes is sent to the writer.
func (c *call) either(ctx context.Context, s holdfast.Statement, room *int64) outcome {
	if !writes(s.SQL) {
		o := c.read(ctx, c.db.Reader, s, room)
		if !errors.Is(o.err, holdfast.ErrReadOnly) {
			return o
		}
	}
	if returning(s.SQL) {
		return c.returned(ctx, s, room)
	}
	return c.each(ctx, []holdfast.Statement{s})[0]
}

// returned runs one statement that writes and may return rows. It is committed when they
// have been read: rows that can't be answered with are a write that wasn't made.
func (c *call) returned(ctx context.Context, s holdfast.Statement, room *int64) (o outcome) {
	if err := refusedOutside(s.SQL); err != nil {
		return outcome{err: err}
	}
	left := *room
	err := c.db.DB.Update(ctx, func(tx *sql.Tx) error {
		left = *room // it may be run again
		o = c.counted(ctx, tx, s, &left)
		return o.err
	})
	if err != nil {
		return outcome{err: err}
	}
	*room = left
	return o
}

// counted runs one statement of either kind on the writer. A query is one statement, always:
// what stands behind the first would come past every check, and an Exec runs it.
func (c *call) counted(ctx context.Context, tx *sql.Tx, s holdfast.Statement, room *int64) outcome {
	o := c.read(ctx, tx, s, room)
	if o.err == nil && o.rows == nil {
		o.result = figures(ctx, tx)
		if defines(s.SQL) {
			o.result.RowsAffected = 0 // what changes() tells is of the statement before
		}
	}
	return o
}

// figures are what the last write on a connection did. It is committed, whatever becomes of
// the question.
func figures(ctx context.Context, from querier) (r holdfast.Result) {
	rows, err := from.QueryContext(context.WithoutCancel(ctx), "SELECT changes(), last_insert_rowid()")
	if err != nil {
		return r
	}
	defer rows.Close()
	if rows.Next() && rows.Scan(&r.RowsAffected, &r.LastInsertID) != nil || rows.Err() != nil {
		return holdfast.Result{}
	}
	return r
}

// mixed runs statements of either kind, all or nothing, each seeing what those before it
// wrote.
func (c *call) mixed(ctx context.Context, list []holdfast.Statement, key string, room *int64) []outcome {
	for i, s := range list {
		if err := refusedOutside(s.SQL); err != nil {
			return undone(err, i+1)
		}
	}
	var out []outcome
	failed, left := 0, *room
	err := c.db.DB.Update(ctx, func(tx *sql.Tx) error {
		out, failed, left = make([]outcome, 0, len(list)), 0, *room // it may be run again
		for i, s := range list {
			o := c.inside(ctx, tx, s, &left)
			if o.err != nil {
				failed = i + 1
				return o.err
			}
			out = append(out, o)
		}
		return nil
	}, holdfast.IdempotencyKey(key))
	switch {
	case err != nil:
		return undone(err, failed)
	case len(out) < len(list):
		c.w.Header().Set(repeatedHeader, "true")
		return []outcome{} // what it returned then is not known any more
	}
	return out
}

// inside runs one statement in a transaction.
func (c *call) inside(ctx context.Context, tx *sql.Tx, s holdfast.Statement, room *int64) outcome {
	if !writes(s.SQL) || returning(s.SQL) {
		if err := c.listed(ctx, s.SQL); err != nil {
			return outcome{err: err}
		}
	}
	o := c.counted(ctx, tx, s, room)
	if o.err == nil && keyword(s.SQL) == "CREATE" {
		o.err = nothingTemporary(ctx, tx)
	}
	return o
}

// nothingTemporary fails if a transaction has made something in the schema temp, which
// would hide tables of the file from requests that come later. The engine is asked: the
// name can be written in many ways.
func nothingTemporary(ctx context.Context, tx *sql.Tx) error {
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM temp.sqlite_schema").Scan(&n); err != nil {
		return err
	}
	if n > 0 {
		return errTemporary
	}
	return nil
}

var errTemporary = errors.New("what is temporary can't be made over HTTP: no request has a connection of its own")

// listed asks the reader, which has the list of what SQL from outside may ask for, whether
// a statement is on it. What shows pages or files only when it runs, or is asked of a table
// that this transaction has made, so that the reader can't compile it, is known by its
// name, which can't be written in another way.
func (c *call) listed(ctx context.Context, sql string) error {
	lower := strings.ToLower(sql)
	for _, name := range []string{"sqlite_dbpage", "dbstat", "sqlite_stmt", "bytecode", "tables_used", "load_extension"} {
		if strings.Contains(lower, name) {
			return fmt.Errorf("%s is not for SQL from outside", name)
		}
	}
	for _, name := range pragmaTables.FindAllString(lower, -1) {
		if !strings.HasPrefix(name, "pragma_table_") && !strings.HasPrefix(name, "pragma_index_") && name != "pragma_foreign_key_list" {
			return fmt.Errorf("%s can't be part of a transaction over HTTP", name)
		}
	}
	stmt, err := c.db.Reader.PrepareContext(ctx, sql)
	if err == nil {
		return stmt.Close() // nothing was run
	}
	if errors.Is(err, holdfast.ErrRefused) {
		return err
	}
	return nil
}

var pragmaTables = regexp.MustCompile(`pragma_\w+`)

func onlyWrites(list []holdfast.Statement) bool {
	for _, s := range list {
		if !writes(s.SQL) || returning(s.SQL) {
			return false
		}
	}
	return true
}

// writes tells whether a statement begins as only those do that write. WITH may be either.
func writes(sql string) bool {
	switch keyword(sql) {
	case "INSERT", "UPDATE", "DELETE", "REPLACE":
		return true
	}
	return defines(sql)
}

// defines tells whether a statement is about what a database consists of, and not about rows.
func defines(sql string) bool {
	switch keyword(sql) {
	case "CREATE", "DROP", "ALTER", "REINDEX", "ANALYZE":
		return true
	}
	return false
}

// returning tells whether a statement may return rows although it writes.
func returning(sql string) bool {
	return keyword(sql) == "WITH" || !defines(sql) && strings.Contains(strings.ToUpper(sql), "RETURNING")
}

// refusedOutside is why a statement may not come from outside, where no list of the engine's
// and no batch stands between it and the writer: only what works on tables may.
func refusedOutside(sql string) error {
	if err := unfit(sql); err != nil {
		return err
	}
	switch word := keyword(sql); word {
	case "SELECT", "VALUES", "WITH":
		return nil
	case "PRAGMA":
		return errPragma
	default:
		if writes(sql) && !temporary(sql) {
			return nil
		}
		return fmt.Errorf("%s can't be part of a transaction over HTTP", word)
	}
}

// unfit is why a statement makes no sense in a request of its own.
func unfit(sql string) error {
	switch word := keyword(sql); word {
	case "":
		return errors.New("the SQL text holds no statement")
	case "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE":
		return fmt.Errorf("%s: a transaction is one request; add ?transaction to the URL and leave this out", word)
	}
	return nil
}
