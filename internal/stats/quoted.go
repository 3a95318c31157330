package stats

import (
	"slices"
	"strings"
)

// SQLite takes a text in double quotes for a string where it finds no column of
// that name, and only the schema tells which it is. So such a text counts as a name
// only where the grammar has no value: beside a dot, before a parenthesis, after a
// word that a name follows, and in the lists of INSERT INTO t(...) and SET.

// names finds out, token by token, where a name stands. The zero value is at the
// beginning of a statement.
type names struct {
	last, before token // before last
	depth        int   // of parentheses
	list         int   // the depth, plus one, at which each item begins with a name; 0 is none
	into         bool  // since INTO there has been nothing but a table's name
}

// beforeName are words that a name follows. FROM and INTO have another meaning
// each: IS DISTINCT FROM and VACUUM INTO.
var beforeName = []string{"FROM", "JOIN", "INTO", "UPDATE", "TABLE", "INDEX", "AS", "REFERENCES", "SET", "EXISTS"}

// is tells whether what comes next, in double quotes, and before rest, is a name
// and can be no value.
func (n *names) is(rest string) bool {
	if n.last.text == "." || n.list == n.depth+1 && (n.last.text == "," || n.last.text == "(") {
		return true
	}
	if n.last.kind == word {
		switch w := strings.ToUpper(n.last.text); {
		case w == "INTO":
			return n.into
		case w == "FROM":
			return !strings.EqualFold(n.before.text, "DISTINCT")
		case slices.Contains(beforeName, w):
			return true
		}
	}
	for i := 0; i < len(rest); {
		follows := next(rest, i)
		if i = follows.end; follows.kind != space {
			return follows.text == "." || follows.text == "("
		}
	}
	return false
}

// pass notes a token that is no space.
func (n *names) pass(t token) {
	switch {
	case t.text == "(":
		n.depth++
		if n.into && n.last.kind == word && !strings.EqualFold(n.last.text, "INTO") {
			n.list = n.depth + 1
		}
		n.into = false
	case t.text == ")":
		if n.depth--; n.depth+1 < n.list {
			n.list = 0
		}
	case t.text == ";":
		n.depth, n.list, n.into = 0, 0, false
	case t.kind == word:
		n.passWord(t)
	case t.text != ".":
		n.into = false
	}
	n.before, n.last = n.last, t
}

func (n *names) passWord(t token) {
	switch strings.ToUpper(t.text) {
	case "INTO":
		switch strings.ToUpper(n.last.text) {
		case "INSERT", "REPLACE", "ROLLBACK", "ABORT", "FAIL", "IGNORE":
			n.into = true
		}
	case "SET":
		n.list = n.depth + 1
	case "FROM", "WHERE", "RETURNING", "ORDER", "LIMIT", "SELECT", "VALUES", "DEFAULT":
		if n.list == n.depth+1 {
			n.list = 0
		}
		n.into = false
	}
}
