package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/sidelock"
	"github.com/holdfastdb/holdfast/rowhash"
)

// ErrDiffers is what Import and Export return when the comparison of rows has found that the
// two databases are not the same.
var ErrDiffers = errors.New("the databases differ")

// MoveOptions are those of Import and Export. The zero value asks for nothing.
type MoveOptions struct {
	Replace bool   // Import: also into a cluster that has something, which is gone then
	Scratch string // Import: the directory where the copy of the file is made; "" is os.TempDir
	// Progress, if it is not nil, is called by one goroutine at a time: with a step of
	// MoveSteps, the table that it is at and how many of its rows are read; "" and 0 at the
	// beginning of a step.
	Progress func(step, table string, rows int64)
}

// MoveSteps are the steps of Import and Export, as Progress is told them.
func MoveSteps() []string { return []string{stepCopy, stepLoad, stepFile, stepCluster} }

const (
	stepCopy    = "copy"
	stepLoad    = "load"
	stepFile    = "hash the file"
	stepCluster = "hash the cluster"
)

// tell is Progress, which may be nil.
func (o *MoveOptions) tell(step string) func(string, int64) {
	if o.Progress == nil {
		return nil
	}
	o.Progress(step, "", 0)
	return func(table string, rows int64) { o.Progress(step, table, rows) }
}

// MoveReport is what Import or Export has moved, and how it compares.
type MoveReport struct {
	From            string               `json:"from"`
	To              string               `json:"to"`
	Bytes           int64                `json:"bytes"`  // of the file
	SHA256          string               `json:"sha256"` // of the copy that was sent or received
	Rows            int64                `json:"rows"`   // of all tables, those of SQLite's own among them
	Tables          []rowhash.Table      `json:"tables"` // as the cluster has them
	Differences     []rowhash.Difference `json:"differences"`
	DurationSeconds float64              `json:"duration_seconds"`
}

func (r *MoveReport) compared(first, second, cluster []rowhash.Table) {
	r.Tables, r.Differences = cluster, rowhash.Compare(first, second)
	if r.Differences == nil {
		r.Differences = []rowhash.Difference{}
	}
	for _, t := range cluster {
		if t.Name != rowhash.Schema {
			r.Rows += t.Rows
		}
	}
}

// differs names what differs. first and second are what the two are.
func (r *MoveReport) differs(first, second, next string) error {
	var lines []string
	for i, d := range r.Differences {
		if i == 5 {
			lines = append(lines, fmt.Sprintf("and %d more", len(r.Differences)-i))
			break
		}
		lines = append(lines, d.String())
	}
	return fmt.Errorf("%w: the first is %s, the second %s: %s; %s", ErrDiffers, first, second, strings.Join(lines, "; "), next)
}

func refused(op, text, next string) error {
	return holdfast.NewError(holdfast.Failure{Kind: holdfast.ErrRefused, Code: codeMisuse, Op: op, Text: text, Next: next})
}

// isOne tells a cluster from a file.
func isOne(db *holdfast.DB) bool { return db.Capabilities().Backend == Scheme }

// Import moves the database of file, which is open, into the cluster that is open as db. It
// refuses a cluster that has something, unless o.Replace, and a database that has what a
// cluster can't keep (see Obstacles), before anything is sent. A copy of the file is made and
// checked, and the copy is loaded; then the rows of the file are compared with those of the
// cluster (package rowhash), read at ReadLinearizable.
//
// Nobody else may write either of them meanwhile: where they differ the error is ErrDiffers,
// and the report names the tables. ctx bounds all of it; after the load has begun its end
// leaves the cluster as it was or loaded, which Import can't tell then (ErrOutcomeUnknown).
func Import(ctx context.Context, db, file *holdfast.DB, o MoveOptions) (report MoveReport, err error) {
	start := time.Now()
	if !isOne(db) || isOne(file) || file.Path() == "" {
		return report, refused("import", "Import moves a database that is a file into a cluster", "open the one by its name, the other by its address")
	}
	report.From, report.To = file.Path(), db.Address()
	if err := mayImport(ctx, db, file, o.Replace); err != nil {
		return report, err
	}
	work, err := sidelock.NewDir(orElse(o.Scratch, os.TempDir()), movingDirs, nil)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, work.Remove()) }()
	copied := work.Path("copy.db")
	o.tell(stepCopy)
	info, err := file.Backup(ctx, copied)
	if err != nil {
		return report, err
	}
	report.Bytes, report.SHA256 = info.Bytes, info.SHA256
	o.tell(stepLoad)
	if _, err := db.Restore(ctx, copied); err != nil {
		return report, err
	}
	there, err := rowhash.Database(holdfast.WithReadLevel(ctx, holdfast.ReadLinearizable), db, o.tell(stepCluster))
	if err != nil {
		return report, err
	}
	here, err := rowhash.Database(ctx, file, o.tell(stepFile)) // and not the copy: so a write that came after it is found
	if err != nil {
		return report, err
	}
	report.compared(here, there, there)
	report.DurationSeconds = time.Since(start).Seconds()
	if len(report.Differences) > 0 {
		return report, report.differs(report.From, report.To, "see that nobody writes to either, and import it again, replacing what is there")
	}
	return report, nil
}

