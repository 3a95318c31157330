package dash

import (
	"context"
	"html/template"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/dash/internal/picture"
)

func backupsPage() page {
	return page{id: "backups", params: []string{"range"}, view: func(ctx context.Context, v *visit) (any, error) { return v.backups(ctx) }}
}

// backupsView is what could be restored, and whether that was tried.
type backupsView struct {
	Sentences    []sentence                `json:"sentences"`
	LastBackup   time.Time                 `json:"last_backup,omitzero"`
	LastVerified time.Time                 `json:"last_verified,omitzero"`
	Places       []placeView               `json:"places"`
	Points       momentsView               `json:"points"`
	Replication  holdfast.ReplicationStats `json:"replication"`
	Fenced       bool                      `json:"fenced"`
	LossSeconds  *float64                  `json:"loss_seconds"` // what would be lost with this machine; null if nothing could be restored
	Range        string                    `json:"range"`
	Charts       []chart                   `json:"charts"`
}

// placeView is one place of backups, and what lies there.
type placeView struct {
	holdfast.BackupPlace
	State   string      `json:"state"`
	Listed  bool        `json:"listed"`        // Entries are what lies there
	Why     string      `json:"why,omitempty"` // they are not
	Entries []entryView `json:"entries"`       // the newest first
	More    int         `json:"more"`
	Bytes   int64       `json:"bytes"` // of all entries
}

// entryView is one backup.
type entryView struct {
	Name    string    `json:"name"`
	TakenAt time.Time `json:"taken_at"`
	Bytes   int64     `json:"bytes"`
	Proven  bool      `json:"proven"` // it was restored and checked
	Good    bool      `json:"good"`   // it was checked when it was made
}

// momentsView is moments on a time axis.
type momentsView struct {
	From time.Time     `json:"from"`
	To   time.Time     `json:"to"`
	Rows []momentsLine `json:"rows"`
}

type momentsLine struct {
	Name string   `json:"name"`
	Dots []moment `json:"dots"`
}

type moment struct {
	At    time.Time `json:"at"`
	State string    `json:"state"` // "good", "proven", "failed" or "planned"
	Label string    `json:"label"`
}

// listing remembers what lies in directories of backups: to know it each manifest is read.
type listing struct {
	mu   sync.Mutex
	last map[string]inventory
}

type inventory struct {
	at      time.Time
	entries []backup.Entry
	err     error
}

const (
	listingKept      = 30 * time.Second
	mostEntriesShown = 100
)

// look lists a directory. Who comes while somebody is at it gets the last answer, so that a
// directory that does not answer holds up one page and not all.
func (l *listing) look(dir string, now time.Time) (inventory, bool) {
	if !l.mu.TryLock() {
		return inventory{}, false
	}
	defer l.mu.Unlock()
	got, ok := l.last[dir]
	if !ok || now.Sub(got.at) > listingKept {
		if l.last == nil {
			l.last = map[string]inventory{}
		}
		got = inventory{at: now}
		got.entries, got.err = backup.List(dir)
		l.last[dir] = got
	}
	return got, true
}

// Measures of the replication.
var (
	lag     = level("lag", "s", "replication.lag_seconds", func(s *sample) float64 { return s.Stats.Replication.LagSeconds })
	pending = level("pending", "By", "replication.pending_bytes", func(s *sample) float64 { return float64(s.Stats.Replication.PendingBytes) })
)

func (v *visit) backups(ctx context.Context) (*backupsView, error) {
	h, err := v.watch.healthNow(ctx)
	if err != nil {
		return nil, err
	}
	b := &backupsView{
		LastBackup: h.Backup.LastBackup, LastVerified: h.Backup.LastVerified, Places: []placeView{},
		Replication: h.ConnectionStats.Replication, Fenced: h.File.Fenced, Charts: []chart{},
	}
	for _, p := range h.Backup.Places {
		b.Places = append(b.Places, v.placeOf(p))
	}
	var length time.Duration
	b.Range, length = v.longStretch()
	b.Points = v.points(b.Places, length)
	switch {
	case b.Replication.Target != "" && !b.Replication.LastUpload.IsZero():
		b.LossSeconds = &b.Replication.LagSeconds
	case !b.LastBackup.IsZero():
		loss := v.now.Sub(b.LastBackup).Seconds()
		b.LossSeconds = &loss
	}
	b.Sentences = v.backupSentences(h, b)
	if b.Replication.Target != "" {
		same := *v // its charts are of the same stretch as the points
		same.params = url.Values{"range": {b.Range}}
		b.Charts, err = same.charts(ctx, plot{"lag", "lines", []measure{lag}}, plot{"pending", "lines", []measure{pending}})
	}
	return b, err
}

