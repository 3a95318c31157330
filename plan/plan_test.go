package plan

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The texts of the engine's source that the golden queries don't bring about, and
// names that look like parts of a text.
func TestDetails(t *testing.T) {
	t.Parallel()
	for detail, want := range map[string]Step{
		"SCAN main.t LEFT-JOIN":                 {Kind: Scan, Table: "main.t", Outer: true},
		"SCAN t EXISTS":                         {Kind: Scan, Table: "t", Exists: true},
		"SCAN (join-3)":                         {Kind: Scan, Table: "(join-3)", Source: FromResult},
		"SCAN 2 CONSTANT ROWS":                  {Kind: Constant, Number: 2, Source: FromValues},
		"SCAN 1 CONSTANT ROW":                   {Kind: Constant, Number: 1, Source: FromValues},
		"SCAN v VIRTUAL TABLE INDEX 0x1f:a b:c": {Kind: Scan, Table: "v", Access: ByVirtualTable, Subject: "0x1f:a b:c"},
		"SEARCH v VIRTUAL TABLE INDEX -1:":      {Kind: Search, Table: "v", Access: ByVirtualTable, Subject: "-1:"},
		"SEARCH t USING INDEX a (b) (x=?)":      {Kind: Search, Table: "t", Access: ByIndex, Index: "a (b)", Terms: []Term{{[]string{"x"}, "="}}},
		"SEARCH a b USING INDEX i (x<?)":        {Kind: Search, Table: "a b", Access: ByIndex, Index: "i", Terms: []Term{{[]string{"x"}, "<"}}},
		"SEARCH t USING INDEX i (a=? AND (b,c)<(?,?))": {
			Kind: Search, Table: "t", Access: ByIndex, Index: "i",
			Terms: []Term{{[]string{"a"}, "="}, {[]string{"b", "c"}, "<"}},
		},
		"REUSE LIST SUBQUERY 4":      {Kind: Reuse, Number: 4},
		"REUSE SUBQUERY 4":           {Kind: Reuse, Number: 4},
		"UNION USING TEMP B-TREE":    {Kind: Next, Subject: "UNION"},
		"RIGHT-JOIN (join-1)":        {Kind: RightJoin, Table: "(join-1)"},
		"USE TEMP B-TREE FOR x y":    {Kind: TempBTree, Subject: "x y"},
		"INDEX x":                    {Kind: Unknown},
		"SCAN":                       {Kind: Unknown},
		"":                           {Kind: Unknown},
		"-- TRIGGER gone":            {Kind: Unknown},
		"TELEPORT t TO RIGHT ANSWER": {Kind: Unknown},
	} {
		want.Detail = detail
		got := read(detail)
		if a, b := toJSON(t, got), toJSON(t, &want); a != b {
			t.Errorf("%q\n got %s\nwant %s", detail, a, b)
		}
		if s := got.Sentence(English); got.Kind == Unknown && !strings.Contains(s, detail) {
			t.Errorf("%q became %q", detail, s)
		}
	}
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var placeholder = regexp.MustCompile(`\{\w+\}`)

// Each text exists in both languages, names the same things in both, and is one line.
func TestTextsAreComplete(t *testing.T) {
	t.Parallel()
	for name, texts := range map[string]map[string]phrase{"sentences": sentences, "additions": additions, "remarks": remarks} {
		for key, p := range texts {
			var names [2][]string
			for n, text := range []string{p.en, p.de} {
				if text == "" || strings.Contains(text, "\n") {
					t.Errorf("%s: %s is not one line: %q", name, key, text)
				}
				names[n] = placeholder.FindAllString(text, -1)
				slices.Sort(names[n])
			}
			if !slices.Equal(slices.Compact(names[0]), slices.Compact(names[1])) {
				t.Errorf("%s: %s names %q in English and %q in German", name, key, names[0], names[1])
			}
		}
	}
}

func TestLanguageOf(t *testing.T) {
	t.Parallel()
	for locale, want := range map[string]Language{"": English, "C": English, "en_US.UTF-8": English, "den": English, "de": German, "de_AT.UTF-8": German, "DE-ch": German} {
		if got := LanguageOf(locale); got != want {
			t.Errorf("%q: %s", locale, got)
		}
	}
}

// Rows that no engine would send make a tree all the same: each is one step of it.
func TestOddRows(t *testing.T) {
	t.Parallel()
	p := Parse([]Row{{1, 1, "SCAN a"}, {2, 9, "SCAN b"}, {2, 2, "LEFT"}, {0, 0, "SETUP"}, {3, 0, "SCAN c"}, {-4, 2, "SCAN d"}})
	if n := len(p.All()); n != 6 {
		t.Errorf("%d steps of 6 rows", n)
	}
	if got := Parse(nil); got.Sentence(English) == "" || got.Steps == nil {
		t.Errorf("an empty plan says nothing: %+v", got)
	}
}

// An alias is told only where the text leaves no doubt.
func TestAliases(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ sql, name, want string }{
		{"SELECT * FROM orders", "orders", "orders"},
		{"SELECT * FROM main.Orders AS o JOIN customer c ON 1", "o", "orders"},
		{"SELECT * FROM [orders] \"o x\", customer", "o x", "orders"},
		{"UPDATE orders SET a = 1", "orders", "orders"},
		{"DELETE FROM orders AS x WHERE 1", "x", "orders"},
		{"INSERT INTO old SELECT * FROM orders o -- FROM customer o\n WHERE 'FROM customer o'", "o", "orders"},
		{"SELECT * FROM orders o WHERE EXISTS (SELECT 1 FROM customer o)", "o", ""},
		{"SELECT * FROM (SELECT * FROM orders) o", "o", ""},
		{"SELECT a, b x FROM orders x", "x", ""}, // b might be a table for all that is known here
		{"SELECT * FROM (orders o JOIN customer c)", "o", "orders"},
		{"SELECT 1", "o", ""},
		{"SELECT * FROM (", "o", ""},
		{"FROM", "o", ""},
	} {
		if got := aliasesIn(tokens(c.sql))[c.name]; got != c.want {
			t.Errorf("%s: %s is %q, want %q", c.sql, c.name, got, c.want)
		}
	}
}