// mayImport looks at both sides before anything is sent.
func mayImport(ctx context.Context, db, file *holdfast.DB, replace bool) error {
	var first string
	err := db.QueryRowContext(holdfast.WithReadLevel(ctx, holdfast.ReadLinearizable), "SELECT ifnull(min(name), '') FROM sqlite_schema WHERE substr(name, 1, 7) <> 'sqlite_'").Scan(&first)
	switch {
	case err != nil:
		return err
	case first != "" && !replace:
		return refused("import", db.Address()+" is not empty: it has "+first, "name another cluster, or ask for what is there to be replaced")
	}
	obstacles, err := Obstacles(ctx, db, file)
	switch {
	case err != nil:
		return err
	case len(obstacles) > 0:
		return refused("import", "a cluster can't keep all of "+file.Path()+": "+strings.Join(obstacles, "; "), "remove it from the schema of a copy, and import the copy")
	}
	return nil
}

const movingDirs = ".holdfast-moving-"

// Export moves the database of the cluster that is open as db into a new file at path: a
// backup, checked by integrity_check, whose rows are compared with those of the cluster
// (package rowhash), read at ReadLinearizable. The file has its name only if they are the
// same, and then nobody but its owner may read it. What is there already is
// fs.ErrExist.
//
// Nobody may write meanwhile: where they differ the error is ErrDiffers, the report names the
// tables, and there is no file.
func Export(ctx context.Context, db *holdfast.DB, path string, o MoveOptions) (report MoveReport, err error) {
	start := time.Now()
	if !isOne(db) {
		return report, refused("export", "Export moves a cluster's database into a file", "call DB.Backup to copy a file")
	}
	if path, err = filepath.Abs(path); err != nil {
		return report, err
	}
	report.From, report.To = db.Address(), path
	if err := nothingAt(path); err != nil {
		return report, err
	}
	work, err := sidelock.NewDir(filepath.Dir(path), movingDirs, nil)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, work.Remove()) }()
	copied := work.Path("copy.db")
	o.tell(stepCopy)
	info, err := db.Backup(ctx, copied)
	if err != nil {
		return report, err
	}
	report.Bytes, report.SHA256 = info.Bytes, info.SHA256
	there, err := rowhash.Database(holdfast.WithReadLevel(ctx, holdfast.ReadLinearizable), db, o.tell(stepCluster))
	if err != nil {
		return report, err
	}
	here, err := hashFile(ctx, copied, o.tell(stepFile))
	if err != nil {
		return report, err
	}
	report.compared(there, here, there)
	report.DurationSeconds = time.Since(start).Seconds()
	if len(report.Differences) > 0 {
		return report, report.differs(report.From, "its copy", "see that nobody writes to it, and export it again; there is no file")
	}
	if err := nothingAt(path); err != nil {
		return report, err
	}
	if err := os.Rename(copied, path); err != nil {
		return report, err
	}
	return report, dbfile.SyncDir(filepath.Dir(path))
}

// hashFile reads a copy that nobody else knows of.
func hashFile(ctx context.Context, path string, progress func(string, int64)) (list []rowhash.Table, err error) {
	copied, err := holdfast.Open(ctx, path, holdfast.WithReadOnly())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, copied.Close()) }()
	return rowhash.Database(ctx, copied, progress)
}

// nothingAt refuses what is there, also the log of a database that was there: it would be
// taken for the new one's.
func nothingAt(path string) error {
	for _, name := range []string{path, path + "-wal", path + "-journal"} {
		if _, err := os.Lstat(name); err == nil {
			return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
