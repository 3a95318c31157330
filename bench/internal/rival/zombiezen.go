package rival

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfastdb/holdfast/bench/internal/work"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

func zombie() Contestant {
	return Contestant{
		Name: "zombiezen", Title: "zombiezen.com/go/sqlite without database/sql: its pool of 10, its statement cache, immediate transactions",
		Does: []work.Operation{
			work.Get, work.Prepared, work.Scan, work.Insert, work.Increment, work.Bulk, work.Mix,
			work.Latency, work.Open, work.Lease, work.Idle, work.Growth, work.AllocsGet, work.AllocsPut,
		},
		Open: openZombie,
	}
}

// zombieConnections is the default of its pool where the workload is not about
// the number of connections. It opens all of them at once.
func zombieConnections(s work.Settings) int {
	if s.CacheKiB > 0 {
		return s.Readers
	}
	return 10
}

type zombieDB struct{ pool *sqlitex.Pool }

func openZombie(ctx context.Context, s work.Settings) (work.Database, error) {
	pool, err := sqlitex.NewPool(work.FileURI(s.Path, nil), sqlitex.PoolOptions{
		PoolSize: zombieConnections(s),
		PrepareConn: func(c *sqlite.Conn) error {
			c.SetBusyTimeout(busyTimeout)
			return errors.Join(
				sqlitex.ExecuteTransient(c, "PRAGMA synchronous = "+s.Synchronous, nil),
				sqlitex.ExecuteTransient(c, fmt.Sprintf("PRAGMA cache_size = -%d", cacheOf(s)), nil),
			)
		},
	})
	if err != nil {
		return nil, err
	}
	db := zombieDB{pool}
	err = db.with(ctx, func(c *sqlite.Conn) error { return sqlitex.Execute(c, "SELECT 1", nil) })
	return db, err
}

// with runs do on a connection of the pool.
func (d zombieDB) with(ctx context.Context, do func(c *sqlite.Conn) error) error {
	c, err := d.pool.Take(ctx)
	if err != nil {
		return err
	}
	defer d.pool.Put(c)
	return do(c)
}

// inTx runs do in a write transaction.
func (d zombieDB) inTx(ctx context.Context, do func(c *sqlite.Conn) error) error {
	return d.with(ctx, func(c *sqlite.Conn) (err error) {
		end, err := sqlitex.ImmediateTransaction(c)
		if err != nil {
			return err
		}
		defer end(&err)
		return do(c)
	})
}

func (d zombieDB) Close() error { return d.pool.Close() }

func (d zombieDB) Get(ctx context.Context, id int64) (item work.Item, err error) {
	found := false
	err = d.with(ctx, func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, work.SelectItem, &sqlitex.ExecOptions{
			Args: []any{id},
			ResultFunc: func(s *sqlite.Stmt) error {
				item, found = itemOf(s), true
				return nil
			},
		})
	})
	if err == nil && !found {
		err = fmt.Errorf("no item %d", id)
	}
	return item, err
}

func itemOf(s *sqlite.Stmt) work.Item {
	return work.Item{Name: s.ColumnText(0), Qty: s.ColumnInt64(1), Price: s.ColumnFloat(2)}
}

// Prepare gives what there is without sqlitex: a statement belongs to one
// connection, which finds it by its text.
func (d zombieDB) Prepare(context.Context) (func(context.Context, int64) (work.Item, error), func() error, error) {
	get := func(ctx context.Context, id int64) (item work.Item, err error) {
		err = d.with(ctx, func(c *sqlite.Conn) error {
			s, err := c.Prepare(work.SelectItem)
			if err != nil {
				return err
			}
			s.BindInt64(1, id)
			found, err := s.Step()
			switch {
			case err != nil:
				return err
			case !found:
				return fmt.Errorf("no item %d", id)
			}
			item = itemOf(s)
			return s.Reset()
		})
		return item, err
	}
	return get, func() error { return nil }, nil
}

func (d zombieDB) Scan(ctx context.Context) (sum work.Sum, err error) {
	err = d.with(ctx, func(c *sqlite.Conn) error {
		s, err := c.Prepare(work.SelectItems)
		if err != nil {
			return err
		}
		for {
			row, err := s.Step()
			if err != nil || !row {
				return err
			}
			sum.Add(s.ColumnInt64(0), s.ColumnText(1), s.ColumnInt64(2), s.ColumnFloat(3))
		}
	})
	return sum, err
}

func (d zombieDB) Hold(ctx context.Context, n int) error {
	held := make([]*sqlite.Stmt, n)
	for i := range held {
		c, err := d.pool.Take(ctx)
		if err != nil {
			return err
		}
		defer d.pool.Put(c)
		if held[i], err = c.Prepare(work.SelectItems); err != nil {
			return err
		}
		if _, err := held[i].Step(); err != nil {
			return err
		}
	}
	for _, s := range held {
		for row := true; row; {
			var err error
			if row, err = s.Step(); err != nil {
				return err
			}
		}
	}
	return nil
}

func insertEntry(c *sqlite.Conn, worker int, seq int64) error {
	s, err := c.Prepare(work.InsertEntry)
	if err != nil {
		return err
	}
	s.BindInt64(1, int64(worker))
	s.BindInt64(2, seq)
	s.BindText(3, work.Body)
	if _, err := s.Step(); err != nil {
		return err
	}
	return s.Reset()
}

func (d zombieDB) Insert(ctx context.Context, e work.Entry) error {
	return d.with(ctx, func(c *sqlite.Conn) error { return insertEntry(c, e.Worker, e.Seq) })
}

func (d zombieDB) Increment(ctx context.Context, id int64) error {
	return d.inTx(ctx, func(c *sqlite.Conn) error {
		var n int64
		err := sqlitex.Execute(c, work.SelectCount, &sqlitex.ExecOptions{
			Args: []any{id}, ResultFunc: func(s *sqlite.Stmt) error { n = s.ColumnInt64(0); return nil },
		})
		if err != nil {
			return err
		}
		return sqlitex.Execute(c, work.UpdateCount, &sqlitex.ExecOptions{Args: []any{n + 1, id}})
	})
}

func (d zombieDB) Bulk(ctx context.Context, worker int, first, n int64) error {
	return d.inTx(ctx, func(c *sqlite.Conn) error {
		for seq := first; seq < first+n; seq++ {
			if err := insertEntry(c, worker, seq); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d zombieDB) Lease(ctx context.Context) error {
	return d.with(ctx, func(*sqlite.Conn) error { return nil })
}
