package holdfasttest

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
)

// scans are the statements that have read whole tables.
type scans struct {
	allowed []string

	mu    sync.Mutex // guards the rest
	began bool       // the schema is there, and the test's statements come
	found []*scan
}

// scan is one statement from one place.
type scan struct {
	sql  string // one of the texts, literals and all
	text string // its fingerprint
	site string
	rows int
	runs int
}

func newScans(allowed []string) *scans { return &scans{allowed: allowed} }

func (s *scans) begin() {
	s.mu.Lock()
	s.began = true
	s.mu.Unlock()
}

// finished is called on the goroutine that has run the statement.
func (s *scans) finished(sql string, scanned int) {
	if scanned == 0 {
		return
	}
	site, nested := place()
	if nested {
		return
	}
	text := stats.Fingerprint(sql)
	if strings.HasPrefix(strings.ToUpper(text), "ALTER ") {
		return // its plan can't be asked for once more, and no index would help it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.began {
		return
	}
	i := slices.IndexFunc(s.found, func(f *scan) bool { return f.text == text && f.site == site })
	if i < 0 {
		s.found = append(s.found, &scan{sql: sql, text: text, site: site})
		i = len(s.found) - 1
	}
	s.found[i].rows += scanned
	s.found[i].runs++
}

// place is where the statement was begun. Below the caller are the frames of the
// engine, more than a locks.Site keeps. A nested one is run by another: it is the
// engine's own, as of ANALYZE or a check of full-text search.
func place() (site string, nested bool) {
	var all [256]uintptr
	var pcs []uintptr
	for _, pc := range all[:runtime.Callers(2, all[:])] {
		switch f := runtime.FuncForPC(pc - 1); {
		case f == nil:
		case strings.HasSuffix(f.Name(), "writer.(*Writer).proceed"):
			return "", false // it leads a group, and this is somebody else's
		case strings.HasSuffix(f.Name(), "._sqlite3VdbeExec"):
			return "", true
		case strings.HasPrefix(f.Name(), "modernc.org/"), strings.Contains(f.Name(), "/holdfasttest.(*scans)"):
		default:
			pcs = append(pcs, pc)
		}
	}
	return locks.At(pcs).String(), false
}

// report fails the test for what was found and is not allowed.
func (s *scans) report(tb testing.TB, path string) {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.found {
		tables, known := scanned(path, f.sql)
		if known && len(tables) == 0 || s.allows(f, tables) {
			continue
		}
		where := ""
		if f.site != "" {
			where = " at " + f.site
		}
		of := "a table"
		if len(tables) > 0 {
			of = strings.Join(tables, ", ")
		}
		tb.Errorf("holdfasttest: full scan of %s%s (%d rows in %d runs): %s", of, where, f.rows, f.runs, f.text)
	}
}

func (s *scans) allows(f *scan, tables []string) bool {
	for _, a := range s.allowed {
		if strings.EqualFold(stats.Fingerprint(a), f.text) {
			return true
		}
	}
	return len(tables) > 0 && !slices.ContainsFunc(tables, func(table string) bool {
		return !slices.ContainsFunc(s.allowed, func(a string) bool { return strings.EqualFold(a, table) })
	})
}

// scanned asks the planner which tables a statement reads in full. Those that have
// no index, a result that is kept or the schema, are none. It is not known if the
// planner can't be asked any more, as the test has changed the schema.
func scanned(path, sql string) (tables []string, known bool) {
	c, err := sqlite.Open(path, sqlite.OpenReadWrite)
	if err != nil {
		return nil, false
	}
	defer c.Close()
	s, _, err := c.Prepare("EXPLAIN QUERY PLAN " + sql)
	if err != nil || s == nil {
		return nil, false
	}
	defer s.Finalize()
	kept := map[string]bool{}
	for row, err := s.Step(); row && err == nil; row, err = s.Step() {
		detail := s.ColumnText(3)
		if name, ok := strings.CutPrefix(detail, "MATERIALIZE "); ok {
			kept[name] = true
		}
		if rest, ok := strings.CutPrefix(detail, "SCAN "); ok {
			table, _, _ := strings.Cut(rest, " ")
			if !kept[table] && !slices.Contains(tables, table) && !strings.Contains("."+table, ".sqlite_") {
				tables = append(tables, table)
			}
		}
	}
	return tables, true
}
