package plan

import (
	"regexp"
	"strconv"
	"strings"
)

const tried = "any" // the operator of a column that a skip-scan has no value for

// form is one of the texts that the engine has. The list is that of its source:
// sqlite3VdbeExplain, explainTempTable, sqlite3WhereAddExplainText and
// sqlite3WhereExplainBloomFilter, in SQLite 3.54.1.
type form struct {
	pattern *regexp.Regexp
	kind    Kind
	fill    func(s *Step, m []string) // m are the groups of the pattern
}

func text(pattern string, kind Kind, fill func(*Step, []string)) form {
	return form{regexp.MustCompile(`(?s)^` + pattern + `$`), kind, fill}
}

func table(s *Step, m []string)   { s.Table = m[0] }
func subject(s *Step, m []string) { s.Subject = m[0] }
func number(s *Step, m []string)  { s.Number, _ = strconv.Atoi(m[len(m)-1]) }

var forms = []form{
	text(`SCAN CONSTANT ROW`, Constant, func(s *Step, _ []string) { s.Number = 1 }),
	text(`SCAN (\d+) CONSTANT ROWS?`, Constant, func(s *Step, m []string) { s.Source = FromValues; number(s, m) }),
	text(`SCAN (.+)`, Scan, access),
	text(`SEARCH (.+)`, Search, access),
	text(`MULTI-INDEX OR`, MultiOr, nil),
	text(`INDEX (\d+)`, OrPart, number),
	text(`BLOOM FILTER ON (.+?) \((.*)\)`, BloomFilter, func(s *Step, m []string) { s.Table = m[0]; s.Terms, _ = readTerms(m[1]) }),
	text(`CREATE BLOOM FILTER`, ListFilter, nil),
	text(`USING ROWID SEARCH ON TABLE (.+) FOR IN-OPERATOR`, InOperator, func(s *Step, m []string) { s.Table, s.Access = m[0], ByRowid }),
	text(`USING INDEX (.+) FOR IN-OPERATOR`, InOperator, func(s *Step, m []string) { s.Index, s.Access = m[0], ByIndex }),
	text(`(CORRELATED )?LIST SUBQUERY (\d+)`, List, subquery),
	text(`(CORRELATED )?SCALAR SUBQUERY (\d+)`, Scalar, subquery),
	text(`REUSE (?:LIST )?SUBQUERY (\d+)`, Reuse, number),
	text(`CO-ROUTINE (.+)`, CoRoutine, table),
	text(`MATERIALIZE (.+)`, Materialize, table),
	text(`SETUP`, Setup, nil),
	text(`RECURSIVE STEP`, Recursion, nil),
	text(`COMPOUND QUERY`, Compound, nil),
	text(`LEFT-MOST SUBQUERY`, First, nil),
	text(`(UNION ALL)`, Next, subject),
	text(`(UNION|EXCEPT|INTERSECT) USING TEMP B-TREE`, Next, subject), // of older engines
	text(`MERGE \((UNION ALL|UNION|EXCEPT|INTERSECT)\)`, Merge, subject),
	text(`LEFT`, Left, nil),
	text(`RIGHT`, Right, nil),
	text(`RIGHT-JOIN (.+)`, RightJoin, table),
	text(`USE TEMP B-TREE FOR (.+)`, TempBTree, func(s *Step, m []string) {
		s.Subject = m[0]
		if n := lastTerms.FindStringSubmatch(m[0]); n != nil {
			s.Number, _ = strconv.Atoi(n[1])
		}
	}),
}

var lastTerms = regexp.MustCompile(`^LAST (\d+) TERMS OF ORDER BY$`)

func subquery(s *Step, m []string) {
	s.Correlated = m[0] != ""
	number(s, m)
}

