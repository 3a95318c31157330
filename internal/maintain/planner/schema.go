package planner

import (
	"maps"
	"slices"
	"strings"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// table is one whose indexes can be counted.
type table struct {
	name    string
	rowid   bool
	indexes []index
}

// index is one way through a table.
type index struct {
	stat    string   // what sqlite_stat1 calls it
	terms   []string // of the key, as SQL
	from    string   // what follows FROM to read it
	partial bool
}

// counted are the indexes, and the table itself if none of them has all rows:
// that is when ANALYZE writes a row of its own for it.
func (t table) counted() []index {
	if slices.ContainsFunc(t.indexes, func(i index) bool { return !i.partial }) {
		return t.indexes
	}
	return append(slices.Clone(t.indexes), index{from: quote(t.name)})
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// rows calls each with every row of a query.
func rows(c *sqlite.Conn, sql string, each func(*sqlite.Stmt), args ...string) (err error) {
	s, _, err := c.Prepare(sql)
	if err != nil {
		return err
	}
	defer func() {
		if e := s.Finalize(); err == nil {
			err = e
		}
	}()
	for i, a := range args {
		if err := s.BindText(i+1, a); err != nil {
			return err
		}
	}
	for {
		more, err := s.Step()
		if err != nil || !more {
			return err
		}
		each(s)
	}
}

func exists(c *sqlite.Conn, name string) (there bool, err error) {
	err = rows(c, "SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ?", func(*sqlite.Stmt) { there = true }, name)
	return there, err
}

// tablesOf reads the schema: the ordinary tables and their indexes.
func tablesOf(c *sqlite.Conn) (list []table, err error) {
	err = rows(c, "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
		func(s *sqlite.Stmt) {
			list = append(list, table{name: s.ColumnText(0), rowid: s.ColumnInt64(1) == 0})
		})
	for n := range list {
		if err == nil {
			err = list[n].readIndexes(c)
		}
	}
	return list, err
}

func (t *table) readIndexes(c *sqlite.Conn) error {
	type entry struct{ name, origin, sql string }
	var entries []entry
	err := rows(c, "SELECT l.name, l.origin, s.sql FROM pragma_index_list(?) l LEFT JOIN main.sqlite_schema s ON s.type = 'index' AND s.name = l.name ORDER BY l.name",
		func(s *sqlite.Stmt) {
			entries = append(entries, entry{s.ColumnText(0), s.ColumnText(1), s.ColumnText(2)})
		}, t.name)
	if err != nil {
		return err
	}
	for _, e := range entries {
		terms, where := indexTerms(e.sql)
		i := index{stat: e.name, from: quote(t.name) + " INDEXED BY " + quote(e.name), partial: where != ""}
		switch {
		case !t.rowid && e.origin == "pk": // the table itself
			i.stat, i.from = t.name, quote(t.name)+" NOT INDEXED"
		case where != "":
			i.from += " WHERE " + where
		}
		n := 0
		err := rows(c, "SELECT cid, name, coll FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno", func(s *sqlite.Stmt) {
			term := "rowid"
			switch cid := s.ColumnInt64(0); {
			case cid >= 0:
				term = quote(s.ColumnText(1)) + " COLLATE " + quote(s.ColumnText(2))
			case cid == -2 && n < len(terms):
				term = terms[n]
			}
			i.terms = append(i.terms, term)
			n++
		}, e.name)
		if err != nil {
			return err
		}
		t.indexes = append(t.indexes, i)
	}
	return nil
}

// indexTerms takes a CREATE INDEX apart: the terms between its parentheses, which
// no pragma tells if they are expressions, and the condition of a partial index.
func indexTerms(sql string) (terms []string, where string) {
	depth, start := 0, 0
	for l := (lexer{sql: sql}); l.next(); {
		switch l.text {
		case "(":
			if depth++; depth == 1 && terms == nil {
				start = l.end
			}
		case ")":
			if depth--; depth == 0 && start > 0 {
				terms = append(terms, withoutOrder(sql[start:l.end-1]))
				start = 0
			}
		case ",":
			if depth == 1 && start > 0 {
				terms = append(terms, withoutOrder(sql[start:l.end-1]))
				start = l.end
			}
		default:
			if depth == 0 && l.kind == word && strings.EqualFold(l.text, "WHERE") {
				return terms, sql[l.end:]
			}
		}
	}
	return terms, ""
}

// withoutOrder removes ASC or DESC from the end of a term.
func withoutOrder(term string) string {
	term = strings.TrimSpace(term)
	for _, order := range []string{"ASC", "DESC"} {
		if n := len(term) - len(order); n > 0 && strings.EqualFold(term[n:], order) && strings.ContainsRune(" \t\r\n)\"]`", rune(term[n-1])) {
			return term[:n]
		}
	}
	return term
}

// kind of a token.
type kind uint8

const (
	other  kind = iota
	word        // a keyword or a name
	quoted      // a name in quotes; text is without them
	parameter
	value // a literal
)

// lexer takes SQL apart, far enough to see names, parameters and parentheses.
type lexer struct {
	sql  string
	end  int // of the token, where the next begins
	text string
	kind kind
}

func letter(c byte) bool {
	return c == '_' || c >= 0x80 || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// next finds the next token; false is the end.
func (l *lexer) next() bool {
	s := l.sql
	i := l.end
	for i < len(s) {
		switch {
		case strings.IndexByte(" \t\r\n\f", s[i]) >= 0:
			i++
		case strings.HasPrefix(s[i:], "--"):
			i = after(s, i, "\n")
		case strings.HasPrefix(s[i:], "/*"):
			i = after(s, i+2, "*/")
		default:
			l.take(i)
			return true
		}
	}
	return false
}

// after returns where text ends in s from i on, or the end of s.
func after(s string, i int, text string) int {
	if n := strings.Index(s[i:], text); n >= 0 {
		return i + n + len(text)
	}
	return len(s)
}

func (l *lexer) take(i int) {
	s := l.sql
	end := i + 1
	l.kind = other
	switch c := s[i]; {
	case c == '\'' || c == '"' || c == '`' || c == '[':
		last := c
		if c == '[' {
			last = ']'
		}
		for end < len(s) && (s[end] != last || c != '[' && end+1 < len(s) && s[end+1] == last) {
			if s[end] == last {
				end++
			}
			end++
		}
		l.text = strings.ReplaceAll(s[i+1:min(end, len(s))], string([]byte{last, last}), string(last))
		l.end = min(end+1, len(s))
		if l.kind = quoted; c == '\'' {
			l.kind = value
		}
		return
	case letter(c):
		l.kind = word
		for end < len(s) && (letter(s[end]) || digit(s[end]) || s[end] == '$') {
			end++
		}
	case digit(c):
		l.kind = value
		for end < len(s) && (letter(s[end]) || digit(s[end]) || s[end] == '.') {
			end++
		}
	case strings.IndexByte("?:@$", c) >= 0:
		l.kind = parameter
		for end < len(s) && (letter(s[end]) || digit(s[end])) {
			end++
		}
	case strings.IndexByte("<>=!|", c) >= 0:
		for end < len(s) && strings.IndexByte("<>=|", s[end]) >= 0 {
			end++
		}
	}
	l.text, l.end = s[i:end], end
}
