package dash

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/history"
)

// A measure is a figure in the course of time. Its name is the text "measure.KEY".
type measure struct {
	key  string
	unit string // as text.Unit has it
	// now makes it of two samples, one after the other.
	now func(before, s *sample) float64
	// figures are what then needs of the history; without them there is no past.
	figures []string
	then    func(p pointOf, seconds float64) float64
}

// pointOf gives the point of a figure in a bucket, and whether there is one.
type pointOf func(figure string) (history.Point, bool)

// rate is the increase of a counter in a second.
func rate(key, figure string, of func(*holdfast.Stats) int64) measure {
	return measure{
		key: key, unit: "1/s", figures: []string{figure},
		now: func(before, s *sample) float64 { return perSecond(of(&s.Stats)-of(&before.Stats), before, s) },
		then: func(p pointOf, seconds float64) float64 {
			return perPoint(p, figure, func(p history.Point) float64 { return p.Sum / seconds })
		},
	}
}

// level is a gauge.
func level(key, unit, figure string, of func(*sample) float64) measure {
	return measure{
		key: key, unit: unit, figures: []string{figure},
		now: func(_, s *sample) float64 { return of(s) },
		then: func(p pointOf, _ float64) float64 {
			return perPoint(p, figure, history.Point.Mean)
		},
	}
}

// each is how much of one counter comes to one of another: waiting to waits.
func each(key, unit, sum, count string, of func(*holdfast.Stats) (sum float64, count int64)) measure {
	return measure{
		key: key, unit: unit, figures: []string{sum, count},
		now: func(before, s *sample) float64 {
			sum, n := of(&s.Stats)
			earlier, m := of(&before.Stats)
			if n <= m {
				return math.NaN()
			}
			return (sum - earlier) / float64(n-m)
		},
		then: func(p pointOf, _ float64) float64 {
			total, ok := p(sum)
			n, ok2 := p(count)
			if !ok || !ok2 || n.Sum == 0 {
				return math.NaN()
			}
			return total.Sum / n.Sum
		},
	}
}

// perSecond is a difference of counters; those of a database that was opened anew begin
// anew.
func perSecond(n int64, before, s *sample) float64 {
	if n < 0 {
		return math.NaN()
	}
	return float64(n) / s.At.Sub(before.At).Seconds()
}

func perPoint(p pointOf, figure string, of func(history.Point) float64) float64 {
	point, ok := p(figure)
	if !ok {
		return math.NaN()
	}
	return of(point)
}

