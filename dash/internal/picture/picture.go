// Package picture draws what the dashboard shows, as SVG that stands in the page:
// plain data in, markup out. It reads no clock and keeps no state, so that the same
// data give the same picture.
//
// A picture is as wide as its place and as tall as it needs: what lies along it is
// given in percent, so that text keeps its size on a phone. It has a title and a
// description for those who don't see it, and says nothing by colour alone. Colours
// are classes, which [Stylesheet] gives their values, light and dark; there is no
// style attribute, which the dashboard's content security policy forbids.
//
// Numbers that are not finite are left out, and what is too much to be drawn is
// thinned or counted: a picture has an upper size whatever the data.
package picture

import (
	_ "embed" // the stylesheet
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
)

// Frame is what every picture has.
type Frame struct {
	ID    string // of the element, once on a page: letters, digits and "-"
	Title string // what it shows, and in which unit
	Desc  string // what is to be seen, in a sentence or two
	Empty string // stands in its place if there is nothing to draw

	Number func(float64) string   // writes a value; nil: as few digits as tell it
	Binary bool                   // round values of an axis are those of 1024, not of 1000: they are bytes
	Time   func(time.Time) string // writes a moment exactly; nil: 2006-01-02 15:04:05
	More   func(n int) string     // says that n more are not drawn; nil: "+n"
}

//go:embed picture.css
var stylesheet string // never written to

// Stylesheet has the classes that pictures use, and their colours as custom
// properties: light, dark where the system prefers it, and either by data-theme on
// the root element.
func Stylesheet() string { return stylesheet }

