package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/backup/archive"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfastdb/holdfast/replicate/objects"
	"github.com/spf13/cobra"
)

// backupRequest is the command line of backup.
type backupRequest struct {
	compress   bool
	recipients []string
	identity   string // file
	keep       string
	scratch    string
	vacuum     bool
	references bool
	list       bool
	check      bool
	drill      bool
	every      time.Duration
	drillEvery time.Duration
	schema     string // of the document; "" is that of backup
}

func (a *app) backupCommand() *cobra.Command {
	var r backupRequest
	cmd := &cobra.Command{
		Use:   "backup DATABASE DESTINATION | backup --list PLACE | backup --check|--drill BACKUP...",
		Short: "Back a database up while it is in use, and prove the backup",
		Long: `Back a database up while it is in use, by any program, and prove the backup: it is
opened, read by integrity_check, hashed and flushed before it gets its name. What has
the name of a backup is one. Writers and readers of the database go on.

DESTINATION is a file that isn't there yet, or a directory: then the file is named after
the database and the time, as in app-20261127T172548.123Z.db. A plain copy is a database
like any other, mode 0600, with its manifest (FILE.manifest.json) beside it: sha256,
pages, rows of each table. With --compress it is an archive (.tar.zst), with
--encrypt-to one that only the owners of those age keys can read (.tar.zst.age); the
manifest is inside. Archives are unpacked again and compared before they get their names.

Or DESTINATION is a place elsewhere, and the file is named likewise:

  s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION
      Amazon S3, or another server at the endpoint. Credentials are found as AWS's own
      programs find them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the
      role of the machine. path-style=false puts the bucket into the name of the endpoint.
  sftp://USER@HOST:PORT/DIRECTORY?key=FILE&known-hosts=FILE
      The key is that of the file, or of the agent, or of ~/.ssh. The host must be in the
      file of known hosts, ~/.ssh/known_hosts by default. /~/DIRECTORY is in the home.

It is made and proven beside the database, or in the directory of --scratch, uploaded, and
compared with what the server has received before it gets its name there. A URL names one
backup if it ends in .db or has .db. in its last part; a URL holds no password.

--keep removes older backups of the database from there, after a new one was made:
last=3,hourly=24,daily=7,weekly=4,monthly=12, or some of these, in UTC; a backup that any
of them wants is kept. The newest verified backup is never removed, and what isn't
verified neither. Archives of two databases of one name need two directories.

--list shows the backups that are there. --check reads backups to their ends, and says by
its exit code whether each byte is what it was. --drill restores them, one after the other,
to a directory beside them (those of URLs: in that for temporary files) that is gone
afterwards, and checks what comes out. Both take a directory, or a place, for all in it.

--every makes a backup again and again, beside whoever uses the database, until it is
interrupted: run it as a service. A line tells of each. The first comes at once, if one is due:
of several such processes, and of programs with such a schedule, one makes each backup. One
that was missed is made once; one that failed is tried again after 2, 4, 8 minutes, and then
nothing is removed. --drill-every restores the newest beside the backups (of a URL: where they
are made), checks it and removes it. Between two the database is closed. "holdfast health"
says when the last was made and the last restored, and warns when one is late, also when
nobody is left who makes any. A directory that has lost all its backups is refused: it is not
mounted, as a rule.

A volume without room for the copy, and 64 MiB besides, is refused before it is filled.`,
		Example: `  holdfast backup app.db /backups --keep last=3,daily=7,weekly=4
  holdfast backup app.db /backups --every 1h --keep hourly=24,daily=7 --drill-every 24h
  holdfast backup app.db /backups --encrypt-to age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
  holdfast backup app.db 's3://backups/app?region=eu-central-1' --compress --keep daily=7,weekly=4
  holdfast backup app.db sftp://backup@nas/volume1/app
  holdfast backup --check /backups/*.db
  holdfast backup --list /backups --json | jq '.backups[0].path'`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case (r.every != 0 || r.drillEvery != 0) && (r.list || r.check || r.drill):
				return exitcode.Usagef("--every makes backups; --list, --check and --drill are commands of their own")
			case r.every < 0, r.drillEvery < 0, r.drillEvery > 0 && r.every == 0:
				return exitcode.Usagef("--every and --drill-every are intervals such as 1h and 24h, and --drill-every goes with --every")
			case r.list && (r.check || r.drill), r.check && r.drill:
				return exitcode.Usagef("--list, --check and --drill contradict each other: keep one")
			case r.list:
				return cobra.ExactArgs(1)(cmd, args)
			case r.check || r.drill:
				return cobra.MinimumNArgs(1)(cmd, args)
			}
			return cobra.ExactArgs(2)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := a.within(cmd.Context())
			defer cancel()
			switch {
			case r.every > 0:
				return a.backupEvery(ctx, args[0], args[1], r)
			case r.list:
				return a.listBackups(ctx, args[0])
			case r.check:
				return a.checkBackups(ctx, args, r.identity, backup.Verify)
			case r.drill:
				return a.checkBackups(ctx, args, r.identity, a.drill)
			}
			return a.backup(ctx, args[0], args[1], r)
		},
	}
	r.flags(cmd)
	return cmd
}

