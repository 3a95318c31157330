package main

import (
	"fmt"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/holdfastdb/holdfast/locks"
)

const topKeys = `  q, Ctrl-C    quit
  up, down     select a process, and read what its lock means (also k, j)
  space        pause, and go on
  +, -         look more often, less often
  ?            this help; any key closes it
`

const (
	shortestInterval = 50 * time.Millisecond
	longestInterval  = 30 * time.Second
)

// topModel is what top shows. Keys, the clock and looks change it, in Update
// alone.
type topModel struct {
	look     func() (*locks.Report, error) // by one goroutine at a time: see looking
	report   *locks.Report                 // the last one there was
	err      error                         // of the last look
	interval time.Duration
	style    topStyle

	width, height int
	paused        bool
	help          bool
	looking       bool
	beat          int // ticks of another beat are stale: the interval has changed, or it was paused
	selected      topRowID
}

// looked is the end of a look.
type looked struct {
	report *locks.Report
	err    error
}

type tick struct{ beat int }

func (m topModel) Init() tea.Cmd { return m.later() }

// later ends the pause between two looks.
func (m topModel) later() tea.Cmd {
	beat := m.beat
	return tea.Tick(m.interval, func(time.Time) tea.Msg { return tick{beat} })
}

// lookNow starts a look, if none is under way.
func (m topModel) lookNow() (tea.Model, tea.Cmd) {
	m.beat++
	if m.looking {
		return m, nil // its end goes on
	}
	m.looking = true
	look := m.look
	return m, func() tea.Msg {
		r, err := look()
		return looked{r, err}
	}
}

func (m topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case looked:
		m.looking = false
		m.err = msg.err
		if msg.err == nil && !m.paused {
			m.report = msg.report
		}
		if !m.paused {
			m.beat++
			return m, m.later()
		}
	case tick:
		if msg.beat == m.beat && !m.paused {
			return m.lookNow()
		}
	case tea.KeyPressMsg:
		return m.key(msg.String())
	}
	return m, nil
}

func (m topModel) key(name string) (tea.Model, tea.Cmd) {
	switch name {
	case "q", "ctrl+c":
		return m, tea.Quit
	case "ctrl+z":
		return m, tea.Suspend
	}
	if m.help {
		m.help = false
		return m, nil
	}
	switch name {
	case "?", "h":
		m.help = true
	case "space":
		if m.paused = !m.paused; !m.paused {
			return m.lookNow()
		}
	case "+", "=":
		return m.every(m.interval / 2)
	case "-":
		return m.every(m.interval * 2)
	case "up", "k":
		m.move(-1)
	case "down", "j":
		m.move(1)
	}
	return m, nil
}

// every changes the interval, counted from now.
func (m topModel) every(d time.Duration) (tea.Model, tea.Cmd) {
	m.interval = min(max(d, shortestInterval), longestInterval)
	if m.paused || m.looking {
		return m, nil
	}
	m.beat++
	return m, m.later()
}

// move selects another row.
func (m *topModel) move(by int) {
	rows := topRows(m.report)
	if len(rows) > 0 {
		m.selected = rows[min(max(m.chosen(rows)+by, 0), len(rows)-1)].id
	}
}

// chosen is the index of the selected row: who holds a lock stays selected while
// others come and go. The first row, who keeps most others out, is when it is gone.
func (m topModel) chosen(rows []topRow) int {
	return max(slices.IndexFunc(rows, func(r topRow) bool { return r.id == m.selected }), 0)
}

// topRowID tells one row from another, over several looks.
type topRowID struct {
	pid  int
	lock string
	slot int
}

// topRow is a lock and its holder, or a process without a lock.
type topRow struct {
	id      topRowID
	process locks.Process
	holds   string
	since   time.Time // zero without a lock
	text    string
}

func topRows(r *locks.Report) []topRow {
	var rows []topRow
	holding := map[int]bool{}
	for _, h := range r.Holders {
		holding[h.PID] = true
		holds := h.Lock
		if h.Slot >= 0 {
			holds += fmt.Sprintf(" slot %d", h.Slot)
		}
		rows = append(rows, topRow{topRowID{h.PID, h.Lock, h.Slot}, h.Process, holds, h.Since, h.Text})
	}
	for _, p := range r.Openers {
		if holding[p.PID] {
			continue
		}
		text := p.Name() + " has it open and holds no lock; whether it waits can't be seen, because a process in its busy_timeout polls and looks idle"
		rows = append(rows, topRow{topRowID{pid: p.PID}, p, "no lock", time.Time{}, text})
	}
	return rows
}