// Facts are told of tables, never of what the statement makes under the same name.
func TestKnow(t *testing.T) {
	t.Parallel()
	facts := Facts{Tables: []Table{{Name: "orders", Rows: 50_000}, {Name: "tiny", Rows: 3}}}
	for _, c := range []struct {
		sql   string
		rows  []Row
		step  int
		of    string
		alarm Attention
	}{
		{"SELECT * FROM orders o WHERE a = 1", []Row{{1, 0, "SCAN o"}}, 0, "orders", Warning},
		{"SELECT * FROM orders o", []Row{{1, 0, "SCAN o"}}, 0, "orders", Note},
		{"SELECT * FROM orders o WHERE a = 1 LIMIT 3", []Row{{1, 0, "SCAN o"}}, 0, "orders", Note},
		{"SELECT * FROM tiny WHERE a = 1", []Row{{1, 0, "SCAN tiny"}}, 0, "tiny", None},
		{"SELECT * FROM view", []Row{{1, 0, "SCAN x"}}, 0, "", Note},
		{"WITH orders AS MATERIALIZED (SELECT 1) SELECT * FROM orders", []Row{{1, 0, "MATERIALIZE orders"}, {2, 1, "SCAN CONSTANT ROW"}, {3, 0, "SCAN orders"}}, 2, "", None},
		{"WITH orders AS MATERIALIZED (SELECT 1) SELECT * FROM orders o", []Row{{1, 0, "MATERIALIZE orders"}, {3, 0, "SCAN o"}}, 1, "", Note},
		{"WITH c AS MATERIALIZED (SELECT 1) SELECT * FROM c o", []Row{{1, 0, "MATERIALIZE c"}, {3, 0, "SCAN o"}}, 1, "", None},
	} {
		p := Parse(c.rows)
		p.Know(c.sql, facts)
		s := p.All()[c.step]
		if a, text := s.Remark(English); s.Of != c.of || a != c.alarm || (a == None) != (text == "") {
			t.Errorf("%s: of %q, %q %q", c.sql, s.Of, a, text)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, form := range forms {
		f.Add(1, 0, strings.NewReplacer("(?s)^", "", "$", "", "(", "", ")", "", "?", "", "\\", "", ".+", "t", "d+", "1").Replace(form.pattern.String()), "SELECT * FROM t AS x")
	}
	f.Add(1, 2, "SEARCH t USING INDEX i (ANY(a) AND b=? AND (c,d)>(?,?)) LEFT-JOIN", "UPDATE \"t")
	facts := Facts{Tables: []Table{{Name: "t", Rows: 1 << 40, Module: "fts5", Indexes: []Index{{Name: "i", Columns: 1, Unique: true, PerKey: []int64{3}}}}}}
	f.Fuzz(func(t *testing.T, id, parent int, detail, sql string) {
		p := Parse([]Row{{id, parent, detail}, {parent, id, detail}, {id, id, "SCAN " + detail}, {id + 1, parent, "MATERIALIZE " + detail}})
		p.Know(sql, facts)
		if n := len(p.All()); n != 4 {
			t.Fatalf("%d steps of 4 rows", n)
		}
		for _, l := range p.Lines(false) {
			for _, language := range []Language{English, German} {
				text := l.Step.Sentence(language)
				if len(text) < 5 || placeholder.MatchString(text) && !placeholder.MatchString(detail+sql) {
					t.Errorf("%q: %q", l.Step.Detail, text)
				}
				if a, why := l.Step.Remark(language); (a == None) != (why == "") {
					t.Errorf("%q: %q %q", l.Step.Detail, a, why)
				}
			}
		}
		if _, err := json.Marshal(p); err != nil {
			t.Error(err)
		}
	})
}
