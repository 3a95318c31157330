package torture

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/backup/archive"
	"github.com/holdfastdb/holdfast/replicate"
)

// sweeps tells whether a backup removes what dead ones have left.
const sweeps = runtime.GOOS == "linux" || runtime.GOOS == "windows"

// slotsConfig is what a child in the role "write-slots" is told.
type slotsConfig struct {
	Path     string `json:"path"`
	Replica  string `json:"replica"`  // where to each write is shipped before it is acknowledged; "" is nowhere
	Sabotage string `json:"sabotage"` // EarlyAck acknowledges before
}

// writeSlotsRole writes at an even pace and tells before and after.
func writeSlotsRole(ctx context.Context, p *Parent, config json.RawMessage) (err error) {
	var c slotsConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return err
	}
	db, err := holdfast.Open(ctx, c.Path, func(cfg *holdfast.Config) {
		cfg.Replication.Target = c.Replica
		if cfg.Replication.Mode = replicate.Durable; c.Replica == "" || c.Sabotage == EarlyAck {
			cfg.Replication.Mode = replicate.Async
		}
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var first int64 // after a kill it goes on where it was
	if err := db.QueryRowContext(ctx, "SELECT n FROM counted").Scan(&first); err != nil {
		return err
	}
	pace := time.NewTicker(time.Second / writesPerSecond)
	defer pace.Stop()
	start := time.Now()
	for n := first; ; {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return nil
		}
		// What a slow disk has held up is written at once, as a queue would be.
		due := first + int64(time.Since(start).Seconds()*writesPerSecond)
		if due == n {
			continue
		}
		if err := p.Tell("%s %d", lineBegin, due); err != nil {
			return err
		}
		if err := writeSlots(context.WithoutCancel(ctx), db, n, due); err != nil {
			return err
		}
		if n = due; p.Tell("a %d", n) != nil {
			return nil // the parent has enough
		}
	}
}

// writeSlots does the writes after n up to due, in one transaction.
func writeSlots(ctx context.Context, db *holdfast.DB, n, due int64) error {
	return db.Update(ctx, func(tx *sql.Tx) error {
		for i := n + 1; i <= due; i++ {
			if _, err := tx.ExecContext(ctx, writeSlot, i%slots, i, slotBody(i)); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, countSlot, due)
		return err
	})
}

// backUpConfig is what a child in the role "back-up" is told.
type backUpConfig struct {
	Path     string `json:"path"`
	Dir      string `json:"dir"`
	Sabotage string `json:"sabotage"`
}

// The kinds of backups.
const (
	plainBackup    = "plain"
	vacuumedBackup = "vacuumed"
	archivedBackup = "archived"
)

var backupKinds = [...]string{plainBackup, plainBackup, vacuumedBackup, archivedBackup}

// backUpRole makes a backup of the kind that it is told, again and again, as the
// command does, and tells its name when it is done.
func backUpRole(ctx context.Context, p *Parent, config json.RawMessage) error {
	var c backUpConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return err
	}
	for n := 0; ; n++ {
		kind, err := p.Next(ctx)
		if err != nil {
			return nil // the parent has enough
		}
		path, err := c.backUp(ctx, kind, n)
		if err != nil {
			return err
		}
		if err := p.Tell("ok %s", path); err != nil {
			return err
		}
	}
}

func (c *backUpConfig) backUp(ctx context.Context, kind string, n int) (path string, err error) {
	if c.Sabotage == CopyFile {
		path = filepath.Join(c.Dir, fmt.Sprintf("copy-%d-%d.db", os.Getpid(), n))
		text, err := os.ReadFile(c.Path)
		if err != nil {
			return "", err
		}
		return path, os.WriteFile(path, text, 0o600)
	}
	cfg := holdfast.Config{}
	cfg.Database.Path, cfg.Database.ReadOnly = c.Path, true
	db, err := holdfast.OpenConfig(ctx, cfg)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var options []holdfast.BackupOption
	var format backup.Format
	switch kind {
	case vacuumedBackup:
		options = append(options, holdfast.BackupVacuumed())
	case archivedBackup:
		format = archive.New()
	}
	info, err := backup.Create(ctx, db, c.Dir, format, nil, options...)
	return info.Destination, err
}
