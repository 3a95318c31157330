package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// The chart is one panel for each workload: horizontal bars on a logarithmic
// scale, for the contestants are orders of magnitude apart.
const (
	chartWidth  = 880
	labelWidth  = 150 // names, to the left of the bars
	valueWidth  = 150 // figures, to their right
	barHeight   = 14
	rowHeight   = 20
	headHeight  = 46
	footHeight  = 30
	panelGap    = 18
	margin      = 16
	plotLeft    = margin + labelWidth
	plotWidth   = chartWidth - 2*margin - labelWidth - valueWidth
	headingRoom = 44
)

const (
	colorText  = "#1b1f24"
	colorQuiet = "#667080"
	colorGrid  = "#e3e6ea"
	colorOurs  = "#0b7285"
	colorOther = "#9fb3c8"
	colorLimit = "#495057"
)

// WriteSVG draws the chart.
func (r *Report) WriteSVG(w io.Writer) error {
	height := margin + headingRoom
	for _, workload := range r.Workloads {
		height += workload.panelHeight() + panelGap
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" `+
		`aria-label="Holdfast and other ways to use SQLite, side by side" `+
		`font-family="system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif" font-size="12">`+"\n",
		chartWidth, height, chartWidth, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", chartWidth, height)
	text{x: margin, y: margin + 14, size: 17, weight: 600, color: colorText, s: "Holdfast and other ways to use SQLite, side by side"}.draw(&b)
	text{x: margin, y: margin + 33, color: colorQuiet, s: r.caption()}.draw(&b)
	y := margin + headingRoom
	for _, workload := range r.Workloads {
		workload.drawPanel(&b, y)
		y += workload.panelHeight() + panelGap
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) caption() string {
	return "Medians, and lines from the least to the most; " + r.Environment.line()
}

func (w Workload) panelHeight() int { return headHeight + rowHeight*len(w.Contestants) + footHeight }

func (w Workload) drawPanel(b *strings.Builder, top int) {
	better := "longer is better"
	if w.Lower {
		better = "shorter is better"
	}
	text{x: margin, y: float64(top) + 16, size: 14, weight: 600, color: colorText, s: w.ID + ": " + w.Title}.draw(b)
	text{x: margin, y: float64(top) + 34, color: colorQuiet, s: fmt.Sprintf("%s, logarithmic scale, %s; in brackets how many times better Holdfast is", w.Unit, better)}.draw(b)
	scale := scaleOf(w.Contestants)
	bottom := top + headHeight + rowHeight*len(w.Contestants)
	for e := scale.low; e <= scale.high; e++ {
		v := math.Pow10(e)
		x := scale.x(v)
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s"/>`+"\n", x, top+headHeight-4, x, bottom, colorGrid)
		text{x: x, y: float64(bottom) + 14, size: 11, anchor: "middle", color: colorQuiet, s: tick(v)}.draw(b)
	}
	for i, c := range w.Contestants {
		c.drawBar(b, scale, top+headHeight+rowHeight*i)
	}
}

func (c Contestant) drawBar(b *strings.Builder, scale scale, y int) {
	weight, color := 400, colorOther
	switch {
	case c.Ours:
		weight, color = 600, colorOurs
	case c.Limit:
		color = colorLimit
	}
	base := float64(y) + barHeight - 3
	text{x: plotLeft - 8, y: base, anchor: "end", weight: weight, color: colorText, s: c.Name}.draw(b)
	s := c.Summary
	if s.Median <= 0 {
		text{x: plotLeft + 4, y: base, color: colorQuiet, s: c.nothing()}.draw(b)
		return
	}
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`+"\n",
		plotLeft, y, scale.x(s.Median)-plotLeft, barHeight, color)
	end := scale.x(s.Median)
	if s.Min > 0 && s.Max > s.Min {
		middle := float64(y) + barHeight/2.0
		fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="1.5"/>`+"\n",
			scale.x(s.Min), middle, scale.x(s.Max), middle, colorText)
		end = max(end, scale.x(s.Max))
	}
	label := number(s.Median)
	if !c.Base && s.Ratio > 0 {
		label += " (" + times(s.Ratio) + ")"
	}
	text{x: end + 6, y: base, weight: weight, color: colorText, s: label}.draw(b)
}

// nothing says why there is no bar.
func (c Contestant) nothing() string {
	if slices.ContainsFunc(c.Runs, func(r Run) bool { return r.Problem == "" }) {
		return "nothing got done"
	}
	return "no run counts"
}

// scale maps values between two powers of ten to the width of the plot.
type scale struct{ low, high int }

func scaleOf(all []Contestant) scale {
	low, high := math.Inf(1), math.Inf(-1)
	for _, c := range all {
		if s := c.Summary; s.Median > 0 {
			low = min(low, s.Median)
			high = max(high, s.Max)
			if s.Min > 0 {
				low = min(low, s.Min)
			}
		}
	}
	if low > high { // nobody got anything done
		return scale{0, 1}
	}
	// The smallest bar keeps some length, so that it can be seen.
	s := scale{int(math.Floor(math.Log10(low * 0.7))), int(math.Ceil(math.Log10(high)))}
	s.high = max(s.high, s.low+1)
	return s
}

func (s scale) x(v float64) float64 {
	part := (math.Log10(v) - float64(s.low)) / float64(s.high-s.low)
	return plotLeft + plotWidth*min(max(part, 0), 1)
}

// tick writes a power of ten shortly.
func tick(v float64) string {
	switch {
	case v >= 1e9:
		return fmt.Sprintf("%.0fG", v/1e9)
	case v >= 1e6:
		return fmt.Sprintf("%.0fM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%.0fk", v/1e3)
	}
	return fmt.Sprintf("%g", v)
}

// text is a piece of text at a place.
type text struct {
	x, y         float64
	s            string
	color        string
	anchor       string // "start" if empty
	size, weight int    // the chart's own if 0
}

func (t text) draw(b *strings.Builder) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" fill="%s"`, t.x, t.y, t.color)
	if t.anchor != "" {
		fmt.Fprintf(b, ` text-anchor="%s"`, t.anchor)
	}
	if t.size != 0 {
		fmt.Fprintf(b, ` font-size="%d"`, t.size)
	}
	if t.weight > 400 {
		fmt.Fprintf(b, ` font-weight="%d"`, t.weight)
	}
	fmt.Fprintf(b, ">%s</text>\n", escape.Replace(t.s))
}

var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
