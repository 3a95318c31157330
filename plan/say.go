package plan

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// LanguageOf reads a value of LANG, such as "de_AT.UTF-8"; what is not German is
// English.
func LanguageOf(locale string) Language {
	if l := strings.ToLower(locale); l == "de" || len(l) > 2 && l[:2] == "de" && strings.ContainsRune("_.-@", rune(l[2])) {
		return German
	}
	return English
}

// Sentence says in one sentence what the step does. It names tables and indexes as
// they stand in the plan, and no values.
func (s *Step) Sentence(l Language) string {
	var b strings.Builder
	key, about := s.sentence()
	if builds := s.Access == ByAutomaticIndex || s.Access == ByAutomaticPartial; s.Inner && builds {
		key += " each"
	} else if s.Inner {
		b.WriteString(additions["inner"].in(l))
	}
	b.WriteString(s.fill(sentences[key].in(l), about))
	for _, key := range s.added() {
		b.WriteString(s.fill(additions[key].in(l), ""))
	}
	return capital(b.String()) + "."
}

// Sentence is "" for a plan with steps, and for one without says what that means.
func (p *Plan) Sentence(l Language) string {
	if len(p.Steps) > 0 {
		return ""
	}
	return capital(sentences["nothing"].in(l)) + "."
}

func capital(text string) string {
	r, n := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(r)) + text[n:]
}

// fill puts the names into a phrase; about is for {s}. A name that has braces
// itself stays as it is.
func (s *Step) fill(text, about string) string {
	e := ""
	if s.Estimate != nil {
		e = strconv.FormatInt(*s.Estimate, 10)
	} else if s.Size != nil {
		e = strconv.FormatInt(*s.Size, 10)
	}
	named := s.Table
	if s.Of != "" && fold(s.Of) != fold(s.Table) {
		named += " (" + s.Of + ")"
	}
	return strings.NewReplacer("{t}", named, "{i}", s.Index, "{c}", written(s.Terms), "{n}", strconv.Itoa(s.Number),
		"{s}", about, "{e}", e).Replace(text)
}

// sentence is the key of the step's sentence, and what {s} is in it.
func (s *Step) sentence() (key, about string) {
	switch s.Kind {
	case Scan:
		return s.scan()
	case Search:
		return s.search()
	case Constant:
		if s.Source == FromValues {
			return "constant values", ""
		}
		return "constant", ""
	case InOperator:
		if s.Access == ByRowid {
			return "in rowid", ""
		}
		return "in index", ""
	case List, Scalar:
		if s.Correlated {
			return string(s.Kind) + " each", ""
		}
		return string(s.Kind), ""
	case Next:
		if s.Subject != "UNION ALL" {
			return "next distinct", s.Subject
		}
		return "next", ""
	case Merge:
		return "merge " + s.Subject, ""
	case TempBTree:
		return s.temporary()
	case Unknown:
		return "unknown", s.Detail
	}
	return plain[s.Kind], ""
}

// plain are the kinds that have one sentence.
var plain = map[Kind]string{
	MultiOr: "or", OrPart: "or part", BloomFilter: "bloom", ListFilter: "list bloom", Reuse: "reuse", CoRoutine: "co-routine",
	Materialize: "materialize", Setup: "setup", Recursion: "recursion", Compound: "compound", First: "first", Left: "left",
	Right: "right", RightJoin: "right join",
}

func (s *Step) scan() (key, about string) {
	switch s.Access {
	case ByVirtualTable:
		return s.virtual(), s.Subject
	case ByIndex:
		return "scan index", ""
	case ByCoveringIndex:
		return "scan covering", ""
	}
	if s.Source != "" && s.Source != FromTable {
		return "scan " + string(s.Source), ""
	}
	return "scan", ""
}

// virtual knows the plans of one module, fts5: "M" and a number for each MATCH, and
// nothing at all if nothing narrows the table.
func (s *Step) virtual() string {
	if s.Module == "fts5" {
		_, plan, _ := strings.Cut(s.Subject, ":")
		switch {
		case plan == "":
			return "virtual whole"
		case plan[0] == 'M':
			return "virtual match"
		}
	}
	return "virtual"
}

func (s *Step) search() (key, about string) {
	wide, skipped := false, []string{}
	for _, t := range s.Terms {
		wide = wide || t.Op == "<" || t.Op == ">"
		if t.Op == tried {
			skipped = append(skipped, t.Columns...)
		}
	}
	switch s.Access {
	case ByVirtualTable:
		return s.virtual(), s.Subject
	case ByAutomaticIndex:
		return "search auto", ""
	case ByAutomaticPartial:
		return "search auto partial", ""
	}
	switch {
	case len(s.Terms) == 0 && s.Index != "":
		return "search extreme index", ""
	case len(s.Terms) == 0 && s.Access == ByPrimaryKey:
		return "search extreme key", ""
	case len(s.Terms) == 0:
		return "search extreme", ""
	case len(skipped) == len(s.Terms):
		return "search skip alone", strings.Join(skipped, ", ")
	case len(skipped) > 0:
		return "search skip", strings.Join(skipped, ", ")
	}
	key = map[Access]string{ByRowid: "search rowid", ByPrimaryKey: "search key", ByIndex: "search index", ByCoveringIndex: "search cover"}[s.Access]
	if wide {
		key += " range"
	}
	return key, ""
}

