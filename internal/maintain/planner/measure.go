package planner

import (
	"context"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/internal/maintain/pace"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Plan is a statement that has another plan under the true statistics.
type Plan struct {
	Statement     string   // without literals
	Before, After []string // lines of EXPLAIN QUERY PLAN
	// StepsBefore and StepsAfter are instructions of SQLite's virtual machine, with
	// values from the tables, up to a bound; 0 if it was not run.
	StepsBefore, StepsAfter int
	Verdict                 Verdict
}

// Verdict compares two plans.
type Verdict string

// The verdicts. A statement that reads and whose parameters can be given values is
// run under both plans, and is worse with more than twice the steps. Of one that
// can't be run, a plan is worse if it reads more tables from end to end.
const (
	Better Verdict = "better"
	Same   Verdict = "same"
	Worse  Verdict = "worse"
)

const (
	measured   = 100     // statements that are run in one comparison
	mostSteps  = 500_000 // of one execution: some 20 ms
	clearly    = 2       // times the steps
	noise      = 1000    // steps that prove nothing
	progressed = 1000    // instructions between two looks at the bound

	mostTime = 2 * time.Second // of one execution: a count(*) is one step
)

// meter runs statements on two connections that have different statistics.
type meter struct {
	old, now *sqlite.Conn
	left     int // statements that may still be run
	tables   []columns
}

// columns of a table, in lower case.
type columns struct {
	table string
	rowid bool
	names map[string]bool
}

// judge compares the plans of p, by running text if it can.
func (m *meter) judge(ctx context.Context, text string, p *Plan) {
	before, after, ok := m.run(ctx, text)
	p.StepsBefore, p.StepsAfter = before, after
	if !ok {
		before, after = (noise+1)*scans(p.Before), (noise+1)*scans(p.After)
	}
	switch {
	case after-before > noise && (!ok || after > clearly*before):
		p.Verdict = Worse
	case before-after > noise && (!ok || before > clearly*after):
		p.Verdict = Better
	default:
		p.Verdict = Same
	}
}

// scans counts the tables that a plan reads from end to end.
func scans(plan []string) (n int) {
	for _, line := range plan {
		line = strings.TrimLeft(line, " ")
		if strings.HasPrefix(line, "SCAN ") && !strings.HasPrefix(line, "SCAN CONSTANT") && !strings.HasPrefix(line, "SCAN (") {
			n++
		}
	}
	return n
}

// run executes a statement under both plans with the values of a few rows.
func (m *meter) run(ctx context.Context, text string) (before, after int, ok bool) {
	if m.left == 0 {
		return 0, 0, false
	}
	s, _, err := m.now.Prepare(text)
	if err != nil {
		return 0, 0, false
	}
	runs := s.ReadOnly() && s.Explain() == 0
	params := s.BindParamCount()
	_ = s.Finalize() // never stepped
	if !runs {
		return 0, 0, false
	}
	samples := m.samples(text, params)
	if samples == nil {
		return 0, 0, false
	}
	m.left--
	for _, values := range samples {
		b, ok1 := steps(ctx, m.old, text, values)
		a, ok2 := steps(ctx, m.now, text, values)
		if !ok1 || !ok2 {
			return 0, 0, false
		}
		before, after = before+b, after+a
	}
	return before, after, true
}

// steps runs a statement to its end or to mostSteps; it is not ok after mostTime.
func steps(ctx context.Context, c *sqlite.Conn, text string, values []sqliteValue) (n int, ok bool) {
	s, _, err := c.Prepare(text)
	if err != nil {
		return 0, false
	}
	defer s.Finalize()
	for i, v := range values {
		if err := v.bind(s, i+1); err != nil {
			return 0, false
		}
	}
	done, limit, work := 0, mostTime, pace.Of(ctx).Holding()
	if work.Busy() {
		limit *= pace.Slower
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer c.InterruptAfter(ctx)()
	c.SetProgressHandler(progressed, func() bool {
		done += progressed
		work.Pause(ctx)
		return done >= mostSteps || ctx.Err() != nil
	})
	defer c.SetProgressHandler(0, nil)
	for more := true; more; {
		if more, err = s.Step(); err != nil {
			return mostSteps, done >= mostSteps && ctx.Err() == nil
		}
	}
	return s.Status(sqlite.StmtStatusVMStep, false), true
}

// places are where in a table a row is taken from, in eighths of its rowids.
var places = [...]int64{1, 4, 7}

// samples are values for the parameters of a statement, from one row of each table
// and each place; nil if a parameter can't be understood.
func (m *meter) samples(text string, params int) [][]sqliteValue {
	if params == 0 {
		return [][]sqliteValue{nil}
	}
	about := compared(text)
	if len(about) != params || m.readColumns() != nil {
		return nil
	}
	words := namesIn(text)
	var all [][]sqliteValue
	for _, place := range places {
		found := map[operand]sqliteValue{} // a list may have thousands for one column
		var values []sqliteValue
		for _, of := range about {
			v, ok := found[of]
			if !ok {
				if v, ok = m.value(words, of, place); !ok {
					return nil
				}
				found[of] = v
			}
			values = append(values, v)
		}
		all = append(all, values)
	}
	return all
}

func (m *meter) readColumns() error {
	if m.tables != nil {
		return nil
	}
	return rows(m.now, "SELECT l.name, l.wr, c.name FROM pragma_table_list l, pragma_table_info(l.name) c WHERE l.schema = 'main' AND l.type = 'table' ORDER BY l.name",
		func(s *sqlite.Stmt) {
			name := strings.ToLower(s.ColumnText(0))
			if n := len(m.tables); n == 0 || m.tables[n-1].table != name {
				rowid := s.ColumnInt64(1) == 0
				m.tables = append(m.tables, columns{name, rowid, map[string]bool{"rowid": rowid}})
			}
			m.tables[len(m.tables)-1].names[strings.ToLower(s.ColumnText(2))] = true
		})
}

// value is what a parameter gets that is compared with a column of a table that
// the statement names in words.
func (m *meter) value(words map[string]bool, of operand, place int64) (v sqliteValue, ok bool) {
	if of.count {
		return sqliteValue{typ: sqlite.TypeInteger, n: of.n}, true
	}
	for _, t := range m.tables {
		if of.column == "" || !t.names[of.column] || !words[t.table] || m.isTable(of.table) && of.table != t.table {
			continue
		}
		sql := "SELECT " + quote(of.column) + " FROM main." + quote(t.table)
		if t.rowid {
			name := "main." + quote(t.table)
			sql += " WHERE rowid >= (SELECT min(rowid) FROM " + name + ") / 8 * (8 - ?1) + (SELECT max(rowid) FROM " + name + ") / 8 * ?1 LIMIT 1"
		} else {
			sql += " LIMIT ?1 - ?1 + 1"
		}
		s, _, err := m.now.Prepare(sql)
		if err != nil {
			return v, false
		}
		defer s.Finalize()
		if s.BindInt64(1, place) != nil {
			return v, false
		}
		if more, err := s.Step(); err != nil || !more {
			return v, false
		}
		return valueOf(s, 0), true
	}
	return v, false
}

func (m *meter) isTable(name string) bool {
	for _, t := range m.tables {
		if t.table == name {
			return true
		}
	}
	return false
}

// operand is what a parameter is compared with.
type operand struct {
	table, column string // lower case; the table, or an alias, may be ""
	count         bool   // it is a LIMIT or an OFFSET
	n             int64
}

// compared finds, for each parameter of a statement, the column on the other side
// of its operator. It returns fewer operands than there are parameters if one has
// no number of its own.
func compared(text string) []operand {
	var tokens []lexer
	for l := (lexer{sql: text}); l.next(); {
		tokens = append(tokens, l)
	}
	var list []operand
	for i, t := range tokens {
		if t.kind != parameter {
			continue
		}
		if t.text != "?" { // ?1 and :name may come twice
			return nil
		}
		list = append(list, operandOf(tokens, i))
	}
	return list
}

func operandOf(tokens []lexer, i int) operand {
	at := func(n int) string {
		if n < 0 || n >= len(tokens) || tokens[n].kind == quoted || tokens[n].kind == value {
			return ""
		}
		return strings.ToUpper(tokens[n].text)
	}
	comparison := func(n int) bool {
		switch at(n) {
		case "=", "==", "<", ">", "<=", ">=", "<>", "!=", "IS", "LIKE", "GLOB":
			return true
		}
		return false
	}
	switch {
	case at(i-1) == "LIMIT":
		return operand{count: true, n: 100}
	case at(i-1) == "OFFSET":
		return operand{count: true}
	case comparison(i - 1):
		if at(i-2) == "NOT" {
			return columnAt(tokens, i-3)
		}
		return columnAt(tokens, i-2)
	case at(i-1) == "NOT" && at(i-2) == "IS":
		return columnAt(tokens, i-3)
	case comparison(i+1) && at(i-1) != ",":
		return columnFrom(tokens, i+2)
	case at(i-1) == "BETWEEN":
		return columnAt(tokens, i-2)
	case at(i-1) == "AND" && at(i-3) == "BETWEEN":
		return columnAt(tokens, i-4)
	}
	n := i - 1 // a list: IN (?, ?
	for at(n) == "," || at(n) == "?" {
		n--
	}
	if at(n) == "(" && at(n-1) == "IN" {
		if n -= 2; at(n) == "NOT" {
			n--
		}
		return columnAt(tokens, n)
	}
	return operand{}
}

func name(tokens []lexer, i int) string {
	if i < 0 || i >= len(tokens) || tokens[i].kind != word && tokens[i].kind != quoted {
		return ""
	}
	return strings.ToLower(tokens[i].text)
}

// columnAt is the name that ends at i.
func columnAt(tokens []lexer, i int) operand {
	o := operand{column: name(tokens, i)}
	if i >= 2 && tokens[i-1].text == "." {
		o.table = name(tokens, i-2)
	}
	return o
}

// columnFrom is the name that begins at i.
func columnFrom(tokens []lexer, i int) operand {
	if i+2 < len(tokens) && tokens[i+1].text == "." {
		return columnAt(tokens, i+2)
	}
	return columnAt(tokens, i)
}
