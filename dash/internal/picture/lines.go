package picture

import (
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
)

// kinds is how many series are told apart in one picture.
const kinds = 6

// series is the class of the i-th series.
func series(i int) string { return "pic-s" + strconv.Itoa(i%kinds+1) }

// Sparkline is a small line without axes, for the numbers of a card. What is no number
// is a gap.
func Sparkline(f Frame, values []float64) template.HTML {
	start := time.Unix(0, 0)
	s := Series{Samples: make([]Sample, len(values))}
	for i, v := range values {
		s.Samples[i] = Sample{start.Add(time.Duration(i)), v}
	}
	w := Window{From: start, To: start.Add(time.Duration(max(len(values)-1, 1)))}
	list := s.within(w)
	if !anything(list) {
		return nothing(f)
	}
	scale := f.over(valuesOf(list))
	return draw(f, "pic-spark", 28, func(c *canvas) {
		c.chart(2, 26, func() {
			c.write(`<path d="`, area(thin(list), w, scale), `" class="pic-shade"/><path d="`, path(thin(list), w, scale), `" class="pic-line pic-s1"/>`)
		})
	})
}

// Lines are values in the course of time, told apart by dashes.
func Lines(f Frame, w Window, list ...Series) template.HTML {
	return lines(f, w, Course{}, list)
}

// Course is a value in the past and what is forecast of it.
type Course struct {
	Name, ForecastName, LimitName string
	Past                          []Sample
	Forecast                      []Range
	Limit                         float64 // a line that it should stay below; 0 is none
}

// Range is a forecast of one moment.
type Range struct {
	At             time.Time
	Low, Mid, High float64
}

// Growth is a value in the course of time, with the range that is expected.
func Growth(f Frame, w Window, g Course) template.HTML {
	list := []Series{{g.Name, g.Past}}
	if len(g.Forecast) > 0 {
		s := Series{Name: g.ForecastName}
		for _, r := range g.Forecast {
			s.Samples = append(s.Samples, Sample{r.At, r.Mid})
		}
		list = append(list, s)
	}
	return lines(f, w, g, list)
}

const (
	plotTop    = 16. // room for the value of the highest line
	plotBottom = 176.
)

func lines(f Frame, w Window, g Course, list []Series) template.HTML {
	shown, keys, some := make([][]Sample, 0, kinds), []key{}, false
	for i, s := range list[:min(len(list), kinds)] {
		shown = append(shown, s.within(w))
		some = some || anything(shown[i])
		keys = append(keys, key{class: "pic-line " + series(i), dash: true, name: s.Name})
	}
	if w.empty() || !some {
		return nothing(f)
	}
	if n := len(list) - kinds; n > 0 {
		keys = append(keys, key{class: "pic-none", name: f.more(n)})
	}
	if g.Limit > 0 && finite(g.Limit) {
		keys = append(keys, key{class: "pic-line pic-limit", dash: true, name: g.LimitName})
	}
	s := f.over(func(yield func(float64)) {
		for _, l := range shown {
			valuesOf(l)(yield)
		}
		for _, r := range g.Forecast {
			yield(min(r.High, most))
			yield(max(r.Low, -most))
		}
		if g.Limit > 0 {
			yield(min(g.Limit, most))
		}
	})
	height := plotBottom + axisHeight
	return draw(f, "pic-lines", height+legendHeight(len(keys)), func(c *canvas) {
		c.grid(s, plotTop, plotBottom)
		c.chart(plotTop, plotBottom, func() {
			if band := band(g.Forecast, w, s); band != "" {
				c.write(`<path d="`, band, `" class="pic-band"/>`)
			}
			for i, l := range shown {
				c.write(`<path d="`, path(thin(l), w, s), `" class="pic-line `, series(i), `"/>`)
			}
			if y := s.y(g.Limit); g.Limit > 0 && finite(g.Limit) {
				c.write(`<path d="M0 `, num(y), `H1000" class="pic-line pic-limit"/>`)
			}
		})
		c.scale(s, plotTop, plotBottom)
		c.hours(w, plotBottom)
		c.legend(height, keys)
	})
}

func anything(list []Sample) bool {
	for _, p := range list {
		if finite(p.Value) {
			return true
		}
	}
	return false
}

func valuesOf(list []Sample) func(func(float64)) {
	return func(yield func(float64)) {
		for _, p := range list {
			yield(p.Value)
		}
	}
}

// runs are the stretches of a line that have no gap.
func runs(list []Sample, gap time.Duration) (out [][]Sample) {
	begin := 0
	for i, p := range list {
		switch {
		case !finite(p.Value):
			out, begin = appendRun(out, list[begin:i]), i+1
		case i > begin && gap > 0 && p.At.Sub(list[i-1].At) > gap:
			out, begin = appendRun(out, list[begin:i]), i
		}
	}
	return appendRun(out, list[min(begin, len(list)):])
}

func appendRun(out [][]Sample, run []Sample) [][]Sample {
	if len(run) == 0 {
		return out
	}
	return append(out, run)
}

// path goes along a line; a sample that stands alone is a dot.
func path(list []Sample, w Window, s span) string {
	var b strings.Builder
	for _, run := range runs(list, w.Gap) {
		for i, p := range run {
			step := "L"
			if i == 0 {
				step = "M"
			}
			b.WriteString(step + thousand(shareOf(p.At, w.From, w.To)) + " " + num(s.y(p.Value)))
		}
		if len(run) == 1 {
			b.WriteString("h0.1")
		}
	}
	return b.String()
}

// area goes along a line and back along the bottom.
func area(list []Sample, w Window, s span) string {
	var b strings.Builder
	for _, run := range runs(list, w.Gap) {
		b.WriteString("M" + thousand(shareOf(run[0].At, w.From, w.To)) + " 1000")
		for _, p := range run {
			b.WriteString("L" + thousand(shareOf(p.At, w.From, w.To)) + " " + num(s.y(p.Value)))
		}
		b.WriteString("V1000Z")
	}
	return b.String()
}

// band is what a forecast lies in.
func band(list []Range, w Window, s span) string {
	var there, back []string
	for _, r := range list {
		if r.At.Before(w.From) || r.At.After(w.To) || math.IsNaN(r.Low) || math.IsNaN(r.High) {
			continue
		}
		x := thousand(shareOf(r.At, w.From, w.To)) + " "
		there = append(there, x+num(s.y(min(r.High, most))))
		back = append([]string{x + num(s.y(max(r.Low, -most)))}, back...)
		if len(there) == points {
			break
		}
	}
	if len(there) < 2 {
		return ""
	}
	return "M" + strings.Join(append(there, back...), "L") + "Z"
}
