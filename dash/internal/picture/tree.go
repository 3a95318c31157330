package picture

import (
	"html/template"
	"strings"
)

// Mark is how much a node of a tree is worth a look.
type Mark int

// The marks.
const (
	Plain  Mark = iota // a ring
	Noted              // a full circle
	Warned             // a triangle
)

// Node is one step of a plan.
type Node struct {
	Label string
	Note  string // what it means, below the label
	Mark  Mark
	Nodes []Node
}

const (
	nodes  = 200 // that are drawn
	depth  = 12  // to which they are moved in
	indent = 16.
	column = 46 // characters of a line: what 320 px have room for
	lineH  = 15.
)

// Tree draws nodes line by line, each under the one that it belongs to.
func Tree(f Frame, list []Node) template.HTML {
	t := tree{}
	t.lay(list, 0, -1)
	if len(t.rows) == 0 {
		return nothing(f)
	}
	height := t.y
	if t.rest > 0 {
		height += lineH
	}
	return draw(f, "pic-tree", height, func(c *canvas) {
		for _, r := range t.rows {
			x := 8 + indent*float64(r.deep)
			if r.parent >= 0 {
				p := t.rows[r.parent]
				c.write(`<path d="M`, num(8+indent*float64(p.deep)), ` `, num(p.y+15), `V`, num(r.y+10), `H`, num(x-6), `" class="pic-branch"/>`)
			}
		}
		for _, r := range t.rows {
			c.node(r)
		}
		if t.rest > 0 {
			c.text("8", height-4, "pic-label", "", f.more(t.rest))
		}
	})
}

// tree is the rows of a tree, from the top down.
type tree struct {
	rows []treeRow
	rest int
	y    float64
}

type treeRow struct {
	label, note []string
	mark        Mark
	deep        int
	parent      int // its row; -1 has none
	y           float64
}

func (t *tree) lay(list []Node, deep, parent int) {
	for _, n := range list {
		if len(t.rows) >= nodes {
			t.rest += count(n)
			continue
		}
		shown := min(deep, depth)
		width := column - 2*shown
		r := treeRow{label: wrap(n.Label, width), note: wrap(n.Note, width), mark: n.Mark, deep: shown, parent: parent, y: t.y}
		t.y += lineH*float64(len(r.label)+len(r.note)) + 8
		t.rows = append(t.rows, r)
		t.lay(n.Nodes, deep+1, len(t.rows)-1)
	}
}

func count(n Node) int {
	sum := 1
	for _, m := range n.Nodes {
		sum += count(m)
	}
	return sum
}

func (c *canvas) node(r treeRow) {
	x, y := 8+indent*float64(r.deep), r.y+10
	switch r.mark {
	case Warned:
		c.write(`<path d="M`, num(x), ` `, num(y-6), `l6 11h-12Z" class="pic-dot pic-failed"/>`)
	case Noted:
		c.write(`<circle cx="`, num(x), `" cy="`, num(y), `" r="4" class="pic-dot pic-proven"/>`)
	default:
		c.write(`<circle cx="`, num(x), `" cy="`, num(y), `" r="4" class="pic-dot pic-good"/>`)
	}
	for i, line := range r.label {
		c.text(num(x+12), y+4+lineH*float64(i), "pic-label", "", line)
	}
	for i, line := range r.note {
		c.text(num(x+12), y+4+lineH*float64(len(r.label)+i), "pic-axis", "", line)
	}
}

// wrap breaks a text into lines of n characters, at blanks where there are some; what
// is longer than 8 lines ends with "…".
func wrap(s string, n int) []string {
	const lines = 8
	var out []string
	line := []rune{}
	for _, word := range strings.Fields(s) {
		w := []rune(word)
		if len(line) > 0 && len(line)+1+len(w) > n {
			out, line = append(out, string(line)), nil
		}
		if len(line) > 0 {
			line = append(line, ' ')
		}
		for line = append(line, w...); len(line) > n && len(out) <= lines; {
			out, line = append(out, string(line[:n])), line[n:]
		}
		if len(out) > lines {
			break
		}
	}
	if len(line) > 0 {
		out = append(out, string(line))
	}
	if len(out) > lines {
		out = append(out[:lines-1], cut(out[lines-1], max(len([]rune(out[lines-1])), 2))+"…")
	}
	return out
}
