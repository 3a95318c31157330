package main

import (
	"context"
	"database/sql"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/ncruces/go-sqlite3/driver"
)

// TestTwoCopiesInOneProcess has Holdfast and another SQLite of the same process add
// to one number, the other one opening and closing the file for each transaction.
// With POSIX locks, as between modernc.org/sqlite and mattn's, 11 to 191 of 500
// acknowledged additions were lost and the file was damaged: a process never
// conflicts with its own locks, and any close drops them. Holdfast's belong to the
// open file.
func TestTwoCopiesInOneProcess(t *testing.T) {
	if !holdfast.Engine().OFDLocks {
		t.Skip("locks belong to the process here, and two copies of SQLite in it destroy the database")
	}
	copies := map[string]func(path string) (*sql.DB, error){
		"ncruces": func(path string) (*sql.DB, error) { return driver.Open("file:" + path + "?_txlock=immediate") },
	}
	if slices.Contains(sql.Drivers(), "sqlite3") {
		copies["mattn"] = func(path string) (*sql.DB, error) {
			return sql.Open("sqlite3", "file:"+path+"?_txlock=immediate&_busy_timeout=20000")
		}
	}
	for name, open := range copies {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			ours, err := holdfast.Open(t.Context(), path)
			must(t, err)
			defer ours.Close()
			_, err = ours.Exec("CREATE TABLE n(v); INSERT INTO n VALUES (0)")
			must(t, err)
			theirs, err := open(path)
			must(t, err)
			defer theirs.Close()
			theirs.SetMaxIdleConns(-1) // each transaction opens the file and closes it
			var acked atomic.Int64
			var all sync.WaitGroup
			for _, db := range []*sql.DB{ours.DB, theirs} {
				all.Go(func() {
					for range 250 {
						if err := addOne(t.Context(), db); err != nil {
							t.Error(err)
							return
						}
						acked.Add(1)
					}
				})
			}
			all.Wait()
			var v int64
			must(t, ours.QueryRow("SELECT v FROM n").Scan(&v))
			if v != acked.Load() {
				t.Errorf("%d of %d acknowledged additions are there", v, acked.Load())
			}
			var answer string
			if err := ours.QueryRow("PRAGMA integrity_check").Scan(&answer); err != nil || answer != "ok" {
				t.Errorf("integrity_check: %s, %v", answer, err)
			}
		})
	}
}

func addOne(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var v int64
	if err := tx.QueryRow("SELECT v FROM n").Scan(&v); err != nil {
		return err
	}
	if _, err := tx.Exec("UPDATE n SET v = ?", v+1); err != nil {
		return err
	}
	return tx.Commit()
}
