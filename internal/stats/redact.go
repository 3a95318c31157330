package stats

import (
	"database/sql/driver"
	"slices"
	"sort"
	"strings"
)

// Redact takes the values of text parameters out of a message of the engine:
// full-text search, JSON paths and ATTACH quote them. A short value is taken
// out only between quotes, where it can't be a part of something else.
func Redact(msg string, args []driver.NamedValue) string {
	var values []string
	for _, a := range args {
		switch v := a.Value.(type) {
		case string:
			values = append(values, v)
		case []byte:
			values = append(values, string(v))
		}
	}
	sort.Slice(values, func(i, j int) bool { return len(values[i]) > len(values[j]) })
	for _, v := range values {
		switch {
		case v == "":
		case len(v) >= 4:
			msg = strings.ReplaceAll(msg, v, "?")
		default:
			for _, q := range []string{`"`, "'", "`"} {
				msg = strings.ReplaceAll(msg, q+v+q, "?")
			}
		}
	}
	// The engine itself cuts what it quotes; a long value can show in part.
	for _, v := range values {
		msg = redactPart(msg, v)
	}
	return msg
}

// RedactLiterals takes out what an engine's message quotes, or ends with, if it
// stands in a literal of the statement and nowhere else in it: names stay.
func RedactLiterals(msg, sql string) string {
	literals, rest := Literals(sql)
	secret := func(s string) bool {
		return s != "" && !strings.Contains(rest, s) &&
			slices.ContainsFunc(literals, func(l string) bool { return strings.Contains(l, s) })
	}
	if len(literals) == 0 {
		return msg
	}
	end := len(msg)
	if k := strings.LastIndex(msg, " ("); k > 0 { // the code
		end = k
	}
	if k := strings.LastIndex(msg[:end], ": "); k > 0 && secret(msg[k+2:end]) {
		msg = msg[:k+2] + "?" + msg[end:]
	}
	for _, q := range []string{`"`, "'"} {
		from := strings.Index(msg, q)
		to := strings.LastIndex(msg, q)
		if from >= 0 && to > from && secret(strings.TrimPrefix(msg[from+1:to], "x")) {
			msg = msg[:from+1] + "?" + msg[to:]
		}
	}
	return msg
}

// redactPart takes out what an engine's message quotes of a long value.
func redactPart(msg, value string) string {
	const part = 8
	for i := 0; i+part <= len(value) && i < 4096; i++ {
		k := strings.Index(msg, value[i:i+part])
		if k < 0 {
			continue
		}
		n := part
		for i+n < len(value) && k+n < len(msg) && msg[k+n] == value[i+n] {
			n++
		}
		msg = msg[:k] + "?" + msg[k+n:]
	}
	return msg
}
