package picture

import (
	"html/template"
	"slices"
	"strconv"
	"time"
)

// State is what became of something.
type State int

// The states, the worse ones later.
const (
	None    State = iota
	Planned       // a diamond
	Good          // a ring
	Proven        // a full circle
	Failed        // a cross
)

// Row is a line of moments.
type Row struct {
	Label string
	Dots  []Dot
}

// Dot is one moment.
type Dot struct {
	At    time.Time
	State State
	Label string
}

const (
	momentRows = 20
	momentDots = 200 // of one row: those that fall together are one
)

// Moments draws dots along a time axis, a line for each row.
func Moments(f Frame, w Window, rows []Row) template.HTML {
	if w.empty() || len(rows) == 0 {
		return nothing(f)
	}
	shown := rows[:min(len(rows), momentRows)]
	rest := len(rows) - len(shown)
	bottom := laneHeight * float64(len(shown))
	if rest > 0 {
		bottom += legendRow
	}
	return draw(f, "pic-moments", bottom+axisHeight, func(c *canvas) {
		for i, r := range shown {
			y := laneHeight * float64(i)
			c.text("0", y+12, "pic-label", "", cut(r.Label, 110))
			c.line(0, y+25, 1, y+25, "pic-grid")
			for _, d := range together(r.Dots, w) {
				c.dot(shareOf(d.At, w.From, w.To), y+25, d.State, f.moment(d.At)+" · "+d.Label)
			}
		}
		if rest > 0 {
			c.text("0", bottom-4, "pic-label", "", f.more(rest))
		}
		c.hours(w, bottom)
	})
}

// together are the dots of a window, of those in one place the worst.
func together(list []Dot, w Window) []Dot {
	var places [momentDots + 1]*Dot
	for i := range list {
		d := &list[i]
		if d.At.Before(w.From) || d.At.After(w.To) {
			continue
		}
		place := &places[int(shareOf(d.At, w.From, w.To)*momentDots)]
		if *place == nil || d.State >= (*place).State {
			*place = d
		}
	}
	var out []Dot
	for _, d := range places {
		if d != nil {
			out = append(out, *d)
		}
	}
	return out
}

// dot draws the sign of a state.
func (c *canvas) dot(x, y float64, s State, tip string) {
	x = min(max(x, 0.01), 0.99) // whole, also at the edges
	switch s {
	case Planned, Failed:
		c.write(`<svg x="`, percent(x), `" y="`, num(y), `" overflow="visible"><path d="`,
			map[State]string{Planned: "M0-6L6 0L0 6L-6 0Z", Failed: "M-5-5L5 5M-5 5L5-5"}[s], `" class="pic-dot `, stateClass(s), `"`)
		c.end("path", tip)
		c.write(`</svg>`)
	default:
		c.write(`<circle cx="`, percent(x), `" cy="`, num(y), `" r="5" class="pic-dot `, stateClass(s), `"`)
		c.end("circle", tip)
	}
}

func stateClass(s State) string {
	return map[State]string{Planned: "pic-planned", Good: "pic-good", Proven: "pic-proven", Failed: "pic-failed"}[s]
}

// Strip is days one after the other.
type Strip struct {
	Days  []Day
	Names map[State]string // for the legend, which has those that are named
}

// Day is one day and the worst of it.
type Day struct {
	Day   time.Time
	State State
	Label string // for who points at it
}

const (
	weekly = 14 // days in a row
	days   = 56 // that are drawn, the last
)

// Calendar draws days as boxes, fourteen in a row, with a sign in each.
func Calendar(f Frame, s Strip) template.HTML {
	if len(s.Days) == 0 {
		return nothing(f)
	}
	list := slices.Clone(s.Days[max(len(s.Days)-days, 0):])
	slices.SortStableFunc(list, func(a, b Day) int { return a.Day.Compare(b.Day) })
	const high = 44.
	rows := float64((len(list) + weekly - 1) / weekly)
	keys := []State{}
	for _, k := range []State{Proven, Good, Failed, Planned} {
		if s.Names[k] != "" {
			keys = append(keys, k)
		}
	}
	return draw(f, "pic-calendar", rows*high+4+legendHeight(len(keys)), func(c *canvas) {
		for i, d := range list {
			x, y := float64(i%weekly)/weekly, high*float64(i/weekly)
			tip := d.Day.Format(time.DateOnly)
			if d.Label != "" {
				tip += " · " + d.Label
			}
			class := "pic-day"
			if w := d.Day.Weekday(); w == time.Saturday || w == time.Sunday {
				class += " pic-weekend"
			}
			c.rect(x, y, 0.94/weekly, high-6, class, tip)
			middle := x + 0.47/weekly
			c.text(percent(middle), y+13, "pic-axis", "middle", strconv.Itoa(d.Day.Day()))
			if d.State != None {
				c.dot(middle, y+26, d.State, tip)
			}
		}
		y := rows*high + 4
		for i, k := range keys {
			row := y + float64(i/legendColumns)*legendRow
			c.write(`<svg x="`, percentOf(i%legendColumns, legendColumns), `" y="`, num(row), `" width="50%" height="17">`)
			c.write(`<svg x="9" overflow="visible">`)
			c.dot(0, 8, k, "")
			c.write(`</svg><text x="24" y="12" class="pic-label">`, escape(s.Names[k]), `</text></svg>`)
		}
	})
}
