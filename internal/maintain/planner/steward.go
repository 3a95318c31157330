package planner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Config is what a Steward works with. Open is required.
type Config struct {
	// Open opens a connection that only reads, for the Steward alone, which
	// closes it.
	Open func(ctx context.Context) (*sqlite.Conn, error)
	// Write has run done by the writer, in a transaction, behind everybody else.
	// It may call run more than once. Nil without a writer: every Run is dry then.
	Write func(ctx context.Context, sql string, run func(*sqlite.Conn) error) error
	// Statements are those that the database is asked, by this process and others.
	// A text that can't be compiled is passed over. May be nil.
	Statements func(ctx context.Context) []string
	// Pause is called before each piece of work and may wait. May be nil.
	Pause func(ctx context.Context) error
}

// Options of one Run.
type Options struct {
	DryRun bool
	// ScanTime is the longest that one count may take: that long a snapshot keeps
	// the log from being begun anew. An index that takes longer is left alone.
	ScanTime time.Duration
	// Tried are tables whose statistics were put back before. As long as they would
	// get about the same again they are left alone: trying it once more would change the
	// schema twice, and say the same.
	Tried map[string]Table
}

// Report is what a Run has found and done.
type Report struct {
	Indexes    int      // that were counted
	Statements int      // known ones whose plans were compared
	Tables     []Table  // whose statistics are far from the truth
	Left       []string // why an index was left alone
	Writes     int      // transactions
	Longest    time.Duration
}

// Outcome is what became of the statistics of a table.
type Outcome string

// The outcomes.
const (
	Kept     Outcome = "kept"
	Reverted Outcome = "reverted" // a plan got worse
	Proposed Outcome = "proposed" // it was a dry run
)

// Table is one whose statistics were missing or far from the truth.
type Table struct {
	Name    string
	Changes []Change
	Outcome Outcome
	Plans   []Plan // of statements that got another plan
}

// Change is a row of sqlite_stat1 that is new, different or gone.
type Change struct {
	Index         string // "" for the row of the table itself
	Before, After string // "" is no row
	Why           string
}

// Run compares the statistics with the database and mends them. It blocks for as
// long as it counts; ctx ends it at once, with nothing left half done: what was
// written before has been compared, or is put back.
func Run(ctx context.Context, cfg Config, o Options) (r Report, err error) {
	if cfg.Pause == nil {
		cfg.Pause = func(ctx context.Context) error { return ctx.Err() }
	}
	s := &steward{Config: cfg, Options: o, report: &r}
	found, err := s.survey(ctx)
	found = slices.DeleteFunc(found, s.tried)
	if err != nil || len(found) == 0 {
		return r, err
	}
	if o.DryRun || cfg.Write == nil {
		for _, t := range found {
			t.Outcome = Proposed
			r.Tables = append(r.Tables, t.Table)
		}
		return r, nil
	}
	err = s.mend(ctx, found)
	for _, t := range found {
		if t.Outcome != "" {
			r.Tables = append(r.Tables, t.Table)
		}
	}
	return r, err
}

// steward is one Run.
type steward struct {
	Config
	Options
	report *Report
}

// finding is a Table with what is needed to put its statistics back.
type finding struct {
	Table
	saved saved
}

// survey counts, and returns the tables whose statistics are wrong.
func (s *steward) survey(ctx context.Context) ([]*finding, error) {
	c, err := s.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	recorded, err := readStatistics(c)
	if err != nil {
		return nil, err
	}
	tables, err := tablesOf(c)
	if err != nil {
		return nil, err
	}
	var found []*finding
	for _, t := range tables {
		changes, err := s.judge(ctx, c, t, recorded[t.name])
		if err != nil {
			return nil, err
		}
		delete(recorded, t.name)
		if len(changes) > 0 {
			found = append(found, &finding{Table: Table{Name: t.name, Changes: changes}})
		}
	}
	for _, name := range sorted(recorded) {
		there, err := exists(c, name)
		if err != nil {
			return nil, err
		}
		if there { // a table of an extension's own: what it keeps there is its business
			continue
		}
		f := &finding{Table: Table{Name: name}}
		for _, idx := range sorted(recorded[name]) {
			f.Changes = append(f.Changes, Change{Index: idx, Before: recorded[name][idx], Why: "there is no such table"})
		}
		found = append(found, f)
	}
	return found, nil
}

// tried tells whether a finding was put back before and is about the same now.
func (s *steward) tried(f *finding) bool {
	before, ok := s.Tried[f.Name]
	if !ok || len(before.Changes) != len(f.Changes) {
		return false
	}
	for i, c := range f.Changes {
		if was := before.Changes[i]; was.Index != c.Index || was.Before != c.Before || difference(was.After, c.After) != "" {
			return false
		}
	}
	s.report.Left = append(s.report.Left, f.Name+": with true statistics a plan got worse before")
	return true
}

// judge returns the changes that the statistics of a table need.
func (s *steward) judge(ctx context.Context, c *sqlite.Conn, t table, recorded map[string]string) ([]Change, error) {
	var changes, exact []Change
	seen := map[string]bool{}
	wrong := false
	for _, i := range t.counted() {
		seen[i.stat] = true
		before := recorded[i.stat]
		if handmade(before) {
			s.leave(t, i, "its statistics have words that ANALYZE never writes, so somebody has made them by hand")
			continue
		}
		if err := s.Pause(ctx); err != nil {
			return nil, err
		}
		after, err := s.count(ctx, c, i)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, errTooLong), sqlite.Code(err).Primary() == sqlite.ResultInterrupt:
			s.leave(t, i, fmt.Sprintf("counting it takes longer than %s", s.ScanTime))
			continue
		case sqlite.Code(err).Primary() == sqlite.ResultError: // a function or collation that only its program has
			s.leave(t, i, "it can't be read here")
			continue
		case err != nil:
			return nil, err
		}
		s.report.Indexes++
		why := difference(before, after)
		wrong = wrong || why != ""
		if before != after {
			exact = append(exact, Change{Index: i.stat, Before: before, After: after, Why: why})
		}
	}
	for _, idx := range sorted(recorded) {
		if seen[idx] || idx == "" && handmade(recorded[idx]) {
			continue
		}
		changes = append(changes, Change{Index: idx, Before: recorded[idx], Why: "there is no such index"})
	}
	if wrong { // then the others had better be of the same day
		changes = append(changes, exact...)
	}
	return changes, nil
}

func (s *steward) leave(t table, i index, why string) {
	name := t.name
	if i.stat != "" && i.stat != t.name {
		name += "." + i.stat
	}
	s.report.Left = append(s.report.Left, name+": "+why)
}
