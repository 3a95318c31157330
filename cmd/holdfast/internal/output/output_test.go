package output

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
)

func TestVisible(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                         "",
		"plain äöü 日本 \U0001f600":  "plain äöü 日本 \U0001f600",
		"a\x1b[2Jb":                `a\x1b[2Jb`,
		"a\n\r\tb\x00\x7f":         `a\n\r\tb\x00\x7f`,
		"\u009b31m":                `\u009b31m`,
		"user\u202egnp.exe":        `user\u202egnp.exe`,
		"\u2028\ufeff":             `\u2028\ufeff`,
		"bad \xff\xc3":             `bad \xff\xc3`,
		"\u0645\u06cc\u200c\u062e": "\u0645\u06cc\u200c\u062e",
		"real \ufffd":              "real \ufffd",
	} {
		if got := Visible(in); got != want {
			t.Errorf("Visible(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestJSONValues(t *testing.T) {
	t.Parallel()
	date := Column{Type: "DATE"}
	stamp := Column{Type: "TIMESTAMP"}
	at := time.Date(2024, 1, 2, 3, 4, 5, 600_000_000, time.FixedZone("", 7200))
	for _, test := range []struct {
		value  any
		column Column
		want   string
	}{
		{nil, Column{}, "null"},
		{int64(math.MinInt64), Column{}, "-9223372036854775808"},
		{1.0, Column{}, "1.0"},
		{1e300, Column{}, "1e+300"},
		{math.Inf(-1), Column{}, `{"float":"-Infinity"}`},
		{math.NaN(), Column{}, `{"float":"NaN"}`},
		{[]byte{0, 255}, Column{}, `{"base64":"AP8="}`},
		{"a\"\\<&>\x1b\u007f\u009b\u2028", Column{}, `"a\"\\<&>\u001b\u007f\u009b\u2028"`},
		{"\xff", Column{}, `{"text_base64":"/w=="}`},
		{at, stamp, `"2024-01-02T01:04:05.6Z"`},
		{time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC), date, `"2024-01-02"`},
		{time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC), stamp, `"2024-01-02T00:00:00Z"`},
		{true, Column{}, "true"},
	} {
		got := appendJSON(nil, test.value, test.column)
		if string(got) != test.want || !json.Valid(got) {
			t.Errorf("%#v: %s, want %s", test.value, got, test.want)
		}
	}
}

func TestTimesReadAsSQLiteWritesThem(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", -5*3600)
	for want, test := range map[string]struct {
		at   time.Time
		kind string
	}{
		"2024-01-02":                    {time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC), "DATE"},
		"2024-01-02 00:00:01":           {time.Date(2024, 1, 2, 0, 0, 1, 0, time.UTC), "DATE"},
		"2024-01-02 00:00:00":           {time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC), "DATETIME"},
		"2024-01-02 03:04:05.006-05:00": {time.Date(2024, 1, 2, 3, 4, 5, 6_000_000, zone), "TIMESTAMP"},
	} {
		if got, _ := plain(test.at, Column{Type: test.kind}); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestDistinctNames(t *testing.T) {
	t.Parallel()
	var columns []Column
	for _, name := range []string{"a", "a", "a_2", "b", "a", "", ""} {
		columns = append(columns, Column{Name: name})
	}
	got := distinct(columns)
	if want := []string{"a", "a_3", "a_2", "b", "a_4", "", "_2"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// result makes a result of texts.
func result(columns, rows, width int) *Result {
	r := &Result{}
	for i := range columns {
		r.Columns = append(r.Columns, Column{Name: strings.Repeat("n", i%7+1)})
	}
	for range rows {
		var row []any
		for range columns {
			row = append(row, strings.Repeat("\u65e5", width))
		}
		r.Rows = append(r.Rows, row)
	}
	return r
}

func TestTablesFitTheTerminal(t *testing.T) {
	t.Parallel()
	for _, width := range []int{20, 40, 80, 200} {
		for _, columns := range []int{1, 2, 5, 30} {
			for _, size := range []int{0, 1, 50, 5000} {
				for _, ascii := range []bool{false, true} {
					var out strings.Builder
					p := &Printer{Out: &out, Format: Table, Width: width, ASCII: ascii}
					if err := p.Result(result(columns, 2, size)); err != nil {
						t.Fatal(err)
					}
					for line := range strings.SplitSeq(out.String(), "\n") {
						if w := text.StringWidth(line); w > width {
							t.Fatalf("width %d, %d columns of %d: a line of %d: %s", width, columns, size, w, line)
						}
					}
				}
			}
		}
	}
}

func TestWithoutATerminalNothingIsCut(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := &Printer{Out: &out, Format: Table}
	if err := p.Result(result(40, 1, 500)); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\u65e5"); n != 40*500 {
		t.Errorf("%d characters are left of %d", n, 40*500)
	}
}

func TestCSVToATerminalIsVisible(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := &Printer{Out: &out, Format: CSV, Width: 80}
	if err := p.Result(Grid([][]any{{"\x1b[2J", nil, ""}}, "a", "b", "c")); err != nil {
		t.Fatal(err)
	}
	if want := "a,b,c\n\\x1b[2J,,\"\"\n"; out.String() != want {
		t.Errorf("%q", out.String())
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestWriteErrors(t *testing.T) {
	t.Parallel()
	for _, format := range Formats() {
		p := &Printer{Out: fullDisk{}, Format: Format(format)}
		err := p.Document(struct{}{}, Fields("a", "b"))
		var write *WriteError
		if !errors.As(err, &write) {
			t.Errorf("%s: %v", format, err)
		}
	}
}

func FuzzVisible(f *testing.F) {
	f.Add("a\x1b\xff\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := Visible(s)
		if strings.ContainsFunc(got, hidden) {
			t.Fatalf("%q is still %q", s, got)
		}
		if !json.Valid(appendString(nil, strings.ToValidUTF8(s, "?"))) {
			t.Fatalf("%q makes no JSON", s)
		}
	})
}
