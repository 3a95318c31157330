package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfastdb/holdfast/locks"
	"github.com/jedib0t/go-pretty/v6/text"
)

// topStyle is what the terminal can show. Nothing is told by colour alone.
type topStyle struct{ ascii, color bool }

func (s topStyle) glyph(fine, ascii string) string {
	if s.ascii {
		return ascii
	}
	return fine
}

func (s topStyle) sgr(code, line string) string {
	if !s.color {
		return line
	}
	return "\x1b[" + code + "m" + line + "\x1b[0m"
}

func (m topModel) View() tea.View {
	v := tea.NewView(m.picture())
	v.AltScreen = true
	return v
}

// picture is the whole screen: never more lines than it has, and none longer.
func (m topModel) picture() string {
	if m.width < 1 || m.height < 1 {
		return "" // the size comes as the first message
	}
	lines := m.body()
	if m.help {
		lines = m.helpLines()
	}
	room := m.height - 1
	for len(lines) < room {
		lines = append(lines, "")
	}
	return strings.Join(append(lines[:room], m.footer()), "\n")
}

// cut shortens a line to the width of the terminal.
func (m topModel) cut(line string) string { return m.fit(output.Visible(line), m.width) }

func (m topModel) fit(s string, width int) string {
	return text.Snip(s, max(width, 1), m.style.glyph("\u2026", "~"))
}

