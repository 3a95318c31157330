package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// The chart has a panel for each workload, two beside each other, with a bar for
// each contestant. It is looked at as an image in a page, which may be light or
// dark, so it brings both.
const (
	chartWidth  = 960
	margin      = 16
	gutter      = 24
	labelWidth  = 118 // names, to the left of the bars
	valueWidth  = 112 // figures, to their right
	barHeight   = 13
	rowHeight   = 19
	headHeight  = 60
	footHeight  = 22
	panelGap    = 20
	headingRoom = 96
	lineChars   = 140 // that fit into the chart's width
)

const style = `<style>
text { font-family: system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; font-size: 12px; fill: #1b1f24 }
.page { fill: #ffffff } .quiet { fill: #59636e } .head { font-size: 17px } .bold { font-weight: 600 } .end { text-anchor: end } .middle { text-anchor: middle }
.grid { stroke: #d9dee3 } .spread { stroke: #1b1f24; stroke-width: 1.5 }
.ours { fill: #0b7285 } .other { fill: #9fb3c8 } .limit { fill: #495057 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.page { fill: #0d1117 } .quiet { fill: #9aa4af }
.grid { stroke: #30363d } .spread { stroke: #e6edf3 }
.ours { fill: #1a97ad } .other { fill: #4b6075 } .limit { fill: #a9b1ba }
}
</style>
`

const chartTitle = "Holdfast and other ways to use SQLite, side by side"

// canvas is an SVG while it is drawn.
type canvas struct{ b strings.Builder }

func (c *canvas) text(x, y float64, class, s string) {
	fmt.Fprintf(&c.b, `<text x="%.1f" y="%.1f" class="%s">%s</text>`+"\n", x, y, class, escape.Replace(s))
}

func (c *canvas) rect(x, y, width, height float64, class string) {
	fmt.Fprintf(&c.b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="%s"/>`+"\n", x, y, width, height, class)
}

func (c *canvas) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(&c.b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>`+"\n", x1, y1, x2, y2, class)
}

var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// WriteSVG draws the chart.
func (r *Report) WriteSVG(w io.Writer) error {
	pairs := slices.Collect(slices.Chunk(r.Workloads, 2))
	height := headingRoom
	for _, pair := range pairs {
		height += panelHeight(pair) + panelGap
	}
	var c canvas
	fmt.Fprintf(&c.b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n",
		chartWidth, height, chartWidth, height, chartTitle)
	c.b.WriteString(style)
	c.rect(0, 0, chartWidth, float64(height), "page")
	r.drawHeading(&c)
	const width = (chartWidth - 2*margin - gutter) / 2
	y := headingRoom
	for _, pair := range pairs {
		for i, workload := range pair {
			workload.draw(&c, panel{left: margin + float64(i)*(width+gutter), top: float64(y), width: width})
		}
		y += panelHeight(pair) + panelGap
	}
	c.b.WriteString("</svg>\n")
	_, err := io.WriteString(w, c.b.String())
	return err
}

// panelHeight is the height of the higher of two panels.
func panelHeight(pair []Workload) int {
	rows := 0
	for _, w := range pair {
		rows = max(rows, len(w.Contestants))
	}
	return headHeight + rowHeight*rows + footHeight
}

func (r *Report) drawHeading(c *canvas) {
	c.text(margin, 30, "head bold", chartTitle)
	x := float64(margin)
	for _, key := range []struct{ class, means string }{
		{"ours", "Holdfast"}, {"other", "others"}, {"limit", "the limit: a loop in C"},
	} {
		c.rect(x, 42, 11, 11, key.class)
		c.text(x+16, 52, "", key.means)
		x += 34 + 6.5*float64(len(key.means))
	}
	c.text(x, 52, "quiet", "Medians; lines from the least to the most; in brackets how many times better Holdfast is.")
	for i, line := range wrap(r.Environment.line(), lineChars) {
		c.text(margin, 70+16*float64(i), "quiet", line)
	}
}

// wrap breaks a list after commas.
func wrap(s string, width int) []string {
	var lines []string
	for part := range strings.SplitSeq(s, ", ") {
		if n := len(lines); n > 0 && len(lines[n-1])+len(part)+2 <= width {
			lines[n-1] += ", " + part
		} else {
			lines = append(lines, part)
		}
	}
	return lines
}

// panel is where a workload is drawn.
type panel struct{ left, top, width float64 }

func (p panel) plotLeft() float64  { return p.left + labelWidth }
func (p panel) plotWidth() float64 { return p.width - labelWidth - valueWidth }

func (w Workload) draw(c *canvas, p panel) {
	better := "longer is better"
	if w.Lower {
		better = "shorter is better"
	}
	s := scaleOf(w.Contestants)
	c.text(p.left, p.top+14, "bold", w.ID)
	c.text(p.left, p.top+30, "", w.Title)
	c.text(p.left, p.top+46, "quiet", fmt.Sprintf("%s, %s, %s", w.Unit, s.name(), better))
	top := p.top + headHeight
	bottom := top + rowHeight*float64(len(w.Contestants))
	for _, v := range s.ticks() {
		x := p.x(s, v)
		c.line(x, top-4, x, bottom, "grid")
		c.text(x, bottom+14, "quiet middle", tick(v))
	}
	for i, contestant := range w.Contestants {
		contestant.draw(c, p, s, top+rowHeight*float64(i))
	}
}

func (p panel) x(s scale, v float64) float64 { return p.plotLeft() + p.plotWidth()*s.part(v) }

func (c Contestant) draw(on *canvas, p panel, scale scale, y float64) {
	class, weight := "other", ""
	switch {
	case c.Ours:
		class, weight = "ours", "bold"
	case c.Limit:
		class = "limit"
	}
	base := y + barHeight - 2
	on.text(p.plotLeft()-8, base, "end "+weight, c.Name)
	s := c.Summary
	if s.Median <= 0 {
		on.text(p.plotLeft()+4, base, "quiet", c.nothing())
		return
	}
	end := p.x(scale, s.Median)
	on.rect(p.plotLeft(), y, end-p.plotLeft(), barHeight, class)
	if s.Min > 0 && s.Max > s.Min {
		middle := y + barHeight/2.0
		on.line(p.x(scale, s.Min), middle, p.x(scale, s.Max), middle, "spread")
		end = max(end, p.x(scale, s.Max))
	}
	label := number(s.Median)
	if s.Median >= 1e6 {
		label = tick(s.Median)
	}
	if !c.Base && s.Ratio > 0 {
		label += " (" + times(s.Ratio) + ")"
	}
	on.text(end+6, base, weight, label)
}

// nothing says why there is no bar.
func (c Contestant) nothing() string {
	if slices.ContainsFunc(c.Runs, func(r Run) bool { return r.Problem == "" }) {
		return "nothing got done"
	}
	return "no run counts"
}
