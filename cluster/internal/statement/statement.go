// Package statement decides which SQL text may be sent to a cluster, and how.
//
// A cluster has one connection for all who write. A BEGIN that reaches it stays open there:
// writes are acknowledged and gone with the ROLLBACK that somebody sends later. So what controls
// a transaction, or changes that connection, is refused here, before anything is sent.
package statement

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Kind is what a statement does.
type Kind uint8

// The kinds. Schema is every write that is none of rows.
const (
	Read Kind = iota
	Write
	Schema
)

// Statement is one statement of a text.
type Statement struct {
	SQL       string // as it is sent
	Kind      Kind
	Pragma    bool // its result may have no columns
	Returning bool // it writes, and answers with rows
	Inserts   bool // last_insert_rowid() is its own

	params []param
}

// param is one occurrence of a parameter.
type param struct {
	start, end int
	index      int // as SQLite counts them, from 1
	name       string
}

// What a text is refused for. The error that wraps it says more.
var (
	ErrInvalid     = errors.New("invalid statement")
	ErrRefused     = errors.New("refused")
	ErrTransaction = errors.New("no transactions of a caller's own")
)

func refuse(kind error, format string, args ...any) error {
	return fmt.Errorf("%w: %s", kind, fmt.Sprintf(format, args...))
}

