package stats

import (
	"bytes"
	"hash/fnv"
	"strings"
)

// maxFingerprint bounds the text that Fingerprint returns, in bytes: it goes
// into errors and log lines.
const maxFingerprint = 300

// Hidden stands in a fingerprint for what may be a value or the name of a column.
const Hidden = `"?"`

// Fingerprint returns sql without the values in it: string, number and blob
// literals become '?', comments go, white space is collapsed and a list of
// values in parentheses is cut to one. Two statements that differ only in
// their literals have one fingerprint, and Fingerprint(Fingerprint(s)) ==
// Fingerprint(s). What stands in double quotes and may be a value becomes "?" in
// these quotes. It never fails: what is not SQL is treated as words.
func Fingerprint(sql string) string {
	s := string(appendShape(nil, sql, maxFingerprint, false))
	if len(s) > maxFingerprint {
		s = strings.ToValidUTF8(s[:maxFingerprint], "") + "..."
	}
	return s
}

// maxShape is how much of a statement is looked at to tell it from others, and
// maxShapeText how much of it is shown.
const (
	maxShape     = 64 << 10
	maxShapeText = 1000
)

// Shape returns a statement without the values in it, as Fingerprint does, and a
// number that all statements of that shape have, in every process. Rows of VALUES
// count as one, however many they are. The text is cut after a thousand bytes, the
// number is of all of it: an ORM's statements may differ after the first hundred columns.
func Shape(sql string) (text string, id uint64) {
	b := appendShape(make([]byte, 0, min(len(sql), maxShape)+8), sql, maxShape, true)
	b = bytes.TrimRight(b, "; ")
	h := fnv.New64a()
	_, _ = h.Write(b) // it never fails
	text = string(b)
	if len(text) > maxShapeText {
		text = strings.ToValidUTF8(text[:maxShapeText], "") + "..."
	}
	return text, h.Sum64()
}

// appendShape appends sql without its values to b until that is longer than most.
func appendShape(b []byte, sql string, most int, oneRow bool) []byte {
	prev := token{}
	var n names
	for i := 0; i < len(sql) && len(b) < most; {
		t := next(sql, i)
		i = t.end
		if t.kind == space {
			continue
		}
		switch {
		case t.kind == literal:
			t.text = "?"
		case t.text[0] == '"' && !n.is(sql[i:]):
			t.text = Hidden
		}
		n.pass(t)
		if t.text == "?" && bytes.HasSuffix(b, []byte("?,")) {
			// "(?, ?" becomes "(?": the comma is taken back.
			b = b[:len(b)-1]
			prev = token{kind: literal, text: "?"}
			continue
		}
		if wantsSpace(prev, t) {
			b = append(b, ' ')
		}
		b = append(b, t.text...)
		if oneRow && t.text == ")" && bytes.HasSuffix(b, []byte("(?), (?)")) {
			b = b[:len(b)-len(", (?)")]
		}
		prev = t
	}
	return b
}

type tokenKind uint8

const (
	none tokenKind = iota
	space
	word
	literal
	symbol
)

type token struct {
	kind tokenKind
	text string
	end  int
}

func next(s string, i int) token {
	c := s[i]
	switch {
	case isSpace(c):
		j := i + 1
		for j < len(s) && isSpace(s[j]) {
			j++
		}
		return token{space, "", j}
	case strings.HasPrefix(s[i:], "--"):
		return token{space, "", until(s, i+2, "\n")}
	case strings.HasPrefix(s[i:], "/*"):
		return token{space, "", until(s, i+2, "*/")}
	case c == '\'':
		return token{literal, "", quoted(s, i, '\'')}
	case c == '"' || c == '`':
		j := quoted(s, i, c)
		return token{word, s[i:j], j}
	case c == '[':
		j := until(s, i+1, "]")
		return token{word, s[i:j], j}
	case (c == 'x' || c == 'X') && i+1 < len(s) && s[i+1] == '\'':
		return token{literal, "", quoted(s, i+1, '\'')}
	case isDigit(c) || c == '.' && i+1 < len(s) && isDigit(s[i+1]):
		return token{literal, "", number(s, i)}
	case c == '?':
		j := i + 1
		for j < len(s) && isDigit(s[j]) {
			j++
		}
		return token{literal, "", j}
	case isWord(c) || (c == ':' || c == '@' || c == '$' || c == '#') && i+1 < len(s) && isWord(s[i+1]):
		j := i + 1
		for j < len(s) && isWord(s[j]) {
			j++
		}
		return token{word, s[i:j], j}
	}
	n := operatorLength(s[i:])
	return token{symbol, s[i : i+n], i + n}
}

// operatorLength is the length of the operator or other sign that s begins
// with. Signs that are written apart stay apart: "/ *" and "- -" would become
// comments.
func operatorLength(s string) int {
	if strings.HasPrefix(s, "->>") {
		return 3
	}
	if len(s) > 1 {
		switch s[:2] {
		case "||", "<=", ">=", "<>", "<<", ">>", "==", "!=", "->":
			return 2
		}
	}
	return 1
}

func wantsSpace(a, b token) bool {
	switch {
	case a.kind == none:
		return false
	case b.text == "," || b.text == ")" || b.text == ";" || b.text == "." || a.text == "(" || a.text == ".":
		return false
	case b.text == "(":
		return a.kind == symbol || a.text == "," || a.kind == literal || isKeywordBeforeParen(a.text)
	}
	return true
}

func isKeywordBeforeParen(w string) bool {
	switch strings.ToUpper(w) {
	case "VALUES", "IN", "AND", "OR", "NOT", "WHERE", "SELECT", "FROM", "AS", "ON", "EXISTS", "UNION", "ALL":
		return true
	}
	return false
}

// until returns the index after the next end, or the length of s: an
// unterminated comment reaches to the end, as it does for SQLite.
func until(s string, i int, end string) int {
	if k := strings.Index(s[i:], end); k >= 0 {
		return i + k + len(end)
	}
	return len(s)
}

// quoted returns the index after the closing quote; a doubled quote is part of
// the text.
func quoted(s string, i int, q byte) int {
	for j := i + 1; j < len(s); j++ {
		if s[j] != q {
			continue
		}
		if j+1 < len(s) && s[j+1] == q {
			j++
			continue
		}
		return j + 1
	}
	return len(s)
}

func number(s string, i int) int {
	j := i
	for j < len(s) && (isWord(s[j]) || s[j] == '.') {
		if (s[j] == 'e' || s[j] == 'E') && j+1 < len(s) && (s[j+1] == '+' || s[j+1] == '-') && !strings.HasPrefix(s[i:], "0x") {
			j++
		}
		j++
	}
	return min(j, len(s))
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'
}
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isWord(c byte) bool {
	return c == '_' || c >= 0x80 || isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