func (f Frame) number(v float64) string {
	if f.Number != nil {
		return f.Number(v)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func (f Frame) moment(t time.Time) string {
	if f.Time != nil {
		return f.Time(t)
	}
	return t.Format("2006-01-02 15:04:05")
}

func (f Frame) more(n int) string {
	if f.More != nil {
		return f.More(n)
	}
	return "+" + strconv.Itoa(n)
}

// canvas collects the markup of one picture.
type canvas struct {
	b      strings.Builder
	f      Frame
	height float64
}

// draw makes a picture of a height in CSS pixels.
func draw(f Frame, class string, height float64, body func(c *canvas)) template.HTML {
	c := &canvas{f: f, height: height}
	c.write(`<svg class="pic `, class, `" id="`, escape(f.ID), `" role="img" width="100%" height="`, num(height), `"`)
	c.names()
	body(c)
	c.write(`</svg>`)
	return template.HTML(c.b.String()) //nolint:gosec // what comes from outside went through escape
}

// nothing is a picture without data.
func nothing(f Frame) template.HTML {
	return draw(f, "pic-none", 40, func(c *canvas) { c.text("50%", 25, "pic-label", "middle", f.Empty) })
}

// names ends the opening tag, with what the picture is called.
func (c *canvas) names() {
	id := escape(c.f.ID)
	if c.f.Desc == "" {
		c.write(` aria-labelledby="`, id, `-t"><title id="`, id, `-t">`, escape(c.f.Title), `</title>`)
		return
	}
	c.write(` aria-labelledby="`, id, `-t" aria-describedby="`, id, `-d"><title id="`, id, `-t">`, escape(c.f.Title),
		`</title><desc id="`, id, `-d">`, escape(c.f.Desc), `</desc>`)
}

func (c *canvas) write(parts ...string) {
	for _, p := range parts {
		c.b.WriteString(p)
	}
}

// text writes one line; x is a number or a percentage.
func (c *canvas) text(x string, y float64, class, anchor, s string) {
	if s == "" {
		return
	}
	c.write(`<text x="`, x, `" y="`, num(y), `" class="`, class, `"`)
	if anchor != "" {
		c.write(` text-anchor="`, anchor, `"`)
	}
	c.write(`>`, escape(s), `</text>`)
}

// rect draws a box; x and w are shares of the width. tip is shown to who points at it.
func (c *canvas) rect(x, y, w, h float64, class, tip string) {
	c.write(`<rect x="`, percent(x), `" y="`, num(y), `" width="`, percent(w), `" height="`, num(h), `" class="`, class, `"`)
	c.end("rect", tip)
}

func (c *canvas) line(x1, y1, x2, y2 float64, class string) {
	c.write(`<line x1="`, percent(x1), `" y1="`, num(y1), `" x2="`, percent(x2), `" y2="`, num(y2), `" class="`, class, `"/>`)
}

// end ends an element, with its tip.
func (c *canvas) end(name, tip string) {
	if tip == "" {
		c.write(`/>`)
		return
	}
	c.write(`><title>`, escape(tip), `</title></`, name, `>`)
}

// hatched defines the pattern of what is told apart by hatching, and returns its name.
func (c *canvas) hatched(class string) string {
	name := escape(c.f.ID) + "-" + class
	c.write(`<defs><pattern id="`, name, `" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">`,
		`<rect width="6" height="6" class="pic-`, class, `"/><line x1="0" y1="0" x2="0" y2="6" class="pic-hatch"/></pattern></defs>`)
	return "url(#" + name + ")"
}

// chart is a nested drawing from (0, 0) to (1000, 1000) that is stretched over the
// width and between two heights: lines and areas can't be given in percent.
func (c *canvas) chart(top, bottom float64, body func()) {
	c.write(`<svg x="0" y="`, num(top), `" width="100%" height="`, num(bottom-top), `" viewBox="0 0 1000 1000" preserveAspectRatio="none">`)
	body()
	c.write(`</svg>`)
}

// key is one entry of a legend.
type key struct {
	class, fill string // of the swatch; fill is a pattern, or ""
	dash        bool   // the swatch is a line
	name        string
}

// legend writes keys line by line from y on: its texts must not run into each other on
// a screen of 320 px, where a line has room for two of them.
func (c *canvas) legend(y float64, keys []key) {
	for i, k := range keys {
		x, row := percentOf(i%legendColumns, legendColumns), y+float64(i/legendColumns)*legendRow
		c.write(`<svg x="`, x, `" y="`, num(row), `" width="`, percent(1./legendColumns), `" height="`, num(legendRow), `">`)
		switch {
		case k.dash:
			c.write(`<line x1="0" y1="8" x2="18" y2="8" class="`, k.class, `"/>`)
		case k.fill != "":
			c.write(`<rect x="0" y="3" width="18" height="10" fill="`, k.fill, `" class="pic-edge"/>`)
		default:
			c.write(`<rect x="0" y="3" width="18" height="10" class="`, k.class, `"/>`)
		}
		c.write(`<text x="24" y="12" class="pic-label">`, escape(k.name), `</text></svg>`)
	}
}

const (
	legendColumns = 2
	legendRow     = 17.
)

func legendHeight(keys int) float64 {
	return float64((keys+legendColumns-1)/legendColumns) * legendRow
}

// finite tells whether a number can be drawn.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// share is where v lies between two ends, from 0 to 1.
func share(v, from, to float64) float64 {
	// By halves, because the distance of two numbers may be more than the largest.
	s := (v/2 - from/2) / (to/2 - from/2)
	if math.IsNaN(s) {
		return 0
	}
	return min(max(s, 0), 1)
}

// shareOf is where a moment lies between two others.
func shareOf(t, from, to time.Time) float64 {
	return share(float64(t.Sub(from)), 0, float64(to.Sub(from)))
}

// num writes a number as SVG wants it.
func num(v float64) string {
	if !finite(v) {
		return "0"
	}
	s := strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
	if s == "-0" {
		return "0"
	}
	return s
}

func percent(v float64) string       { return num(v*100) + "%" }
func percentOf(part, all int) string { return percent(float64(part) / float64(all)) }
func thousand(v float64) string      { return num(v * 1000) }

// escape makes a text safe in markup and in attributes, and drops what no XML may have.
func escape(s string) string {
	return template.HTMLEscapeString(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0xFFFE || r == 0xFFFF {
			return ' '
		}
		return r
	}, s))
}

// cut shortens a text to n characters.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:max(n-1, 0)]) + "…"
	}
	return s
}
