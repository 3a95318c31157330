package plan

import (
	"slices"
	"strings"
)

// Row is one row of EXPLAIN QUERY PLAN, without its third column.
type Row struct {
	ID     int    `json:"id"`
	Parent int    `json:"parent"` // ID of an earlier row, or 0
	Detail string `json:"detail"`
}

// Kind is what a step does.
type Kind string

// The kinds.
const (
	Scan        Kind = "scan"         // goes through a table, an index or a result
	Search      Kind = "search"       // goes to a part of one
	Constant    Kind = "constant"     // makes rows without a table
	MultiOr     Kind = "multi_or"     // finds rows by each part of an OR
	OrPart      Kind = "or_part"      // one of them
	BloomFilter Kind = "bloom_filter" // rules out rows of a join
	ListFilter  Kind = "list_filter"  // the same for the list of IN
	InOperator  Kind = "in"           // IN by an index that is there
	List        Kind = "list"         // the list of IN
	Scalar      Kind = "scalar"       // a subquery that is a value, or EXISTS
	Reuse       Kind = "reuse"        // of a subquery
	CoRoutine   Kind = "co_routine"   // rows one by one
	Materialize Kind = "materialize"  // rows that are kept
	Setup       Kind = "setup"        // of a recursion
	Recursion   Kind = "recursion"    // its step
	Compound    Kind = "compound"     // SELECTs one after the other
	First       Kind = "first"        // of them
	Next        Kind = "next"         // of them
	Merge       Kind = "merge"        // SELECTs side by side
	Left        Kind = "left"         // of a merge
	Right       Kind = "right"        // of a merge
	RightJoin   Kind = "right_join"   // the rows of a RIGHT or FULL JOIN without a match
	TempBTree   Kind = "temp_b_tree"  // sorts, or finds doubles
	Unknown     Kind = "unknown"      // a text that is not known
)

// Access is the way to the rows of a scan or search.
type Access string

// The ways. A scan without one reads the table itself; so does a search, which then
// looks for a smallest or largest value.
const (
	ByRowid            Access = "rowid"
	ByPrimaryKey       Access = "primary_key" // of a table WITHOUT ROWID
	ByIndex            Access = "index"
	ByCoveringIndex    Access = "covering_index" // has every column that the step needs
	ByAutomaticIndex   Access = "automatic_index"
	ByAutomaticPartial Access = "automatic_partial_index"
	ByVirtualTable     Access = "virtual_table"
)

// Source is what a scan or search reads, where the plan or the facts tell.
type Source string

// The sources.
const (
	FromTable  Source = "table"  // Step.Of has its name
	FromResult Source = "result" // of a step before
	FromQueue  Source = "queue"  // of the recursion around it
	FromValues Source = "values" // that stand in the statement
)

// Attention is whether a step is worth a look.
type Attention string

// The degrees.
const (
	None    Attention = ""
	Note    Attention = "note"    // may cost much; the plan does not tell
	Warning Attention = "warning" // costs in each run
)

// In returns the word for a degree; there is none for None.
func (a Attention) In(l Language) string {
	if l == German {
		return map[Attention]string{Note: "Hinweis", Warning: "Warnung"}[a]
	}
	return string(a)
}

// Term is a condition on a column of an index, in the order of the index.
type Term struct {
	// Columns is one, "<expr>" if the index is on an expression, or several that are
	// compared as one row.
	Columns []string `json:"columns"`
	// Op is "=" for =, IS and IN, ">" for > and >=, "<" for < and <=, and "any" where
	// a skip-scan tries each value.
	Op string `json:"op"`
}

