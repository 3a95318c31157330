package statement

import "strings"

// Calls are the names, in lower case, that stand in front of a parenthesis in the text of an
// object of a schema, where an expression may: functions, and keywords, which a text alone can't
// tell from them. The types of columns and of CAST are left out.
func Calls(sql string) (names []string) {
	list := tokens(sql)
	least := 0 // of parentheses around an expression
	if len(list) > 1 && list[0].is(sql, "CREATE") && list[1].is(sql, "TABLE") {
		least = 2
	}
	depth := 0
	for i, t := range list {
		switch {
		case t.isSymbol(sql, ')'):
			depth--
		case !t.isSymbol(sql, '('):
		case i > 1 && depth >= least && !list[i-2].is(sql, "AS") && !list[i-2].is(sql, "ON"): // ON: the table of an index
			if name := list[i-1].name(sql); name != "" {
				names = append(names, name)
			}
			depth++
		default:
			depth++
		}
	}
	return names
}

// Module is that of a CREATE VIRTUAL TABLE, in lower case, or "".
func Module(sql string) string {
	list := tokens(sql)
	for i, t := range list {
		if t.is(sql, "USING") && i+1 < len(list) {
			return list[i+1].name(sql)
		}
	}
	return ""
}

// name is the one that a token is, in lower case.
func (t token) name(sql string) string {
	s := sql[t.start:t.end]
	switch t.kind {
	case word:
		return strings.ToLower(s)
	case quoted:
		if len(s) < 2 {
			return ""
		}
		end := s[len(s)-1:]
		return strings.ToLower(strings.ReplaceAll(s[1:len(s)-1], end+end, end))
	}
	return ""
}
