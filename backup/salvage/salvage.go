package salvage

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
	openfiles "github.com/holdfastdb/holdfast/internal/locks/table"
	"github.com/holdfastdb/holdfast/internal/maintain/copy"
	"github.com/holdfastdb/holdfast/internal/maintain/manifest"
	"github.com/holdfastdb/holdfast/internal/sidelock"
)

// ErrOpenHere: this process has the database open. Reading it beside SQLite would
// drop its locks.
var ErrOpenHere = errors.New("the database is open in this process")

// ErrNothing: there is no page that could be read.
var ErrNothing = fmt.Errorf("nothing in it can be read (%w)", holdfast.ErrCorrupt)

// Options changes how Run works. The zero value is the usual way.
type Options struct {
	// SchemaFrom is another database whose tables and indexes those of the damaged one
	// are taken to be: a backup, for a file whose first page is gone. "" takes them
	// from the damaged one.
	SchemaFrom string
	// WithoutLog leaves a -wal out. Otherwise it is applied as SQLite would, unless the
	// trees are less damaged without it.
	WithoutLog bool
	// Progress is told how far it is: pages, or steps at the end. May be nil; must return soon.
	Progress func(stage string, done, total int)
}

// salvage is one run.
type salvage struct {
	ctx     context.Context
	options Options
	im      *image
	w       *walker
	out     *output
	report  *Report
	taken   int

	objects []object
	tables  []*table
	indexes []*indexTree
	owners  map[uint32]owner // of damaged pages, and of those that refer to them
	noList  bool             // nobody knows which pages are free
}

// owner is whose a page is: a table's or an index's.
type owner struct {
	table *table
	index bool
}

type indexTree struct {
	object
	tree tree
}

// Run copies every row that can be read of the database at path, its -wal or -journal
// included, into a new database at dst, which must not be there, nor its -wal or -journal. It only reads the
// damaged files; nobody should write them meanwhile. It refuses to if this process has
// them open (ErrOpenHere).
//
// Tables are those of the damaged schema. Pages that no tree refers to any more, because
// a page above them is gone, are given to their table by the pointer map or by their
// rowids; rows that were on a damaged page come from indexes that have all of their
// columns. What belongs to no table for sure, or is only there in part, goes to a table
// lost_and_found, as it is, with the reason. Indexes, views and triggers are made anew,
// and no trigger fires.
//
// The new database has passed integrity_check and is on the disk when Run returns
// without an error; after an error, also of ctx, nothing is left. That rows are
// lost is no error but in the report.
func Run(ctx context.Context, path, dst string, o Options) (report Report, err error) {
	start := time.Now()
	if path, err = dbfile.Resolve(path); err != nil { // sidecars lie beside the file and not beside a link to it
		return report, err
	}
	if dst, err = filepath.Abs(dst); err != nil {
		return report, err
	}
	if err := vacant(dst); err != nil {
		return report, err
	}
	s := &salvage{ctx: ctx, options: o, owners: map[uint32]owner{}, report: &Report{
		Schema: "holdfast.salvage/v1", Database: path, Destination: dst, SchemaFrom: o.SchemaFrom,
		Tables: []Table{}, DamagedPages: []uint32{}, Indexes: []string{}, NotMade: []Object{},
	}}
	f, err := s.open(path)
	if err != nil {
		return *s.report, err
	}
	defer f.close()
	if err := s.choose(f); err != nil {
		return *s.report, err
	}
	work, err := sidelock.NewDir(filepath.Dir(dst), manifest.PartialDirs, manifest.Undo)
	if err != nil {
		return *s.report, err
	}
	err = s.into(work.Path(manifest.CopyName), dst)
	s.report.DurationSeconds = time.Since(start).Seconds()
	return *s.report, single(errors.Join(err, work.Remove()))
}

// vacant tells whether a database can get this name. A log that another one has left
// would be taken for its own by whoever opens it first.
func vacant(dst string) error {
	wal, _, journal, _, _ := dbfile.Sidecars(dst)
	for _, name := range []string{dst, wal, journal} {
		if _, err := os.Lstat(name); err == nil {
			return fmt.Errorf("%s exists already (%w); name a file that does not exist, nor its -wal and -journal", name, fs.ErrExist)
		}
	}
	return nil
}

// files are the damaged ones, open to be read.
type files struct {
	database, log, journal    *os.File
	size, logSize, journalLen int64
}

func (f files) close() {
	for _, one := range []*os.File{f.database, f.log, f.journal} {
		if one != nil {
			_ = one.Close() // it was only read
		}
	}
}

