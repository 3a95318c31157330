package rows

import (
	"context"
	"database/sql"
	"iter"
)

func neverClosed(db *sql.DB) (n int, err error) {
	rows, err := db.Query("SELECT a FROM t") // want `rows := db\.Query\("SELECT a FROM t"\)`
	if err != nil {
		return 0, err
	}
	for rows.Next() {
		if err := rows.Scan(&n); err != nil {
			return 0, err
		}
	}
	return n, rows.Err()
}

func firstRowOnly(ctx context.Context, tx *sql.Tx) (n int) {
	rows, err := tx.QueryContext(ctx, "SELECT a FROM t") // want `rows := tx\.QueryContext`
	if err == nil && rows.Next() {
		_ = rows.Scan(&n)
	}
	return n
}

func thrownAway(db *sql.DB) {
	_, _ = db.Query("DELETE FROM t") // want `_ = db\.Query`
	db.Query("DELETE FROM t")        // want `db\.Query`
}

func leftByBreak(stmt *sql.Stmt) {
	rows, _ := stmt.Query() // want `rows := stmt\.Query\(\)`
	for rows.Next() {
		break
	}
}

func closed(db *sql.DB) (n int, err error) {
	rows, err := db.Query("SELECT a FROM t")
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&n); err != nil {
			return 0, err
		}
	}
	return n, rows.Err()
}

func closedInFunction(db *sql.DB) {
	rows, _ := db.Query("SELECT a FROM t")
	defer func() { _ = rows.Close() }()
	rows.Next()
}

// Next closes the rows when it says false.
func readToTheEnd(db *sql.DB) (list []int) {
	rows, _ := db.Query("SELECT a FROM t")
	for rows.Next() {
		for range 2 {
			break
		}
		var n int
		if rows.Scan(&n) != nil {
			continue
		}
		list = append(list, n)
	}
	return list
}

func returned(db *sql.DB) (*sql.Rows, error) {
	rows, err := db.Query("SELECT a FROM t")
	return rows, err
}

func named(db *sql.DB) (rows *sql.Rows, err error) {
	rows, err = db.Query("SELECT a FROM t")
	return
}

func handedOn(db *sql.DB, consume func(*sql.Rows) error) error {
	rows, err := db.Query("SELECT a FROM t")
	if err != nil {
		return err
	}
	return consume(rows)
}

type cursor struct{ rows *sql.Rows }

func stored(db *sql.DB, c *cursor) {
	c.rows, _ = db.Query("SELECT a FROM t")
	rows, _ := db.Query("SELECT a FROM t")
	*c = cursor{rows: rows}
}

func asIterator(db *sql.DB) iter.Seq[int] {
	return func(yield func(int) bool) {
		rows, _ := db.Query("SELECT a FROM t")
		end := rows.Close
		defer end()
		for rows.Next() && yield(1) {
		}
	}
}