// read understands one text.
func read(detail string) *Step {
	for _, f := range forms {
		m := f.pattern.FindStringSubmatch(detail)
		if m == nil {
			continue
		}
		s := &Step{Detail: detail, Kind: f.kind}
		if f.fill != nil {
			f.fill(s, m[1:])
		}
		return s
	}
	return &Step{Detail: detail, Kind: Unknown}
}

var (
	virtual = regexp.MustCompile(`(?s)^(.+?) VIRTUAL TABLE INDEX ((?:0x[0-9a-f]+|-?\d+):.*)$`)
	using   = regexp.MustCompile(`(?s)^(.+?) USING (?:(INTEGER PRIMARY KEY|PRIMARY KEY|AUTOMATIC PARTIAL COVERING INDEX|AUTOMATIC COVERING INDEX)|(COVERING INDEX|INDEX) (.+))$`)
	clause  = regexp.MustCompile(`^(\d+)-ROW VALUES CLAUSE$`)
	derived = regexp.MustCompile(`^\((?:subquery|join)-\d+\)$`)
)

var accesses = map[string]Access{
	"INTEGER PRIMARY KEY":              ByRowid,
	"PRIMARY KEY":                      ByPrimaryKey,
	"INDEX":                            ByIndex,
	"COVERING INDEX":                   ByCoveringIndex,
	"AUTOMATIC COVERING INDEX":         ByAutomaticIndex,
	"AUTOMATIC PARTIAL COVERING INDEX": ByAutomaticPartial,
}

// access reads what follows SCAN or SEARCH: what is read, and by what.
func access(s *Step, m []string) {
	rest := m[0]
	rest, s.Outer = strings.CutSuffix(rest, " LEFT-JOIN")
	s.Table = rest
	if v := virtual.FindStringSubmatch(rest); v != nil {
		s.Table, s.Access, s.Subject = v[1], ByVirtualTable, v[2]
	} else {
		by, found := conditions(rest)
		if u := using.FindStringSubmatch(by); u != nil {
			s.Table, s.Access, s.Index, s.Terms = u[1], accesses[u[2]+u[3]], u[4], found
		}
	}
	s.Table, s.Exists = strings.CutSuffix(s.Table, " EXISTS")
	if c := clause.FindStringSubmatch(s.Table); c != nil {
		s.Source = FromValues
		number(s, c)
	} else if derived.MatchString(s.Table) {
		s.Source = FromResult
	}
}

var (
	oneTerm  = regexp.MustCompile(`(?s)^(.+)([=<>])\?$`)
	skipTerm = regexp.MustCompile(`(?s)^ANY\((.+)\)$`)
	rowTerm  = regexp.MustCompile(`(?s)^\((.+)\)([<>])\([?,]+\)$`)
)

// mostTries keeps a name that is made of parentheses from costing the square of its
// length.
const mostTries = 16

// conditions cuts the terms in parentheses off the end. A name may have such a thing
// in it, so they begin as late as they can.
func conditions(text string) (before string, list []Term) {
	inside, ok := strings.CutSuffix(text, ")")
	at := len(inside)
	for range mostTries {
		if at = strings.LastIndex(inside[:at], " ("); !ok || at < 0 {
			break
		}
		if list, ok := readTerms(inside[at+2:]); ok && list != nil {
			return text[:at], list
		}
	}
	return text, nil
}

// readTerms reads "a=? AND ANY(b) AND (c,d)>(?,?)"; ok is false if it is none.
func readTerms(text string) (list []Term, ok bool) {
	if text == "" {
		return nil, true
	}
	for _, part := range strings.Split(text, " AND ") {
		if m := skipTerm.FindStringSubmatch(part); m != nil {
			list = append(list, Term{[]string{m[1]}, tried})
		} else if m := rowTerm.FindStringSubmatch(part); m != nil {
			list = append(list, Term{strings.Split(m[1], ","), m[2]})
		} else if m := oneTerm.FindStringSubmatch(part); m != nil {
			list = append(list, Term{[]string{m[1]}, m[2]})
		} else {
			return nil, false
		}
	}
	return list, true
}