// A chart is lines over time, with one unit. Its title is the text "chart.ID".
type chart struct {
	ID     string    `json:"id"`
	Unit   string    `json:"unit"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Step   float64   `json:"step_seconds"` // between points where there are some
	Kind   string    `json:"-"`            // "lines", "bars" or "stack"
	Series []series  `json:"series"`
}

type series struct {
	Key    string  `json:"key"`
	Name   string  `json:"name,omitempty"` // in place of the measure's
	Points []point `json:"points"`         // the oldest first; none where nothing is known
}

type point struct {
	At    time.Time `json:"at"`
	Value float64   `json:"value"`
}

// Gap is how far points lie apart if nobody has looked between them: the line ends there.
func (c chart) Gap() time.Duration { return time.Duration(3 * max(c.Step, 2) * float64(time.Second)) }

// Empty reports whether there is nothing to draw.
func (c chart) Empty() bool {
	for _, s := range c.Series {
		if len(s.Points) > 0 {
			return false
		}
	}
	return true
}

// ranges are the stretches of time that a page may show.
var ranges = []string{"5m", "1h", "24h", "7d", "30d"}

var rangeLengths = map[string]time.Duration{
	"5m": 5 * time.Minute, "1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour, "30d": 30 * 24 * time.Hour,
}

// stretch is the time that the address asks for; 5m is what was seen while somebody
// looked, what is longer comes from the history.
func (v *visit) stretch() (name string, length time.Duration) {
	name = v.choice("range", ranges...)
	return name, rangeLengths[name]
}

// liveLeast is the shortest stretch that is drawn of what was seen lately.
const liveLeast = 30 * time.Second

// mostPoints is how many points a line has at most.
const mostPoints = 150

// plot asks for a chart.
type plot struct {
	id, kind string
	lines    []measure
}

// charts makes several charts of the stretch that the address asks for, by one look into
// the history.
func (v *visit) charts(ctx context.Context, plots ...plot) ([]chart, error) {
	name, length := v.stretch()
	all := make([]chart, len(plots))
	for i, p := range plots {
		if name != "5m" { // what has no past is left out
			p.lines = slices.DeleteFunc(slices.Clone(p.lines), func(m measure) bool { return m.then == nil && m.key != p.lines[0].key })
			plots[i].lines = p.lines
		}
		all[i] = chart{ID: p.id, Unit: p.lines[0].unit, From: v.now.Add(-length).UTC(), To: v.now.UTC(), Kind: p.kind}
		for _, m := range p.lines {
			all[i].Series = append(all[i].Series, series{Key: m.key, Points: []point{}})
		}
	}
	if name == "5m" {
		samples := v.watch.samples(v.now.Add(-length))
		from := v.now.Add(-length)
		if len(samples) > 0 { // not an almost empty picture for who has just come
			from = samples[0].At
		}
		if latest := v.now.Add(-liveLeast); from.After(latest) {
			from = latest
		}
		for i, p := range plots {
			all[i].From = from.UTC()
			all[i].Step = liveTick.Seconds()
			for k, m := range p.lines {
				all[i].Series[k].Points = m.recent(samples)
			}
		}
		return all, nil
	}
	return all, v.past(ctx, length, plots, all)
}

// past fills charts from the history.
func (v *visit) past(ctx context.Context, length time.Duration, plots []plot, all []chart) error {
	var figures []string
	for _, p := range plots {
		for _, m := range p.lines {
			figures = append(figures, m.figures...)
		}
	}
	r, err := v.watch.course(ctx, v.db, history.Request{From: v.now.Add(-length), To: v.now, Step: length / mostPoints, Series: figures}, v.now)
	if err != nil || r.Step <= 0 { // nothing was recorded
		return err
	}
	by := map[string]map[int64]history.Point{} // by series and the beginning of the bucket
	times := map[int64]bool{}
	for _, s := range r.Series {
		by[s.Name] = map[int64]history.Point{}
		for _, p := range s.Points {
			by[s.Name][p.At.Unix()] = p
			times[p.At.Unix()] = true
		}
	}
	for i, p := range plots {
		all[i].Step = r.Step.Seconds()
		for k, m := range p.lines {
			if m.then == nil {
				continue
			}
			for _, at := range buckets(r) {
				if !times[at.Unix()] {
					continue
				}
				value := m.then(func(figure string) (history.Point, bool) { p, ok := by[figure][at.Unix()]; return p, ok }, r.Step.Seconds())
				if !math.IsNaN(value) {
					all[i].Series[k].Points = append(all[i].Series[k].Points, point{at.UTC(), value})
				}
			}
			all[i].Series[k].Points = thinned(all[i].Series[k].Points)
		}
	}
	return nil
}

// buckets are the beginnings of all buckets of a report.
func buckets(r history.Report) []time.Time {
	var all []time.Time
	if r.Step <= 0 { // nothing was recorded
		return nil
	}
	for at := r.From.Truncate(r.Step); at.Before(r.To); at = at.Add(r.Step) {
		all = append(all, at.UTC())
	}
	return all
}

// recent are the points of samples that follow each other.
func (m measure) recent(samples []sample) []point {
	points := []point{}
	for i := 1; i < len(samples); i++ {
		before, s := &samples[i-1], &samples[i]
		if s.At.Sub(before.At) > 5*time.Second {
			continue // nobody looked
		}
		if value := m.now(before, s); !math.IsNaN(value) && !math.IsInf(value, 0) {
			points = append(points, point{s.At.UTC(), value})
		}
	}
	return thinned(points)
}

// thinned has at most mostPoints points: means of neighbours.
func thinned(points []point) []point {
	n := (len(points) + mostPoints - 1) / mostPoints
	if n < 2 {
		return points
	}
	few := []point{}
	for len(points) > 0 {
		part := points[:min(n, len(points))]
		mean := point{At: part[len(part)-1].At}
		for _, p := range part {
			mean.Value += p.Value / float64(len(part))
		}
		few = append(few, mean)
		points = points[len(part):]
	}
	return few
}

// last is the newest point, if it is not old.
func (c chart) last(now time.Time) (float64, bool) {
	points := c.Series[0].Points
	if len(points) == 0 || now.Sub(points[len(points)-1].At) > time.Duration(2*max(c.Step, 5)*float64(time.Second)) {
		return 0, false
	}
	return points[len(points)-1].Value, true
}