// placeOf is what is known of one place, and what lies there if it is a directory here.
func (v *visit) placeOf(p holdfast.BackupPlace) placeView {
	out := placeView{BackupPlace: p, State: "ok", Entries: []entryView{}}
	switch late := func(at time.Time) bool { return !at.IsZero() && at.Before(v.now) }; {
	case p.Drills.Error != "" || p.Backups.Error != "" && late(p.Backups.Due):
		out.State = "critical"
	case p.Backups.Error != "" || late(p.Backups.Due) || late(p.Drills.Due):
		out.State = "warning"
	case p.Backups.At.IsZero():
		out.State = "unknown"
	}
	if !filepath.IsAbs(p.Destination) {
		out.Why = v.text.T("backups.elsewhere")
		return out
	}
	got, ok := v.watch.listing.look(p.Destination, v.now)
	switch {
	case !ok:
		out.Why = v.text.T("backups.listing")
		return out
	case got.err != nil:
		out.Why = got.err.Error()
		return out
	}
	out.Listed = true
	for _, e := range got.entries {
		if e.Database != backup.DatabaseName(v.db.Path()) || e.Source != "" && e.Source != v.db.Path() {
			continue
		}
		out.Bytes += e.Bytes
		if len(out.Entries) == mostEntriesShown {
			out.More++
			continue
		}
		proven := filepath.Base(p.Drills.Path) == filepath.Base(e.Path)
		out.Entries = append(out.Entries, entryView{filepath.Base(e.Path), e.TakenAt.UTC(), e.Bytes, proven, e.Verified})
	}
	return out
}

// points are the states that could be restored, what failed, and what is due.
func (v *visit) points(places []placeView, length time.Duration) momentsView {
	m := momentsView{From: v.now.Add(-length).UTC(), To: v.now.Add(length / 8).UTC(), Rows: []momentsLine{}}
	for _, p := range places {
		line := momentsLine{Name: p.Destination, Dots: []moment{}}
		dot := func(at time.Time, state, label string) {
			if !at.Before(m.From) && !at.After(m.To) {
				line.Dots = append(line.Dots, moment{at.UTC(), state, label})
			}
		}
		for _, e := range p.Entries {
			switch {
			case e.Proven:
				dot(e.TakenAt, "proven", v.text.Bytes(float64(e.Bytes)))
			case e.Good:
				dot(e.TakenAt, "good", v.text.Bytes(float64(e.Bytes)))
			}
		}
		if !p.Listed {
			dot(p.Backups.At, "good", v.text.Bytes(float64(p.Backups.Bytes)))
		}
		dot(p.Backups.FailedAt, "failed", p.Backups.Error)
		dot(p.Drills.FailedAt, "failed", p.Drills.Error)
		dot(p.Backups.Due, "planned", v.text.T("backups.due"))
		m.Rows = append(m.Rows, line)
	}
	return m
}

func (v *visit) backupSentences(h holdfast.Health, b *backupsView) []sentence {
	t := v.text
	var out []sentence
	say := func(state, key string, args ...any) { out = append(out, sentence{state, t.T(key, args...)}) }
	switch {
	case b.LastBackup.IsZero():
		say("warning", "backups.none")
	default:
		state := by(h, "backup-overdue", "backup-failed", "backup-unscheduled", "backup-unknown")
		say(state, "backups.last", t.Clock(b.LastBackup, v.now), t.Ago(b.LastBackup, v.now))
		if b.LastVerified.IsZero() {
			say("warning", "backups.never_verified")
		} else {
			say(by(h, "drill-failed", "drill-overdue"), "backups.verified", t.Clock(b.LastVerified, v.now), t.Ago(b.LastVerified, v.now))
		}
	}
	if b.LossSeconds != nil {
		say("ok", "backups.loss", t.Dur(*b.LossSeconds))
	}
	switch r := b.Replication; {
	case r.Target == "":
		say("unknown", "backups.replica.none")
	case r.LastError != "":
		say("critical", "backups.replica.failed", r.LastError)
	default:
		state := "ok"
		switch {
		case r.LagSeconds > 300:
			state = "critical"
		case r.LagSeconds > 30:
			state = "warning"
		}
		say(state, "backups.replica.some", r.Target, t.Dur(r.LagSeconds))
	}
	if b.Fenced {
		say("critical", "backups.fenced")
	}
	return out
}

func drawMoments(t *text, m momentsView) template.HTML {
	f := t.frame("pic-points", t.T("backups.points"), "")
	f.Empty, f.Desc = t.T("backups.points.none"), t.T("backups.points.desc")
	states := map[string]picture.State{"good": picture.Good, "proven": picture.Proven, "failed": picture.Failed, "planned": picture.Planned}
	var rows []picture.Row
	for _, r := range m.Rows {
		row := picture.Row{Label: r.Name}
		for _, d := range r.Dots {
			row.Dots = append(row.Dots, picture.Dot{At: d.At, State: states[d.State], Label: t.T("backups.point."+d.State) + " · " + d.Label})
		}
		rows = append(rows, row)
	}
	return picture.Moments(f, picture.Window{From: m.From, To: m.To}, rows)
}