func (s *salvage) open(path string) (f files, err error) {
	wal, shm, journal, _, _ := dbfile.Sidecars(path)
	if openfiles.Own(path, wal, shm, journal) || s.options.SchemaFrom != "" && openfiles.Own(s.options.SchemaFrom) {
		return f, fmt.Errorf("%s: %w; close it there, or use the command holdfast salvage", path, ErrOpenHere)
	}
	if f.database, f.size, err = openFile(path); err == nil && f.database == nil {
		return f, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	if err == nil {
		f.log, f.logSize, err = openFile(wal)
	}
	if err == nil {
		f.journal, f.journalLen, err = openFile(journal)
	}
	if err != nil {
		f.close()
	}
	return f, err
}

// choose decides what stands in front of the file's pages.
func (s *salvage) choose(f files) error {
	bare, err := newImage(f.database, f.size, overlay{}, 0)
	if f.journal != nil && f.journalLen > 0 {
		o, e := readJournal(f.journal, f.journalLen)
		if e != nil {
			return e
		}
		if s.report.JournalPages = len(o.pages); len(o.pages) > 0 {
			bare, err = newImage(f.database, f.size, o, o.size)
		}
	}
	s.im = bare
	if f.log != nil && f.logSize > 0 {
		o, l, e := readLog(f.log, f.logSize)
		if e != nil {
			return e
		}
		s.report.Log = &l
		if e := s.weigh(f, bare, o, &l); e != nil {
			return e
		}
	}
	if s.im == nil {
		return fmt.Errorf("%s: %w", s.report.Database, errors.Join(ErrNothing, err))
	}
	s.report.Pages, s.report.PageSize, s.report.HeaderWhole = int64(s.im.pages), s.im.pageSize, s.im.whole
	return nil
}

// weigh applies the log, unless the database is less damaged without it: the log of
// another database has whole frames too.
func (s *salvage) weigh(f files, bare *image, o overlay, l *Log) error {
	switch {
	case s.options.WithoutLog:
		l.Note = "it was left out, as asked for"
		return nil
	case len(o.pages) == 0:
		return nil
	}
	with, err := newImage(f.database, f.size, o, o.size)
	if err != nil {
		return err
	}
	if l.DamageWith, err = s.damageOf(with); err != nil {
		return err
	}
	if bare != nil && l.DamageWith > 0 {
		if bare.pageSize != o.size && bare.whole {
			l.Note = "it has pages of another size and belongs to another database"
			return nil
		}
		if l.DamageWithout, err = s.damageOf(bare); err != nil {
			return err
		}
		if l.DamageWithout < l.DamageWith {
			l.Note = "the trees are less damaged without it: it may belong to another database"
			return nil
		}
	}
	s.im, l.Applied = with, true
	return nil
}

// damageOf counts what can't be read of the trees, whatever they hold.
func (s *salvage) damageOf(im *image) (holes int, err error) {
	w := newWalker(s.ctx, im, s.stage("compare"))
	objects, t, err := readSchema(w)
	if err != nil {
		return 0, err
	}
	holes = len(t.holes)
	for n := im.size/int64(im.pageSize) + 1; n <= int64(im.pages); n++ { // a log that makes the file longer has those pages
		if _, ok := im.overlay[uint32(n)]; !ok && n != int64(pendingByte/im.pageSize+1) {
			holes++
		}
	}
	if len(objects) == 0 && holes > 0 {
		return int(im.pages), nil
	}
	for _, o := range objects {
		if o.root == 0 {
			continue
		}
		t := tree{root: o.root, index: o.kind == "index"}
		if d, err := im.node(o.root); err == nil && o.kind == "table" {
			t.index = d.index()
		}
		if err := w.walk(&t, nil); err != nil {
			return 0, err
		}
		holes += len(t.holes)
	}
	return holes, nil
}

func (s *salvage) stage(name string) func(done, total int) {
	if s.options.Progress == nil {
		return nil
	}
	return func(done, total int) { s.options.Progress(name, done, total) }
}

// into makes the new database at path and gives it its name.
func (s *salvage) into(path, dst string) (err error) {
	if created, err := dbfile.CreatePrivate(path, 0); err != nil || !created {
		return errors.Join(err, fmt.Errorf("%s could not be created", path))
	}
	if s.out, err = newOutput(s.ctx, path, s.im); err != nil {
		return err
	}
	open := true
	defer func() {
		if open {
			_ = s.out.close() // the error that matters is the other
		}
	}()
	for _, step := range []func() error{s.readObjects, s.copyTables, s.goThroughIndexes, s.gatherOrphans, s.askIndexes, s.count, s.finish} {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		if err := step(); err != nil {
			if ctxErr := s.ctx.Err(); ctxErr != nil {
				return ctxErr
			}
			return err
		}
	}
	open = false
	if err := s.out.close(); err != nil {
		return err
	}
	problems, err := copy.CheckFile(s.ctx, path, copy.Integrity, s.stage("check"))
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return fmt.Errorf("the new database does not pass integrity_check: %s; please report this", strings.Join(problems, "; "))
	}
	s.report.Verified = true
	if err := vacant(dst); err != nil {
		return err
	}
	if err := os.Rename(path, dst); err != nil {
		return err
	}
	return dbfile.SyncDir(filepath.Dir(dst))
}

// single unwraps a join of one error, so that its type stays visible.
func single(err error) error {
	if j, ok := err.(interface{ Unwrap() []error }); ok && len(j.Unwrap()) == 1 {
		return j.Unwrap()[0]
	}
	return err
}
