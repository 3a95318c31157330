package picture

import (
	"html/template"
	"slices"
	"time"
)

// Kind is what a span of a Gantt is.
type Kind int

// The kinds.
const (
	Read       Kind = iota // a thin bar
	Write                  // a full one
	Checkpoint             // hatched
	Wait                   // hollow and dashed
)

// Gantt is who had what, and when.
type Gantt struct {
	From, To time.Time
	Lanes    []Lane
	Names    map[Kind]string // for the legend, which has those that are named
}

// Lane is one holder.
type Lane struct {
	Label string
	Spans []Span
}

// Span is a stretch of time on a lane. A zero From is before the picture begins, a
// zero To after it has ended.
type Span struct {
	From, To time.Time
	Kind     Kind
	Label    string // for who points at it
}

const (
	laneHeight = 36.
	lanes      = 40  // that are drawn
	spans      = 400 // of one lane, the last ones
)

// Timeline draws a Gantt.
func Timeline(f Frame, g Gantt) template.HTML {
	w := Window{From: g.From, To: g.To}
	if w.empty() || len(g.Lanes) == 0 {
		return nothing(f)
	}
	shown := g.Lanes[:min(len(g.Lanes), lanes)]
	bottom, rest := laneHeight*float64(len(shown)), len(g.Lanes)-len(shown)
	if rest > 0 {
		bottom += legendRow
	}
	keys := []Kind{}
	for _, k := range []Kind{Write, Checkpoint, Read, Wait} {
		if g.Names[k] != "" {
			keys = append(keys, k)
		}
	}
	return draw(f, "pic-gantt", bottom+axisHeight+legendHeight(len(keys)), func(c *canvas) {
		hatch := c.hatched("checkpoint")
		for i, l := range shown {
			y := laneHeight * float64(i)
			c.text("0", y+12, "pic-label", "", cut(l.Label, 110))
			c.line(0, y+laneHeight-3, 1, y+laneHeight-3, "pic-grid")
			for _, s := range l.Spans[max(len(l.Spans)-spans, 0):] {
				c.span(s, w, y+16, hatch)
			}
		}
		if rest > 0 {
			c.text("0", bottom-4, "pic-label", "", f.more(rest))
		}
		c.hours(w, bottom)
		c.ganttLegend(bottom+axisHeight, keys, g.Names, hatch)
	})
}

func (c *canvas) span(s Span, w Window, y float64, hatch string) {
	if s.From.IsZero() || s.From.Before(w.From) {
		s.From = w.From
	}
	if s.To.IsZero() || s.To.After(w.To) {
		s.To = w.To
	}
	if s.To.Before(s.From) {
		return
	}
	x := min(shareOf(s.From, w.From, w.To), 0.996)
	wide := max(shareOf(s.To, w.From, w.To)-x, 0.004) // one that is over at once is seen
	switch s.Kind {
	case Write:
		c.rect(x, y, wide, 16, "pic-write", s.Label)
	case Checkpoint:
		c.write(`<rect x="`, percent(x), `" y="`, num(y), `" width="`, percent(wide), `" height="16" fill="`, hatch, `" class="pic-edge"`)
		c.end("rect", s.Label)
	case Wait:
		c.rect(x, y+1, wide, 14, "pic-wait", s.Label)
	default:
		c.rect(x, y+5, wide, 6, "pic-read", s.Label)
	}
}

func (c *canvas) ganttLegend(y float64, kinds []Kind, names map[Kind]string, hatch string) {
	keys := []key{}
	for _, k := range kinds {
		switch k {
		case Write:
			keys = append(keys, key{class: "pic-write", name: names[k]})
		case Checkpoint:
			keys = append(keys, key{fill: hatch, name: names[k]})
		case Wait:
			keys = append(keys, key{class: "pic-wait", name: names[k]})
		default:
			keys = append(keys, key{class: "pic-line pic-thick pic-readline", dash: true, name: names[k]})
		}
	}
	c.legend(y, keys)
}