// wrap breaks a text into at most so many lines.
func (m topModel) wrap(s string, most int) []string {
	lines := strings.Split(text.WrapSoft(output.Visible(s), m.width), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	if len(lines) > most {
		lines = append(lines[:most-1], m.fit(strings.Join(lines[most-1:], " "), m.width))
	}
	return lines
}

func (m topModel) body() []string {
	r := m.report
	var lines []string
	for _, line := range m.wrap(answerLine(r, r.At), 2) {
		lines = append(lines, m.style.sgr("1", line))
	}
	lines = append(lines, m.cut(fileLine(r)), "")
	lines = append(lines, m.cut("writer      "+writerLine(r)))
	if r.Queued > 0 {
		lines = append(lines, m.cut("queue       "+queueLine(r)))
	}
	if r.WAL != nil {
		lines = append(lines, m.cut("checkpoint  "+checkpointLine(r)))
		lines = append(lines, m.logLines()...)
	}
	lines = append(lines, "")

	rows := topRows(r)
	var rest []string
	if len(rows) > 0 {
		rest = append(rest, m.wrap(rows[m.chosen(rows)].text, 4)...)
	}
	rest = append(rest, m.waiterLines()...)
	if len(r.Blind) > 0 {
		line := "can't be seen: " + r.Blind[0]
		if more := len(r.Blind) - 1; more > 0 {
			line = fmt.Sprintf("can't be seen (%d more: ?): %s", more, r.Blind[0])
		}
		rest = append(rest, m.cut(line))
	}
	// The list gives way to what is below it, down to the selected process.
	room := m.height - 1 - len(lines) - len(rest)
	return append(append(lines, m.table(rows, max(room, 2))...), rest...)
}

// waiterLines leave room for the others, however many wait.
func (m topModel) waiterLines() []string {
	lines := waiterTexts(m.report, m.report.At, 3)
	for i, line := range lines {
		lines[i] = m.cut(line)
	}
	return lines
}

// table lists the rows around the selected one, in so many lines.
func (m topModel) table(rows []topRow, room int) []string {
	if len(rows) == 0 {
		return nil
	}
	atLeast := m.style.glyph("\u2265 ", ">= ")
	const columns = "%s %7s %-20s %-10s %-9s %-16s %s"
	chosen := m.chosen(rows)
	visible := min(room-1, len(rows))
	head := fmt.Sprintf(columns, " ", "pid", "program", "user", "state", "holds", "for")
	if hidden := len(rows) - visible; hidden > 0 {
		head += fmt.Sprintf(" (+%d)", hidden)
	}
	lines := []string{m.style.sgr("1", m.cut(head))}
	from := min(max(chosen-visible/2, 0), len(rows)-visible)
	for i, row := range rows[from : from+visible] {
		mark := " "
		if from+i == chosen {
			mark = ">"
		}
		field := func(s string, width int) string {
			return text.Pad(m.fit(output.Visible(s), width), width, ' ')
		}
		held := ""
		if !row.since.IsZero() {
			held = age(row.since, m.report.At, atLeast)
		}
		pid := "?"
		if row.process.PID != 0 {
			pid = strconv.Itoa(row.process.PID)
		}
		line := m.cut(strings.TrimRight(fmt.Sprintf(columns, mark, pid, field(row.process.Program, 20), field(row.process.User, 10),
			field(row.process.State, 9), field(row.holds, 16), held), " "))
		switch {
		case from+i == chosen:
			line = m.style.sgr("7", line)
		case row.process.State == "stopped":
			line = m.style.sgr("31", line)
		}
		lines = append(lines, line)
	}
	return lines
}

// writerLine is who keeps other writers out.
func writerLine(r *locks.Report) string {
	for _, lock := range []string{"EXCLUSIVE", "PENDING", "WAL_WRITE", "RESERVED"} {
		i := slices.IndexFunc(r.Holders, func(h locks.Holder) bool { return h.Lock == lock })
		if i < 0 {
			continue
		}
		h := r.Holders[i]
		line := h.Name() + age(h.Since, r.At, ", at least ")
		if h.State == "stopped" {
			line += ", stopped"
		}
		if n := len(r.Waiters); n > 0 && r.Queued == 0 { // else the next line tells
			line += fmt.Sprintf("; %d seen waiting", n)
		}
		if h.CallSite != "" {
			line += "; " + h.CallSite
		}
		return line
	}
	return "nobody"
}

// queueLine is how many wait inside of programs that tell, and who has done so
// longest.
func queueLine(r *locks.Report) string {
	line := fmt.Sprintf("%d wait for the writer", r.Queued)
	var first locks.Waiter
	for _, w := range r.Waiters {
		if (w.Statement != "" || w.CallSite != "") && (first.Since.IsZero() || w.Since.Before(first.Since)) {
			first = w
		}
	}
	if first.Since.IsZero() {
		return line
	}
	line += age(first.Since, r.At, ", longest for ")
	if first.CallSite != "" {
		return line + ": " + first.CallSite
	}
	return line + ": " + first.Statement
}

// checkpointLine is how far the log can be copied, and who is in the way.
func checkpointLine(r *locks.Report) string {
	left := r.WAL.Frames - min(r.WAL.CopiedFrames, r.WAL.Frames)
	behind := "nothing left to copy"
	if left > 0 {
		behind = fmt.Sprintf("%d frames to copy", left)
		if first, ok := earliestReader(r); ok {
			behind += fmt.Sprintf(", stuck at frame %d by %s", first.SnapshotFrame, first.Name())
		}
	} else if r.WAL.Reset {
		behind += "; the next writer begins the log anew"
	}
	for _, h := range r.Holders {
		if h.Lock == "WAL_CKPT" {
			return "by " + h.Name() + age(h.Since, r.At, ", at least ") + "; " + behind
		}
	}
	return behind
}

// earliestReader holds the snapshot that copying can't pass.
func earliestReader(r *locks.Report) (first locks.Holder, ok bool) {
	for _, h := range r.Holders {
		if h.Lock == "WAL_READ" && h.SnapshotFrame < r.WAL.Frames && (!ok || h.SnapshotFrame < first.SnapshotFrame) {
			first, ok = h, true
		}
	}
	return first, ok
}

// logLines are the bar of the log, the read marks below it, and who holds them.
func (m topModel) logLines() []string {
	const label = "log         "
	wal := m.report.WAL
	width := min(m.width-len(label), 200)
	if width < 10 {
		return nil
	}
	copied := 0
	if wal.Frames > 0 {
		copied = int(uint64(width) * uint64(min(wal.CopiedFrames, wal.Frames)) / uint64(wal.Frames))
	}
	full, empty := m.style.glyph("\u2588", "#"), m.style.glyph("\u2591", ".")
	if wal.Frames == 0 {
		empty = " "
	}
	lines := []string{label + m.style.sgr("32", strings.Repeat(full, copied)) + strings.Repeat(empty, width-copied)}
	if !slices.ContainsFunc(wal.ReadMarks[:], func(mark uint32) bool { return mark != unusedMark }) {
		return lines // a daemon tells none
	}
	lines = append(lines, strings.TrimRight("read marks  "+markLine(wal, width), " "))

	var free []string
	for slot, mark := range wal.ReadMarks {
		at := fmt.Sprintf("frame %d", mark)
		if slot == 0 {
			at = "the file alone"
		}
		if by := slotHolders(m.report, slot); by != "" {
			lines = append(lines, m.cut(fmt.Sprintf("  slot %d    %s: %s", slot, at, by)))
		} else {
			free = append(free, strconv.Itoa(slot))
		}
	}
	if len(free) > 0 {
		lines = append(lines, m.cut("  free      slot "+strings.Join(free, ", ")))
	}
	return lines
}

// inUse tells whether a mark is one on this log: others are left from before.
func inUse(wal *locks.WAL, slot int) bool { return wal.ReadMarks[slot] <= wal.Frames }

// markLine puts each slot's digit below the last frame that its readers see.
// Where a place is taken, it stands beside.
func markLine(wal *locks.WAL, width int) string {
	line := []byte(strings.Repeat(" ", width))
	for slot, mark := range wal.ReadMarks {
		if !inUse(wal, slot) {
			continue
		}
		column := 0
		if wal.Frames > 0 && mark > 0 {
			column = int((uint64(width)*uint64(mark)+uint64(wal.Frames)-1)/uint64(wal.Frames)) - 1
		}
		step := 1
		if column > width/2 {
			step = -1
		}
		for line[column] != ' ' {
			column += step
		}
		line[column] = byte('0' + slot)
	}
	return string(line)
}

func slotHolders(r *locks.Report, slot int) string {
	var names []string
	for _, h := range r.Holders {
		if h.Lock == "WAL_READ" && h.Slot == slot {
			names = append(names, h.Name())
		}
	}
	return strings.Join(names, ", ")
}

func (m topModel) footer() string {
	var state string
	switch {
	case m.err != nil:
		state = "as of " + m.report.At.Format(time.TimeOnly) + "; the last look failed: " + m.err.Error()
	case m.paused:
		state = "PAUSED at " + m.report.At.Format(time.TimeOnly)
	default:
		state = m.report.At.Format(time.TimeOnly) + " every " + m.interval.String()
	}
	return m.style.sgr("1", m.cut(state+"   q quit  ? help  space pause  +/- pace  up/down select"))
}

func (m topModel) helpLines() []string {
	lines := []string{m.style.sgr("1", m.cut("holdfast top "+m.report.Path)), ""}
	for line := range strings.Lines(topKeys) {
		lines = append(lines, m.cut(strings.TrimSuffix(line, "\n")))
	}
	full, empty := m.style.glyph("\u2588", "#"), m.style.glyph("\u2591", ".")
	lines = append(lines, "")
	lines = append(lines, m.wrap("The bar is the log, oldest frame first: "+full+" is copied into the database, "+empty+
		" is not yet. A digit below is a slot: its readers see the log up to there, and later frames wait until they end "+
		"(slot 0: the file alone, and all frames wait). "+
		"Ages are since the first look; who let go and came back between two looks counts on.", 6)...)
	if len(m.report.Blind) > 0 {
		lines = append(lines, "", m.cut("Can't be seen:"))
		for _, s := range m.report.Blind {
			lines = append(lines, m.wrap("- "+s, 4)...)
		}
	}
	return lines
}
