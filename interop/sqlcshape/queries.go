package sqlcshape

import (
	"context"
	"database/sql"
	"time"
)

// Schema is what sqlc would have read from schema.sql.
const Schema = `
CREATE TABLE authors (
  id     INTEGER PRIMARY KEY,
  name   TEXT NOT NULL UNIQUE,
  bio    TEXT,
  born   DATETIME NOT NULL,
  died   TIMESTAMP,
  active BOOLEAN NOT NULL DEFAULT 0,
  photo  BLOB,
  tags   TEXT NOT NULL DEFAULT '[]'
);
CREATE TABLE visits (page TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;`

// Author is a row of authors.
type Author struct {
	ID     int64
	Name   string
	Bio    sql.NullString
	Born   time.Time
	Died   sql.NullTime
	Active bool
	Photo  []byte
	Tags   string
}

func (i *Author) fields() []interface{} {
	return []interface{}{&i.ID, &i.Name, &i.Bio, &i.Born, &i.Died, &i.Active, &i.Photo, &i.Tags}
}

const createAuthor = `-- name: CreateAuthor :one
INSERT INTO authors (name, bio, born, died, active, photo, tags)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
RETURNING id, name, bio, born, died, active, photo, tags
`

// CreateAuthorParams are the columns of a new author.
type CreateAuthorParams struct {
	Name   string
	Bio    sql.NullString
	Born   time.Time
	Died   sql.NullTime
	Active bool
	Photo  []byte
	Tags   string
}

// CreateAuthor inserts an author and returns the row.
func (q *Queries) CreateAuthor(ctx context.Context, arg CreateAuthorParams) (Author, error) {
	row := q.queryRow(ctx, q.createAuthorStmt, createAuthor,
		arg.Name, arg.Bio, arg.Born, arg.Died, arg.Active, arg.Photo, arg.Tags)
	var i Author
	err := row.Scan(i.fields()...)
	return i, err
}

const deleteAuthor = `-- name: DeleteAuthor :exec
DELETE FROM authors WHERE id = ?
`

// DeleteAuthor removes an author.
func (q *Queries) DeleteAuthor(ctx context.Context, id int64) error {
	_, err := q.exec(ctx, q.deleteAuthorStmt, deleteAuthor, id)
	return err
}

const getAuthor = `-- name: GetAuthor :one
SELECT id, name, bio, born, died, active, photo, tags FROM authors WHERE id = ? LIMIT 1
`

// GetAuthor returns sql.ErrNoRows for an unknown id.
func (q *Queries) GetAuthor(ctx context.Context, id int64) (Author, error) {
	row := q.queryRow(ctx, q.getAuthorStmt, getAuthor, id)
	var i Author
	err := row.Scan(i.fields()...)
	return i, err
}

const listAuthors = `-- name: ListAuthors :many
SELECT id, name, bio, born, died, active, photo, tags FROM authors ORDER BY name
`

// ListAuthors returns every author by name.
func (q *Queries) ListAuthors(ctx context.Context) ([]Author, error) {
	rows, err := q.query(ctx, q.listAuthorsStmt, listAuthors)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var items []Author
	for rows.Next() {
		var i Author
		if err := rows.Scan(i.fields()...); err != nil {
			return nil, err
		}
		items = append(items, i)
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return items, nil
}

const listTags = `-- name: ListTags :many
SELECT DISTINCT CAST(j.value AS TEXT) AS tag
FROM authors, json_each(authors.tags) AS j
WHERE authors.id = $1
ORDER BY 1
`

// ListTags returns the tags of one author, each once.
func (q *Queries) ListTags(ctx context.Context, id int64) ([]string, error) {
	rows, err := q.query(ctx, q.listTagsStmt, listTags, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var items []string
	for rows.Next() {
		var tag string
		if err := rows.Scan(&tag); err != nil {
			return nil, err
		}
		items = append(items, tag)
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return items, nil
}

const renameAuthor = `-- name: RenameAuthor :execrows
UPDATE authors SET name = ? WHERE id = ?
`

// RenameAuthorParams are a new name and whose it is.
type RenameAuthorParams struct {
	Name string
	ID   int64
}

// RenameAuthor returns how many rows it changed.
func (q *Queries) RenameAuthor(ctx context.Context, arg RenameAuthorParams) (int64, error) {
	result, err := q.exec(ctx, q.renameAuthorStmt, renameAuthor, arg.Name, arg.ID)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

const countVisit = `-- name: CountVisit :exec
INSERT INTO visits (page, n) VALUES (?, 1)
ON CONFLICT (page) DO UPDATE SET n = n + excluded.n
`

// CountVisit adds one visit of a page.
func (q *Queries) CountVisit(ctx context.Context, page string) error {
	_, err := q.exec(ctx, q.countVisitStmt, countVisit, page)
	return err
}

const getCounter = `-- name: GetCounter :one
SELECT n FROM counters WHERE id = 1
`

// GetCounter reads the counter that a contention test fights for.
func (q *Queries) GetCounter(ctx context.Context) (int64, error) {
	var n int64
	err := q.queryRow(ctx, nil, getCounter).Scan(&n)
	return n, err
}

const setCounter = `-- name: SetCounter :exec
UPDATE counters SET n = ? WHERE id = 1
`

// SetCounter writes it.
func (q *Queries) SetCounter(ctx context.Context, n int64) error {
	_, err := q.exec(ctx, nil, setCounter, n)
	return err
}

const addToLedger = `-- name: AddToLedger :exec
INSERT INTO ledger (worker, turn) VALUES (?, ?)
`

// AddToLedgerParams name one transaction.
type AddToLedgerParams struct {
	Worker int64
	Turn   int64
}

// AddToLedger records one transaction.
func (q *Queries) AddToLedger(ctx context.Context, arg AddToLedgerParams) error {
	_, err := q.exec(ctx, nil, addToLedger, arg.Worker, arg.Turn)
	return err
}
