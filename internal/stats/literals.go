package stats

import "strings"

// Literals returns the texts and blobs that stand in a statement, with their
// quotes and once more as what they mean, and the statement without them. One
// that is not closed goes to the end.
func Literals(sql string) (literals []string, rest string) {
	var b strings.Builder
	for i := 0; i < len(sql); {
		end := i + 1
		switch c := sql[i]; {
		case c == '\'':
			end = quoted(sql, i, c)
			raw := sql[i:end]
			literals = append(literals, raw, strings.ReplaceAll(raw, "''", "'"))
			b.WriteByte('?')
			i = end
			continue
		case c == '"' || c == '`':
			end = quoted(sql, i, c)
		case c == '[':
			end = until(sql, i, "]")
		case strings.HasPrefix(sql[i:], "--"):
			end = until(sql, i, "\n")
		case strings.HasPrefix(sql[i:], "/*"):
			end = until(sql, i+2, "*/")
		}
		b.WriteString(sql[i:end])
		i = end
	}
	return literals, b.String()
}
