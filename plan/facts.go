package plan

import (
	"slices"
	"strings"
)

// Facts are what is known of the schema and its statistics beside a plan.
type Facts struct {
	Tables []Table
}

// Table is a table of the schema, ordinary or virtual.
type Table struct {
	Name    string
	Module  string // of a virtual table
	Rows    int64  // by sqlite_stat1; 0 if it says nothing
	Indexes []Index
}

// Index is an index of a table.
type Index struct {
	Name    string
	Columns int     // of its key
	Unique  bool    // and not partial, and no column of its key may be NULL
	PerKey  []int64 // rows that share the first column, the first two, ...; by sqlite_stat1
}

// Know adds what facts tell about the steps of a plan: which table is behind an
// alias, how many rows it has, how many a look-up finds. sql is the text of the
// statement; an alias that it does not explain without doubt stays what it is.
// Estimates are those of sqlite_stat1, which may be old: nothing is counted.
func (p *Plan) Know(sql string, facts Facts) {
	f := facts.byName()
	words := tokens(sql)
	aliases := aliasesIn(words)
	limited := slices.ContainsFunc(words, func(w token) bool { return w.is("LIMIT") })
	all := !slices.ContainsFunc(words, func(w token) bool { return w.is("WHERE") || w.is("ON") || w.is("USING") })
	made := map[string]bool{}
	steps := p.All()
	for _, s := range steps {
		s.limited, s.all = limited, all
		if s.Kind == CoRoutine || s.Kind == Materialize {
			made[fold(s.Table)] = true
		}
	}
	for _, s := range steps {
		switch s.Kind {
		case Scan, Search, BloomFilter, RightJoin:
			if s.Source == "" {
				f.know(s, aliases[fold(s.Table)], made)
			}
		}
	}
}

// know finds out what s reads: the table of its index, or what its name stands for.
func (n names) know(s *Step, name string, made map[string]bool) {
	of, found := n.owners[fold(s.Index)]
	if !found || s.Index == "" {
		of = n.tables[name]
		switch {
		case made[name] && of == nil:
			s.Source = FromResult
			return
		case made[name] || of == nil:
			return
		}
	}
	s.Source, s.Of, s.Module = FromTable, of.Name, of.Module
	if of.Rows > 0 {
		s.Size = &of.Rows
	}
	if s.Kind == Search {
		s.Estimate = of.estimate(s)
	}
}

// names finds tables by their names and by those of their indexes, folded.
type names struct {
	tables map[string]*Table
	owners map[string]*Table
}

func (f Facts) byName() names {
	n := names{map[string]*Table{}, map[string]*Table{}}
	for i := range f.Tables {
		t := &f.Tables[i]
		n.tables[fold(t.Name)] = t
		for _, x := range t.Indexes {
			n.owners[fold(x.Name)] = t
		}
	}
	return n
}

// fold makes names comparable as SQLite does: without the case of ASCII letters.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, name)
}

// estimate is how many rows one look-up of a search finds, or nil.
func (t *Table) estimate(s *Step) *int64 {
	one := int64(1)
	equal := 0
	for _, term := range s.Terms {
		if term.Op != "=" {
			return nil // how wide a range is, the statistics that are read here don't say
		}
		equal++
	}
	switch {
	case equal == 0:
		return nil
	case s.Access == ByRowid:
		return &one
	case s.Index == "":
		return nil
	}
	for _, x := range t.Indexes {
		if fold(x.Name) != fold(s.Index) {
			continue
		}
		if x.Unique && equal >= x.Columns {
			return &one
		}
		if equal <= len(x.PerKey) {
			return &x.PerKey[equal-1]
		}
	}
	return nil
}

// aliasesIn finds out which name of a table or view each name in a statement stands
// for, folded. One that stands for several in different places is left out, and so is
// one that is given to a subquery.
func aliasesIn(words []token) map[string]string {
	found := map[string]string{}
	doubtful := map[string]bool{}
	note := func(alias, name string) {
		alias, name = fold(alias), fold(name)
		if was, is := found[alias]; is && was != name {
			doubtful[alias] = true
		}
		found[alias] = name
	}
	for n := 1; n < len(words); n++ {
		if words[n-1].text == ")" {
			if alias, ok := aliasAt(words, n); ok {
				doubtful[fold(alias)] = true
			}
		}
		if !words[n].name || !opensTable(words, n) {
			continue
		}
		at := n
		if at+2 < len(words) && words[at+1].text == "." && words[at+2].name {
			at += 2 // schema.table
		}
		if alias, ok := aliasAt(words, at+1); ok {
			note(alias, words[at].text)
		} else {
			note(words[at].text, words[at].text)
		}
	}
	for alias := range doubtful {
		delete(found, alias)
	}
	return found
}

