package doctor

import (
	"fmt"
	"io/fs"
	"strings"
)

// language is one in which the texts exist.
type language string

const (
	english language = "en"
	german  language = "de"
)

// languageOf reads a value of LANG.
func languageOf(locale string) language {
	if l := strings.ToLower(locale); l == "de" || strings.HasPrefix(l, "de_") || strings.HasPrefix(l, "de.") || strings.HasPrefix(l, "de-") {
		return german
	}
	return english
}

// say returns a phrase that is part of an evidence.
func (e *examination) say(key string) string { return phrases[key].in(e.lang) }

// text is what a finding says. {db} stands for the quoted path, {0}, {1} and so
// on for the arguments.
type text struct{ summary, evidence, fix string }

type bilingual struct{ en, de text }

func (b bilingual) in(l language) text {
	if l == german {
		return b.de
	}
	return b.en
}

type bilingualPhrase struct{ en, de string }

func (b bilingualPhrase) in(l language) string {
	if l == german {
		return b.de
	}
	return b.en
}

func (e *examination) fill(template, path string, args []any) string {
	pairs := []string{"{db}", quote(path)}
	for n, a := range args {
		if size, ok := a.(byteSize); ok {
			a = size.in(e.lang)
		}
		pairs = append(pairs, fmt.Sprintf("{%d}", n), fmt.Sprint(a))
	}
	return strings.NewReplacer(pairs...).Replace(template)
}

// byteSize is printed with three digits and a unit.
type byteSize int64

func (b byteSize) in(l language) string {
	if b < 1024 {
		return fmt.Sprintf("%d B", int64(b))
	}
	f, unit := float64(b)/1024, 0
	for ; f >= 1024 && unit < 4; unit++ {
		f /= 1024
	}
	s := fmt.Sprintf("%.1f %ciB", f, "KMGTP"[unit])
	if l == german {
		s = strings.Replace(s, ".", ",", 1)
	}
	return s
}

// quote makes one word of a POSIX shell.
func quote(s string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+=:@%", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func octal(m fs.FileMode) string { return fmt.Sprintf("%04o", m.Perm()) }

// IDs returns the id of every finding there is.
func IDs() []string {
	var ids []string
	for id := range texts {
		ids = append(ids, id)
	}
	return ids
}
