package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfastdb/holdfast/replicate"
)

// replica is the state of a replica that source and --at mean; nil if source is a backup, or
// a directory or bucket of them.
func (a *app) replica(ctx context.Context, source, at string) (*replicate.Replica, error) {
	state, err := parseAt(at)
	if err != nil {
		return nil, err
	}
	is := at != ""
	switch fi, err := os.Stat(source); {
	case is:
	case err == nil && fi.IsDir():
		ltx, err := os.Stat(filepath.Join(source, "ltx"))
		is = err == nil && ltx.IsDir()
	case strings.HasPrefix(source, "s3://"), strings.HasPrefix(source, "file://"):
		// What no replica can be at, such as a whole bucket, may have backups.
		if is, err = replicate.IsReplica(ctx, source); err != nil && !errors.Is(err, holdfast.ErrRefused) {
			return nil, replicaFailed(err)
		}
	}
	if !is {
		return nil, nil
	}
	return replicate.Source(source, state), nil
}

// parseAt reads a time or a transaction.
func parseAt(text string) (replicate.At, error) {
	if text == "" {
		return replicate.At{}, nil
	}
	if when, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return replicate.At{Time: when}, nil
	}
	if len(text) == 16 && strings.Trim(text, "0123456789abcdef") == "" {
		return replicate.At{Transaction: text}, nil
	}
	return replicate.At{}, exitcode.Usagef("--at %s is neither a time such as 2026-11-27T17:25:00Z nor a transaction such as 000000000000001a", text)
}

// replicaAnswer is what restore --json prints of a replica.
type replicaAnswer struct {
	backup.RestoreReport
	Transaction string `json:"transaction"`
}

func (a *app) restoreReplica(ctx context.Context, src *replicate.Replica, path string, r restoreRequest, err error) error {
	if err != nil {
		return replicaFailed(err)
	}
	progress, done := a.progress()
	report, err := backup.Restore(ctx, src, path, backup.RestoreOptions{DryRun: r.dryRun, Progress: steps(progress)})
	done()
	if err != nil {
		return replicaFailed(a.restoreEnded(report, err))
	}
	report.Schema = cmp.Or(r.schema, report.Schema)
	found := src.Found()
	if a.format != output.Table {
		var rows [][]any
		for _, line := range append(restoreLines(report), report.Plan...) {
			rows = append(rows, []any{line})
		}
		return a.printer().Document(replicaAnswer{report, found.Transaction}, output.Grid(rows, "what"))
	}
	lines := restoreLines(report)
	return a.printLines(append(lines, fmt.Sprintf("state of %s, transaction %s", found.Time.Format("2006-01-02T15:04:05.000Z07:00"), found.Transaction)))
}

func replicaFailed(err error) error {
	switch {
	case errors.Is(err, replicate.ErrNoSuchTime):
		return exitcode.With(exitcode.Missing, err)
	case errors.Is(err, replicate.ErrUnreachable) && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, context.Canceled):
		return exitcode.With(exitcode.Unavailable, err)
	}
	return err
}

// listReplica prints to which states a replica can be restored.
func (a *app) listReplica(ctx context.Context, target string) error {
	ctx, cancel := a.within(ctx)
	defer cancel()
	l, err := replicate.List(ctx, target, true)
	if err != nil {
		return replicaFailed(err)
	}
	answer := struct {
		Schema string `json:"schema"`
		replicate.Timeline
	}{"holdfast.restore.list/v1", l}
	rows := make([][]any, len(l.Points))
	for i, p := range l.Points {
		rows[i] = []any{p.Time.Format("2006-01-02T15:04:05.000Z07:00"), p.Transaction, p.Level, p.Bytes}
	}
	return a.printer().Document(answer, output.Grid(rows, "time", "transaction", "level", "bytes"))
}
