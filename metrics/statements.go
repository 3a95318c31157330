package metrics

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/queries"
)

// A statementFigure is one number that every series of statements has.
type statementFigure struct {
	name, unit, help string
	of               func(*queries.Query) float64
}

// statementFigures are counters all of them. The histograms stand beside them.
var statementFigures = [...]statementFigure{
	{"calls", "", "executions that the program asked for", func(q *queries.Query) float64 { return float64(q.Calls) }},
	{"failed", "", "calls that returned an error", func(q *queries.Query) float64 { return float64(q.Failed()) }},
	{"rows", "", "rows returned", func(q *queries.Query) float64 { return float64(q.Rows) }},
	{"rows_changed", "", "rows inserted, updated and deleted", func(q *queries.Query) float64 { return float64(q.RowsChanged) }},
	{"vm_steps", "", "instructions of SQLite's virtual machine", func(q *queries.Query) float64 { return float64(q.VMSteps) }},
	{"full_scan_steps", "", "rows stepped over in scans of whole tables", func(q *queries.Query) float64 { return float64(q.FullScanSteps) }},
	{"sorts", "", "sorts", func(q *queries.Query) float64 { return float64(q.Sorts) }},
	{"automatic_index_rows", "", "rows put into indexes that were made for one execution", func(q *queries.Query) float64 { return float64(q.AutoIndexes) }},
	{"page_hits", "", "pages found in the cache", func(q *queries.Query) float64 { return float64(q.PageHits) }},
	{"page_misses", "", "pages read from the file or the log", func(q *queries.Query) float64 { return float64(q.PageMisses) }},
	{"busy_waits", "", "times that another connection's lock was met", func(q *queries.Query) float64 { return float64(q.BusyWaits) }},
	{"wait_seconds", "s", "time waited for a reader, the writer and locks", func(q *queries.Query) float64 { return q.Wait.Sum().Seconds() }},
}

// durationHelp is what the histogram of statements is.
const durationHelp = "how long calls took for the caller, with waits and, of a write outside a transaction, its COMMIT"

// counts are the figures of some statements together.
type counts struct {
	figures  [len(statementFigures)]float64
	duration *queries.Histogram
}

func countsOf(q *queries.Query) counts {
	c := counts{duration: q.Duration.Clone()}
	for i := range statementFigures {
		c.figures[i] = statementFigures[i].of(q)
	}
	return c
}

func (c *counts) add(o counts) {
	for i := range o.figures {
		c.figures[i] += o.figures[i]
	}
	if c.duration == nil {
		c.duration = new(queries.Histogram)
	}
	if o.duration != nil {
		c.duration.Merge(o.duration)
	}
}

// since is what was counted after an older state of the same.
func (c counts) since(o counts) counts {
	for i := range o.figures {
		c.figures[i] -= o.figures[i]
	}
	if o.duration != nil {
		c.duration = c.duration.Since(o.duration)
	}
	return c
}

// A series is a statement with a name of its own, or, without an ID, all others.
type series struct {
	id, operation, summary string
	counts
}

// statements decides which statements have series. A series of a counter must
// never fall, or Prometheus takes the fall for a restart and counts all of it
// again. So a statement that gets a series begins it with what came after the last
// look, if its past has been told among the others; and what a series had
// when it ended is not told again among them.
type statements struct {
	top int

	at      time.Time // of the last look
	since   time.Time // of the report
	named   map[string]*named
	last    map[string]counts // at the last look, of those that have no series
	retired counts            // of the series that have ended
	told    []series
	errors  map[string]int64
}

// named is a statement that has a series.
type named struct {
	series
	past counts // told among the others before
}

// look returns the series, of now or of a second ago.
func (s *source) look() ([]series, map[string]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.statements
	if now := time.Now(); st.at.IsZero() || now.Sub(st.at) >= every {
		r, err := s.db.QueryCounts()
		if err != nil { // nothing is counted, by configuration
			return nil, nil
		}
		st.at = now
		st.take(&r)
	}
	return st.told, st.errors
}

func (s *statements) take(r *queries.Report) {
	first := s.named == nil || !r.Since.Equal(s.since)
	if first {
		s.since, s.named, s.last, s.retired = r.Since, map[string]*named{}, map[string]counts{}, counts{}
	}
	r.Sort(queries.ByTime)
	s.choose(r)
	all, last := counts{}, map[string]counts{}
	s.errors = map[string]int64{}
	s.told = make([]series, 0, len(s.named)+1)
	seen := map[string]bool{}
	for i := range r.Queries {
		q := &r.Queries[i]
		c := countsOf(q)
		all.add(c)
		addErrors(s.errors, q)
		seen[q.ID] = true
		if n := s.named[q.ID]; n != nil {
			n.counts = c.since(n.past)
			s.told = append(s.told, n.series)
		} else {
			last[q.ID] = c
		}
	}
	for id, n := range s.named { // the library gave up its row: it is in Others now
		if !seen[id] {
			s.end(n)
		}
	}
	s.last = last
	all.add(countsOf(&r.Others))
	addErrors(s.errors, &r.Others)
	for i := range s.told {
		all = all.since(s.told[i].counts)
	}
	if s.retired.duration != nil {
		all = all.since(s.retired)
	}
	s.told = append(s.told, series{operation: "other", summary: "other", counts: all})
}

