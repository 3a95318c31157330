package picture

import (
	"encoding/xml"
	"errors"
	"flag"
	"html/template"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the files that tests compare with")

var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

func frame(id string) Frame {
	return Frame{ID: id, Title: "Picture of " + id, Desc: "What is to be seen of " + id + ".", Empty: "Nothing yet"}
}

// wave are n samples a minute apart.
func wave(n int, high float64) []Sample {
	out := make([]Sample, n)
	for i := range out {
		out[i] = Sample{noon.Add(time.Duration(i) * time.Minute), high * (1 + math.Sin(float64(i)/7)) / 2}
	}
	return out
}

// examples are each picture with data as a database has them.
func examples() map[string]template.HTML {
	hour := Window{From: noon, To: noon.Add(time.Hour), Gap: 3 * time.Minute}
	gap := wave(61, 80)
	gap[20].Value = math.NaN()
	gap = slices.Delete(gap, 30, 38)
	var forecast []Range
	for i := range 5 {
		mid := 60 + float64(i)*10
		forecast = append(forecast, Range{noon.Add(time.Duration(60+15*i) * time.Minute), mid - float64(3*i), mid, mid + float64(4*i)})
	}
	heat := Heat{Bounds: []float64{0.001, 0.002, 0.004, 0.008, 0.016, 0.032}}
	for i := range 30 {
		heat.Times = append(heat.Times, noon.Add(time.Duration(i)*time.Minute))
		heat.Counts = append(heat.Counts, []float64{float64(i * i), 400 - float64(i*3), 60, float64(i % 7), 0, float64(i / 25)})
	}
	at := func(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }
	days := make([]Day, 28)
	for i := range days {
		days[i] = Day{Day: noon.AddDate(0, 0, i-20), State: State(i % 5), Label: "verify"}
	}
	return map[string]template.HTML{
		"sparkline": Sparkline(frame("sparkline"), []float64{1, 4, 2, math.NaN(), 7, 3, 3, 9}),
		"lines":     Lines(frame("lines"), hour, Series{"reads/s", gap}, Series{"writes/s", wave(61, 30)}),
		"stack":     Stack(frame("stack"), hour, Series{"SELECT orders", wave(61, 5)}, Series{"UPDATE stock", wave(61, 3)}, Series{"rest", wave(61, 1)}),
		"bars":      Bars(frame("bars"), hour, Series{"in use", wave(30, 6)}, Series{"idle", wave(30, 2)}),
		"growth": Growth(frame("growth"), Window{From: noon, To: noon.Add(2 * time.Hour)},
			Course{Name: "size", ForecastName: "expected", LimitName: "space", Past: wave(60, 60), Forecast: forecast, Limit: 120}),
		"heatmap": Heatmap(frame("heatmap"), heat),
		"timeline": Timeline(frame("timeline"), Gantt{
			From: at(0), To: at(60), Names: map[Kind]string{Read: "reads", Write: "writes", Checkpoint: "checkpoints", Wait: "waits"},
			Lanes: []Lane{
				{"billing.go:88", []Span{{at(3), at(20), Write, "UPDATE account"}, {at(40), at(41), Write, "UPDATE account"}}},
				{"report.go:12", []Span{{time.Time{}, at(55), Read, "SELECT"}}},
				{"pid 4711 (sqlite3)", []Span{{at(5), at(20), Wait, "waits for billing.go:88"}, {at(20), at(29), Write, ""}}},
				{"checkpoint", []Span{{at(30), at(34), Checkpoint, "PASSIVE"}}},
			},
		}),
		"wal": WAL(frame("wal"), Log{
			Frames: 5200, Copied: 1800, Limit: 16384, CopiedName: "in the database", FreshName: "only in the log", LimitName: "limit",
			Pins: []Pin{{4700, "worker.go:9"}, {1800, "pid 4711 (python3)"}},
		}),
		"treemap": Treemap(frame("treemap"), []Tile{
			{"orders", 5e6, false}, {"orders_day", 2e6, true}, {"customer", 1.4e6, false}, {"account", 4e5, false}, {"account_email", 3e5, true}, {"note", 3e4, false},
		}),
		"moments": Moments(frame("moments"), hour, []Row{
			{"/backups", []Dot{{at(60), Good, "12 MB"}, {at(1200), Proven, "12 MB, restored"}, {at(2400), Failed, "no space"}, {at(3500), Planned, ""}}},
			{"s3://bucket", nil},
		}),
		"calendar": Calendar(frame("calendar"), Strip{days, map[State]string{Good: "done", Proven: "verified", Failed: "failed", Planned: "planned"}}),
		"tree": Tree(frame("tree"), []Node{{
			Label: "SCAN orders", Note: "goes through all 120000 rows of orders, and keeps few of them", Mark: Warned,
			Nodes: []Node{{Label: "SEARCH customer USING INTEGER PRIMARY KEY (rowid=?)", Mark: Plain}, {Label: "USE TEMP B-TREE FOR ORDER BY", Mark: Noted}},
		}}),
		"none": Lines(frame("none"), hour),
	}
}

func TestPictures(t *testing.T) {
	all := examples()
	for name, got := range all {
		check(t, name, got)
		file := filepath.Join("testdata", name+".svg")
		if *update {
			if err := os.WriteFile(file, []byte(lined(got)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if lined(got) != string(want) {
			t.Errorf("%s is not as in %s; look at it and run go test -update", name, file)
		}
	}
}

// lined has an element on each line, so that git diff shows what has changed.
func lined(p template.HTML) string { return strings.ReplaceAll(string(p), "><", ">\n<") + "\n" }

var (
	noNumber = regexp.MustCompile(`NaN|Inf|[0-9]e[-+]?[0-9]`)
	forName  = regexp.MustCompile(`url\(#([^)]*)\)`)
)

// check holds what is true of every picture.
func check(t *testing.T, name string, p template.HTML) {
	t.Helper()
	s := string(p)
	ids, named, role := map[string]bool{}, false, ""
	for d := xml.NewDecoder(strings.NewReader(s)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s is no XML: %v\n%.2000s", name, err, s)
		}
		switch e := token.(type) {
		case xml.StartElement:
			named = named || e.Name.Local == "title"
			for _, a := range e.Attr {
				switch a.Name.Local {
				case "id":
					if ids[a.Value] {
						t.Errorf("%s has the id %s twice", name, a.Value)
					}
					ids[a.Value] = true
				case "role":
					role = a.Value
				case "style":
					t.Errorf("%s has a style attribute, which the content security policy forbids", name)
				case "x", "y", "width", "height", "cx", "cy", "x1", "x2", "y1", "y2", "d":
					if noNumber.MatchString(a.Value) {
						t.Errorf("%s: %s of %s is %.100q", name, a.Name.Local, e.Name.Local, a.Value)
					}
				case "aria-labelledby", "aria-describedby":
					defer func() {
						if !ids[a.Value] {
							t.Errorf("%s is described by %s, which is not there", name, a.Value)
						}
					}()
				}
			}
		}
	}
	if role != "img" || !named {
		t.Errorf("%s: role is %q, and it has a title: %t", name, role, named)
	}
	for _, m := range forName.FindAllStringSubmatch(s, -1) {
		if !ids[m[1]] {
			t.Errorf("%s is filled with %s, which it does not define", name, m[1])
		}
	}
	// What is drawn is bounded, how long texts are is up to who gives them.
	if len(s) > 1<<20 {
		t.Errorf("%s has %d bytes", name, len(s))
	}
}

var classes = regexp.MustCompile(`class="([^"]*)"`)

// TestStylesheet: a class that nobody colours is black on black in the dark.
func TestStylesheet(t *testing.T) {
	css := Stylesheet()
	for name, p := range examples() {
		for _, m := range classes.FindAllStringSubmatch(string(p), -1) {
			for _, class := range strings.Fields(m[1]) {
				bare := strings.Contains(css, "."+class+" ") || strings.Contains(css, "."+class+".")
				whole := class == "pic-"+name || slices.Contains([]string{"pic-spark", "pic-heat", "pic-gantt", "pic-lines"}, class)
				if !bare && !whole {
					t.Errorf("%s has the class %s, which the stylesheet does not know", name, class)
				}
			}
		}
	}
	properties := regexp.MustCompile(`--pic-[a-z0-9-]+:`)
	light, dark, _ := strings.Cut(css, "@media")
	for _, p := range properties.FindAllString(light, -1) {
		if n := strings.Count(dark, p); n != 2 {
			t.Errorf("%s has %d values in the dark, not 2: by the system and by the switch", p, n)
		}
	}
	for _, m := range regexp.MustCompile(`var\((--pic-[a-z0-9-]+)\)`).FindAllStringSubmatch(css, -1) {
		if !strings.Contains(light, m[1]+":") {
			t.Errorf("%s is used and not defined", m[1])
		}
	}
}

// The lines of an axis stand at numbers that read well, in the units that they are written in.
func TestRoundUp(t *testing.T) {
	for v, want := range map[float64][2]float64{
		0: {0, 0}, 7: {8, 8}, 999: {1000, 1000}, 5_000_000: {5_000_000, 5 << 20}, 6_900_000: {8_000_000, 8 << 20}, 1 << 30: {1_500_000_000, 1 << 30}, most: {most, most},
	} {
		if got := (Frame{}).roundUp(v); got != want[0] && v != most || got < v {
			t.Errorf("%g is rounded to %g, not %g", v, got, want[0])
		}
		if got := (Frame{Binary: true}).roundUp(v); got != want[1] && v != most || got < v {
			t.Errorf("%g bytes are rounded to %g, not %g", v, got, want[1])
		}
	}
}

// odd are numbers that no picture may stumble over.
var odd = []float64{0, 1, -1, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 1e18, -1e-300}

// drawAll draws every picture from the same n oddities.
func drawAll(t *testing.T, n int, a, b float64, text string, seconds int64) {
	f := Frame{ID: "x1", Title: text, Desc: text, Empty: text}
	w := Window{From: noon, To: noon.Add(time.Duration(seconds)), Gap: time.Duration(a)}
	value := func(i int) float64 { return []float64{a, b, float64(i) * a, odd[i%len(odd)]}[i%4] }
	at := func(i int) time.Time { return noon.Add(time.Duration(i) * (time.Duration(seconds)/8 + 1)) }
	var (
		samples []Sample
		values  []float64
		list    []Series
		ranges  []Range
		rows    []Row
		days    []Day
		items   []Tile
		lanes   []Lane
		marks   []Pin
		heat    Heat
		nodes   []Node
	)
	for i := range n {
		samples = append(samples, Sample{at(i), value(i)})
		values = append(values, value(i))
		ranges = append(ranges, Range{at(i), value(i), value(i + 1), value(i + 2)})
		items = append(items, Tile{text, value(i), i%2 == 0})
		days = append(days, Day{at(i), State(i % 7), text})
		marks = append(marks, Pin{int64(i) * seconds, text})
		heat.Times, heat.Bounds = append(heat.Times, at(i)), append(heat.Bounds, value(i))
		heat.Counts = append(heat.Counts, values[:min(len(values), 40)])
		if i%5 == 0 {
			nodes = append(nodes, Node{Label: text, Note: text, Mark: Mark(i % 4), Nodes: slices.Clone(nodes[:min(len(nodes), 3)])})
		}
	}
	for i := range min(n, 60) {
		list = append(list, Series{text, samples})
		rows = append(rows, Row{text, []Dot{{at(i), State(i % 7), text}, {at(-i), Good, ""}}})
		lanes = append(lanes, Lane{text, []Span{{at(i), at(i + 1), Kind(i % 5), text}, {To: at(2)}, {From: at(3)}, {at(5), at(1), Write, ""}}})
	}
	for len(nodes) > 1 && len(nodes) > 12 {
		nodes = nodes[1:]
	}
	for name, p := range map[string]template.HTML{
		"sparkline": Sparkline(f, values), "lines": Lines(f, w, list...), "stack": Stack(f, w, list...), "bars": Bars(f, w, list...),
		"growth": Growth(f, w, Course{text, text, text, samples, ranges, a}), "heatmap": Heatmap(f, heat), "tree": Tree(f, nodes),
		"timeline": Timeline(f, Gantt{w.From, w.To, lanes, map[Kind]string{Write: text, Wait: text}}),
		"wal":      WAL(f, Log{int64(a), int64(b), seconds, marks, text, text, text}),
		"treemap":  Treemap(f, items), "moments": Moments(f, w, rows), "calendar": Calendar(f, Strip{days, map[State]string{Good: text}}),
	} {
		check(t, name+" of "+strconv.Itoa(n), p)
	}
}

func TestAnySize(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 7, 59, 61, 601, 2000} {
		for _, a := range odd {
			drawAll(t, n, a, 3, `<&"'>`, int64(time.Hour))
		}
		for _, s := range []int64{math.MinInt64, -1, 0, 1, math.MaxInt64} {
			drawAll(t, n, 1, 2, "é\x00\xff\u2028", s)
		}
	}
}

// So many points are thinned.
func TestManyPoints(t *testing.T) {
	t.Parallel()
	for _, n := range []int{300, 700, 900} {
		drawAll(t, n, math.Inf(1), math.NaN(), "<svg onload=x>\xff", -1)
		drawAll(t, n, 1.5, 3, "orders", int64(time.Minute))
	}
}

func FuzzPictures(f *testing.F) {
	f.Add(5, 1.5, 3., "orders", int64(time.Minute))
	f.Add(40, math.Inf(1), math.NaN(), "<svg onload=x>\xff", int64(-1))
	f.Fuzz(func(t *testing.T, n int, a, b float64, text string, seconds int64) {
		if n < 0 || n > 50 || len(text) > 200 {
			t.Skip("with 900 points there were 100 inputs a second; TestManyPoints has such")
		}
		drawAll(t, n, a, b, text, seconds)
	})
}
