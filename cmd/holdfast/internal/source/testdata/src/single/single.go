// Package single keeps its pool to one connection.
package single

import "database/sql"

type store struct{ db *sql.DB }

func open() *store {
	one, _ := sql.Open("sqlite", "app.db")
	one.SetMaxOpenConns(1)
	one.Exec("PRAGMA foreign_keys = ON")
	return &store{one}
}

func (s *store) setUp() {
	s.db.Exec("PRAGMA busy_timeout = 5000") // may be that pool
}

func readers() {
	many, _ := sql.Open("sqlite", "app.db")
	many.SetMaxOpenConns(4)
	many.Exec("PRAGMA query_only = ON") // want `many\.Exec: PRAGMA query_only`
}
