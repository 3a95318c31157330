// Package holdfast has the shape of the real one.
package holdfast

import (
	"context"
	"database/sql"
)

type DB struct{ *sql.DB }

func Open(ctx context.Context, path string) (*DB, error) { return nil, nil }

func (db *DB) Update(ctx context.Context, fn func(tx *sql.Tx) error) error { return nil }

func (db *DB) View(ctx context.Context, fn func(tx *sql.Tx) error) error { return nil }
