package api

import "strings"

// keyword is the first word of a statement, in upper case. In SQLite's grammar it says
// what kind of statement it is, all but WITH.
func keyword(sql string) string {
	word, _ := cutWord(sql)
	return word
}

// cutWord is the first word, in upper case, and what follows it.
func cutWord(sql string) (word, rest string) {
	sql = skipBlank(sql)
	end := strings.IndexFunc(sql, func(r rune) bool { return !('a' <= r|0x20 && r|0x20 <= 'z') })
	if end < 0 {
		end = len(sql)
	}
	return strings.ToUpper(sql[:end]), sql[end:]
}

// temporary tells whether a statement creates what is in no file and only on its
// connection: CREATE TEMP, or anything in the schema temp.
func temporary(sql string) bool {
	first, rest := cutWord(sql)
	second, _ := cutWord(rest)
	if first == "CREATE" && (second == "TEMP" || second == "TEMPORARY") {
		return true
	}
	name := strings.NewReplacer(`"`, "", "`", "", "[", "", "]", "", " ", "", "\t", "", "\n", "", "\r", "").Replace(strings.ToLower(sql))
	return strings.Contains(name, "temp.")
}

// skipBlank cuts white space, comments and semicolons off the front.
func skipBlank(sql string) string {
	for {
		sql = strings.TrimLeft(sql, " \t\r\n\f;\ufeff")
		switch {
		case strings.HasPrefix(sql, "--"):
			_, sql, _ = strings.Cut(sql, "\n")
		case strings.HasPrefix(sql, "/*"):
			_, sql, _ = strings.Cut(sql[2:], "*/")
		default:
			return sql
		}
	}
}
