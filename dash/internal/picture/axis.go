package picture

import (
	"math"
	"slices"
	"time"
)

// Window is the stretch of time that a picture shows.
type Window struct {
	From, To time.Time
	Gap      time.Duration // samples that are further apart are not joined; 0: all are
}

func (w Window) empty() bool { return !w.From.Before(w.To) }

// Sample is one value at a moment.
type Sample struct {
	At    time.Time
	Value float64
}

// Series is a value in the course of time. Samples may be in any order.
type Series struct {
	Name    string
	Samples []Sample
}

// most is what a number is cut to: sums of some of them are still numbers.
const most = 1e300

// within are the samples of a window in their order, with numbers that can be added;
// one that is no number stays, because it makes a gap.
func (s Series) within(w Window) []Sample {
	var out []Sample
	for _, p := range s.Samples {
		if p.At.Before(w.From) || p.At.After(w.To) {
			continue
		}
		if finite(p.Value) {
			p.Value = min(max(p.Value, -most), most)
		} else {
			p.Value = math.NaN()
		}
		out = append(out, p)
	}
	slices.SortStableFunc(out, func(a, b Sample) int { return a.At.Compare(b.At) })
	return out
}

// points is how many samples of a line are drawn: no screen shows more.
const points = 600

// thin keeps the least and the most of each stretch, which are what is looked for.
func thin(list []Sample) []Sample {
	if len(list) <= points {
		return list
	}
	var out []Sample
	const stretches = points / 2
	for i := range stretches {
		part := list[i*len(list)/stretches : (i+1)*len(list)/stretches]
		least, greatest := part[0], part[0]
		for _, p := range part[1:] {
			switch {
			case math.IsNaN(least.Value):
				least, greatest = p, p
			case p.Value < least.Value:
				least = p
			case p.Value > greatest.Value:
				greatest = p
			}
		}
		if greatest.At.Before(least.At) {
			least, greatest = greatest, least
		}
		out = append(out, least)
		if greatest.At.After(least.At) {
			out = append(out, greatest)
		}
	}
	return out
}

// span is what an axis goes over.
type span struct{ from, to float64 }

// over is a span from 0, or from the least value below it, to a round number.
func (f Frame) over(values func(yield func(float64))) span {
	s := span{}
	values(func(v float64) {
		if finite(v) {
			s.from, s.to = min(s.from, v), max(s.to, v)
		}
	})
	s.from, s.to = -f.roundUp(-s.from), f.roundUp(s.to)
	if s.from == s.to {
		s.to = s.from + 1
	}
	return s
}

// roundUp is the next number that reads well.
func (f Frame) roundUp(v float64) float64 {
	if v <= 0 || !finite(v) {
		return 0
	}
	if f.Binary && v > 1024 {
		unit := math.Pow(1024, math.Floor(math.Log(v)/math.Log(1024)))
		if up := (Frame{}).roundUp(v/unit) * unit; up >= v && finite(up) {
			return up
		}
	}
	step := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 1.5, 2, 3, 4, 5, 6, 8, 10} {
		if up := n * step; up >= v && finite(up) {
			return up
		}
	}
	return v
}

// y is how far down a value lies in a chart of 1000 units.
func (s span) y(v float64) float64 { return 1000 * (1 - share(v, s.from, s.to)) }

// grid draws three lines between two heights, each with its value above it at its
// left end: inside of the plot, since a margin would be wide on a phone.
func (c *canvas) grid(s span, top, bottom float64) {
	for _, part := range []float64{0, 0.5, 1} {
		y := bottom - part*(bottom-top)
		c.line(0, y, 1, y, "pic-grid")
	}
}

// scale writes the values of the lines of grid; after what is drawn, so as to be seen.
func (c *canvas) scale(s span, top, bottom float64) {
	for _, part := range []float64{0, 0.5, 1} {
		y := bottom - part*(bottom-top)
		c.text("0", y-3, "pic-axis", "", c.f.number(s.from*(1-part)+s.to*part))
	}
}

// axisHeight is what hours takes below a chart.
const axisHeight = 18.

// steps are distances of marks on a time axis, and how such a mark is written.
var steps = [...]struct { // never written to
	step   time.Duration
	layout string
}{
	{time.Second, time.TimeOnly},
	{5 * time.Second, time.TimeOnly},
	{15 * time.Second, time.TimeOnly},
	{30 * time.Second, time.TimeOnly},
	{time.Minute, "15:04"},
	{5 * time.Minute, "15:04"},
	{15 * time.Minute, "15:04"},
	{30 * time.Minute, "15:04"},
	{time.Hour, "15:04"},
	{2 * time.Hour, "15:04"},
	{6 * time.Hour, "15:04"},
	{12 * time.Hour, "01-02 15:04"},
	{day, time.DateOnly},
	{2 * day, time.DateOnly},
	{7 * day, time.DateOnly},
	{14 * day, time.DateOnly},
	{28 * day, time.DateOnly},
	{90 * day, time.DateOnly},
	{365 * day, time.DateOnly},
}

const (
	day   = 24 * time.Hour
	marks = 4 // at most: more would run into each other on a phone
)

// hours writes the time below a chart that ends at y.
func (c *canvas) hours(w Window, y float64) {
	length := w.To.Sub(w.From)
	step, layout := length/marks+1, time.DateOnly
	for _, s := range steps {
		if length/s.step < marks {
			step, layout = s.step, s.layout
			break
		}
	}
	// By the clock on the wall: midnight is a mark, and not the one of UTC.
	_, seconds := w.From.Zone()
	zone := time.Duration(seconds) * time.Second
	first := w.From.Add(zone).Truncate(step).Add(-zone)
	for i := range marks + 2 {
		at := first.Add(time.Duration(i) * step)
		if at.Before(w.From) || at.After(w.To) {
			continue
		}
		x, anchor := shareOf(at, w.From, w.To), "middle"
		switch {
		case x < 0.1:
			anchor = "start"
		case x > 0.9:
			anchor = "end"
		}
		c.line(x, y, x, y+4, "pic-grid")
		c.text(percent(x), y+15, "pic-axis", anchor, at.Format(layout))
	}
}
