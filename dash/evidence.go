package dash

import (
	"fmt"
	"slices"
	"strings"
)

// Evidences and fixes of findings come in English, as health, logs and errors have them. What
// they consist of are phrases with values in them; those are in the catalogue as
// "evidence.KEY", and a phrase that is not, such as SQLite's own words, stays as it is.

// phrase is a form of a phrase: what stands between the values, in English, and the form in
// the page's language.
type phrase struct {
	between []string
	said    string
}

// piece is a part of a text for a page.
type piece struct {
	Text    string
	Foreign bool // it is English on a page that is not
}

const phrasePrefix = "evidence."

// phrasesOf are the phrases of a language, those with most words first: they say most.
func phrasesOf(english, own map[string]string) []phrase {
	var list []phrase
	for key, form := range english {
		if strings.HasPrefix(key, phrasePrefix) && key != phrasePrefix+"of" { // see value
			list = append(list, phrase{strings.Split(form, "%s"), own[key]})
		}
	}
	words := func(p phrase) string { return strings.Join(p.between, "") }
	slices.SortFunc(list, func(a, b phrase) int {
		if d := len(words(b)) - len(words(a)); d != 0 {
			return d
		}
		return strings.Compare(words(a), words(b))
	})
	return list
}

// values are what stands in the places of a form; ok is false if english has another form.
func (p phrase) values(english string) (list []string, ok bool) {
	rest, ok := strings.CutPrefix(english, p.between[0])
	if !ok {
		return nil, false
	}
	for i, next := range p.between[1:] {
		at := strings.Index(rest, next)
		if i == len(p.between)-2 { // the last reaches to the end
			at = len(rest) - len(next)
			ok = strings.HasSuffix(rest, next)
		}
		if !ok || at <= 0 {
			return nil, false
		}
		list, rest = append(list, rest[:at]), rest[at+len(next):]
	}
	return list, rest == ""
}

// Said is what a finding has seen, or what to do about it, in the page's language.
func (t *text) Said(english string) (list []piece) {
	if t.lang == "en" {
		return []piece{{english, false}}
	}
	for part := range strings.SplitSeq(english, "; ") {
		said, ok := t.translate(part)
		list = append(list, piece{said, !ok && !isCommand(part)})
	}
	return list
}

// isCommand tells whether a text is for a shell, which has no language.
func isCommand(s string) bool {
	return strings.HasPrefix(s, "holdfast ") || strings.HasPrefix(s, "go get ")
}

func (t *text) translate(english string) (string, bool) {
	for _, p := range t.phrases {
		values, ok := p.values(english)
		if !ok {
			continue
		}
		args := make([]any, len(values))
		for i, v := range values {
			args[i] = t.value(v)
		}
		return fmt.Sprintf(p.said, args...), true
	}
	return english, false
}

// value is a name or a number, which has no language, a kind of work, perhaps with where
// it was begun, or a phrase again.
func (t *text) value(v string) string {
	if isCommand(v) {
		return v
	}
	kind, site, _ := strings.Cut(v, " of ")
	if said := t.Kind(kind); said != kind {
		if site == "" {
			return said
		}
		return t.T(phrasePrefix+"of", said, site)
	}
	if said, ok := t.translate(v); ok {
		return said
	}
	return v
}
