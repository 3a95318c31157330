package copy

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/holdfastdb/holdfast/internal/maintain/pace"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Level is how closely a database is looked at.
type Level int

const (
	// Quick is PRAGMA quick_check: every page and every row, but not whether
	// indexes and tables say the same.
	Quick Level = iota
	// Integrity is PRAGMA integrity_check: that, too.
	Integrity
	// Full is Integrity, and PRAGMA foreign_key_check if all is well so far: see
	// [References].
	Full
)

// maxProblems is how many problems of each kind are told; SQLite's own default.
const maxProblems = 100

// Check reads the whole of c's main database and returns what is wrong with it:
// the sentences of SQLite, and one for each row that refers to a missing one. A
// file that SQLite gives up on is a problem too, and no error. An error says
// that the check did not come to its end, and then problems are those found
// before; if ctx ended it is ctx's, within some milliseconds.
//
// c is used by the calling goroutine alone until Check returns, and reads in one
// transaction all that time, so a log (-wal) in use can't be emptied: a database
// that is written should be copied with [To], and the copy be given to
// [CheckFile]. c's progress handler is replaced, and removed in the end.
//
// progress, if it is not nil, is told on the same goroutine about how many pages
// of how many have been read.
func Check(ctx context.Context, c *sqlite.Conn, level Level, progress func(done, total int)) (problems []string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k := checker{ctx: ctx, c: c, progress: progress}
	over := k.watch()
	defer over()
	pragma := "quick_check"
	if level >= Integrity {
		pragma = "integrity_check"
	}
	err = k.each(fmt.Sprintf("PRAGMA main.%s(%d)", pragma, maxProblems), func(s *sqlite.Stmt) (more bool) {
		k.add(s.ColumnText(0))
		return true
	})
	// After a damage the references prove nothing, and may take for ever.
	if err == nil && level == Full && len(k.problems) == 0 {
		err = k.foreignKeys()
	}
	if err == nil && progress != nil {
		progress(k.total, k.total)
	}
	return k.problems, err
}

// References returns the rows of c's main database that refer to a row that is
// missing, a hundred at most. That is no damage of the file, and possible wherever
// foreign_keys was off. Otherwise it is like [Check].
func References(ctx context.Context, c *sqlite.Conn) (orphans []string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k := checker{ctx: ctx, c: c}
	over := k.watch()
	defer over()
	err = k.foreignKeys()
	return k.problems, err
}

// CheckFile is [Check] of a file that nobody writes, by its path: a copy, or a
// database that is closed. It takes no lock and writes nothing, and it must not
// have a -wal that belongs to it: nobody would read it.
func CheckFile(ctx context.Context, path string, level Level, progress func(done, total int)) (problems []string, err error) {
	c, err := OpenFile(path)
	if err != nil {
		return nil, err
	}
	problems, err = Check(ctx, c, level, progress)
	return problems, single(errors.Join(err, c.Close()))
}

// OpenFile opens a file as [CheckFile] does. The caller closes the connection.
func OpenFile(path string) (*sqlite.Conn, error) {
	c, err := sqlite.Open(immutable(path), sqlite.OpenReadOnly|sqlite.OpenURI)
	if err != nil {
		return nil, err
	}
	// trusted_schema: what a damaged schema calls is not to be trusted.
	if err := c.Exec("PRAGMA trusted_schema=0; PRAGMA cell_size_check=1; PRAGMA mmap_size=0"); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	_ = c.Exec("PRAGMA cache_size=-16000") // reads the schema; what is damaged there Check says
	return c, nil
}

// checker is one run of Check.
type checker struct {
	ctx      context.Context
	c        *sqlite.Conn
	progress func(done, total int)
	problems []string

	total, done int
	missed      int64 // by c's page cache, before
}

// watch has the end of the context stop c, and tells the progress, until over.
// Both ways are needed: the progress handler is asked by SQLite's own check
// every so many pages, but not inside a count(*) or while it sorts.
func (k *checker) watch() (over func()) {
	if n, err := k.c.QueryInt64("PRAGMA main.page_count"); err == nil {
		k.total = int(n)
	}
	k.missed, _, _ = k.c.Status(sqlite.DBStatusCacheMiss, false)
	work := pace.Of(k.ctx)
	steps, asked := 1000, 0
	if work != nil {
		steps = 10 // 10 pages of a table take 30 us
	}
	k.c.SetProgressHandler(steps, func() bool {
		if asked++; asked*steps%1000 == 0 {
			k.tell()
		}
		work.Pause(k.ctx)
		return k.ctx.Err() != nil
	})
	calm := k.c.InterruptAfter(k.ctx)
	return func() {
		calm()
		k.c.SetProgressHandler(0, nil)
	}
}

// tell takes the pages that c had to fetch for those that are done: a check
// visits each page of the file, most of them once.
func (k *checker) tell() {
	if k.progress == nil {
		return
	}
	missed, _, err := k.c.Status(sqlite.DBStatusCacheMiss, false)
	if done := min(int(missed-k.missed), k.total); err == nil && done > k.done {
		k.done = done
		k.progress(done, k.total)
	}
}

// add takes what SQLite says about one database: one line a problem, below a title.
func (k *checker) add(text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if line != "ok" && !strings.HasPrefix(line, "*** in database") {
			k.problems = append(k.problems, line)
		}
	}
}

// each runs sql and gives its rows to f until it has enough.
func (k *checker) each(sql string, f func(*sqlite.Stmt) (more bool)) error {
	s, _, err := k.c.Prepare(sql)
	if err != nil {
		return k.judge(err)
	}
	defer s.Finalize()
	for {
		row, err := s.Step()
		if err != nil {
			return k.judge(err)
		}
		if !row || !f(s) {
			return nil
		}
	}
}

// judge tells a damage from what keeps the check from its end.
func (k *checker) judge(err error) error {
	if ctxErr := k.ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	switch sqlite.Code(err).Primary() {
	case sqlite.ResultCorrupt, sqlite.ResultNotADB:
		k.problems = append(k.problems, err.Error())
		return nil
	}
	return err
}

func (k *checker) foreignKeys() error {
	n := 0
	return k.each("PRAGMA main.foreign_key_check", func(s *sqlite.Stmt) (more bool) {
		row := "a row"
		if s.ColumnType(1) != sqlite.TypeNull { // a table WITHOUT ROWID has none
			row = "row " + strconv.FormatInt(s.ColumnInt64(1), 10)
		}
		k.problems = append(k.problems, fmt.Sprintf("%s of %s refers to a row of %s that is missing (foreign key %d)",
			row, s.ColumnText(0), s.ColumnText(2), s.ColumnInt64(3)))
		n++
		return n < maxProblems
	})
}
