package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/holdfastdb/holdfast/internal/dbfile"
)

// Severity says how bad a finding is. Its values are those that monitoring
// plugins end with.
type Severity int

// Severities, in rising order.
const (
	Info     Severity = 0 // worth knowing, nothing to do
	Warning  Severity = 1 // will hurt sooner or later
	Critical Severity = 2 // data is lost or unreadable, or is about to be
)

// String returns the severity in lower case.
func (s Severity) String() string {
	switch s {
	case Warning:
		return "warning"
	case Critical:
		return "critical"
	}
	return "info"
}

// MarshalText makes JSON carry the name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing that was noticed.
type Finding struct {
	ID       string   `json:"id"` // stable, such as "wal-mispaired"; docs/operator/doctor.md lists them
	Severity Severity `json:"severity"`
	Summary  string   `json:"summary"`  // what, in one sentence
	Evidence string   `json:"evidence"` // what was seen
	Fix      string   `json:"fix"`      // a command, or what to do
}

// Report is the result of an examination.
type Report struct {
	Path     string    // absolute, symbolic links resolved; "" if no database was examined
	Findings []Finding // the worst first
	Blind    []string  // what could not be examined, each with the reason
	Unknown  bool      // what could not be examined is the database itself
}

// Worst returns the highest severity among the findings.
func (r *Report) Worst() Severity {
	worst := Info
	for _, f := range r.Findings {
		worst = max(worst, f.Severity)
	}
	return worst
}

// ExitCode returns what a monitoring plugin would end with: 0 for healthy, 1 and
// 2 for the worst finding, and 3 if nothing bad was found but not everything
// could be seen that had to be.
func (r *Report) ExitCode() int {
	if w := r.Worst(); w > Info || !r.Unknown {
		return int(w)
	}
	return 3
}

// Options say what to examine besides the files of the database.
type Options struct {
	Open     bool   // second stage: open the database for reading and ask it by SQL
	Language string // of the texts, "en" or "de", also as in LANG ("de_AT.UTF-8"); default English
	GoMod    string // a go.mod whose SQLite drivers are looked up
	Binary   string // a Go program, likewise
	DSN      string // a data source name
	Driver   string // whose DSN it is: "mattn", "modernc" or "ncruces"
}

// ErrOpenHere says that this process has the database open, so that a plain
// read of it would drop the process's locks.
var ErrOpenHere = errors.New("this process has the database open; examine it from another one")

// Examine examines the database at path, which may be a "file:" URI; with path "" only what the options
// name. A missing database is an error that answers to [fs.ErrNotExist], unless
// its log was left behind. A context that ends cuts the second stage short.
func Examine(ctx context.Context, path string, o Options) (*Report, error) {
	e := &examination{report: &Report{Findings: []Finding{}, Blind: []string{}}, lang: languageOf(o.Language)}
	if err := e.programs(o); err != nil {
		return nil, err
	}
	if path != "" {
		if err := e.database(ctx, path, o.Open); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(e.report.Findings, func(a, b Finding) int { return cmp.Compare(b.Severity, a.Severity) })
	return e.report, nil
}

// examination is one call of Examine.
type examination struct {
	report *Report
	lang   language
	p      *patient
}

// found adds a finding. The texts of id stand in texts; args fill {0}, {1} and
// so on in them.
func (e *examination) found(id string, s Severity, args ...any) {
	t := texts[id].in(e.lang)
	path := e.report.Path
	e.report.Findings = append(e.report.Findings, Finding{
		ID: id, Severity: s, Summary: t.summary,
		Evidence: e.fill(t.evidence, path, args), Fix: e.fill(t.fix, path, args),
	})
}

// blind adds what could not be seen.
func (e *examination) blind(id string, args ...any) {
	e.report.Blind = append(e.report.Blind, e.fill(blindTexts[id].in(e.lang), e.report.Path, args))
}

// database examines the file at path.
func (e *examination) database(ctx context.Context, path string, open bool) error {
	name, err := dbfile.ParseName(path)
	if err != nil {
		return err
	}
	if name.Memory {
		return fmt.Errorf("%w: a database in memory has no file to examine", dbfile.ErrBadName)
	}
	resolved, err := dbfile.Resolve(name.Path)
	if err != nil {
		return err
	}
	e.report.Path = resolved
	if err := openHere(resolved); err != nil {
		return err
	}
	p, err := meet(ctx, name.Path, resolved)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return e.missing(resolved, err)
	case errors.Is(err, fs.ErrPermission):
		e.blind("unreadable", resolved, err)
		e.report.Unknown = true
		return nil
	case err != nil:
		return err
	}
	e.p = p
	e.files()
	e.space()
	e.engine()
	if readable := e.header(); readable {
		e.logs(ctx)
		e.journal()
		e.length()
	}
	e.copies()
	switch {
	case !open:
	case e.has("wal-mispaired", "wal-damaged", "journal-mispaired", "not-a-database", "encrypted", "header-damaged", "file-empty"):
		e.blind("not opened") // it would be believed, or changed, or refused
	default:
		e.ask(ctx)
	}
	return nil
}

// missing tells a database that was never there from one that has left its log.
func (e *examination) missing(path string, err error) error {
	wal, _, journal, _, _ := dbfile.Sidecars(path)
	for _, sidecar := range []string{wal, journal} {
		if _, info, e2 := dbfile.Identify(sidecar); e2 == nil && info.Size > 0 {
			e.found("database-missing", Critical, sidecar, byteSize(info.Size))
			return nil
		}
	}
	return err
}

// has tells whether one of the findings was made.
func (e *examination) has(ids ...string) bool {
	return slices.ContainsFunc(e.report.Findings, func(f Finding) bool { return slices.Contains(ids, f.ID) })
}
