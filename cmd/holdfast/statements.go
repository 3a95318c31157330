package main

import (
	"strings"

	"github.com/holdfastdb/holdfast"
)

// cut splits the first complete statement off sql. ok is false if there is
// none; then rest is sql.
func cut(sql string) (statement, rest string, ok bool) {
	for i := nextSemicolon(sql, 0); i >= 0; i = nextSemicolon(sql, i+1) {
		// Only the engine knows whether this semicolon ends a trigger.
		if holdfast.Complete(sql[:i+1]) {
			return sql[:i+1], sql[i+1:], true
		}
	}
	return "", sql, false
}

// split returns the statements of sql, without those that are empty.
func split(sql string) []string {
	var list []string
	for rest := skipBlank(sql); rest != ""; rest = skipBlank(rest) {
		statement, tail, ok := cut(rest)
		if !ok {
			statement, tail = rest, ""
		}
		list = append(list, strings.TrimSpace(statement))
		rest = tail
	}
	return list
}

// nextSemicolon returns the index at or after from of the first semicolon that
// is part of no string, quoted name or comment, or -1. from must be outside of
// those too.
func nextSemicolon(sql string, from int) int {
	for i := from; i < len(sql); {
		if sql[i] == ';' {
			return i
		}
		i += token(sql[i:])
	}
	return -1
}

// token is the length of what sql begins with: a whole string, quoted name or
// comment, or one byte of anything else.
func token(sql string) int {
	until := func(skip int, end string) int {
		if k := strings.Index(sql[skip:], end); k >= 0 {
			return skip + k + len(end)
		}
		return len(sql)
	}
	switch {
	case sql[0] == '\'' || sql[0] == '"' || sql[0] == '`':
		return until(1, sql[:1]) // a doubled quote is two strings in a row, which ends at the same place
	case sql[0] == '[':
		return until(1, "]")
	case strings.HasPrefix(sql, "--"):
		return until(2, "\n")
	case strings.HasPrefix(sql, "/*"):
		return until(2, "*/")
	}
	return 1
}

// skipBlank cuts white space, comments and empty statements off the front. An
// unfinished block comment stays.
func skipBlank(sql string) string {
	for {
		sql = strings.TrimLeft(sql, " \t\r\n\f;")
		switch {
		case strings.HasPrefix(sql, "--"):
		case strings.HasPrefix(sql, "/*") && strings.Contains(sql[2:], "*/"):
		default:
			return sql
		}
		sql = sql[token(sql):]
	}
}

// keyword is the first word of a statement, upper case.
func keyword(sql string) string {
	sql = skipBlank(sql)
	end := strings.IndexFunc(sql, func(r rune) bool { return !('a' <= r|0x20 && r|0x20 <= 'z') })
	if end < 0 {
		end = len(sql)
	}
	return strings.ToUpper(sql[:end])
}

// controlsTransaction tells whether a statement begins or ends a transaction
// or savepoint.
func controlsTransaction(sql string) bool {
	switch keyword(sql) {
	case "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE":
		return true
	}
	return false
}