// Step is one step of a plan.
type Step struct {
	ID     int    `json:"id"`
	Detail string `json:"detail"` // SQLite's own text
	Kind   Kind   `json:"kind"`

	Table      string `json:"table,omitempty"` // as the statement names it: a table, an alias, a result
	Index      string `json:"index,omitempty"`
	Access     Access `json:"access,omitempty"`
	Source     Source `json:"source,omitempty"`
	Terms      []Term `json:"terms,omitempty"`
	Subject    string `json:"subject,omitempty"` // what a temporary b-tree is for, the operator of a merge, a virtual table's plan
	Number     int    `json:"number,omitempty"`  // of a subquery or part; how many rows of values
	Inner      bool   `json:"inner,omitempty"`   // runs once for each row of the steps before
	Outer      bool   `json:"outer,omitempty"`   // NULLs stand in where nothing matches
	Exists     bool   `json:"exists,omitempty"`  // the first match is enough
	Correlated bool   `json:"correlated,omitempty"`

	// What Know has found.
	Of       string `json:"of,omitempty"`       // the table that is read
	Module   string `json:"module,omitempty"`   // of a virtual table
	Size     *int64 `json:"size,omitempty"`     // rows of the table, by sqlite_stat1
	Estimate *int64 `json:"estimate,omitempty"` // rows that one look-up finds, by sqlite_stat1, or 1 by a unique key
	limited  bool   // the statement has a LIMIT
	all      bool   // it asks for no part of anything: it has no WHERE, ON or USING

	Steps []*Step `json:"steps,omitempty"` // below this one, in the order of SQLite
}

// Plan is a tree of steps.
type Plan struct {
	Steps []*Step `json:"steps"`
}

// Parse makes a plan of the rows of EXPLAIN QUERY PLAN, in their order. No row is an
// error, and no rows are an empty plan: the statement reads nothing by a plan.
func Parse(rows []Row) *Plan {
	p := &Plan{Steps: []*Step{}}
	byID := make(map[int]*Step)
	for _, r := range rows {
		s := read(r.Detail)
		s.ID = r.ID
		if parent := byID[r.Parent]; parent != nil && r.Parent != 0 {
			parent.Steps = append(parent.Steps, s)
		} else {
			p.Steps = append(p.Steps, s)
		}
		byID[r.ID] = s
	}
	nest(p.Steps, scope{})
	return p
}

// scope is what the steps around have made.
type scope struct {
	results []string // names that can be read
	queue   string   // of the recursion
	inside  string   // the co-routine or result that is being made
}

// nest finds out which steps run once for each row of others, and which read what a
// step before has made. Loops beside each other are one join, the outermost first.
func nest(steps []*Step, around scope) {
	loops := 0
	for _, s := range steps {
		below := around
		switch s.Kind {
		case Scan, Search, MultiOr:
			s.Inner = loops > 0
			loops++
			switch {
			case s.Source != "" || s.Access == ByVirtualTable:
			case s.Table == around.queue && s.Table != "":
				s.Source = FromQueue
			case slices.Contains(around.results, s.Table):
				s.Source = FromResult
			}
		case CoRoutine, Materialize:
			around.results = append(slices.Clip(around.results), s.Table)
			below.inside = s.Table
		case Recursion:
			below.queue = around.inside
		}
		nest(s.Steps, below)
	}
}

// Line is one step in its place in the drawing of a tree.
type Line struct {
	Step   *Step
	Lead   string // what stands before the step
	Indent string // what stands before further lines about it
}

// Lines draws the tree, with box characters or with ASCII alone.
func (p *Plan) Lines(ascii bool) []Line {
	box := [4]string{"├─ ", "└─ ", "│  ", "   "}
	if ascii {
		box = [4]string{"|-- ", "`-- ", "|   ", "    "}
	}
	return draw(nil, p.Steps, box, "")
}

func draw(lines []Line, steps []*Step, box [4]string, before string) []Line {
	for n, s := range steps {
		lead, under := before+box[0], before+box[2]
		if n == len(steps)-1 {
			lead, under = before+box[1], before+box[3]
		}
		bar := box[3]
		if len(s.Steps) > 0 {
			bar = box[2]
		}
		lines = append(lines, Line{Step: s, Lead: lead, Indent: under + bar})
		lines = draw(lines, s.Steps, box, under)
	}
	return lines
}

// All returns the steps in the order of SQLite.
func (p *Plan) All() []*Step {
	var all []*Step
	for _, l := range p.Lines(true) {
		all = append(all, l.Step)
	}
	return all
}

// written is how SQLite writes terms, without those that a skip-scan tries.
func written(terms []Term) string {
	var parts []string
	for _, t := range terms {
		switch {
		case t.Op == tried:
		case len(t.Columns) == 1:
			parts = append(parts, t.Columns[0]+t.Op+"?")
		default:
			parts = append(parts, "("+strings.Join(t.Columns, ",")+")"+t.Op+"("+strings.Repeat("?,", len(t.Columns)-1)+"?)")
		}
	}
	return strings.Join(parts, " AND ")
}
