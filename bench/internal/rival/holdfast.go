package rival

import (
	"context"
	"database/sql"
	"slices"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/bench/internal/work"
	_ "github.com/holdfastdb/holdfast/replicate" // for holdfast-async
)

func holdfasts() []Contestant {
	return []Contestant{
		{
			Name: Base, Title: "Holdfast through its *sql.DB: Exec, sql.Tx",
			Does: append(slices.Clone(everything), work.Idle),
			Open: func(ctx context.Context, s work.Settings) (work.Database, error) {
				db, err := openHoldfast(ctx, s)
				if err != nil {
					return nil, err
				}
				proven, err := sqlDB{reader: db.DB, writer: db.DB}.prove(ctx)
				return handle{proven, db}, err
			},
		},
		{
			Name: "holdfast-uncounted", Title: "holdfast, telemetry off",
			Does:  []work.Operation{work.Get, work.Prepared, work.Insert, work.InsertTx, work.Bulk},
			Named: true,
			Open: func(ctx context.Context, s work.Settings) (work.Database, error) {
				db, err := openHoldfast(ctx, s, uncounted)
				if err != nil {
					return nil, err
				}
				proven, err := sqlDB{reader: db.DB, writer: db.DB}.prove(ctx)
				return handle{proven, db}, err
			},
		},
		{
			Name: "holdfast-update", Title: "Holdfast's Update",
			Does: []work.Operation{work.InsertTx, work.Increment},
			Open: func(ctx context.Context, s work.Settings) (work.Database, error) {
				db, err := openHoldfast(ctx, s)
				return updates{db}, err
			},
		},
		{
			Name: "holdfast-batch", Title: "Holdfast's Batch",
			Does: []work.Operation{work.Insert, work.Bulk, work.AllocsPut},
			Open: func(ctx context.Context, s work.Settings) (work.Database, error) {
				db, err := openHoldfast(ctx, s)
				return batches{db}, err
			},
		},
		{
			Name: "holdfast-async", Title: "Holdfast as holdfast, replicating asynchronously to a directory beside the database",
			Does: []work.Operation{work.Insert, work.InsertTx, work.Mix}, Alone: true, Named: true,
			Open: func(ctx context.Context, s work.Settings) (work.Database, error) {
				db, err := openHoldfast(ctx, s, func(c *holdfast.Config) { c.Replication.Target = s.Path + "-replica" })
				if err != nil {
					return nil, err
				}
				proven, err := sqlDB{reader: db.DB, writer: db.DB}.prove(ctx)
				return handle{proven, db}, err
			},
		},
	}
}

// openHoldfast has no settings but those that the workload asks for, and more.
func openHoldfast(ctx context.Context, s work.Settings, more ...holdfast.Option) (*holdfast.DB, error) {
	return holdfast.Open(ctx, s.Path, append(more, holdfast.WithSynchronous(s.Synchronous), func(c *holdfast.Config) {
		if s.CacheKiB > 0 {
			c.Database.CacheSize = -s.CacheKiB
			c.ConnectionPool.MaxConnections = s.Readers
		}
	})...)
}

// uncounted shows what counting the statements costs.
func uncounted(c *holdfast.Config) { c.Telemetry.Enabled = holdfast.Off }

// handle is the *sql.DB that Holdfast gives. What stands for a connection there
// is a session, which takes a reader only when it reads.
type handle struct {
	sqlDB
	db *holdfast.DB
}

func (h handle) OpenReaders() int { return h.db.Stats().Readers.Open }

type updates struct{ *holdfast.DB }

func (d updates) InsertTx(ctx context.Context, e work.Entry) error {
	return d.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, work.InsertEntry, e.Worker, e.Seq, work.Body)
		return err
	})
}

func (d updates) Increment(ctx context.Context, id int64) error {
	return d.Update(ctx, func(tx *sql.Tx) error { return increment(ctx, tx, id) })
}

type batches struct{ *holdfast.DB }

func (d batches) Insert(ctx context.Context, e work.Entry) error {
	_, err := d.Batch(ctx, []holdfast.Statement{{SQL: work.InsertEntry, Args: []any{e.Worker, e.Seq, work.Body}}})
	return err
}

func (d batches) Bulk(ctx context.Context, worker int, first, n int64) error {
	statements := make([]holdfast.Statement, n)
	for i := range statements {
		statements[i] = holdfast.Statement{SQL: work.InsertEntry, Args: []any{worker, first + int64(i), work.Body}}
	}
	_, err := d.Batch(ctx, statements)
	return err
}
