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