// Parse takes a text apart into its statements. Comments and empty statements are none, so a
// text may have none at all.
func Parse(sql string) ([]Statement, error) {
	switch {
	case !utf8.ValidString(sql):
		return nil, refuse(ErrInvalid, "the text is not UTF-8; pass values as parameters")
	case strings.IndexByte(sql, 0) >= 0:
		return nil, refuse(ErrInvalid, "there is a NUL in the text, where SQLite stops reading")
	}
	var out []Statement
	for all := tokens(sql); len(all) > 0; {
		n := length(sql, all)
		one := all[:n]
		if all = all[n:]; one[len(one)-1].isSymbol(sql, ';') {
			one = one[:len(one)-1]
		}
		if len(one) == 0 {
			continue
		}
		s, err := parse(sql, one)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// length is how many tokens the first statement has, with its semicolon. Inside of a trigger
// semicolons end statements of its body; it ends with "; END".
func length(sql string, all []token) int {
	trigger := isTrigger(sql, all)
	for i, t := range all {
		if !t.isSymbol(sql, ';') {
			continue
		}
		if !trigger || i > 1 && all[i-1].is(sql, "END") && all[i-2].isSymbol(sql, ';') {
			return i + 1
		}
	}
	return len(all)
}

func isTrigger(sql string, all []token) bool {
	all = withoutExplain(sql, all)
	if len(all) == 0 || !all[0].is(sql, "CREATE") {
		return false
	}
	if all = all[1:]; len(all) > 0 && all[0].isOneOf(sql, "TEMP", "TEMPORARY") {
		all = all[1:]
	}
	return len(all) > 0 && all[0].is(sql, "TRIGGER")
}

func withoutExplain(sql string, all []token) []token {
	if len(all) == 0 || !all[0].is(sql, "EXPLAIN") {
		return all
	}
	if all = all[1:]; len(all) > 1 && all[0].is(sql, "QUERY") && all[1].is(sql, "PLAN") {
		all = all[2:]
	}
	return all
}

func parse(sql string, all []token) (Statement, error) {
	start, end := all[0].start, all[len(all)-1].end
	s := Statement{SQL: sql[start:end], params: params(sql, all, start)}
	for _, p := range s.params {
		if p.index > maxParams {
			return s, refuse(ErrInvalid, "parameters are numbered from 1 to %d", maxParams)
		}
	}
	if body := withoutExplain(sql, all); len(body) < len(all) {
		return s, nil // it is compiled, and nothing of it is run
	}
	if err := s.classify(sql, all); err != nil {
		return s, err
	}
	if s.Kind == Write {
		if t, found := bareClock(sql, all); found {
			return s, refuse(ErrRefused, "each machine of a cluster would write its own %s; pass the time as a parameter, or write datetime('now')",
				strings.ToUpper(sql[t.start:t.end]))
		}
		s.returning(sql, all, start)
	}
	return s, nil
}

func (s *Statement) classify(sql string, all []token) error {
	verb := all[0]
	if verb.is(sql, "WITH") {
		verb = mainVerb(sql, all)
	}
	name := strings.ToUpper(sql[verb.start:verb.end])
	switch {
	case verb.isOneOf(sql, "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"):
		return refuse(ErrTransaction, "%s would open or end a transaction for everybody who writes to the cluster", name)
	case verb.isOneOf(sql, "ATTACH", "DETACH", "VACUUM"):
		return refuse(ErrRefused, "%s acts on the files and the connection of each machine, and is no part of what a cluster replicates", name)
	case verb.isOneOf(sql, "SELECT", "VALUES"):
		s.Kind = Read
	case verb.isOneOf(sql, "INSERT", "REPLACE"):
		s.Kind, s.Inserts = Write, true
	case verb.isOneOf(sql, "UPDATE", "DELETE"):
		s.Kind = Write
	case verb.is(sql, "PRAGMA"):
		s.Pragma = true
		return s.pragma(sql, all[1:])
	case verb.isOneOf(sql, "CREATE", "DROP", "ALTER", "ANALYZE", "REINDEX"):
		s.Kind = Schema
		if verb.is(sql, "CREATE") && len(all) > 1 && all[1].isOneOf(sql, "TEMP", "TEMPORARY") || inTemp(sql, all) {
			return refuse(ErrRefused, "a TEMP object would be everybody's, and lost when a machine restarts")
		}
	default: // what is not known here is not sent: SQLite may know it one day, and mean another BEGIN
		return refuse(ErrInvalid, "near %q: syntax error", first(name, 20))
	}
	return nil
}

func first(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "..."
	}
	return s
}

// inTemp finds "temp.name" in what changes the schema.
func inTemp(sql string, all []token) bool {
	for i := range all {
		t := all[i]
		if i+1 < len(all) && all[i+1].isSymbol(sql, '.') &&
			(t.is(sql, "TEMP") || t.kind == quoted && strings.EqualFold(strings.Trim(sql[t.start:t.end], "\"`[]"), "temp")) {
			return true
		}
	}
	return false
}

// mainVerb is what a statement does that begins with WITH: the first verb outside of
// parentheses that names no table of it ("WITH replace AS", "replace (a)").
func mainVerb(sql string, all []token) token {
	depth := 0
	for i, t := range all {
		switch {
		case t.isSymbol(sql, '('):
			depth++
		case t.isSymbol(sql, ')'):
			depth--
		case depth == 0 && t.isOneOf(sql, "SELECT", "VALUES", "INSERT", "UPDATE", "DELETE", "REPLACE"):
			if i+1 < len(all) && (all[i+1].is(sql, "AS") || t.is(sql, "REPLACE") && all[i+1].isSymbol(sql, '(')) {
				continue
			}
			return t
		}
	}
	return all[0]
}

// reading are pragmas that only read with an argument, which names a table or index or limits
// the answer; setting are those that change what is in the database, and so are replicated.
var (
	reading = []string{
		"COLLATION_LIST", "COMPILE_OPTIONS", "DATABASE_LIST", "FOREIGN_KEY_CHECK", "FOREIGN_KEY_LIST", "FUNCTION_LIST", "INDEX_INFO", "INDEX_LIST",
		"INDEX_XINFO", "INTEGRITY_CHECK", "MODULE_LIST", "PRAGMA_LIST", "QUICK_CHECK", "TABLE_INFO", "TABLE_LIST", "TABLE_XINFO",
	}
	setting = []string{"APPLICATION_ID", "USER_VERSION"}
	// asking are those that without an argument tell a setting and do nothing.
	asking = []string{
		"APPLICATION_ID", "AUTO_VACUUM", "BUSY_TIMEOUT", "CACHE_SIZE", "DATA_VERSION", "DEFER_FOREIGN_KEYS", "ENCODING", "FOREIGN_KEYS", "FREELIST_COUNT",
		"JOURNAL_MODE", "MAX_PAGE_COUNT", "PAGE_COUNT", "PAGE_SIZE", "QUERY_ONLY", "RECURSIVE_TRIGGERS", "SCHEMA_VERSION", "SYNCHRONOUS", "TEMP_STORE", "USER_VERSION",
	}
)

func (s *Statement) pragma(sql string, rest []token) error {
	if len(rest) > 2 && rest[1].isSymbol(sql, '.') {
		rest = rest[2:]
	}
	if len(rest) == 0 {
		return refuse(ErrInvalid, "a PRAGMA needs a name")
	}
	name := strings.ToUpper(sql[rest[0].start:rest[0].end])
	argument := len(rest) > 1
	switch {
	case slices.Contains(reading, name), !argument && slices.Contains(asking, name):
		s.Kind = Read
	case argument && slices.Contains(setting, name):
		s.Kind = Schema
	default:
		return refuse(ErrRefused, "PRAGMA %s would change one connection of one machine; set it where the machines are started", strings.ToLower(name))
	}
	return nil
}

// bareClock finds what a cluster does not replace by one value for all its machines.
func bareClock(sql string, all []token) (token, bool) {
	for _, t := range all {
		if t.isOneOf(sql, "CURRENT_TIMESTAMP", "CURRENT_TIME", "CURRENT_DATE") {
			return t, true
		}
	}
	return token{}, false
}

// returning finds RETURNING outside of parentheses. The server finds it by the text
// "returning " and hands back no rows where another white space follows.
func (s *Statement) returning(sql string, all []token, start int) {
	depth := 0
	for _, t := range all {
		switch {
		case t.isSymbol(sql, '('):
			depth++
		case t.isSymbol(sql, ')'):
			depth--
		case depth == 0 && t.is(sql, "RETURNING"):
			s.Returning = true
			if end := t.end - start; end < len(s.SQL) && s.SQL[end] != ' ' {
				s.SQL = s.SQL[:end] + " " + s.SQL[end:]
				for i := range s.params {
					if s.params[i].start >= end {
						s.params[i].start++
						s.params[i].end++
					}
				}
			}
			return
		}
	}
}
