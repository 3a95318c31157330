package holdfast

import "context"

// OptimizeTask and VacuumTask are what is done in the background.
func (db *DB) OptimizeTask(ctx context.Context) (string, error) { return db.h.d.optimizeTask(ctx) }
func (db *DB) VacuumTask(ctx context.Context) (string, error)   { return db.h.d.vacuumTask(ctx) }

// WithoutReplicator runs f as in a program that has registered none.
func WithoutReplicator(f func()) {
	r := replicator.Swap(nil)
	defer replicator.Store(r)
	f()
}

// Unplanned is how many statements have no plan of the schema as it is.
func Unplanned(db *DB) int {
	r, err := db.h.d.pool.Read(context.Background())
	if err != nil {
		return -1
	}
	defer db.h.d.pool.Put(r, true)
	version, err := r.Conn.QueryInt64("PRAGMA schema_version")
	if err != nil {
		return -1
	}
	return len(db.h.d.plans.Queries.Unplanned(version, 1000))
}