// aliasAt reads an alias, with or without AS.
func aliasAt(words []token, n int) (alias string, ok bool) {
	if n < len(words) && words[n].is("AS") {
		n++
	}
	if n >= len(words) || !words[n].name || words[n].ends() {
		return "", false
	}
	return words[n].text, true
}

// opensTable tells whether the name at n may be that of a table. After a comma it may
// be a column as well: then its alias is that of no step, or makes one doubtful.
func opensTable(words []token, n int) bool {
	before := words[n-1]
	for _, w := range []string{"FROM", "JOIN", "UPDATE", "INTO"} {
		if before.is(w) {
			return true
		}
	}
	return before.text == "," || before.text == "(" && n > 1 && (words[n-2].is("FROM") || words[n-2].is("JOIN"))
}

// token is a word, a name, or one character of something else.
type token struct {
	text   string
	name   bool // it can be a name
	quoted bool
}

func (t token) is(word string) bool { return !t.quoted && strings.EqualFold(t.text, word) }

// ends tells whether a word that follows a table is no alias.
func (t token) ends() bool {
	if t.quoted {
		return false
	}
	switch strings.ToUpper(t.text) {
	case "AS", "WHERE", "ON", "USING", "JOIN", "LEFT", "RIGHT", "FULL", "INNER", "OUTER", "CROSS", "NATURAL", "GROUP", "ORDER", "HAVING",
		"LIMIT", "OFFSET", "UNION", "EXCEPT", "INTERSECT", "WINDOW", "SET", "RETURNING", "INDEXED", "NOT", "VALUES", "SELECT", "DEFAULT",
		"FROM", "AND", "OR", "IN", "IS", "THEN", "ELSE", "END", "DO", "FILTER", "OVER", "COLLATE", "DESC", "ASC", "LIKE", "GLOB", "BETWEEN":
		return true
	}
	return false
}

// tokens takes SQL apart far enough to see names.
func tokens(sql string) (list []token) {
	for i := 0; i < len(sql); {
		c := sql[i]
		switch {
		case strings.IndexByte(" \t\r\n\f", c) >= 0:
			i++
		case strings.HasPrefix(sql[i:], "--"):
			i = past(sql, i, "\n")
		case strings.HasPrefix(sql[i:], "/*"):
			i = past(sql, i+2, "*/")
		case strings.IndexByte("\"'`[", c) >= 0:
			last := c
			if c == '[' {
				last = ']'
			}
			var text string
			text, i = quotedAt(sql, i+1, last)
			list = append(list, token{text, c != '\'', true})
		case letter(c):
			end := i + 1
			for end < len(sql) && (letter(sql[end]) || sql[end] >= '0' && sql[end] <= '9' || sql[end] == '$') {
				end++
			}
			list = append(list, token{text: sql[i:end], name: true})
			i = end
		default:
			list = append(list, token{text: sql[i : i+1]})
			i++
		}
	}
	return list
}

func letter(c byte) bool { return c == '_' || c >= 0x80 || c|0x20 >= 'a' && c|0x20 <= 'z' }

// past is where text ends in sql from i on, or the end of sql.
func past(sql string, i int, text string) int {
	if i < len(sql) {
		if n := strings.Index(sql[i:], text); n >= 0 {
			return i + n + len(text)
		}
	}
	return len(sql)
}

// quotedAt reads up to the quote; doubled, it stands for itself.
func quotedAt(sql string, i int, quote byte) (text string, end int) {
	var b strings.Builder
	for ; i < len(sql); i++ {
		if sql[i] == quote {
			if quote == ']' || i+1 == len(sql) || sql[i+1] != quote {
				return b.String(), i + 1
			}
			i++
		}
		b.WriteByte(sql[i])
	}
	return b.String(), i
}
