package work

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"

	_ "modernc.org/sqlite" // writes the templates and checks the results
)

// The statements of all contestants.
const (
	SelectItem  = "SELECT name, qty, price FROM item WHERE id = ?"
	SelectItems = "SELECT id, name, qty, price FROM item"
	InsertEntry = "INSERT INTO entry(worker, seq, body) VALUES (?, ?, ?)"
	SelectCount = "SELECT n FROM counter WHERE id = ?"
	UpdateCount = "UPDATE counter SET n = ? WHERE id = ?"

	// Body is what the column body of each entry holds.
	Body = "forty bytes of text, as a note could be."

	// Counters is how many rows the table counter has, from 1 on.
	Counters = 16
)

const schema = `CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT NOT NULL, qty INTEGER NOT NULL, price REAL NOT NULL);
CREATE TABLE entry(id INTEGER PRIMARY KEY, worker INTEGER NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE counter(id INTEGER PRIMARY KEY, n INTEGER NOT NULL);
WITH RECURSIVE series(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM series WHERE value < 16)
INSERT INTO counter(id, n) SELECT value, 0 FROM series`

// fill writes the rows that ItemOf tells.
const fill = `WITH RECURSIVE series(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM series WHERE value < ?)
	INSERT INTO item(id, name, qty, price)
	SELECT value, format('item %08d', value), value * 7 % 1000, value / 4.0 FROM series`

// ItemOf is the row that Template writes under a key.
func ItemOf(id int64) Item {
	return Item{Name: fmt.Sprintf("item %08d", id), Qty: id * 7 % 1000, Price: float64(id) / 4}
}

// nameBytes is the length of every name.
const nameBytes = 13

// check says whether a row is the one under a key. The loops run it after each
// read, so it makes nothing.
func (i Item) check(id int64) error {
	if i.Qty != id*7%1000 || i.Price != float64(id)/4 || len(i.Name) != nameBytes {
		return &WrongError{fmt.Sprintf("item %d was read wrong", id)}
	}
	return nil
}

// sumOf is what a scan of n items must add up to.
func sumOf(n int64) Sum {
	var s Sum
	for id := int64(1); id <= n; id++ {
		s.Rows++
		s.IDs += id
		s.NameBytes += nameBytes
		s.Qty += id * 7 % 1000
		s.Price += float64(id) / 4
	}
	return s
}

// WrongError is an answer that is not the right one. It ends the cell: a figure
// for wrong work is worth nothing.
type WrongError struct{ What string }

func (e *WrongError) Error() string { return "wrong answer: " + e.What }

// Template creates a database with so many items, no entries and all counters
// at zero. Journal is WAL or DELETE; the file is closed when Template returns.
func Template(ctx context.Context, path string, items int, journal string) error {
	db, err := openPlain(path)
	if err != nil {
		return err
	}
	defer db.Close()
	// What is never written to the disk need not be waited for.
	for _, statement := range []string{"PRAGMA journal_mode = " + journal, "PRAGMA synchronous = OFF"} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for statement := range strings.SplitSeq(schema, ";\n") {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("template: %w", err)
		}
	}
	if items > 0 {
		if _, err := tx.ExecContext(ctx, fill, items); err != nil {
			return fmt.Errorf("template: %w", err)
		}
	}
	return tx.Commit()
}

// openPlain opens a file that no contestant has open.
func openPlain(path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", FileURI(path, url.Values{"_pragma": {"busy_timeout(10000)"}}))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// FileURI names path literally, whatever characters are in it.
func FileURI(path string, query url.Values) string {
	uri := "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
	if len(query) > 0 {
		uri += "?" + query.Encode()
	}
	return uri
}
