package main

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
)

const schema = `
CREATE TABLE IF NOT EXISTS customer(id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS product(id INTEGER PRIMARY KEY, name TEXT NOT NULL, stock INTEGER NOT NULL, price INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS orders(id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customer(id), day INTEGER NOT NULL, state TEXT NOT NULL, note TEXT);
CREATE INDEX IF NOT EXISTS orders_customer ON orders(customer);
CREATE INDEX IF NOT EXISTS orders_day ON orders(day, state);
CREATE TABLE IF NOT EXISTS item(orders INTEGER NOT NULL REFERENCES orders(id), product INTEGER NOT NULL REFERENCES product(id), amount INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS item_orders ON item(orders);`

// fill makes the shop's tables and what was in them before.
func fill(ctx context.Context, db *holdfast.DB) error {
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return err
	}
	return db.Update(ctx, func(tx *sql.Tx) error {
		for _, statement := range []string{
			"WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 5000) INSERT OR IGNORE INTO customer SELECT i, 'customer ' || i, 'city ' || i % 97 FROM n",
			"WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 800) INSERT OR IGNORE INTO product SELECT i, 'product ' || i, 100000, i * 7 % 900 FROM n",
			"WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20000) INSERT OR IGNORE INTO orders SELECT i, 1 + i * 31 % 5000, i % 365, 'sent', hex(randomblob(40)) FROM n",
			"INSERT INTO item SELECT id, 1 + id * 13 % 800, 1 + id % 3 FROM orders WHERE NOT EXISTS (SELECT 1 FROM item)",
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// load is what a shop does all day, and what it should not do.
func load(ctx context.Context, all *sync.WaitGroup, db *holdfast.DB) {
	again := func(pause time.Duration, work func(context.Context, *holdfast.DB) error) {
		all.Go(func() {
			for rest(ctx, pause) {
				_ = work(ctx, db) // what fails is counted, and shown
			}
		})
	}
	for range 4 {
		again(60*time.Millisecond, placeOrder)
		again(25*time.Millisecond, showProduct)
	}
	again(400*time.Millisecond, listByState)
	again(25*time.Second, importCatalogue)
	again(20*time.Second, nightlyReport)
}

// rest waits, and reports whether there is anything left to do.
func rest(ctx context.Context, pause time.Duration) bool {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func placeOrder(ctx context.Context, db *holdfast.DB) error {
	return db.Update(ctx, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "INSERT INTO orders(customer, day, state, note) VALUES (?, ?, 'new', hex(randomblob(40)))", 1+rand.IntN(5000), rand.IntN(365))
		if err != nil {
			return err
		}
		id, err := r.LastInsertId()
		if err != nil {
			return err
		}
		product := 1 + rand.IntN(800)
		_, err = tx.ExecContext(ctx, "INSERT INTO item VALUES (?, ?, ?)", id, product, 1+rand.IntN(3))
		if err == nil {
			_, err = tx.ExecContext(ctx, "UPDATE product SET stock = stock - 1 WHERE id = ?", product)
		}
		return err
	})
}

func showProduct(ctx context.Context, db *holdfast.DB) error {
	var name string
	return db.QueryRowContext(ctx, "SELECT name FROM product WHERE id = ?", 1+rand.IntN(800)).Scan(&name)
}

// listByState has no index to go by.
func listByState(ctx context.Context, db *holdfast.DB) error {
	var n int
	return db.QueryRowContext(ctx, "SELECT count(*) FROM orders WHERE state = ? AND note LIKE ?", "new", "%AB%").Scan(&n)
}

// importCatalogue thinks while it holds the writer.
func importCatalogue(ctx context.Context, db *holdfast.DB) error {
	return db.Update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE product SET price = price + 1 WHERE id <= ?", 100); err != nil {
			return err
		}
		rest(ctx, 3*time.Second)
		return ctx.Err()
	})
}

// nightlyReport keeps its snapshot for long, and so the log.
func nightlyReport(ctx context.Context, db *holdfast.DB) error {
	return db.View(ctx, func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM orders GROUP BY day ORDER BY 1 DESC LIMIT 1").Scan(&n); err != nil {
			return err
		}
		rest(ctx, 40*time.Second)
		return ctx.Err()
	})
}

// other runs another process on the same database.
func other(ctx context.Context, all *sync.WaitGroup, dir string) {
	all.Go(func() {
		self, err := os.Executable()
		if err != nil {
			return
		}
		cmd := exec.CommandContext(ctx, self, "-child", "-dir", dir)
		in, err := cmd.StdinPipe() // its end is the child's, also if this process is killed
		if err != nil {
			return
		}
		cmd.Cancel, cmd.WaitDelay = in.Close, 10*time.Second // it closes its database
		_ = cmd.Run()
	})
}

// neighbour is that process: it reads for a while, and then writes for a second.
func neighbour(ctx context.Context, dir string) (err error) {
	db, err := open(ctx, filepath.Join(dir, "shop.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for rest(ctx, 4*time.Second) {
		_ = db.View(ctx, func(tx *sql.Tx) error {
			var n int
			err := tx.QueryRowContext(ctx, "SELECT count(*) FROM customer WHERE city = 'city 7'").Scan(&n)
			rest(ctx, 8*time.Second)
			return err
		})
		_ = db.Update(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE customer SET city = city WHERE id = 1")
			rest(ctx, time.Second)
			return err
		})
	}
	return nil
}
