package stats

import "strings"

// Literals returns the texts and blobs that stand in a statement, with their
// quotes and once more as what they mean, and the statement without them. What
// stands in double quotes and may be a value is one of them. One that is not
// closed goes to the end.
func Literals(sql string) (literals []string, rest string) {
	var b strings.Builder
	var n names
	for i := 0; i < len(sql); {
		t := next(sql, i)
		raw := sql[i:t.end]
		i = t.end
		if t.kind == literal && (raw[0] == 'x' || raw[0] == 'X') {
			b.WriteByte(raw[0])
			raw = raw[1:]
		}
		if q := raw[:1]; q == "'" || q == `"` && !n.is(sql[i:]) {
			literals = append(literals, raw, strings.ReplaceAll(raw, q+q, q))
			raw = "?"
		}
		b.WriteString(raw)
		if t.kind != space {
			n.pass(t)
		}
	}
	return literals, b.String()
}
