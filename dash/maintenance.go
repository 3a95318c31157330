package dash

import (
	"context"
	"errors"
	"html/template"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/dash/internal/picture"
	"github.com/holdfastdb/holdfast/history"
)

func maintenancePage() page {
	return page{id: "maintenance", view: func(ctx context.Context, v *visit) (any, error) { return v.maintenance(ctx) }}
}

// maintenanceView is what is done in the background, and what came of it.
type maintenanceView struct {
	Sentences []sentence                 `json:"sentences"`
	Paused    string                     `json:"paused"`
	Tasks     []holdfast.MaintenanceNext `json:"tasks"`
	Runs      []holdfast.MaintenanceRun  `json:"runs"` // the newest first
	Stats     holdfast.MaintenanceStats  `json:"stats"`
	Verified  *holdfast.VerifyReport     `json:"last_verified"`
	Calendar  calendar                   `json:"calendar"`
	Memory    memoryView                 `json:"memory"`
}

// memoryView is what grows without end.
type memoryView struct {
	Suspects []holdfast.MemorySuspect `json:"suspects"`
}

// calendar is days with what was done in them.
type calendar struct {
	Days []calendarDay `json:"days"`
}

type calendarDay struct {
	Day    string `json:"day"` // 2006-01-02, UTC
	Done   int64  `json:"done"`
	Failed int64  `json:"failed"`
	Due    int    `json:"due"`
	Proven bool   `json:"verified"` // this process has checked the whole database
	at     time.Time
}

const (
	daysBack  = 21
	daysAhead = 6
)

func (v *visit) maintenance(ctx context.Context) (*maintenanceView, error) {
	h, err := v.watch.healthNow(ctx)
	if err != nil {
		return nil, err
	}
	m := v.db.Maintenance()
	out := &maintenanceView{
		Paused: m.Paused(), Tasks: m.Next(), Runs: m.Runs(), Stats: h.ConnectionStats.Maintenance, Verified: h.LastVerified,
		Memory: memoryView{h.ConnectionStats.Memory.Suspects},
	}
	out.Sentences = v.maintenanceSentences(out)
	out.Calendar, err = v.calendar(ctx, out)
	return out, err
}

func (v *visit) maintenanceSentences(m *maintenanceView) []sentence {
	t := v.text
	var out []sentence
	say := func(state, key string, args ...any) { out = append(out, sentence{state, t.T(key, args...)}) }
	switch {
	case m.Paused != "":
		say("warning", "maintenance.paused", m.Paused)
	case len(m.Tasks) == 0:
		say("unknown", "maintenance.none")
	default:
		var next holdfast.MaintenanceNext
		for _, n := range m.Tasks {
			if !n.At.IsZero() && (next.At.IsZero() || n.At.Before(next.At)) {
				next = n
			}
		}
		switch {
		case next.At.IsZero():
			say("ok", "maintenance.asked")
		case !next.At.After(v.now):
			say("ok", "maintenance.due", taskName(t, next.Task))
		default:
			say("ok", "maintenance.next", taskName(t, next.Task), t.Dur(next.At.Sub(v.now).Round(time.Second).Seconds()))
		}
	}
	switch r := m.Verified; {
	case r == nil:
		say("unknown", "maintenance.unverified")
	case !r.OK:
		say("critical", "maintenance.damaged", t.Int(int64(len(r.Problems))), t.Ago(r.Finished, v.now))
	default:
		say("ok", "maintenance.verified", t.Int(r.Pages), t.Ago(r.Finished, v.now))
	}
	seen := map[string]bool{}
	for _, r := range m.Runs { // the newest of each task
		if r.Outcome == "failed" && !seen[r.Task] {
			say("warning", "maintenance.failed", taskName(t, r.Task), r.Error)
		}
		seen[r.Task] = true
	}
	return out
}

// calendar counts by days what the history has, which is of all processes.
func (v *visit) calendar(ctx context.Context, m *maintenanceView) (calendar, error) {
	today := v.now.UTC().Truncate(day)
	c := calendar{}
	for i := -daysBack; i <= daysAhead; i++ {
		at := today.Add(time.Duration(i) * day)
		c.Days = append(c.Days, calendarDay{Day: at.Format(time.DateOnly), at: at})
	}
	on := func(at time.Time) *calendarDay {
		i := int(at.UTC().Truncate(day).Sub(c.Days[0].at) / day)
		if at.Before(c.Days[0].at) || i >= len(c.Days) {
			return &calendarDay{} // not shown
		}
		return &c.Days[i]
	}
	r, err := v.watch.course(ctx, v.db, history.Request{
		From: v.now.Add(-(daysBack + 1) * day), To: v.now, Step: time.Hour, Series: []string{"maintenance.done", "maintenance.failed"},
	}, v.now)
	if err != nil && !errors.Is(err, holdfast.ErrRefused) { // in memory
		return c, err
	}
	for _, s := range r.Series {
		for _, p := range s.Points {
			if n := int64(p.Sum); s.Name == "maintenance.done" {
				on(p.At).Done += n
			} else {
				on(p.At).Failed += n
			}
		}
	}
	// What this process knows of, and the history not yet.
	known := map[string][2]int64{}
	for _, run := range m.Runs {
		key := run.Started.UTC().Format(time.DateOnly)
		n := known[key]
		switch run.Outcome {
		case "done":
			n[0]++
		case "failed":
			n[1]++
		}
		known[key] = n
		if run.Task == "verify" && run.Outcome == "done" {
			on(run.Started).Proven = true
		}
	}
	for i := range c.Days {
		d := &c.Days[i]
		d.Done, d.Failed = max(d.Done, known[d.Day][0]), max(d.Failed, known[d.Day][1])
	}
	if m.Verified != nil && m.Verified.OK {
		on(m.Verified.Finished).Proven = true
	}
	for _, n := range m.Tasks {
		if n.At.After(v.now) {
			on(n.At).Due++
		}
	}
	return c, nil
}

// State is the worst of a day.
func (d calendarDay) State() string {
	switch {
	case d.Failed > 0:
		return "failed"
	case d.Proven:
		return "proven"
	case d.Done > 0:
		return "good"
	case d.Due > 0:
		return "planned"
	}
	return ""
}

func drawCalendar(t *text, c calendar) template.HTML {
	f := t.frame("pic-calendar", t.T("maintenance.calendar"), "")
	f.Desc = t.T("maintenance.calendar.desc", t.Int(int64(len(c.Days))))
	states := map[string]picture.State{"good": picture.Good, "proven": picture.Proven, "failed": picture.Failed, "planned": picture.Planned}
	s := picture.Strip{Names: map[picture.State]string{}}
	for name, state := range states {
		s.Names[state] = t.T("maintenance.day." + name)
	}
	for _, d := range c.Days {
		label := ""
		if state := d.State(); state != "" {
			label = t.T("maintenance.day." + state)
		}
		s.Days = append(s.Days, picture.Day{Day: d.at, State: states[d.State()], Label: label})
	}
	return picture.Calendar(f, s)
}

// taskName is what a task is called: one of a program's own as that calls it, one of
// package backup, "backup:DESTINATION", with its place.
func taskName(t *text, name string) string {
	kind, at, found := strings.Cut(name, ":")
	key := "task." + kind
	said := t.T(key)
	switch {
	case said == key:
		return name
	case found:
		return said + " → " + fileName(at, at)
	}
	return said
}
