package salvage

import (
	"errors"
	"fmt"
	"strings"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// finish makes what else the schema has, and brings all of it to the disk.
func (s *salvage) finish() error {
	for _, t := range s.tables {
		t.finalize()
	}
	a := &s.out.aside
	if a.insert != nil {
		if err := a.insert.Finalize(); err != nil {
			return err
		}
	}
	s.report.LostAndFound, s.report.Aside = a.name, a.rows
	step, steps := 0, len(s.objects)
	for _, kind := range []string{"index", "view", "trigger"} {
		for _, o := range s.objects {
			if o.kind != kind {
				continue
			}
			step++
			if tell := s.stage("rebuild"); tell != nil {
				tell(step, steps)
			}
			if o.sql == "" { // of a constraint: it came with its table
				continue
			}
			if err := create(s.out.c, o); err != nil {
				if e := s.fatal(err); e != nil {
					return e
				}
				s.notMade(o, err.Error())
			}
		}
	}
	if err := s.virtualTables(); err != nil {
		return err
	}
	mode := "DELETE"
	if s.im.walMode {
		mode = "WAL"
	}
	if err := s.judge(); err != nil {
		return err
	}
	// With FULL the commit flushes the file, and with it all that was written before.
	return s.out.c.Exec(fmt.Sprintf("PRAGMA application_id=%d; PRAGMA synchronous=FULL; PRAGMA journal_mode=DELETE; PRAGMA user_version=%d; PRAGMA locking_mode=NORMAL; PRAGMA journal_mode=%s",
		s.im.app, s.im.user, mode))
}

func (s *salvage) notMade(o object, why string) {
	s.report.NotMade = append(s.report.NotMade, Object{o.kind, o.name, o.sql, why})
}

// fatal tells what ends the run from what the object is guilty of.
func (s *salvage) fatal(err error) error {
	switch sqlite.Code(err).Primary() {
	case sqlite.ResultFull, sqlite.ResultIOErr, sqlite.ResultNoMem, sqlite.ResultInterrupt:
		return err
	}
	return s.ctx.Err()
}

// virtualTables enters them in the schema, for their rows are in ordinary tables that
// are there already, and takes out those that don't work.
func (s *salvage) virtualTables() error {
	c := s.out.c
	var all []object
	for _, o := range s.objects {
		if o.virtual() {
			all = append(all, o)
		}
	}
	if len(all) == 0 {
		return c.Exec("COMMIT")
	}
	// The columns of an R-tree or FTS table are those of its text, which nothing
	// else can create while the tables that it would make are there.
	enter := "PRAGMA writable_schema=ON;"
	for _, o := range all {
		enter += fmt.Sprintf("INSERT INTO sqlite_schema VALUES('table',%s,%s,0,%s);", text(o.name), text(o.name), text(o.sql))
	}
	if err := c.Exec(enter + "COMMIT; PRAGMA writable_schema=RESET"); err != nil {
		return err
	}
	for _, o := range all {
		why := s.proveVirtual(o)
		if why == nil {
			continue
		}
		if err := s.fatal(why); err != nil {
			return err
		}
		remove := fmt.Sprintf("PRAGMA writable_schema=ON; DELETE FROM sqlite_schema WHERE type='table' AND name=%s; PRAGMA writable_schema=RESET", text(o.name))
		if err := c.Exec(remove); err != nil {
			return err
		}
		s.notMade(o, why.Error())
	}
	return nil
}

// proveVirtual checks a virtual table, and has one for full-text search make its
// index anew if that is damaged.
func (s *salvage) proveVirtual(o object) error {
	check := func() error {
		found, err := s.out.c.QueryText("PRAGMA integrity_check(" + quote(o.name) + ")")
		if err == nil && found != "ok" {
			err = errors.New(found)
		}
		if err == nil {
			err = each(s.out.c, "SELECT 1 FROM "+quote(o.name)+" LIMIT 0", func(*sqlite.Stmt) {})
		}
		return err
	}
	err := check()
	if err == nil || !strings.Contains(strings.ToUpper(o.sql), "FTS") {
		return err
	}
	if e := s.out.c.Exec(fmt.Sprintf("INSERT INTO %s(%s) VALUES('rebuild')", quote(o.name), quote(o.name))); e != nil {
		return errors.Join(err, e)
	}
	return check()
}

// judge says how much of the database is there.
func (s *salvage) judge() error {
	r := s.report
	for _, t := range s.tables {
		r.Tables = append(r.Tables, t.report)
	}
	lost := r.RowsLost > 0 || r.Aside > 0 || len(r.NotMade) > 0 || !r.HeaderWhole && r.SchemaFrom == "" || r.Log != nil && r.Log.FramesLost > 0
	for _, t := range r.Tables {
		lost = lost || len(t.DamagedPages) > 0 && !(t.LostExact && t.RowsLost == 0) || len(t.Problems) > 0 && !t.LostExact
	}
	switch {
	case r.Rows+r.Aside == 0 && (lost || len(r.DamagedPages) > 0):
		r.Verdict = "nothing"
	case lost:
		r.Verdict = "partial"
	default:
		r.Verdict = "whole"
	}
	return nil
}
