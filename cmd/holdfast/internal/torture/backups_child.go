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
)

// sweeps tells whether a backup removes what dead ones have left.
const sweeps = runtime.GOOS == "linux" || runtime.GOOS == "windows"

// slotsConfig is what a child in the role "write-slots" is told.
type slotsConfig struct {
	Path string `json:"path"`
}

// writeSlotsRole writes at an even pace and tells before and after.
func writeSlotsRole(ctx context.Context, p *Parent, config json.RawMessage) (err error) {
	var c slotsConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return err
	}
	db, err := holdfast.Open(ctx, c.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	pace := time.NewTicker(time.Second / writesPerSecond)
	defer pace.Stop()
	for n := int64(slots + 1); ; n++ {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return nil
		}
		if err := p.Tell("%s %d", lineBegin, n); err != nil {
			return err
		}
		err := db.Update(context.WithoutCancel(ctx), func(tx *sql.Tx) error {
			if _, err := tx.Exec(writeSlot, n%slots, n, slotBody(n)); err != nil {
				return err
			}
			_, err := tx.Exec(countSlot, n)
			return err
		})
		if err != nil {
			return err
		}
		if err := p.Tell("a %d", n); err != nil {
			return err
		}
	}
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
