package output

import (
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// minColumn is the narrowest that a column is cut to. A table that would need
// narrower ones is turned: each row becomes a list of names and values.
const minColumn = 8

// table draws a result, no wider than the terminal.
func (p *Printer) table(r *Result) string {
	cells := p.cells(r)
	limit, fits := p.columnLimit(cells)
	if !fits {
		return p.turned(r, cells)
	}
	if limit > 0 {
		for _, row := range cells {
			for i, c := range row {
				row[i] = text.Snip(c, limit, p.ellipsis())
			}
		}
	}
	return p.draw(r, cells).Render() + "\n"
}

// cells renders the headings and all rows.
func (p *Printer) cells(r *Result) [][]string {
	out := make([][]string, 0, len(r.Rows)+1)
	head := make([]string, len(r.Columns))
	for i, c := range r.Columns {
		head[i] = Visible(c.Name)
	}
	out = append(out, head)
	for _, row := range r.Rows {
		line := make([]string, len(row))
		for i, v := range row {
			line[i] = p.cell(v, r.Columns[i])
		}
		out = append(out, line)
	}
	return out
}

// columnLimit returns the width that columns are cut to so that the table fits
// the terminal, 0 if nothing need be cut, and whether it can fit at all.
func (p *Printer) columnLimit(cells [][]string) (limit int, fits bool) {
	if !p.terminal() {
		return 0, true
	}
	widths := make([]int, len(cells[0]))
	widest := 0
	for _, row := range cells {
		for i, c := range row {
			widths[i] = max(widths[i], text.StringWidth(c))
			widest = max(widest, widths[i])
		}
	}
	available := p.Width - 3*len(widths) - 1
	total := func(limit int) (sum int) {
		for _, w := range widths {
			sum += min(w, limit)
		}
		return sum
	}
	if total(widest) <= available {
		return 0, true
	}
	for limit = min(widest-1, available); limit >= minColumn; limit-- {
		if total(limit) <= available {
			return limit, true
		}
	}
	return 0, false
}

func (p *Printer) draw(r *Result, cells [][]string) table.Writer {
	t := table.NewWriter()
	style := table.StyleLight
	if p.ASCII {
		style = table.StyleDefault
	}
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	configs := make([]table.ColumnConfig, len(r.Columns))
	for i := range configs {
		configs[i] = table.ColumnConfig{Number: i + 1, AlignHeader: text.AlignLeft}
		if numeric(r, i) {
			configs[i].Align = text.AlignRight
		}
		if p.Color {
			configs[i].ColorsHeader = text.Colors{text.Bold}
		}
	}
	t.SetColumnConfigs(configs)
	t.AppendHeader(tableRow(cells[0]))
	for i, row := range cells[1:] {
		cooked := tableRow(row)
		if p.Color {
			for j, v := range r.Rows[i] {
				if v == nil {
					cooked[j] = text.Faint.Sprint(row[j])
				}
			}
		}
		t.AppendRow(cooked)
	}
	return t
}

func tableRow(cells []string) table.Row {
	row := make(table.Row, len(cells))
	for i, c := range cells {
		row[i] = c
	}
	return row
}

// numeric tells whether a column holds numbers and nothing else.
func numeric(r *Result, column int) bool {
	found := false
	for _, row := range r.Rows {
		switch row[column].(type) {
		case int64, float64:
			found = true
		case nil:
		default:
			return false
		}
	}
	return found
}

// turned lists each row by itself, for results with more columns than the
// terminal has room for.
func (p *Printer) turned(r *Result, cells [][]string) string {
	widest := 0
	for _, name := range cells[0] {
		widest = max(widest, text.StringWidth(name))
	}
	widest = min(widest, max(minColumn, p.Width/3))
	room := max(minColumn, p.Width-widest-3)
	var b strings.Builder
	for n, row := range cells[1:] {
		if n > 0 {
			b.WriteByte('\n')
		}
		for i, c := range row {
			name := text.Snip(cells[0][i], widest, p.ellipsis())
			b.WriteString(text.Pad(name, widest, ' ') + " : " + text.Snip(c, room, p.ellipsis()) + "\n")
		}
	}
	return b.String()
}

func (p *Printer) markdown(r *Result) string {
	plain := *p
	plain.Color = false
	return plain.draw(r, plain.cells(r)).RenderMarkdown() + "\n"
}