func (r *backupRequest) flags(cmd *cobra.Command) {
	r.makingFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&r.identity, "identity", "", "read encrypted archives with the age keys in this `file`")
	f.DurationVar(&r.every, "every", 0, "make one again and again, such as every 1h, until interrupted")
	f.DurationVar(&r.drillEvery, "drill-every", 0, "with --every: restore the newest, check it and remove it, such as every 24h")
	f.BoolVar(&r.vacuum, "vacuum", false, "copy by VACUUM INTO: without unused pages, in order")
	f.BoolVar(&r.list, "list", false, "list the backups in a directory or at a URL")
	f.BoolVar(&r.check, "check", false, "read backups and compare them with their manifests")
	f.BoolVar(&r.drill, "drill", false, "restore backups beside them, check what comes out, and remove it")
}

// makingFlags are those of making one backup.
func (r *backupRequest) makingFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&r.compress, "compress", false, "make an archive compressed by zstd")
	f.StringArrayVar(&r.recipients, "encrypt-to", nil, "make an archive that this `recipient` can read, a public key of age; may be repeated")
	f.StringVar(&r.keep, "keep", "", "remove older backups by these `rules`, such as last=3,daily=7")
	f.StringVar(&r.scratch, "scratch", "", "make the backup of a URL in this `directory`; default beside the database")
	f.BoolVar(&r.references, "references", false, "check foreign keys too")
}

// backupAnswer is what backup --json prints.
type backupAnswer struct {
	backup.Info
	Removed []string `json:"removed"`
}

func (a *app) backup(ctx context.Context, path, dst string, r backupRequest) error {
	where, err := openPlace(ctx, dst)
	if err != nil {
		return err
	}
	defer where.close()
	retention, format, err := r.settle(where)
	if err != nil {
		return err
	}
	db, err := a.openForBackup(ctx, path)
	if err != nil {
		return err
	}
	defer a.closeDatabase(db)
	progress, done := a.progress()
	info, err := where.create(ctx, db, r.scratch, format, steps(progress), r.options())
	done()
	if err != nil {
		return backupFailed(err)
	}
	a.noteBackup(backup.Event{Task: "backup", At: time.Now(), Backup: info, Path: info.Destination}, destinationOf(info.Destination))
	answer := backupAnswer{Info: info, Removed: []string{}}
	answer.Schema = cmp.Or(r.schema, answer.Schema)
	if !retention.All() {
		if where.store == nil {
			where.path = filepath.Dir(info.Destination) // absolute
		}
		removed, e := where.target(r.scratch).Prune(ctx, cmp.Or(db.Path(), db.Address()), retention, formats()...)
		for _, old := range removed {
			answer.Removed = append(answer.Removed, old.Path)
		}
		if e != nil { // the backup is there all the same
			err = exitcode.With(exitcode.IO, fmt.Errorf("the backup %s was made, but older ones could not be removed: %w", info.Destination, e))
		}
	}
	return errors.Join(a.printBackup(answer), err)
}

func (r backupRequest) options() (options []holdfast.BackupOption) {
	if r.vacuum {
		options = append(options, holdfast.BackupVacuumed())
	}
	if r.references {
		options = append(options, holdfast.BackupReferences())
	}
	return options
}