// choose names the statements that took longest. Those that are named stay so until
// a place is needed for one that took longer.
func (s *statements) choose(r *queries.Report) {
	n := min(max(s.top, 0), len(r.Queries))
	wanted := r.Queries[:n]
	keep := map[string]bool{}
	for i := range wanted {
		keep[wanted[i].ID] = true
	}
	var surplus []*named // the least first
	for i := len(r.Queries) - 1; i >= n; i-- {
		if q := s.named[r.Queries[i].ID]; q != nil {
			surplus = append(surplus, q)
		}
	}
	for i := range wanted {
		q := &wanted[i]
		if s.named[q.ID] != nil {
			continue
		}
		if len(s.named) >= s.top && len(surplus) > 0 {
			s.end(surplus[0])
			surplus = surplus[1:]
		}
		if len(s.named) < s.top {
			operation, summary := Summary(q.Statement)
			s.named[q.ID] = &named{series: series{id: q.ID, operation: operation, summary: summary}, past: s.last[q.ID]}
		}
	}
}

func (s *statements) end(n *named) {
	s.retired.add(n.counts)
	delete(s.named, n.id)
}

func addErrors(all map[string]int64, q *queries.Query) {
	for kind, n := range q.Errors {
		all[kind] += n
	}
}

// Summary returns what OpenTelemetry calls db.operation.name and db.query.summary of
// a statement: "SELECT" and "SELECT orders items". The second has the operation
// and the tables named after FROM, JOIN, INTO, UPDATE and TABLE, as they are written,
// the first three of them; no value is in it.
func Summary(statement string) (operation, summary string) {
	words := tokens(statement)
	depth := 0 // the operation of a WITH stands after its parentheses
	for _, w := range words {
		switch w = strings.ToUpper(w); {
		case w == "(":
			depth++
		case w == ")":
			depth--
		case depth == 0 && operation == "" && slices.Contains(operations, w):
			operation = w
		}
	}
	if operation == "" {
		return "OTHER", "OTHER"
	}
	ctes := commonTables(words)
	targets := []string{}
	for i := 0; i+1 < len(words) && len(targets) < 3; i++ {
		if !slices.Contains(beforeTables, strings.ToUpper(words[i])) {
			continue
		}
		k := i + 1
		for k < len(words) && slices.Contains(betweenThem, strings.ToUpper(words[k])) {
			k++
		}
		if k < len(words) && isName(words[k]) && !slices.Contains(noTables, strings.ToUpper(words[k])) {
			name := strings.Trim(words[k], "\"`[]")
			if k+2 < len(words) && words[k+1] == "." && isName(words[k+2]) {
				name = strings.Trim(words[k+2], "\"`[]")
			}
			if !slices.Contains(targets, name) && !slices.Contains(ctes, strings.ToLower(name)) {
				targets = append(targets, name)
			}
		}
	}
	return operation, strings.Join(append([]string{operation}, targets...), " ")
}

var (
	operations = []string{
		"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "VALUES", "CREATE", "DROP", "ALTER", "PRAGMA", "BEGIN", "COMMIT", "END",
		"ROLLBACK", "SAVEPOINT", "RELEASE", "ATTACH", "DETACH", "VACUUM", "ANALYZE", "REINDEX", "EXPLAIN",
	}
	beforeTables = []string{"FROM", "JOIN", "INTO", "UPDATE", "TABLE"}
	noTables     = []string{"SET", "SELECT", "VALUES", "WITH"}
	betweenThem  = []string{"OR", "ROLLBACK", "ABORT", "REPLACE", "FAIL", "IGNORE", "IF", "NOT", "EXISTS", "("}
)

// commonTables are the names that WITH gives, in lower case.
func commonTables(words []string) (names []string) {
	if len(words) == 0 || !strings.EqualFold(words[0], "WITH") {
		return nil
	}
	for i := 1; i < len(words); i++ {
		if strings.EqualFold(words[i], "AS") && i+1 < len(words) {
			k := i - 1
			if words[k] == ")" { // the columns stand between
				for k > 0 && words[k] != "(" {
					k--
				}
				k--
			}
			if k > 0 && isName(words[k]) {
				names = append(names, strings.ToLower(strings.Trim(words[k], "\"`[]")))
			}
		}
	}
	return names
}

func isName(word string) bool {
	c := word[0]
	return c == '"' || c == '`' || c == '[' || c == '_' || c >= 0x80 || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// tokens splits a statement whose values are question marks already. Text in single
// quotes, should there be some, is one of them.
func tokens(s string) (words []string) {
	for i := 0; i < len(s); {
		k := i + 1
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
			continue
		case c == '"' || c == '`' || c == '\'' || c == '[':
			end := c
			if c == '[' {
				end = ']'
			}
			n := strings.IndexByte(s[k:], end)
			if n < 0 {
				return words
			}
			k += n + 1
		case isName(s[i : i+1]):
			for k < len(s) && (isName(s[k:k+1]) && !strings.ContainsRune("\"`[", rune(s[k])) || '0' <= s[k] && s[k] <= '9' || s[k] == '$') {
				k++
			}
		}
		words = append(words, s[i:k])
		i = k
	}
	return words
}

// errorKinds are the kinds of errors in order.
func errorKinds(m map[string]int64) []string {
	kinds := make([]string, 0, len(m))
	for k := range m {
		kinds = append(kinds, k)
	}
	slices.SortFunc(kinds, cmp.Compare)
	return kinds
}
