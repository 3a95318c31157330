package rival

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/holdfastdb/holdfast/bench/internal/pydesign"
	"github.com/holdfastdb/holdfast/bench/internal/work"
)

// specConnections is the design's max_connections.
const specConnections = 5

func spec() Contestant {
	return Contestant{
		Name: "spec-go", Title: "the Python design ported to Go on modernc.org/sqlite: a list of 5 connections, retry by text",
		Does: []work.Operation{
			work.Get, work.Scan, work.Insert, work.Bulk, work.Mix, work.Latency, work.Open, work.Lease, work.AllocsGet, work.AllocsPut,
		},
		Open: openSpec,
	}
}

type specDB struct {
	*pydesign.RobustDatabaseManager
}

func openSpec(ctx context.Context, s work.Settings) (work.Database, error) {
	m, err := pydesign.New(work.FileURI(s.Path, nil), pydesign.Options{MaxConnections: specConnections, Synchronous: s.Synchronous})
	if err != nil {
		return nil, err
	}
	db := specDB{m}
	one := func(rows *sql.Rows) error {
		var n int
		return rows.Scan(&n)
	}
	return db, db.ExecuteQuery(ctx, "SELECT 1", nil, func() {}, one)
}

func (d specDB) Retries() int64 { return d.LockManager().GetStatistics().RetryAttempts }

func (d specDB) Get(ctx context.Context, id int64) (item work.Item, err error) {
	var n int
	err = d.ExecuteQuery(ctx, work.SelectItem, []any{id}, func() { n = 0 }, func(rows *sql.Rows) error {
		n++
		return rows.Scan(&item.Name, &item.Qty, &item.Price)
	})
	if err == nil && n != 1 {
		err = fmt.Errorf("%d rows for item %d", n, id)
	}
	return item, err
}

func (d specDB) Scan(ctx context.Context) (sum work.Sum, err error) {
	err = d.ExecuteQuery(ctx, work.SelectItems, nil, func() { sum = work.Sum{} }, func(rows *sql.Rows) error {
		var (
			id, qty int64
			name    string
			price   float64
		)
		if err := rows.Scan(&id, &name, &qty, &price); err != nil {
			return err
		}
		sum.Add(id, name, qty, price)
		return nil
	})
	return sum, err
}

func (d specDB) Insert(ctx context.Context, e work.Entry) error {
	return d.ExecuteTransaction(ctx, []pydesign.Operation{{Query: work.InsertEntry, Params: []any{e.Worker, e.Seq, work.Body}}})
}

func (d specDB) Bulk(ctx context.Context, worker int, first, n int64) error {
	operations := make([]pydesign.Operation, n)
	for i := range operations {
		operations[i] = pydesign.Operation{Query: work.InsertEntry, Params: []any{worker, first + int64(i), work.Body}}
	}
	return d.ExecuteTransaction(ctx, operations)
}

func (d specDB) Lease(ctx context.Context) error {
	conn, err := d.LockManager().GetConnection(ctx)
	if err != nil {
		return err
	}
	d.LockManager().ReturnConnection(conn)
	return nil
}
