package output

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxBlobShown is how many bytes of a blob a table shows.
const maxBlobShown = 16

// cell is a value as a table shows it. NULL and the text 'NULL' look
// different, and so do a blob and the text of its hexadecimal digits.
func (p *Printer) cell(v any, c Column) string {
	switch x := v.(type) {
	case nil:
		return "NULL"
	case []byte:
		if len(x) <= maxBlobShown {
			return hexLiteral(x)
		}
		return fmt.Sprintf("x'%s%s' (%d bytes)", hex.EncodeToString(x[:maxBlobShown]), p.ellipsis(), len(x))
	case string:
		if x == "NULL" || looksLikeBlob(x) {
			return "'" + Visible(x) + "'"
		}
		return Visible(x)
	}
	text, _ := plain(v, c)
	return Visible(text)
}

func looksLikeBlob(s string) bool { return strings.HasPrefix(s, "x'") }

func hexLiteral(b []byte) string { return "x'" + hex.EncodeToString(b) + "'" }

// plain is a value as text. ok is false for NULL, which has none.
func plain(v any, c Column) (text string, ok bool) {
	switch x := v.(type) {
	case nil:
		return "", false
	case int64:
		return strconv.FormatInt(x, 10), true
	case float64:
		return floatText(x), true
	case bool:
		return strconv.FormatBool(x), true
	case string:
		return x, true
	case []byte:
		return hexLiteral(x), true
	case time.Time:
		return timeText(x, c), true
	}
	return fmt.Sprint(v), true
}

// floatText keeps a float apart from an integer, and all its digits.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

// timeText writes a time the way that SQLite's date functions do: the date
// alone in a DATE column, the zone only if it isn't UTC.
func timeText(t time.Time, c Column) string {
	if isDateOnly(t, c) {
		return t.Format(time.DateOnly)
	}
	layout := "2006-01-02 15:04:05.999999999"
	if _, offset := t.Zone(); offset != 0 {
		layout += "-07:00"
	}
	return t.Format(layout)
}

func isDateOnly(t time.Time, c Column) bool {
	_, offset := t.Zone()
	return c.Type == "DATE" && offset == 0 && t.Equal(t.Truncate(24*time.Hour))
}

// appendJSON writes a value of the database. Numbers keep all their digits;
// what JSON has no word for becomes an object that names its kind.
func appendJSON(b []byte, v any, c Column) []byte {
	switch x := v.(type) {
	case nil:
		return append(b, "null"...)
	case int64:
		return strconv.AppendInt(b, x, 10)
	case bool:
		return strconv.AppendBool(b, x)
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return append(append(append(b, `{"float":"`...), floatText(x)...), `"}`...)
		}
		return append(b, floatText(x)...)
	case []byte:
		return appendBase64(b, "base64", x)
	case string:
		if !utf8.ValidString(x) {
			return appendBase64(b, "text_base64", []byte(x))
		}
		return appendString(b, x)
	case time.Time:
		if isDateOnly(x, c) {
			return appendString(b, x.Format(time.DateOnly))
		}
		return appendString(b, x.UTC().Format(time.RFC3339Nano))
	}
	return appendString(b, fmt.Sprint(v))
}

func appendBase64(b []byte, kind string, data []byte) []byte {
	b = append(append(append(b, `{"`...), kind...), `":"`...)
	b = base64.StdEncoding.AppendEncode(b, data)
	return append(b, `"}`...)
}

// appendString writes a JSON string in which also DEL and the C1 controls,
// which JSON permits and some terminals obey, are escaped.
func appendString(b []byte, s string) []byte {
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string into a Builder can't fail
	quoted := strings.TrimSuffix(text.String(), "\n")
	if strings.IndexFunc(quoted, unicode.IsControl) < 0 {
		return append(b, quoted...)
	}
	for _, r := range quoted {
		if unicode.IsControl(r) {
			b = fmt.Appendf(b, `\u%04x`, r)
		} else {
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}

// Visible shows control characters, text direction overrides and bytes that
// are no UTF-8 as escapes. Everything that is safe to print stays as it is.
func Visible(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n <= 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case hidden(r) && r < utf8.RuneSelf:
			fmt.Fprintf(&b, `\x%02x`, r)
		case hidden(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

// hidden tells whether a character has an effect instead of a shape. The two
// joiners are left: scripts and emoji need them, and they move nothing.
func hidden(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	return r != nonJoiner && r != joiner &&
		(unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp))
}
