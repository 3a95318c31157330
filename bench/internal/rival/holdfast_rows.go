package rival

import (
	"context"
	"database/sql"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/bench/internal/work"
)

func holdfastRows() []Contestant {
	open := func(more ...holdfast.Option) work.Opener {
		return func(ctx context.Context, s work.Settings) (work.Database, error) {
			db, err := openHoldfast(ctx, s, more...)
			if err != nil {
				return nil, err
			}
			proven, err := sqlDB{reader: db.DB, writer: db.DB}.prove(ctx)
			return rowsDB{handle{proven, db}}, err
		}
	}
	return []Contestant{
		{
			Name: "holdfast-rows", Title: "Holdfast's Rows to read, without database/sql, and Exec and sql.Tx to write",
			Does: []work.Operation{work.Get, work.Scan, work.Mix, work.Latency, work.AllocsGet},
			Open: open(),
		},
		{
			Name: "holdfast-rows-uncounted", Title: "holdfast-rows, telemetry off",
			Does:  []work.Operation{work.Get},
			Named: true,
			Open:  open(uncounted),
		},
	}
}

type rowsDB struct{ handle }

func (d rowsDB) Get(ctx context.Context, id int64) (item work.Item, err error) {
	found := false
	for row, err := range d.db.Rows(ctx, work.SelectItem, id) {
		if err != nil {
			return item, err
		}
		item, found = work.Item{Name: row.Text(0), Qty: row.Int64(1), Price: row.Float64(2)}, true
	}
	if !found {
		return item, sql.ErrNoRows
	}
	return item, nil
}

// Scan reads the text where it lies, as a loop in C does.
func (d rowsDB) Scan(ctx context.Context) (sum work.Sum, err error) {
	for row, err := range d.db.Rows(ctx, work.SelectItems) {
		if err != nil {
			return sum, err
		}
		sum.AddBytes(row.Int64(0), row.Bytes(1), row.Int64(2), row.Float64(3))
	}
	return sum, nil
}
