package picture

import (
	"html/template"
	"math"
	"slices"
	"strconv"
	"time"
)

// Tile is one box of a treemap.
type Tile struct {
	Label string
	Value float64
	Index bool // hatched
}

const (
	tiles     = 60 // that are drawn; the others are one
	treemapH  = 320.
	treemapW  = 720. // for the shapes of the boxes, which are then stretched
	leastTile = 1e-4 // of the whole: less is not seen
)

// Treemap draws boxes as large as their values.
func Treemap(f Frame, list []Tile) template.HTML {
	var shown []Tile
	for _, t := range list {
		if finite(t.Value) && t.Value > 0 {
			t.Value = min(t.Value, most)
			shown = append(shown, t)
		}
	}
	if len(shown) == 0 {
		return nothing(f)
	}
	slices.SortStableFunc(shown, func(a, b Tile) int { return compare(b.Value, a.Value) })
	greatest, all := shown[0].Value, 0.
	if n := len(shown) - tiles; n > 0 {
		rest := Tile{Label: f.more(n)}
		for _, t := range shown[tiles:] {
			rest.Value = min(rest.Value+t.Value, most)
		}
		shown = append(shown[:tiles:tiles], rest)
	}
	for _, t := range shown {
		all += t.Value / greatest
	}
	areas := make([]float64, len(shown))
	for i, t := range shown {
		areas[i] = max(t.Value/greatest/all, leastTile)
	}
	return draw(f, "pic-treemap", treemapH, func(c *canvas) {
		hatch := c.hatched("index")
		for i, b := range squarify(areas, treemapW, treemapH) {
			c.tile(shown[i], b, hatch)
		}
	})
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (c *canvas) tile(t Tile, b box, hatch string) {
	value := c.f.number(t.Value)
	fill := `class="pic-table pic-edge"`
	if t.Index {
		fill = `fill="` + hatch + `" class="pic-edge"`
	}
	c.write(`<svg x="`, percent(b.x/treemapW), `" y="`, num(b.y), `" width="`, percent(b.w/treemapW), `" height="`, num(b.h), `">`,
		`<rect width="100%" height="100%" `, fill)
	c.end("rect", t.Label+" · "+value)
	if b.w >= 60 && b.h >= 18 {
		c.text("5", 14, "pic-label pic-on", "", t.Label)
	}
	if b.w >= 60 && b.h >= 34 {
		c.text("5", 29, "pic-axis pic-on", "", value)
	}
	c.write(`</svg>`)
}

type box struct{ x, y, w, h float64 }

// squarify lays areas, the largest first, into a box, so that they come near to
// squares: rows along the shorter side, each as long as that makes its worst box
// better (Bruls, Huizing, van Wijk 2000).
func squarify(areas []float64, w, h float64) []box {
	sum := 0.
	for _, a := range areas {
		sum += a
	}
	out := make([]box, 0, len(areas))
	free := box{0, 0, w, h}
	for begin := 0; begin < len(areas); {
		side := min(free.w, free.h)
		end, row := begin+1, areas[begin]/sum*w*h
		for end < len(areas) {
			next := areas[end] / sum * w * h
			if worst(areas[begin:end+1], sum/(w*h), row+next, side) > worst(areas[begin:end], sum/(w*h), row, side) {
				break
			}
			row += next
			end++
		}
		deep := 0.
		if side > 0 {
			deep = row / side
		}
		along := 0.
		for _, a := range areas[begin:end] {
			long := 0.
			if row > 0 {
				long = a / sum * w * h / row * side
			}
			if free.w >= free.h {
				out = append(out, box{free.x, free.y + along, deep, long})
			} else {
				out = append(out, box{free.x + along, free.y, long, deep})
			}
			along += long
		}
		if free.w >= free.h {
			free.x, free.w = free.x+deep, max(free.w-deep, 0)
		} else {
			free.y, free.h = free.y+deep, max(free.h-deep, 0)
		}
		begin = end
	}
	return out
}

// worst is the longest shape in a row of boxes.
func worst(areas []float64, unit, row, side float64) float64 {
	least, greatest := math.Inf(1), 0.
	for _, a := range areas {
		least, greatest = min(least, a/unit), max(greatest, a/unit)
	}
	return max(side*side*greatest/(row*row), row*row/(side*side*least))
}

// Heat is how many there were of each size in the course of time.
type Heat struct {
	Times  []time.Time // beginnings of the columns
	Bounds []float64   // upper bounds of the rows, ascending
	Counts [][]float64 // of each column, of each row
}

const (
	heatColumns = 120
	heatRows    = 24
	heatLevels  = 5
	heatRow     = 12.
)

// Heatmap draws a box for each column and row, the fuller and taller the more there
// were, by the logarithm.
func Heatmap(f Frame, h Heat) template.HTML {
	columns, rows := min(len(h.Times), len(h.Counts)), len(h.Bounds)
	if columns == 0 || rows == 0 {
		return nothing(f)
	}
	counts, wide, high := gather(h.Counts[:columns], rows)
	greatest := 0.
	for _, column := range counts {
		for _, n := range column {
			greatest = max(greatest, n)
		}
	}
	if greatest == 0 {
		return nothing(f)
	}
	top := 16.
	bottom := top + heatRow*float64(high)
	return draw(f, "pic-heat", bottom+axisHeight, func(c *canvas) {
		for _, j := range []int{0, high / 2, high - 1} {
			c.text("0", bottom-heatRow*float64(j)-2, "pic-axis", "", "≤ "+f.number(h.Bounds[min((j+1)*rows/high, rows)-1]))
		}
		c.write(`<svg x="14%" width="86%" height="`, num(bottom+axisHeight), `">`)
		c.line(0, bottom, 1, bottom, "pic-grid")
		for i, column := range counts {
			at := h.Times[i*columns/wide]
			for j, n := range column {
				level := 0
				if n > 0 {
					level = 1 + int(math.Min(math.Log1p(n)/math.Log1p(greatest)*heatLevels, heatLevels-1))
					bound := h.Bounds[min((j+1)*rows/high, rows)-1]
					tall := heatRow * (0.35 + 0.13*float64(level))
					y := bottom - heatRow*float64(j+1) + (heatRow-tall)/2
					c.rect(float64(i)/float64(wide), y, 0.92/float64(wide), tall, "pic-h"+strconv.Itoa(level),
						f.moment(at)+" · ≤ "+f.number(bound)+": "+strconv.FormatFloat(n, 'f', -1, 64))
				}
			}
		}
		if w := (Window{From: h.Times[0], To: after(h.Times[:columns])}); !w.empty() {
			c.hours(w, bottom)
		}
		c.write(`</svg>`)
	})
}

// after is the end of the last column.
func after(times []time.Time) time.Time {
	last := times[len(times)-1]
	if len(times) == 1 {
		return last
	}
	return last.Add(last.Sub(times[len(times)-2]))
}

// gather adds columns and rows up until there are no more than can be drawn.
func gather(counts [][]float64, rows int) (out [][]float64, wide, high int) {
	wide, high = min(len(counts), heatColumns), min(rows, heatRows)
	out = make([][]float64, wide)
	for i := range wide {
		out[i] = make([]float64, high)
		for _, column := range counts[i*len(counts)/wide : (i+1)*len(counts)/wide] {
			for j := range high {
				for k := j * rows / high; k < (j+1)*rows/high && k < len(column); k++ {
					if n := column[k]; finite(n) && n > 0 {
						out[i][j] = min(out[i][j]+n, most)
					}
				}
			}
		}
	}
	return out, wide, high
}
