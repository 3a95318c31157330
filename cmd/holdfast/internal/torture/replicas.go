package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/replicate"
)

func killReplication() Scenario {
	return Scenario{
		Name: "kill-replication",
		About: "500 writes a second, each acknowledged after its upload, killed at random moments: the replica, restored elsewhere, has all that was " +
			"acknowledged and is one committed state, and the next run goes on where the last was",
		Tier:     Quick,
		Needs:    []Need{Linux}, // elsewhere a process can't replicate what it has open
		Sabotage: []string{EarlyAck},
		Run:      runKillReplication,
	}
}

func runKillReplication(ctx context.Context, t *Trial) error {
	b := &backups{t: t, path: filepath.Join(t.Dir, "app.db"), begun: map[int64]bool{slots: true}}
	replica := filepath.Join(t.Dir, "replica")
	if err := b.create(ctx); err != nil {
		return err
	}
	for range t.Rounds(6, 50, 500) {
		before := b.acked.Load()
		writer, err := t.Child(ctx, "write-slots", slotsConfig{Path: b.path, Replica: replica, Sabotage: t.Sabotage}, b.line)
		if err != nil {
			return err
		}
		for end := time.Now().Add(30 * time.Second); b.acked.Load() == before; {
			if time.Now().After(end) {
				return errors.New("nothing was acknowledged in 30 seconds")
			}
			if err := sleep(ctx, time.Millisecond); err != nil {
				return err
			}
		}
		if err := sleep(ctx, time.Duration(t.Rand.Int64N(int64(500*time.Millisecond)))); err != nil {
			return err
		}
		if err := writer.Kill(); err != nil {
			return err
		}
		t.Count("kills", 1)
		if err := b.restoreReplica(ctx, replica); err != nil {
			return err
		}
	}
	t.Count("acked", b.acked.Load()-slots)
	db, err := holdfast.Open(ctx, b.path) // after a kill, without its replication
	if err != nil {
		return err
	}
	_, err = stateOf(ctx, db)
	return errors.Join(err, integrity(ctx, db), db.Close(), b.failed)
}

// restoreReplica restores the replica to another file and holds it against what was
// acknowledged.
func (b *backups) restoreReplica(ctx context.Context, replica string) error {
	restored := filepath.Join(b.t.Dir, "restored.db")
	src := replicate.Source(replica, replicate.At{})
	if _, err := backup.Restore(ctx, src, restored, backup.RestoreOptions{}); err != nil {
		return err
	}
	db, err := holdfast.Open(ctx, restored)
	if err != nil {
		return err
	}
	n, err := stateOf(ctx, db)
	if err = errors.Join(err, integrity(ctx, db), db.Close()); err != nil {
		return err
	}
	for _, ending := range []string{"", "-wal", "-shm", "-holdfast.lock"} {
		if err := os.Remove(restored + ending); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	b.t.Count("restored", 1)
	switch acked := b.acked.Load(); {
	case n < acked:
		return fmt.Errorf("the replica, transaction %s, holds %d writes, and %d had been acknowledged", src.Found().Transaction, n, acked)
	case !b.wasBegun(n):
		return fmt.Errorf("no committed state: the replica holds %d writes, and no transaction ended there", n)
	}
	return nil
}
