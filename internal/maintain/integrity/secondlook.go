package integrity

import (
	"context"
	"strings"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// suspicious tells whether a code may mean that the file is damaged. SQLITE_IOERR_DATA
// is that of a checksum, which this engine doesn't have; it costs nothing to know it.
func suspicious(code sqlite.ResultCode) bool {
	switch code {
	case sqlite.ResultIOErrRead, sqlite.ResultIOErrData, sqlite.ResultIOErrCorruptFS:
		return true
	}
	return code.Primary() == sqlite.ResultCorrupt || code == sqlite.ResultNotADB
}

// certain tells whether a code that comes from main and from nothing else means
// damage even where no second look could confirm it in time. The others are also those
// of a full-text index that can be made anew (CORRUPT_VTAB), of a sqlite_sequence that
// somebody has replaced, of an index whose collation has become another, and of a
// disk that failed once.
func certain(code sqlite.ResultCode) bool { return code == sqlite.ResultCorrupt }

// meansDamage tells whether a line of integrity_check is about the file. Rows that
// break a rule of their table came there with the rule switched off, and what a
// virtual table says of its own content its own command mends.
func meansDamage(line string) bool {
	for _, ruled := range []string{"NULL value in ", "CHECK constraint failed in ", "TEXT value in ", "NUMERIC value in ", "non-"} {
		if strings.HasPrefix(line, ruled) && !strings.HasPrefix(line, "non-unique entry in index") {
			return false
		}
	}
	for _, virtual := range []string{"inverted index for FTS", "In RTree ", "fts5: ", "unable to validate the inverted index"} {
		if strings.Contains(line, virtual) {
			return false
		}
	}
	return line != "ok" && line != ""
}

// secondLook is whether an error comes from the file.
type secondLook struct {
	cfg  QuarantineConfig
	code sqlite.ResultCode
	sql  string // of the statement that met it; may be ""
}

// look reads what the statement was about, and then as much of the rest as ctx has
// time for.
func (l secondLook) look(ctx context.Context) (evidence string, is bool) {
	c, err := l.cfg.Open(ctx)
	if err != nil {
		return l.judgeFirst(ctx, err)
	}
	defer c.Close()
	defer c.InterruptAfter(ctx)() // quick_check asks the progress handler once in 1000 pages, which may take a disk seconds
	var h busy.Handler
	h.Arm(ctx, lookBound, nil)
	c.SetBusyHandler(h.Busy)
	if _, err := c.QueryInt64(readSchema); err != nil {
		return l.judgeFirst(ctx, err)
	}
	tables, alone := l.tables(c)
	for _, t := range tables {
		if evidence, is, err := l.check(c, "("+quoted(t)+")"); is || err != nil {
			return l.undecided(evidence, is, alone)
		}
	}
	evidence, is, err = l.check(c, "")
	if err != nil {
		return l.undecided(evidence, is, alone)
	}
	return evidence, is
}

// undecided is the verdict where the time was too short.
func (l secondLook) undecided(evidence string, is, alone bool) (string, bool) {
	if !is && alone && certain(l.code) {
		return l.code.String() + " in a statement that has to do with this file alone", true
	}
	return evidence, is
}

// judgeFirst takes an error of the first pages. A disk that doesn't give these either is
// away as a whole: writes fail by themselves until it is back. And a schema that exceeds
// the limits of a connection, a table with more columns that another process has made, is
// SQLITE_CORRUPT for it and sound for one without limits.
func (l secondLook) judgeFirst(ctx context.Context, err error) (string, bool) {
	if sqlite.Code(err).Primary() == sqlite.ResultIOErr {
		return "", false
	}
	evidence, is := l.judge(err)
	return evidence, is && !l.readable(ctx)
}

const readSchema = "SELECT count(*) FROM main.sqlite_schema"

// readable tells whether a connection without any settings can read the schema.
func (l secondLook) readable(ctx context.Context) bool {
	c, err := l.cfg.Bare()
	if err != nil {
		return false
	}
	defer c.Close()
	defer c.InterruptAfter(ctx)()
	_, _ = c.DBConfig(sqlite.DBConfigNoCkptOnClose, true) // if it is damaged after all, the log is evidence
	_, err = c.QueryInt64(readSchema)
	return err == nil
}

// judge takes an error of the second look.
func (l secondLook) judge(err error) (string, bool) {
	code := sqlite.Code(err)
	// An error of the virtual table's own can come up while the schema is read.
	if code == sqlite.ResultCorruptVTab || !suspicious(code) {
		return "", false
	}
	return err.Error(), true
}

// check runs quick_check. An error says that it could not be run to its end.
func (l secondLook) check(c *sqlite.Conn, of string) (evidence string, is bool, err error) {
	s, _, err := c.Prepare("PRAGMA main.quick_check" + of)
	if err == nil {
		defer s.Finalize()
	}
	for row := err == nil; row; { // a row that only breaks a rule may stand before
		if row, err = s.Step(); !row {
			break
		}
		for line := range strings.Lines(s.ColumnText(0)) {
			line = strings.TrimSuffix(line, "\n")
			if !strings.HasPrefix(line, "*** in database") && meansDamage(line) {
				return line, true, nil
			}
		}
	}
	if err == nil {
		return "", false, nil
	}
	if evidence, is = l.judge(err); is {
		err = nil
	}
	return evidence, is, err
}

// tables returns the tables of main that the statement has to do with. alone says that
// it has to do with nothing else: no attached database, no TEMP, no virtual table.
func (l secondLook) tables(c *sqlite.Conn) (tables []string, alone bool) {
	if l.sql == "" {
		return nil, false
	}
	seen, others := map[string]bool{}, false
	c.SetAuthorizer(func(a sqlite.AuthAction, arg1, _, schema, _ string) sqlite.AuthResult {
		switch a {
		case sqlite.ActionRead, sqlite.ActionInsert, sqlite.ActionUpdate, sqlite.ActionDelete:
			if schema != "" && schema != "main" {
				others = true
			} else if arg1 != "" && !seen[arg1] {
				seen[arg1] = true
				tables = append(tables, arg1)
			}
		case sqlite.ActionPragma, sqlite.ActionAttach:
			return sqlite.AuthDeny // it would act here and now
		}
		return sqlite.AuthOK
	})
	s, _, err := c.Prepare(l.sql)
	c.SetAuthorizer(nil)
	if err != nil || s == nil {
		return nil, false
	}
	_ = s.Finalize() // never run
	return tables, !others && len(tables) > 0 && !l.virtual(c, tables)
}

func (l secondLook) virtual(c *sqlite.Conn, tables []string) bool {
	for _, t := range tables {
		n, err := c.QueryInt64("SELECT count(*) FROM main.sqlite_schema WHERE type='table' AND rootpage=0 AND name=" + "'" + strings.ReplaceAll(t, "'", "''") + "'")
		if err != nil || n > 0 {
			return true
		}
	}
	return false
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
