package statement

import "strings"

type kind uint8

const (
	word     kind = iota // a bare name or keyword
	quoted               // a name in quotes
	text                 // a string, number or blob
	variable             // a parameter
	symbol
)

type token struct {
	kind       kind
	start, end int
}

// is reports whether the token is that keyword, which is given in upper case.
func (t token) is(sql, keyword string) bool {
	return t.kind == word && t.end-t.start == len(keyword) && strings.EqualFold(sql[t.start:t.end], keyword)
}

func (t token) isOneOf(sql string, keywords ...string) bool {
	for _, k := range keywords {
		if t.is(sql, k) {
			return true
		}
	}
	return false
}

func (t token) isSymbol(sql string, c byte) bool { return t.kind == symbol && sql[t.start] == c }

// byteOrderMark is white space for SQLite, where a token may begin.
const byteOrderMark = "\xef\xbb\xbf"

// tokens takes sql apart as SQLite's tokenizer does (https://www.sqlite.org/src/file/src/tokenize.c):
// whoever took a comment or a string for something else would let a COMMIT pass.
func tokens(sql string) []token {
	out := make([]token, 0, len(sql)/4+4)
	for i := 0; i < len(sql); {
		c := sql[i]
		start, k := i, symbol
		switch {
		case isSpace(c):
			i++
			continue
		case strings.HasPrefix(sql[i:], byteOrderMark):
			i += len(byteOrderMark)
			continue
		case strings.HasPrefix(sql[i:], "--"):
			i = after(sql, i+2, "\n")
			continue
		case strings.HasPrefix(sql[i:], "/*") && i+2 < len(sql):
			i = after(sql, i+2, "*/")
			continue
		case c == '\'':
			k, i = text, closing(sql, i)
		case c == '"' || c == '`':
			k, i = quoted, closing(sql, i)
		case c == '[':
			k, i = quoted, after(sql, i+1, "]")
		case (c == 'x' || c == 'X') && i+1 < len(sql) && sql[i+1] == '\'':
			k, i = text, closing(sql, i+1)
		case isDigit(c) || c == '.' && i+1 < len(sql) && isDigit(sql[i+1]):
			k, i = text, number(sql, i)
		case c == '?':
			k = variable
			for i++; i < len(sql) && isDigit(sql[i]); i++ {
			}
		case c == ':' || c == '@' || c == '$' || c == '#':
			k, i = variable, named(sql, i)
		case isName(c):
			k = word
			for i++; i < len(sql) && isName(sql[i]); i++ {
			}
		default:
			i++
		}
		out = append(out, token{k, start, i})
	}
	return out
}

// named is where a parameter ends that begins with ':', '@', '$' or '#'. Tcl's names,
// "$a::b(c)", are part of SQLite's.
func named(sql string, start int) int {
	i, n := start+1, 0
	for i < len(sql) {
		switch c := sql[i]; {
		case isName(c):
			n++
			i++
		case c == ':' && i+1 < len(sql) && sql[i+1] == ':':
			i += 2
		case c == '(' && n > 0:
			for i++; i < len(sql) && !isSpace(sql[i]) && sql[i] != ')'; i++ {
			}
			return min(i+1, len(sql))
		default:
			return i
		}
	}
	return i
}

func after(sql string, i int, end string) int {
	if k := strings.Index(sql[i:], end); k >= 0 {
		return i + k + len(end)
	}
	return len(sql)
}

// closing is where a quoted text ends; a doubled quote is part of it.
func closing(sql string, start int) int {
	q := sql[start]
	for i := start + 1; i < len(sql); i++ {
		if sql[i] != q {
			continue
		}
		if i+1 >= len(sql) || sql[i+1] != q {
			return i + 1
		}
		i++
	}
	return len(sql)
}

func number(sql string, i int) int {
	hex := strings.HasPrefix(sql[i:], "0x") || strings.HasPrefix(sql[i:], "0X")
	for ; i < len(sql) && (isName(sql[i]) || sql[i] == '.'); i++ {
		if !hex && (sql[i] == 'e' || sql[i] == 'E') && i+1 < len(sql) && (sql[i+1] == '+' || sql[i+1] == '-') {
			i++
		}
	}
	return min(i, len(sql))
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'
}
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isName(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
