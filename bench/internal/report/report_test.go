package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

// sample has a contestant of each kind. The machine slows down from round to
// round, and the ratios must not.
func sample() *Report {
	runs := func(values ...float64) []Run {
		all := make([]Run, len(values))
		for i, v := range values {
			all[i] = Run{Round: i + 1, Value: v, Done: int64(v), Times: Times{P50: 1e-5, P99: 2e-4, Max: float64(i+1) / 1000}}
		}
		return all
	}
	failed := runs(0, 0, 0)
	for i := range failed {
		failed[i].Errors, failed[i].FirstError = 100, "database is locked <5>"
	}
	broken := runs(50, 999, 30)
	broken[1].Problem, broken[1].Value = "it was not done after 1m0s", 0
	r := &Report{
		Schema:      Schema,
		Environment: Environment{Go: "go1.26.0", System: "linux/amd64", CPUs: 2, FileSystem: "ext4", Rounds: 3},
		Workloads: []Workload{
			{ID: "W4 full/exec", Title: "Writes & more", Unit: "tx/s", Contestants: []Contestant{
				{Name: "holdfast", Base: true, Ours: true, Runs: runs(4000, 2000, 1000)},
				{Name: "slower", Runs: runs(400, 250, 50)},
				{Name: "broken", Runs: broken},
				{Name: "locked", Runs: failed},
				{Name: "c", Limit: true, Runs: runs(8000, 4000, 2000)},
			}},
			{ID: "W7 open", Title: "Open", Unit: "us to open", Lower: true, Contestants: []Contestant{
				{Name: "holdfast", Base: true, Ours: true, Runs: runs(400, 500, 600)},
				{Name: "slower", Runs: runs(1200, 1500, 1800)},
			}},
		},
	}
	r.Summarize()
	return r
}

func TestRatiosAreOfEachRound(t *testing.T) {
	r := sample()
	for i, want := range []float64{1, 10, (4000.0/50 + 1000.0/30) / 2, 0, 0.5} {
		c := r.Workloads[0].Contestants[i]
		if got := c.Summary.Ratio; math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: the base is %g times better, want %g", c.Name, got, want)
		}
	}
	if got := r.Workloads[1].Contestants[1].Summary.Ratio; got != 3 {
		t.Errorf("where lower is better the base is %g times better, want 3", got)
	}
}

func TestSummary(t *testing.T) {
	s := sample().Workloads[0].Contestants[1].Summary
	if s.Median != 250 || s.Min != 50 || s.Max != 400 || s.Done != 700 || s.Times.Max != 0.003 {
		t.Errorf("the summary is %+v", s)
	}
	s = sample().Workloads[0].Contestants[2].Summary
	if s.Median != 40 || s.Min != 30 || s.Max != 50 {
		t.Errorf("a run with a problem was counted: %+v", s)
	}
	if s = summarize(nil); s != (Summary{}) {
		t.Errorf("no run comes to %+v", s)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{5, 1, 9}, 5}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.values); got != c.want {
			t.Errorf("the median of %v is %g", c.values, got)
		}
	}
}

func TestProblemsAreCounted(t *testing.T) {
	r := sample()
	r.Workloads[0].Contestants[0].Runs[0].Lost = 1
	if n := r.Problems(); n != 2 {
		t.Errorf("%d problems, want 2", n)
	}
}

func TestJSONComesBack(t *testing.T) {
	var first, second bytes.Buffer
	must(t, sample().WriteJSON(&first))
	text := first.String()
	r, err := ReadJSON(&first)
	must(t, err)
	must(t, r.WriteJSON(&second))
	if second.String() != text {
		t.Error("what was read is not what was written")
	}
	if _, err := ReadJSON(strings.NewReader(`{"schema":"other/v1"}`)); err == nil {
		t.Error("another schema was accepted")
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	must(t, sample().WriteTable(&b))
	for _, want := range []string{
		"W4 full/exec: Writes & more [tx/s, higher is better]",
		"W7 open: Open [us to open, lower is better]",
		"holdfast     2,000  1,000..4,000        1.00x",
		"300 (100 %)",
		"locked failed with: database is locked <5>",
		"! broken, round 2 does not count: it was not done after 1m0s",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &b)
		}
	}
	if strings.Contains(b.String(), "WAL") {
		t.Errorf("a column that says nothing was printed:\n%s", &b)
	}
}

func TestChartIsXML(t *testing.T) {
	var b bytes.Buffer
	must(t, sample().WriteSVG(&b))
	text := b.String()
	for _, want := range []string{"nothing got done", "Writes &amp; more", "shorter is better", ">1k<", "logarithmic", "from zero"} {
		if !strings.Contains(text, want) {
			t.Errorf("the chart lacks %q", want)
		}
	}
	for d := xml.NewDecoder(&b); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
	}
	if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") || strings.Contains(text, "%!") {
		t.Error("the chart has a figure that is none")
	}
}

func TestScale(t *testing.T) {
	c := func(lowest, middle, highest float64) Contestant {
		return Contestant{Summary: Summary{Median: middle, Min: lowest, Max: highest}}
	}
	for _, test := range []struct {
		all   []Contestant
		want  scale
		ticks int
	}{
		{nil, scale{high: 1, step: 1}, 2},
		{[]Contestant{c(0, 0, 0)}, scale{high: 1, step: 1}, 2},
		{[]Contestant{c(150, 200, 300)}, scale{high: 300, step: 100}, 4},
		{[]Contestant{c(150, 160, 180)}, scale{high: 180, step: 50}, 4},
		{[]Contestant{c(0, 5, 9)}, scale{high: 9, step: 2}, 5},
		{[]Contestant{c(20, 30, 40), c(3e5, 4e5, 2e6)}, scale{low: 10, high: 1e7}, 7},
		{[]Contestant{c(10, 10, 10), c(400, 400, 400)}, scale{low: 1, high: 1000}, 4},
	} {
		got := scaleOf(test.all)
		if got != test.want || len(got.ticks()) != test.ticks {
			t.Errorf("the scale is %+v with ticks at %v", got, got.ticks())
		}
		if got.part(got.high) != 1 || got.part(got.low) != 0 {
			t.Errorf("%+v does not fill the plot", got)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		s    string
		want []string
	}{
		{"", []string{""}},
		{"one, two", []string{"one, two"}},
		{"one, two, three, four", []string{"one, two", "three", "four"}},
	} {
		if got := wrap(c.s, 8); !slices.Equal(got, c.want) {
			t.Errorf("%q becomes %q", c.s, got)
		}
	}
}

func TestFormats(t *testing.T) {
	for got, want := range map[string]string{
		number(0): "0", number(9.876): "9.88", number(12.34): "12.3", number(999): "999", number(1234567): "1,234,567", number(9.999): "10.0",
		integer(-1234): "-1,234", integer(100): "100",
		seconds(0): "-", seconds(5e-8): "50 ns", seconds(9.9999e-4): "1 ms", seconds(1.5e-3): "1.5 ms", seconds(2): "2 s",
		times(0): "-", times(0.5): "0.50x", times(12.34): "12.3x", times(1234): "1,234x",
		size(0): "-", size(4_100_000): "4.1 MB", count(0, 5): "0", count(1, 3): "1 (25 %)",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
