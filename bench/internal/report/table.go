package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// column is one column of the table. One that has something to say in no row is
// left out, unless it always stands.
type column struct {
	title  string
	always bool
	cell   func(c Contestant) string
}

var columns = []column{
	{"contestant", true, func(c Contestant) string { return c.Name }},
	{"median", true, func(c Contestant) string { return number(c.Summary.Median) }},
	{"min..max", true, func(c Contestant) string { return number(c.Summary.Min) + ".." + number(c.Summary.Max) }},
	{"holdfast is", true, func(c Contestant) string { return times(c.Summary.Ratio) }},
	{"least", false, func(c Contestant) string { return seconds(c.Summary.Least) }},
	{"p50", false, func(c Contestant) string { return seconds(c.Summary.P50) }},
	{"p99", false, func(c Contestant) string { return seconds(c.Summary.P99) }},
	{"max", false, func(c Contestant) string { return seconds(c.Summary.Times.Max) }},
	{"read p99", false, func(c Contestant) string { return seconds(c.Summary.ReadP99) }},
	{"idle p99", false, func(c Contestant) string { return seconds(c.Summary.IdleP99) }},
	{"busiest/slowest", false, func(c Contestant) string { return times(c.Summary.Share) }},
	{"WAL", false, func(c Contestant) string { return size(c.Summary.WAL) }},
	{"cpu/op", false, func(c Contestant) string { return seconds(c.Summary.CPU) }},
	{"sys/op", false, func(c Contestant) string { return seconds(c.Summary.System) }},
	{"allocs/op", false, func(c Contestant) string { return figure(c.Summary.Allocs) }},
	{"bytes/op", false, func(c Contestant) string { return figure(c.Summary.Bytes) }},
	{"resident", false, func(c Contestant) string { return size(int64(c.Summary.Resident)) }},
	{"live heap", false, func(c Contestant) string { return size(int64(c.Summary.Live)) }},
	{"growth", false, func(c Contestant) string { return small(c.Summary.Growth) }},
	{"heap growth", false, func(c Contestant) string { return small(c.Summary.LiveGrowth) }},
	{"retries", false, func(c Contestant) string { return unlessZero(c.Summary.Retries) }},
	{"lost", false, func(c Contestant) string { return unlessZero(c.Summary.Lost) }},
	{"errors", true, func(c Contestant) string { return count(c.Summary.Errors, c.Summary.Done) }},
}

// figure is a number that not every workload and contestant has.
func figure(v float64) string {
	if v == 0 {
		return "-"
	}
	return number(v)
}

func unlessZero(n int64) string {
	if n == 0 {
		return "-"
	}
	return integer(n)
}

// WriteTable writes one table for each workload, and beneath what went wrong.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	b.WriteString(r.Environment.line() + "\n")
	for _, workload := range r.Workloads {
		workload.writeTable(&b)
	}
	for _, m := range r.Missing {
		fmt.Fprintf(&b, "\n%s took no part: %s\n", m.Contestant, m.Reason)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// line tells what is known of the machine, and how it was measured.
func (e Environment) line() string {
	parts := []string{e.Go, e.System, fmt.Sprintf("%d CPUs", e.CPUs), e.CPU, e.FileSystem}
	if e.Fsync > 0 {
		parts = append(parts, "append and fsync "+seconds(e.Fsync))
	}
	if e.LoadBefore != "" {
		parts = append(parts, "load "+e.LoadBefore+" before, "+e.LoadAfter+" after")
	}
	parts = append(parts, fmt.Sprintf("rounds: %d, a cell: %s", e.Rounds, seconds(e.Cell)))
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

func (w Workload) writeTable(b *strings.Builder) {
	better := "higher is better"
	if w.Lower {
		better = "lower is better"
	}
	fmt.Fprintf(b, "\n%s: %s [%s, %s]\n", w.ID, w.Title, w.Unit, better)
	rows := w.cells()
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 { // names to the left, figures to the right
				line.WriteString("  " + cell + gap)
			} else {
				line.WriteString("  " + gap + cell)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	w.writeNotes(b)
}

// cells are the heading and the rows, without the columns that say nothing.
func (w Workload) cells() [][]string {
	rows := make([][]string, len(w.Contestants)+1)
	for _, col := range columns {
		cells := []string{col.title}
		for _, c := range w.Contestants {
			cells = append(cells, col.cell(c))
		}
		says := slices.ContainsFunc(cells[1:], func(s string) bool { return s != "-" })
		if !says && !col.always {
			continue
		}
		for i, cell := range cells {
			rows[i] = append(rows[i], cell)
		}
	}
	return rows
}

// writeNotes tells the first error of each contestant and each problem.
func (w Workload) writeNotes(b *strings.Builder) {
	for _, c := range w.Contestants {
		said := false
		for _, r := range c.Runs {
			if r.Problem != "" {
				fmt.Fprintf(b, "  ! %s, round %d does not count: %s\n", c.Name, r.Round, r.Problem)
			}
			if r.FirstError != "" && !said {
				said = true
				fmt.Fprintf(b, "  %s failed with: %s\n", c.Name, strings.ReplaceAll(r.FirstError, "\n", " "))
			}
		}
	}
}
