// Package sqlcshape is written by hand in the shape of the code that sqlc
// generates for SQLite with emit_prepared_queries: a DBTX interface, New,
// Prepare, WithTx and one method a query.
package sqlcshape

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// DBTX is what a query needs; *sql.DB, *sql.Conn and *sql.Tx have it.
type DBTX interface {
	ExecContext(context.Context, string, ...interface{}) (sql.Result, error)
	PrepareContext(context.Context, string) (*sql.Stmt, error)
	QueryContext(context.Context, string, ...interface{}) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...interface{}) *sql.Row
}

// New returns queries that send their text each time.
func New(db DBTX) *Queries {
	return &Queries{db: db}
}

// Prepare returns queries that hold a prepared statement each, until Close.
func Prepare(ctx context.Context, db DBTX) (*Queries, error) {
	q := Queries{db: db}
	for _, p := range q.statements() {
		var err error
		if *p.stmt, err = db.PrepareContext(ctx, p.text); err != nil {
			return nil, fmt.Errorf("error preparing query %s: %w", p.name, err)
		}
	}
	return &q, nil
}

// Close closes the prepared statements.
func (q *Queries) Close() error {
	var err error
	for _, p := range q.statements() {
		if *p.stmt == nil {
			continue
		}
		if cerr := (*p.stmt).Close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("error closing %s: %w", p.name, cerr))
		}
	}
	return err
}

func (q *Queries) exec(ctx context.Context, stmt *sql.Stmt, query string, args ...interface{}) (sql.Result, error) {
	switch {
	case stmt != nil && q.tx != nil:
		return q.tx.StmtContext(ctx, stmt).ExecContext(ctx, args...)
	case stmt != nil:
		return stmt.ExecContext(ctx, args...)
	default:
		return q.db.ExecContext(ctx, query, args...)
	}
}

func (q *Queries) query(ctx context.Context, stmt *sql.Stmt, query string, args ...interface{}) (*sql.Rows, error) {
	switch {
	case stmt != nil && q.tx != nil:
		return q.tx.StmtContext(ctx, stmt).QueryContext(ctx, args...)
	case stmt != nil:
		return stmt.QueryContext(ctx, args...)
	default:
		return q.db.QueryContext(ctx, query, args...)
	}
}

func (q *Queries) queryRow(ctx context.Context, stmt *sql.Stmt, query string, args ...interface{}) *sql.Row {
	switch {
	case stmt != nil && q.tx != nil:
		return q.tx.StmtContext(ctx, stmt).QueryRowContext(ctx, args...)
	case stmt != nil:
		return stmt.QueryRowContext(ctx, args...)
	default:
		return q.db.QueryRowContext(ctx, query, args...)
	}
}

// Queries holds the handle and, when it was made by Prepare, the statements.
type Queries struct {
	db               DBTX
	tx               *sql.Tx
	createAuthorStmt *sql.Stmt
	deleteAuthorStmt *sql.Stmt
	getAuthorStmt    *sql.Stmt
	listAuthorsStmt  *sql.Stmt
	listTagsStmt     *sql.Stmt
	renameAuthorStmt *sql.Stmt
	countVisitStmt   *sql.Stmt
}

type statement struct {
	name string
	text string
	stmt **sql.Stmt
}

func (q *Queries) statements() []statement {
	return []statement{
		{"CreateAuthor", createAuthor, &q.createAuthorStmt},
		{"DeleteAuthor", deleteAuthor, &q.deleteAuthorStmt},
		{"GetAuthor", getAuthor, &q.getAuthorStmt},
		{"ListAuthors", listAuthors, &q.listAuthorsStmt},
		{"ListTags", listTags, &q.listTagsStmt},
		{"RenameAuthor", renameAuthor, &q.renameAuthorStmt},
		{"CountVisit", countVisit, &q.countVisitStmt},
	}
}

// WithTx returns the same queries inside a transaction.
func (q *Queries) WithTx(tx *sql.Tx) *Queries {
	within := *q
	within.db = tx
	within.tx = tx
	return &within
}
