package torture

import (
	"context"
	"errors"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/holdfasttest"
)

// The sabotage modes. Each breaks one promise in the workload or below SQLite,
// never in the library, to show that the scenarios would notice.
const (
	EarlyAck           = "early-ack"            // the child acknowledges before the commit
	NoSync             = "no-sync"              // the disk acknowledges syncs and does nothing
	NoLocks            = "no-locks"             // locks are granted to everybody
	SwallowCommitError = "swallow-commit-error" // an error at COMMIT is taken for success
	LostIdempotency    = "lost-idempotency"     // a write is repeated without its key
	CopyFile           = "copy-file"            // a backup is a copy of the file as it lies there
)

// SabotageModes lists them all.
func SabotageModes() []string {
	return []string{EarlyAck, NoSync, NoLocks, SwallowCommitError, LostIdempotency, CopyFile}
}

// database is an open database, on a disk of its own if that is sabotaged.
type database struct {
	*holdfast.DB
	disk *holdfasttest.Disk
}

// openDatabase opens a database as children do, on a disk whose syncs take longer by
// syncDelay.
func openDatabase(ctx context.Context, cfg holdfast.Config, sabotage string, syncDelay time.Duration) (*database, error) {
	db := &database{disk: sabotaged(sabotage)}
	if syncDelay > 0 {
		if db.disk == nil {
			db.disk = holdfasttest.NewDisk()
		}
		db.disk.Inject(holdfasttest.Fault{Kind: holdfasttest.Slow, Op: holdfasttest.Sync, Delay: syncDelay, Sticky: true})
	}
	if db.disk != nil {
		ctx = db.disk.Context(ctx)
	}
	if sabotage == NoLocks {
		// It is a lock too, and granted to everybody.
		cfg.Writer.FairLock = holdfast.Off
	}
	var err error
	if db.DB, err = holdfast.OpenConfig(ctx, cfg); err != nil {
		if db.disk != nil {
			err = errors.Join(err, db.disk.Close())
		}
		return nil, err
	}
	return db, nil
}

// sabotaged returns a disk that does what the mode says, or nil if the mode is not
// about disks.
func sabotaged(mode string) *holdfasttest.Disk {
	faults := map[string]holdfasttest.Kind{NoSync: holdfasttest.NoSync, NoLocks: holdfasttest.NoLocks}
	kind, ok := faults[mode]
	if !ok {
		return nil
	}
	disk := holdfasttest.NewDisk()
	disk.Inject(holdfasttest.Fault{Kind: kind, Sticky: true})
	return disk
}

// Close closes the database, and then its disk.
func (db *database) Close() error {
	err := db.DB.Close()
	if db.disk != nil {
		err = errors.Join(err, db.disk.Close())
	}
	return err
}