// Log is a write-ahead log, in frames.
type Log struct {
	Frames, Copied int64
	Limit          int64 // shown once the log is a third of it; 0 is none
	Pins           []Pin
	// What the parts are called: in the database already, and only in the log.
	CopiedName, FreshName, LimitName string
}

// Pin is a reader whose snapshot is in the log.
type Pin struct {
	Frame int64 // the last one that it sees
	Label string
}

const pins = 12 // that are drawn, the oldest

// WAL draws a log from frame 0 to its end, with what is copied and who reads where.
func WAL(f Frame, l Log) template.HTML {
	if l.Frames <= 0 {
		return nothing(f)
	}
	l.Copied = min(max(l.Copied, 0), l.Frames)
	end := l.Frames
	limit := l.Limit > 0 && l.Limit/3 <= l.Frames
	if limit {
		end = max(end, l.Limit)
	}
	at := func(frame int64) float64 { return share(float64(frame), 0, float64(end)) }
	keys := []key{{class: "pic-copied", name: l.CopiedName}, {class: "pic-fresh", name: l.FreshName}}
	if limit {
		keys = append(keys, key{class: "pic-line pic-limit", dash: true, name: l.LimitName})
	}
	marked := slices.Clone(l.Pins)
	slices.SortStableFunc(marked, func(a, b Pin) int { return int(min(max(a.Frame-b.Frame, -1), 1)) })
	rest := len(marked) - pins
	marked = marked[:min(len(marked), pins)]
	const top, high, row = 18., 30., 18.
	bottom := top + high + 20 + row*float64(len(marked))
	if rest > 0 {
		bottom += row
	}
	return draw(f, "pic-wal", bottom+legendHeight(len(keys)), func(c *canvas) {
		hatch := c.hatched("copied")
		keys[0].fill = hatch
		c.rect(0, top, at(l.Frames), high, "pic-fresh", l.FreshName+" "+f.number(float64(l.Frames-l.Copied)))
		if l.Copied > 0 {
			c.write(`<rect x="0" y="`, num(top), `" width="`, percent(at(l.Copied)), `" height="`, num(high), `" fill="`, hatch, `" class="pic-edge"`)
			c.end("rect", l.CopiedName+" "+f.number(float64(l.Copied)))
		}
		if limit {
			c.line(at(l.Limit), top-6, at(l.Limit), top+high+6, "pic-line pic-limit")
		}
		c.text("0", top-5, "pic-axis", "", f.number(0))
		c.text(percent(at(l.Frames)), top-5, "pic-axis", "end", f.number(float64(l.Frames)))
		if x := at(l.Copied); x > 0.15 && x < at(l.Frames)-0.15 {
			c.text(percent(x), top-5, "pic-axis", "middle", f.number(float64(l.Copied)))
		}
		for i, p := range marked {
			c.pin(at(p.Frame), top, top+high+row*float64(i)+20, f.number(float64(p.Frame))+" · "+p.Label)
		}
		if rest > 0 {
			c.text("0", bottom-5, "pic-label", "", f.more(rest))
		}
		c.legend(bottom, keys)
	})
}

// pin draws a needle through the bar down to its label.
func (c *canvas) pin(x, top, y float64, label string) {
	c.line(x, top-2, x, y-4, "pic-pin")
	c.write(`<circle cx="`, percent(x), `" cy="`, num(y-4), `" r="4" class="pic-pinhead"/>`)
	if x > 0.5 {
		c.write(`<svg x="0" y="`, num(y-14), `" width="`, percent(x), `" height="18">`)
		c.write(`<text x="100%" dx="-9" y="14" text-anchor="end" class="pic-label">`, escape(cut(label, 110)), `</text></svg>`)
		return
	}
	c.write(`<text x="`, percent(x), `" dx="9" y="`, num(y), `" class="pic-label">`, escape(cut(label, 110)), `</text>`)
}
