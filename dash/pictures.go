package dash

import (
	"html/template"
	"math"
	"time"

	"github.com/holdfastdb/holdfast/dash/internal/picture"
	"github.com/holdfastdb/holdfast/plan"
)

// pictures are the template functions that draw.
func pictures(t *text) template.FuncMap {
	return template.FuncMap{
		"spark": func(c chart) template.HTML {
			return picture.Sparkline(t.frame("spark-"+c.ID, t.T("chart."+c.ID), c.Unit), evenly(c))
		},
		"picture": func(c chart) template.HTML { return t.picture(c) },
		"rows":    func(c chart) []tableRow { return tableOf(c) },
		"line":    t.seriesName,
		"heatmap": t.heatmap,
		"plan":    t.planPicture,
	}
}

// frame is what each picture has: values with their unit, moments in UTC.
func (t *text) frame(id, title, unit string) picture.Frame {
	return picture.Frame{
		ID: id, Title: title, Empty: t.T("chart.empty"), Binary: unit == "By",
		Number: func(f float64) string { return t.Unit(unit, f) },
		Time:   func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05") },
		More:   func(n int) string { return t.T("chart.more", t.Int(int64(n))) },
	}
}

func (t *text) picture(c chart) template.HTML {
	f := t.frame("pic-"+c.ID, t.T("chart."+c.ID), c.Unit)
	w := picture.Window{From: c.From, To: c.To, Gap: c.Gap()}
	var lines []picture.Series
	for _, s := range c.Series {
		line := picture.Series{Name: t.seriesName(s)}
		for _, p := range s.Points {
			line.Samples = append(line.Samples, picture.Sample{At: p.At, Value: p.Value})
		}
		lines = append(lines, line)
	}
	switch c.Kind {
	case "bars":
		return picture.Bars(f, w, lines...)
	case "stack":
		return picture.Stack(f, w, lines...)
	}
	return picture.Lines(f, w, lines...)
}

func (t *text) seriesName(s series) string {
	if s.Name != "" {
		return s.Name
	}
	return t.T("measure." + s.Key)
}

func (t *text) heatmap(h heat) template.HTML {
	return picture.Heatmap(t.frame("pic-heat", t.T("query.heat"), "s"), picture.Heat{Times: h.Times, Bounds: h.Bounds, Counts: h.Counts})
}

func (t *text) planPicture(p planView) template.HTML {
	f := t.frame("pic-plan", t.T("query.plan"), "")
	f.Empty = t.T("query.plan.none")
	return picture.Tree(f, nodes(p.Steps))
}

func nodes(steps []planStep) []picture.Node {
	var list []picture.Node
	for _, s := range steps {
		n := picture.Node{Label: s.Detail, Nodes: nodes(s.Steps)}
		switch s.Attention {
		case string(plan.Note):
			n.Mark = picture.Noted
		case string(plan.Warning):
			n.Mark = picture.Warned
		}
		list = append(list, n)
	}
	return list
}

// evenly are the values of the first line at even distances, NaN where there is none.
func evenly(c chart) []float64 {
	length := c.To.Sub(c.From)
	n := int(min(max(length.Seconds()/max(c.Step, 1), 2), 60))
	values := make([]float64, n)
	for i := range values {
		values[i] = math.NaN()
	}
	points, next := c.Series[0].Points, 0
	near := time.Duration(1.5 * max(c.Step, 1) * float64(time.Second))
	for i := range values { // the last one before the end of each part, unless it is long before
		end := c.From.Add(length / time.Duration(n) * time.Duration(i+1))
		for next < len(points) && !points[next].At.After(end) {
			next++
		}
		if next > 0 && end.Sub(points[next-1].At) < near+length/time.Duration(n) {
			values[i] = points[next-1].Value
		}
	}
	return values
}

// tableRow is a moment with the value of each line there, in the table of a chart.
type tableRow struct {
	At     time.Time
	Values []*float64 // nil where there is none
}

// tableOf returns the rows of a chart's table, the oldest first.
func tableOf(c chart) []tableRow {
	var rows []tableRow
	next := make([]int, len(c.Series))
	for {
		var at time.Time
		for k, s := range c.Series {
			if next[k] < len(s.Points) && (at.IsZero() || s.Points[next[k]].At.Before(at)) {
				at = s.Points[next[k]].At
			}
		}
		if at.IsZero() {
			return rows
		}
		row := tableRow{At: at, Values: make([]*float64, len(c.Series))}
		for k, s := range c.Series {
			if next[k] < len(s.Points) && s.Points[next[k]].At.Equal(at) {
				row.Values[k] = &s.Points[next[k]].Value
				next[k]++
			}
		}
		rows = append(rows, row)
	}
}
