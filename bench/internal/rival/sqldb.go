package rival

import (
	"cmp"
	"context"
	"database/sql"
	"errors"

	"github.com/holdfastdb/holdfast/bench/internal/work"
	"gorm.io/gorm"
)

// sqlDB is a database behind database/sql. All drivers and set-ups run this
// code, Holdfast too; only the handles differ. In most set-ups both are one.
type sqlDB struct {
	reader, writer *sql.DB
}

// prove makes the handles connect: sql.Open alone opens nothing.
func (d sqlDB) prove(ctx context.Context) (sqlDB, error) {
	var one int
	err := d.writer.QueryRowContext(ctx, "SELECT 1").Scan(&one)
	if err == nil && d.reader != d.writer {
		err = d.reader.QueryRowContext(ctx, "SELECT 1").Scan(&one)
	}
	if err != nil {
		return d, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d sqlDB) Close() error {
	err := d.writer.Close()
	if d.reader != d.writer {
		err = errors.Join(err, d.reader.Close())
	}
	return err
}

func (d sqlDB) Get(ctx context.Context, id int64) (item work.Item, err error) {
	err = d.reader.QueryRowContext(ctx, work.SelectItem, id).Scan(&item.Name, &item.Qty, &item.Price)
	return item, err
}

func (d sqlDB) Prepare(ctx context.Context) (func(context.Context, int64) (work.Item, error), func() error, error) {
	stmt, err := d.reader.PrepareContext(ctx, work.SelectItem)
	if err != nil {
		return nil, nil, err
	}
	get := func(ctx context.Context, id int64) (item work.Item, err error) {
		err = stmt.QueryRowContext(ctx, id).Scan(&item.Name, &item.Qty, &item.Price)
		return item, err
	}
	return get, stmt.Close, nil
}

func (d sqlDB) Scan(ctx context.Context) (sum work.Sum, err error) {
	rows, err := d.reader.QueryContext(ctx, work.SelectItems)
	if err != nil {
		return sum, err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			id, qty int64
			name    string
			price   float64
		)
		if err := rows.Scan(&id, &name, &qty, &price); err != nil {
			return sum, err
		}
		sum.Add(id, name, qty, price)
	}
	return sum, rows.Err()
}

func (d sqlDB) Hold(ctx context.Context, n int) error {
	var held []*sql.Rows
	for range n {
		rows, err := d.reader.QueryContext(ctx, work.SelectItems)
		if err != nil {
			return err
		}
		defer rows.Close()
		if !rows.Next() {
			return cmp.Or(rows.Err(), sql.ErrNoRows)
		}
		held = append(held, rows)
	}
	for _, rows := range held {
		for rows.Next() {
		}
		if err := rows.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (d sqlDB) Insert(ctx context.Context, e work.Entry) error {
	_, err := d.writer.ExecContext(ctx, work.InsertEntry, e.Worker, e.Seq, work.Body)
	return err
}

func (d sqlDB) InsertTx(ctx context.Context, e work.Entry) error {
	return inTx(ctx, d.writer, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, work.InsertEntry, e.Worker, e.Seq, work.Body)
		return err
	})
}

func (d sqlDB) Increment(ctx context.Context, id int64) error {
	return inTx(ctx, d.writer, func(tx *sql.Tx) error { return increment(ctx, tx, id) })
}

func increment(ctx context.Context, tx *sql.Tx, id int64) error {
	var n int64
	if err := tx.QueryRowContext(ctx, work.SelectCount, id).Scan(&n); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, work.UpdateCount, n+1, id)
	return err
}

func (d sqlDB) Bulk(ctx context.Context, worker int, first, n int64) error {
	return inTx(ctx, d.writer, func(tx *sql.Tx) error {
		stmt, err := tx.PrepareContext(ctx, work.InsertEntry)
		if err != nil {
			return err
		}
		defer stmt.Close()
		for seq := first; seq < first+n; seq++ {
			if _, err := stmt.ExecContext(ctx, worker, seq, work.Body); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d sqlDB) Lease(ctx context.Context) error {
	conn, err := d.reader.Conn(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (d sqlDB) ConnPool() gorm.ConnPool { return d.writer }

// inTx is the loop that most programs write: begin, do, commit.
func inTx(ctx context.Context, db *sql.DB, do func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}
