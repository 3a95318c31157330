package torture

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/holdfastdb/holdfast"
)

// operation is something that a database does and that a fault may hit. An error
// of run is a broken promise; errors of the database itself are noted by victim.
type operation struct {
	name     string
	recovers bool // it begins with a database that has to be recovered, and opens it
	journal  bool // without a write-ahead log
	run      func(ctx context.Context, v *victim) error
}

// operations are those that faults are tried on.
func operations() []operation {
	return []operation{
		{name: "statements", run: insertSome},
		{name: "statements without a log", journal: true, run: insertSome},
		{name: "a group of statements", run: insertTogether},
		{name: "batches with keys", run: batchWithKeys},
		{name: "a large transaction", run: largeTransaction},
		{name: "a large transaction without a log", journal: true, run: largeTransaction},
		{name: "updates that may run again", run: updateSome},
		{name: "a rollback", run: rollBack},
		{name: "a checkpoint", run: checkpoint},
		{name: "a change of the schema", run: changeSchema},
		{name: "VACUUM", run: vacuum},
		{name: "reading", run: readAll},
		{name: "opening, with recovery", recovers: true, run: openAndRead},
		{name: "closing", run: closeAfterWrite},
	}
}

func insertSome(ctx context.Context, v *victim) error {
	for i := range 3 {
		name := fmt.Sprintf("new%d", i)
		_, err := v.db.ExecContext(ctx, insertItem, name, body(uint64(i), 5000))
		v.note(name, 1, err)
	}
	return nil
}

func insertTogether(ctx context.Context, v *victim) error {
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for j := range 2 {
				name := fmt.Sprintf("new%d%d", i, j)
				_, err := v.db.ExecContext(ctx, insertItem, name, body(uint64(i), 100))
				v.note(name, 1, err)
			}
		})
	}
	all.Wait()
	return nil
}

// batchWithKeys writes again what failed, once the disk is well, and expects it
// to be there once.
func batchWithKeys(ctx context.Context, v *victim) error {
	var failed []string
	for i := range 2 {
		name := fmt.Sprintf("new%d", i)
		if _, err := v.db.Batch(ctx, items(name, 3, 500), holdfast.IdempotencyKey(name)); err != nil {
			failed = append(failed, name)
		} else {
			v.note(name, 3, nil)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	v.disk.Heal()
	for _, name := range failed {
		_, err := v.db.Batch(ctx, items(name, 3, 500), holdfast.IdempotencyKey(name))
		if err != nil { // its connection may notice only now that it is broken
			_, err = v.db.Batch(ctx, items(name, 3, 500), holdfast.IdempotencyKey(name))
		}
		if err != nil {
			return fmt.Errorf("the disk is well again, and a Batch with a key can't be repeated: %w", err)
		}
		v.note(name, 3, nil)
	}
	return nil
}

func largeTransaction(ctx context.Context, v *victim) error {
	return v.transaction(ctx, true)
}

func rollBack(ctx context.Context, v *victim) error {
	return v.transaction(ctx, false)
}

const largeRows = 40

// transaction writes more than the cache holds, and commits, or not.
func (v *victim) transaction(ctx context.Context, commit bool) error {
	tx, err := v.db.BeginTx(ctx, nil)
	if err != nil {
		v.note("new", largeRows, err)
		return nil
	}
	for i := range largeRows {
		if _, err = tx.ExecContext(ctx, insertItem, "new", body(uint64(i), 4000)); err != nil {
			break
		}
	}
	switch {
	case err != nil:
		_ = tx.Rollback()
	case commit:
		err = tx.Commit()
	default:
		_ = tx.Rollback()
		err = errors.New("rolled back on purpose")
	}
	v.note("new", largeRows, err)
	return nil
}

func updateSome(ctx context.Context, v *victim) error {
	for i := range 2 {
		name := fmt.Sprintf("new%d", i)
		err := v.db.Update(ctx, func(tx *sql.Tx) error {
			for _, s := range items(name, 4, 2000) {
				if _, err := tx.ExecContext(ctx, s.SQL, s.Args...); err != nil {
					return err
				}
			}
			return nil
		})
		v.note(name, 4, err)
	}
	return nil
}

func checkpoint(ctx context.Context, v *victim) error {
	for i, mode := range []string{"PASSIVE", "TRUNCATE"} {
		name := fmt.Sprintf("new%d", i)
		_, err := v.db.Batch(ctx, items(name, 4, 3000))
		v.note(name, 4, err)
		_, _ = v.db.ExecContext(ctx, "PRAGMA wal_checkpoint("+mode+")") // what counts is that nothing is lost
	}
	_, err := v.db.ExecContext(ctx, insertItem, "new2", "x")
	v.note("new2", 1, err)
	return nil
}

func changeSchema(ctx context.Context, v *victim) error {
	for _, change := range []string{
		"CREATE INDEX item_body ON item(body)",
		"ALTER TABLE item ADD COLUMN extra INTEGER DEFAULT 7",
		"CREATE TABLE another AS SELECT * FROM item",
		"DROP INDEX item_name",
	} {
		_, _ = v.db.ExecContext(ctx, change)
	}
	_, err := v.db.ExecContext(ctx, insertItem, "new", "x")
	v.note("new", 1, err)
	return nil
}

func vacuum(ctx context.Context, v *victim) error {
	_, _ = v.db.ExecContext(ctx, "VACUUM")
	_, err := v.db.ExecContext(ctx, insertItem, "new", "x")
	v.note("new", 1, err)
	return nil
}

// readAll expects the truth or an error.
func readAll(ctx context.Context, v *victim) error {
	for _, q := range []struct {
		query string
		want  int
	}{
		{"SELECT count(*) FROM item", oldWrites * oldRows},
		{"SELECT sum(length(body)) FROM item", oldWrites * oldRows * 900},
		{"SELECT count(*) FROM item WHERE name = 'old03'", oldRows},
	} {
		var n int
		if err := v.db.QueryRowContext(ctx, q.query).Scan(&n); err == nil && n != q.want {
			return fmt.Errorf("%s: %d, and it is %d", q.query, n, q.want)
		}
	}
	rows := 0
	for _, err := range v.db.Rows(ctx, "SELECT id, body FROM item ORDER BY body") {
		if err != nil {
			return nil
		}
		rows++
	}
	if rows != oldWrites*oldRows {
		return fmt.Errorf("a loop over all rows ended without an error after %d of %d", rows, oldWrites*oldRows)
	}
	return nil
}

func openAndRead(ctx context.Context, v *victim) error {
	if err := v.open(ctx); err != nil {
		v.db = nil
		return nil
	}
	return readAll(ctx, v)
}

func closeAfterWrite(ctx context.Context, v *victim) error {
	_, err := v.db.Batch(ctx, items("new", 4, 3000))
	v.note("new", 4, err)
	_ = v.close() // what counts is that nothing is lost
	return nil
}
