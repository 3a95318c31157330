package picture

import (
	"html/template"
	"math"
	"slices"
	"strings"
	"time"
)

// Stack lays series upon each other, told apart by stripes. The samples of all are
// taken at the same times; one that is missing or below 0 counts as 0.
func Stack(f Frame, w Window, list ...Series) template.HTML {
	l := layers(f, w, list, points/2)
	if w.empty() || len(l.times) == 0 {
		return nothing(f)
	}
	keys := l.keys(f, list)
	height := plotBottom + axisHeight
	return draw(f, "pic-stack", height+legendHeight(len(keys)), func(c *canvas) {
		fills := c.fills(len(l.values), 1000./720, 1000./(plotBottom-plotTop))
		swatches := c.fills(len(l.values), 1, 1)
		c.grid(l.scale, plotTop, plotBottom)
		c.chart(plotTop, plotBottom, func() {
			for i := range l.values {
				c.write(`<path d="`, l.layer(i, w), `" fill="`, fills[i], `" class="pic-edge"/>`)
			}
		})
		c.scale(l.scale, plotTop, plotBottom)
		c.hours(w, plotBottom)
		c.legend(height, filled(keys, swatches))
	})
}

// Bars are bars at the times of the samples, of parts that are told apart by stripes.
func Bars(f Frame, w Window, list ...Series) template.HTML {
	const columns = 60
	l := layers(f, w, list, columns)
	if w.empty() || len(l.times) == 0 {
		return nothing(f)
	}
	keys := l.keys(f, list)
	height := plotBottom + axisHeight
	return draw(f, "pic-bars", height+legendHeight(len(keys)), func(c *canvas) {
		fills := c.fills(len(l.values), 1, 1)
		c.grid(l.scale, plotTop, plotBottom)
		wide := l.width(w)
		for t, at := range l.times {
			x, below := min(shareOf(at, w.From, w.To), 1-wide), 0.
			for i := range l.values {
				v := l.values[i][t]
				top, bottom := l.scale.y(below+v), l.scale.y(below)
				below += v
				if v > 0 {
					c.bar(x, wide*0.8, top, bottom, fills[i], f.moment(at)+" · "+list[i].Name+" "+f.number(v))
				}
			}
		}
		c.scale(l.scale, plotTop, plotBottom)
		c.hours(w, plotBottom)
		c.legend(height, filled(keys, fills))
	})
}

// bar draws a box between two heights of a chart.
func (c *canvas) bar(x, w, top, bottom float64, fill, tip string) {
	unit := (plotBottom - plotTop) / 1000
	c.write(`<rect x="`, percent(x), `" y="`, num(plotTop+top*unit), `" width="`, percent(w), `" height="`, num((bottom-top)*unit),
		`" fill="`, fill, `" class="pic-edge"`)
	c.end("rect", tip)
}

// layered are series at common times.
type layered struct {
	times  []time.Time
	values [][]float64 // of each series, at each time
	scale  span
}

// layers brings the first series to at most n common times.
func layers(f Frame, w Window, list []Series, n int) layered {
	list = list[:min(len(list), kinds)]
	known := make([]map[int64]float64, len(list))
	var l layered
	for i, s := range list {
		known[i] = map[int64]float64{}
		for _, p := range s.within(w) {
			if finite(p.Value) {
				known[i][p.At.UnixNano()] = max(p.Value, 0)
				l.times = append(l.times, p.At)
			}
		}
	}
	slices.SortFunc(l.times, time.Time.Compare)
	l.times = slices.CompactFunc(l.times, time.Time.Equal)
	groups := min(n, len(l.times))
	times := make([]time.Time, groups)
	l.values = make([][]float64, len(list))
	sums := make([]float64, groups)
	for i := range list {
		l.values[i] = make([]float64, groups)
		for g := range groups {
			// The mean of those that fall together.
			part := l.times[g*len(l.times)/groups : (g+1)*len(l.times)/groups]
			times[g] = part[0]
			for _, at := range part {
				l.values[i][g] += known[i][at.UnixNano()] / float64(len(part))
			}
			sums[g] += l.values[i][g]
		}
	}
	l.times = times
	l.scale = f.over(func(yield func(float64)) {
		for _, v := range sums {
			yield(v)
		}
	})
	return l
}

func (l layered) keys(f Frame, list []Series) []key {
	var keys []key
	for i := range l.values {
		keys = append(keys, key{name: list[i].Name})
	}
	if n := len(list) - kinds; n > 0 {
		keys = append(keys, key{class: "pic-none", name: f.more(n)})
	}
	return keys
}

// layer is the outline of one series on those below it.
func (l layered) layer(i int, w Window) string {
	var b strings.Builder
	for begin := 0; begin < len(l.times); {
		end := begin + 1
		for end < len(l.times) && (w.Gap <= 0 || l.times[end].Sub(l.times[end-1]) <= w.Gap) {
			end++
		}
		var there, back []string
		for t := begin; t < end; t++ {
			below := 0.
			for j := range i {
				below += l.values[j][t]
			}
			x := thousand(shareOf(l.times[t], w.From, w.To)) + " "
			there = append(there, x+num(l.scale.y(below+l.values[i][t])))
			back = append([]string{x + num(l.scale.y(below))}, back...)
		}
		b.WriteString("M" + strings.Join(append(there, back...), "L") + "Z")
		begin = end
	}
	return b.String()
}

// width of a bar: the usual distance of two, and at most a tenth of the whole.
func (l layered) width(w Window) float64 {
	least := time.Duration(math.MaxInt64)
	for i := 1; i < len(l.times); i++ {
		least = min(least, l.times[i].Sub(l.times[i-1]))
	}
	return min(max(share(float64(least), 0, float64(w.To.Sub(w.From))), 0.004), 0.1)
}

// fills defines how layers are filled: plain, and with stripes of several kinds. The
// units of the drawing are so many for a pixel.
func (c *canvas) fills(n int, x, y float64) []string {
	var out []string
	for i := range n {
		name := escape(c.f.ID) + "-" + series(i)
		if x != 1 {
			name += "w"
		}
		c.write(`<defs><pattern id="`, name, `" width="`, num(8*x), `" height="`, num(8*y), `" patternUnits="userSpaceOnUse">`,
			`<rect width="`, num(8*x), `" height="`, num(8*y), `" class="pic-fill `, series(i), `"/>`)
		if i%4 == 1 || i%4 == 3 {
			c.write(`<rect width="`, num(8*x), `" height="`, num(2*y), `" class="pic-stripe"/>`)
		}
		if i%4 == 2 || i%4 == 3 {
			c.write(`<rect width="`, num(2*x), `" height="`, num(8*y), `" class="pic-stripe"/>`)
		}
		c.write(`</pattern></defs>`)
		out = append(out, "url(#"+name+")")
	}
	return out
}

func filled(keys []key, fills []string) []key {
	for i := range keys {
		if i < len(fills) {
			keys[i].fill = fills[i]
		}
	}
	return keys
}
