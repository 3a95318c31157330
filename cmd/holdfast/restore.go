package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/spf13/cobra"
)

// restoreRequest is the command line of restore.
type restoreRequest struct {
	identity        string // file
	withoutManifest bool
	dryRun          bool
	at              string
	list            bool
	schema          string // of the document; "" is that of restore
}

func (a *app) restoreCommand() *cobra.Command {
	var r restoreRequest
	cmd := &cobra.Command{
		Use:   "restore SOURCE DATABASE | restore --list REPLICA",
		Short: "Put a backup or a replica in the place of a database, safely",
		Long: `Put a backup in the place of a database, or where none is.

SOURCE is a plain copy or an archive, or a directory: then it is the newest verified backup
in it that was taken of the database, or of one of that name where there is none. All of
these may be URLs of a bucket or an SFTP server (see "holdfast help backup"). It is unpacked
beside the database, compared with its manifest and checked by integrity_check before
anything of the old database is touched.
Then that is locked, its -wal, -shm and -journal are taken aside, and the two files change
places. The old ones are kept as DATABASE-before-restore-TIME; remove them when you are
content.

Refused while any program has the database open; the message names it. A restore that was
killed at any moment has left the old database or the new one, whole; the next one
finishes or undoes it, and says so. Never copy a backup over a database yourself: with
the -wal of the old one beside it, it is a mixture, and no check finds that.

DATABASE may also be a cluster of rqlite: rqlite://HOST:4001,HOST:4001. Then the backup is unpacked
in the directory for temporary files, checked there, and sent in place of all that the
cluster has; the rows of all tables are counted afterwards. Nobody else may write meanwhile.

A file without a manifest is refused, as nothing tells whether it is whole.
--without-manifest accepts it, if integrity_check does.

A SOURCE that holdfast replicate has written (a directory, or s3://BUCKET/PREFIX) is
restored to its last state, or by --at to an earlier one: a time (RFC 3339, to the
millisecond), or a transaction that --list shows. Of what was acknowledged by that time,
by a program whose writes wait for their upload (replication.mode DURABLE), nothing is missing,
and of what was begun later nothing is there. What was merged since is restored
as it was before the merged step.`,
		Example: `  holdfast restore /backups app.db
  holdfast restore /backups/app-20261127T172548.123Z.db app.db --dry-run
  holdfast restore 's3://backups/app?region=eu-central-1' app.db
  holdfast restore app.db.tar.zst.age app.db --identity key.txt --json
  holdfast restore /mnt/nas/app app.db --at 2026-11-27T17:25:00Z
  holdfast restore --list s3://backups/app`,
		Args: func(cmd *cobra.Command, args []string) error {
			if r.list {
				return cobra.ExactArgs(1)(cmd, args)
			}
			return cobra.ExactArgs(2)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if r.list {
				return a.listReplica(cmd.Context(), args[0])
			}
			return a.restore(cmd.Context(), args[0], args[1], r)
		},
	}
	r.flags(cmd)
	cmd.Flags().BoolVar(&r.list, "list", false, "list to which states a replica can be restored")
	return cmd
}

func (r *restoreRequest) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.identity, "identity", "", "read an encrypted archive with the age keys in this `file`")
	f.BoolVar(&r.withoutManifest, "without-manifest", false, "accept a plain file that has no manifest")
	f.BoolVar(&r.dryRun, "dry-run", false, "say what would be done, and do nothing")
	f.StringVar(&r.at, "at", "", "restore a replica to this `time or transaction`")
}

func (a *app) restore(ctx context.Context, source, path string, r restoreRequest) error {
	ctx, cancel := a.within(ctx)
	defer cancel()
	formats, err := readingFormats(r.identity)
	if err != nil {
		return err
	}
	replica, err := a.replica(ctx, source, r.at)
	if err != nil || replica != nil {
		return a.restoreReplica(ctx, replica, path, r, err)
	}
	src, end, err := openSource(ctx, source, path, formats)
	if err != nil {
		return err
	}
	defer end()
	progress, done := a.progress()
	report, err := backup.Restore(ctx, src, path, backup.RestoreOptions{
		WithoutManifest: r.withoutManifest, DryRun: r.dryRun,
		Progress: steps(progress),
	})
	done()
	if err != nil {
		return a.restoreEnded(report, err)
	}
	report.Schema = cmp.Or(r.schema, report.Schema)
	if a.format != output.Table {
		var rows [][]any
		for _, line := range append(restoreLines(report), report.Plan...) {
			rows = append(rows, []any{line})
		}
		return a.printer().Document(report, output.Grid(rows, "what"))
	}
	return a.printLines(restoreLines(report))
}

// restoreEnded says what a restore that has failed left, and gives its error the exit code.
func (a *app) restoreEnded(report backup.RestoreReport, err error) error {
	for _, line := range report.Leftover {
		fmt.Fprintln(a.errs, "holdfast:", output.Visible(line))
	}
	return restoreFailed(err)
}

func restoreFailed(err error) error {
	var use *backup.InUseError
	if errors.As(err, &use) {
		return exitcode.With(exitcode.Busy, err)
	}
	return cannotCreate(backupFailed(err))
}

// resolved is path as a manifest has it, as far as it is there.
func resolved(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(dir, filepath.Base(path))
	}
	return path
}

func restoreLines(r backup.RestoreReport) (lines []string) {
	lines = append(lines, r.Leftover...)
	taken := "without a manifest"
	if !r.RestoredTo.IsZero() {
		taken = "of " + r.RestoredTo.UTC().Format(time.RFC3339)
	}
	if r.DryRun {
		lines = append(lines, fmt.Sprintf("would restore %s %s to %s, and for that:", r.Source, taken, r.Database))
		for i, step := range r.Plan {
			lines = append(lines, fmt.Sprintf("  %d. %s", i+1, step))
		}
		return lines
	}
	lines = append(lines, fmt.Sprintf("%s is restored from %s %s: %s, verified", r.Database, r.Source, taken, size(r.Bytes)))
	for _, kept := range r.Kept {
		lines = append(lines, "kept "+kept)
	}
	return lines
}
