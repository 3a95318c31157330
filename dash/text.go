package dash

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
)

//go:embed texts/*.json
var textFiles embed.FS

// text is what the pages say in one language.
type text struct {
	lang     string
	messages map[string]string
	phrases  []phrase // that evidences consist of
}

// catalogue reads the texts: files of {"KEY": {"en": "...", "de": "..."}}, where each
// page may have one of its own.
func catalogue() map[string]*text {
	all := map[string]*text{}
	for _, lang := range choices["lang"] {
		all[lang] = &text{lang: lang, messages: map[string]string{}}
	}
	files, err := fs.Glob(textFiles, "texts/*.json")
	for _, file := range files {
		var content []byte
		if content, err = textFiles.ReadFile(file); err != nil {
			break
		}
		var messages map[string]map[string]string
		if err = json.Unmarshal(content, &messages); err != nil {
			err = fmt.Errorf("%s: %w", file, err)
			break
		}
		for key, said := range messages {
			for lang, t := range all {
				t.messages[key] = said[lang]
			}
		}
	}
	for _, t := range all {
		t.phrases = phrasesOf(all["en"].messages, t.messages)
	}
	if err != nil {
		panic(err) // they are compiled in, and tested
	}
	return all
}

// language is the one that the address asks for, else the browser's first of those
// that there are.
func language(r *http.Request) string {
	asked := r.URL.Query().Get("lang")
	for _, tag := range append([]string{asked}, strings.Split(r.Header.Get("Accept-Language"), ",")...) {
		tag, _, _ = strings.Cut(strings.TrimSpace(tag), ";")
		switch base, _, _ := strings.Cut(strings.ToLower(tag), "-"); base {
		case "en", "de":
			return base
		}
	}
	return "en"
}

// T is the text with a key, its verbs filled as fmt does.
func (t *text) T(key string, args ...any) string {
	said, ok := t.messages[key]
	switch {
	case !ok:
		return key
	case len(args) > 0:
		return fmt.Sprintf(said, args...)
	}
	return said
}

// Known is the text with a key, and what else stands for it where there is none.
func (t *text) Known(key, other string) string {
	if said, ok := t.messages[key]; ok {
		return said
	}
	return other
}

// Kind is what a holder or waiter is called.
func (t *text) Kind(kind string) string { return t.Known("kind."+kind, kind) }

// Summary is what a finding says. In English it is the finding's own, which may say more.
func (t *text) Summary(f holdfast.Finding) string {
	if t.lang == "en" {
		return f.Summary
	}
	return t.Known("finding."+f.ID, f.Summary)
}

// N is T for a number: the text KEY.one for 1, else KEY.many, which gets the number.
func (t *text) N(key string, n int64) string {
	if n == 1 {
		return t.T(key + ".one")
	}
	return t.T(key+".many", t.Int(n))
}

func (t *text) point(s string) string {
	if t.lang == "de" {
		return strings.Replace(s, ".", ",", 1)
	}
	return s
}

// thin is the space between a number and its unit, and between groups of digits: narrow,
// and no place to break a line.
const thin = "\u202f"

// Int is a whole number, with groups of digits.
func (t *text) Int(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + thin + s[i:]
	}
	return sign + s
}

// Num is a number in three digits.
func (t *text) Num(f float64) string {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return "–"
	case math.Abs(f) >= 999.5:
		return t.Int(int64(math.Round(f)))
	case f == math.Trunc(f):
		return strconv.FormatFloat(f, 'f', 0, 64)
	case math.Abs(f) >= 99.5:
		return strconv.FormatFloat(f, 'f', 0, 64)
	case math.Abs(f) >= 9.95:
		return t.point(strconv.FormatFloat(f, 'f', 1, 64))
	case math.Abs(f) >= 0.01:
		return t.point(strconv.FormatFloat(f, 'f', 2, 64))
	}
	return t.point(strconv.FormatFloat(f, 'g', 2, 64))
}

// Bytes is a size.
func (t *text) Bytes(n float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for math.Abs(n) >= 1024 && i < len(units)-1 {
		n, i = n/1024, i+1
	}
	return t.Num(n) + thin + units[i]
}

// Dur is a length of time, of seconds.
func (t *text) Dur(s float64) string {
	switch a := math.Abs(s); {
	case s == 0:
		return "0" + thin + "s"
	case a < 1e-3:
		return t.Num(s*1e6) + thin + "µs"
	case a < 1:
		return t.Num(s*1e3) + thin + "ms"
	case a < 120:
		return t.Num(s) + thin + "s"
	case a < 2*3600:
		return t.Num(math.Round(s/60)) + thin + "min"
	case a < 48*3600:
		return t.Num(math.Round(s/360)/10) + thin + "h"
	}
	return t.Num(math.Round(s/8640)/10) + thin + t.T("unit.days")
}

// Pct is a part of one.
func (t *text) Pct(f float64) string { return t.Num(math.Round(f*1000)/10) + thin + "%" }

// Unit is a number with the unit of a chart: "s", "By", "%" for a part of one, "1/s", or a word.
func (t *text) Unit(unit string, f float64) string {
	switch unit {
	case "s":
		return t.Dur(f)
	case "By":
		return t.Bytes(f)
	case "%":
		return t.Pct(f)
	case "":
		return t.Num(f)
	case "1/s":
		return t.Num(f) + "/s"
	}
	return t.Num(f) + thin + unit
}

// Ago is how long before now a moment was.
func (t *text) Ago(at, now time.Time) string {
	if at.IsZero() {
		return t.T("time.never")
	}
	d := now.Sub(at)
	if d < time.Second {
		return t.T("time.now")
	}
	return t.T("time.ago", t.Dur(math.Round(d.Seconds())))
}

// Clock is a moment in UTC: its time if it is of the same day, else its day and time.
func (t *text) Clock(at, now time.Time) string {
	at, now = at.UTC(), now.UTC()
	switch {
	case at.IsZero():
		return "–"
	case now.Sub(at).Abs() < 18*time.Hour:
		return at.Format("15:04:05")
	}
	return at.Format("2006-01-02 15:04")
}

// ownName is what a database is called that is the only one.
func ownName(db *holdfast.DB, none string) string {
	if address := db.Address(); address != "" {
		return address
	}
	return fileName(db.Path(), none)
}

// fileName is the last part of a path.
func fileName(path, none string) string {
	if path == "" {
		return none
	}
	return filepath.Base(path)
}