// settle checks the command line before anything is opened.
func (r backupRequest) settle(where place) (retention backup.Retention, format backup.Format, err error) {
	dst := where.path
	if where.file != "" {
		return retention, nil, exitcode.Usagef("%s names one backup: end it in a slash if that is the place for backups, which get names by themselves", dst)
	}
	if where.store == nil && r.scratch != "" {
		return retention, nil, exitcode.Usagef("--scratch is for URLs: into a directory, backups are made there")
	}
	if !where.many() {
		if parent, err := os.Stat(filepath.Dir(dst)); err != nil || !parent.IsDir() {
			return retention, nil, exitcode.With(exitcode.CantCreate, fmt.Errorf("the directory of %s does not exist; create it first", dst))
		}
	}
	if r.keep != "" {
		if retention, err = backup.ParseRetention(r.keep); err != nil {
			return retention, nil, exitcode.Usagef("--keep: %w", err)
		}
		if !where.many() {
			return retention, nil, exitcode.Usagef("--keep needs a directory, and %s is none: name one", dst)
		}
	}
	switch {
	case len(r.recipients) > 0:
		encrypted, err := archive.NewEncrypted(r.recipients, "")
		if err != nil {
			return retention, nil, exitcode.Usagef("--encrypt-to: %w", err)
		}
		return retention, encrypted, nil
	case r.compress:
		return retention, archive.New(), nil
	}
	return retention, nil, nil
}

// openForBackup opens a database that is there, for reading: nothing is created,
// switched or checkpointed.
func (a *app) openForBackup(ctx context.Context, path string) (*holdfast.DB, error) {
	cfg, err := a.settings(path)
	if err != nil {
		return nil, err
	}
	if isAddress(path) {
		return a.openAddress(ctx, path, true)
	}
	if db := a.leavesNothing(ctx, path); db != nil {
		return db, nil
	}
	cfg.Database.ReadOnly = true
	db, err := holdfast.OpenConfig(ctx, cfg)
	return db, readingHints(path, err)
}

// steps shows a bar for each phase. One whose length is not known has none.
func steps(show func(stage string, done, total int)) func(backup.Progress) {
	if show == nil {
		return nil
	}
	return func(p backup.Progress) {
		if p.Total > 0 {
			show(p.Phase, int(p.Done), int(p.Total))
		}
	}
}

func backupFailed(err error) error {
	switch {
	case errors.Is(err, fs.ErrExist):
		return exitcode.With(exitcode.CantCreate, err)
	case errors.Is(err, backup.ErrEncrypted), errors.Is(err, objects.ErrHostKey):
		return exitcode.With(exitcode.Permission, err)
	case errors.Is(err, objects.ErrURL):
		return exitcode.With(exitcode.Usage, err)
	case errors.Is(err, objects.ErrUnreachable):
		return exitcode.With(exitcode.Unavailable, err)
	case errors.Is(err, backup.ErrOpenHere):
		return exitcode.With(exitcode.Busy, err)
	}
	return err
}

// formats are those of archives whose content isn't read.
func formats() []backup.Format {
	list, err := archive.Formats("")
	if err != nil {
		panic(err) // there is nothing in it that could be wrong
	}
	return list
}

// readingFormats are the formats of archives that are read.
func readingFormats(identity string) ([]backup.Format, error) {
	text := []byte(nil)
	if identity != "" {
		var err error
		if text, err = os.ReadFile(identity); err != nil {
			return nil, err
		}
	}
	list, err := archive.Formats(string(text))
	if err != nil {
		return nil, exitcode.Usagef("--identity %s: %w", identity, err)
	}
	return list, nil
}

func (a *app) printBackup(answer backupAnswer) error {
	if a.format != output.Table {
		return a.printer().Document(answer, output.Grid([][]any{{answer.Destination, answer.Bytes, answer.ArchiveBytes, answer.Pages, answer.SHA256, answer.DurationSeconds}},
			"destination", "bytes", "archive_bytes", "pages", "sha256", "duration_seconds"))
	}
	var rows int64
	for _, n := range answer.Rows {
		rows += n
	}
	archived := ""
	if answer.ArchiveBytes > 0 {
		archived = ", packed " + size(answer.ArchiveBytes)
	}
	lines := []string{
		answer.Destination,
		fmt.Sprintf("%s%s, %d rows, verified by %s in %s", size(answer.Bytes), archived, rows, answer.Check,
			time.Duration(answer.DurationSeconds*float64(time.Second)).Round(time.Millisecond)),
	}
	for _, old := range answer.Removed {
		lines = append(lines, "removed "+old)
	}
	return a.printLines(lines)
}