func (s *Step) temporary() (key, about string) {
	switch s.Subject {
	case "ORDER BY":
		return "sort", ""
	case "LAST TERM OF ORDER BY":
		return "sort last", ""
	case "GROUP BY":
		return "group", ""
	case "DISTINCT":
		return "distinct", ""
	}
	switch {
	case s.Number > 0:
		return "sort last some", ""
	case strings.HasSuffix(s.Subject, "(DISTINCT)"):
		return "values once", s.Subject
	case strings.HasSuffix(s.Subject, "(ORDER BY)"):
		return "values order", s.Subject
	}
	return "temporary", s.Subject
}

// added are the additions to the sentence, in their order.
func (s *Step) added() (keys []string) {
	switch {
	case s.Estimate != nil && *s.Estimate == 1 && s.Kind == Search:
		keys = append(keys, "one")
	case s.Estimate != nil:
		keys = append(keys, "estimate")
	case s.Size != nil && s.Kind == Scan && s.Access == "":
		keys = append(keys, "size")
	}
	if s.Outer {
		keys = append(keys, "outer")
	}
	if s.Exists {
		keys = append(keys, "exists")
	}
	return keys
}

// Sizes from which a table that is read without an index is worth a look, in rows by
// sqlite_stat1.
const (
	large       = 10_000
	largeInside = 100 // if it is read for each row of others
)

// Remark says whether the step is worth a look, and why; if it is not, the text is "".
func (s *Step) Remark(l Language) (Attention, string) {
	a, key, about := s.remark()
	if key == "" {
		return None, ""
	}
	return a, s.fill(remarks[key].in(l), about)
}

func (s *Step) remark() (a Attention, key, about string) {
	switch {
	case s.Kind == TempBTree && s.Subject != "DISTINCT" && !strings.HasSuffix(s.Subject, "(DISTINCT)"):
		return Note, "sort", ""
	case s.Correlated:
		return Note, "each", ""
	case s.Kind == Search && (s.Access == ByAutomaticIndex || s.Access == ByAutomaticPartial):
		return s.automatic()
	case s.Kind == Search && len(s.Terms) > 0 && s.Terms[0].Op == tried:
		return Note, "skip", ""
	case s.Kind == Search && len(s.Terms) == 0 && s.Access == "" && (s.Source == "" || s.Source == FromTable):
		return Note, "extreme", ""
	case s.Kind == Scan:
		return s.whole()
	}
	return None, "", ""
}

func (s *Step) automatic() (a Attention, key, about string) {
	switch s.Source {
	case FromTable:
		if create := createIndex(s.Of, s.Terms); create != "" {
			return Warning, "auto create", create
		}
	case FromResult, FromQueue:
		return Note, "auto result", ""
	}
	return Warning, "auto", ""
}

// whole is about a scan of a table.
func (s *Step) whole() (a Attention, key, about string) {
	switch {
	case s.virtualWhole():
		return Note, "virtual whole", ""
	case (s.Access == ByIndex || s.Access == ByCoveringIndex) && s.Size != nil && (*s.Size >= large || s.Inner && *s.Size >= largeInside):
		return Note, "index whole", ""
	case s.Access != "" || s.Source != "" && s.Source != FromTable:
		return None, "", ""
	case s.Size == nil && s.Inner:
		return Note, "scan again?", ""
	case s.Size == nil:
		return Note, "scan size", ""
	case s.Inner && *s.Size >= largeInside:
		return Warning, "scan again", ""
	case *s.Size >= large && s.limited:
		return Note, "scan limited", ""
	case *s.Size >= large && s.all:
		return Note, "scan large", ""
	case *s.Size >= large:
		return Warning, "scan large", ""
	}
	return None, "", ""
}

func (s *Step) virtualWhole() bool {
	return s.Access == ByVirtualTable && s.virtual() == "virtual whole"
}

// createIndex is the statement that makes an index stay, or "" if it can't be told.
func createIndex(table string, list []Term) string {
	if len(list) == 0 {
		return ""
	}
	var columns []string
	name := table
	for _, t := range list {
		for _, c := range t.Columns {
			if c == "<expr>" {
				return ""
			}
			columns = append(columns, quote(c))
			name += "_" + c
		}
	}
	return "CREATE INDEX " + quote(name) + " ON " + quote(table) + "(" + strings.Join(columns, ", ") + ")"
}

// quote is a name as SQL writes it. Quotes where they are not needed do no harm, but
// people type what they read.
func quote(name string) string {
	simple := name != "" && !(name[0] >= '0' && name[0] <= '9')
	for i := 0; i < len(name); i++ {
		simple = simple && (name[i] == '_' || name[i]|0x20 >= 'a' && name[i]|0x20 <= 'z' || name[i] >= '0' && name[i] <= '9')
	}
	if simple && !(token{text: name}).ends() {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}