func (a *app) printLines(lines []string) error {
	for _, line := range lines {
		if _, err := fmt.Fprintln(a.out, output.Visible(line)); err != nil {
			return &output.WriteError{Err: err}
		}
	}
	return nil
}

func (a *app) listBackups(ctx context.Context, name string) error {
	where, err := openPlace(ctx, name)
	if err != nil {
		return err
	}
	defer where.close()
	if where.file != "" {
		return exitcode.Usagef("%s names one backup: name the place where it is", name)
	}
	entries, err := where.target("").List(ctx, formats()...)
	if err != nil {
		return backupFailed(err)
	}
	answer := struct {
		Schema  string         `json:"schema"`
		Backups []backup.Entry `json:"backups"`
	}{"holdfast.backup.list/v1", entries}
	var rows [][]any
	for _, e := range entries {
		rows = append(rows, []any{e.TakenAt.Format(time.RFC3339), e.Database, e.Bytes, e.Verified, e.Path})
	}
	return a.printer().Document(answer, output.Grid(rows, "taken at", "database", "bytes", "verified", "path"))
}

// checkAnswer is one backup of backup --check.
type checkAnswer struct {
	Path    string    `json:"path"`
	OK      bool      `json:"ok"`
	Problem string    `json:"problem,omitempty"`
	TakenAt time.Time `json:"taken_at,omitzero"`
	Bytes   int64     `json:"bytes"`
	SHA256  string    `json:"sha256"`
}

// drill restores a backup in the directory where it lies, or of temporary files.
func (a *app) drill(ctx context.Context, src backup.Source, progress func(backup.Progress)) (holdfast.BackupInfo, error) {
	info, err := backup.Drill(ctx, src, scratchOf(src.Name()), progress)
	if err == nil {
		a.noteBackup(backup.Event{Task: "drill", At: time.Now(), Backup: backup.Info{BackupInfo: info}, Path: src.Name()}, destinationOf(src.Name()))
	}
	return info, err
}

// checkBackups looks at one backup after the other by look.
func (a *app) checkBackups(ctx context.Context, files []string, identity string,
	look func(context.Context, backup.Source, func(backup.Progress)) (holdfast.BackupInfo, error),
) error {
	formats, err := readingFormats(identity)
	if err != nil {
		return err
	}
	answer := struct {
		Schema  string        `json:"schema"`
		OK      bool          `json:"ok"`
		Backups []checkAnswer `json:"backups"`
	}{Schema: "holdfast.backup.check/v1", OK: true}
	files = slices.DeleteFunc(slices.Clone(files), func(f string) bool { return strings.HasSuffix(f, backup.ManifestSuffix) }) // of a pattern like *.db*
	if len(files) == 0 {
		return exitcode.With(exitcode.Missing, errors.New("these are manifests, and no backups: name the files beside them"))
	}
	var lines []string
	var rows [][]any
	var failed error
	progress, done := a.progress()
	sources, end, err := sourcesOf(ctx, files, formats)
	if err != nil {
		return err
	}
	defer end()
	for _, src := range sources {
		file := src.Name()
		info, err := look(ctx, src, steps(progress))
		done()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		one := checkAnswer{Path: file, OK: err == nil, TakenAt: info.TakenAt, Bytes: info.Bytes, SHA256: info.SHA256}
		line := "ok      " + file
		if err != nil {
			one.Problem, answer.OK = err.Error(), false
			line = "FAILED  " + file + ": " + one.Problem
			if failed == nil || errors.Is(err, holdfast.ErrCorrupt) { // the worst
				failed = backupFailed(err)
			}
		}
		answer.Backups = append(answer.Backups, one)
		lines, rows = append(lines, line), append(rows, []any{one.OK, one.Path, one.Problem, one.SHA256})
	}
	if a.format == output.Table {
		err = a.printLines(lines)
	} else {
		err = a.printer().Document(answer, output.Grid(rows, "ok", "path", "problem", "sha256"))
	}
	if err == nil && failed != nil {
		return exitcode.Verdict(exitcode.Of(failed))
	}
	return err
}
