package dash

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfastdb/holdfast"
)

func overviewPage() page {
	return page{id: "overview", params: []string{"range"}, view: func(ctx context.Context, v *visit) (any, error) { return v.overview(ctx) }}
}

// overview is how the database is, in sentences.
type overview struct {
	Status   string             `json:"status"`
	Cards    []card             `json:"cards"`
	Findings []holdfast.Finding `json:"findings"`
	Alerts   []alertRow         `json:"alerts"` // active ones and the last that have ended, a few; null where nobody looks at rules
	Range    string             `json:"range"`
}

// card says one thing about the database.
type card struct {
	ID       string `json:"id"`
	State    string `json:"state"` // "ok", "warning", "critical" or "unknown"
	Value    string `json:"value"`
	Sentence string `json:"sentence"`
	Chart    *chart `json:"chart,omitempty"`
	page     string
}

// Page is where there is more about it.
func (c card) Page() string { return c.page }

// Measures of the overview, which other pages show too.
var (
	commits    = rate("commits", "writer.groups", func(s *holdfast.Stats) int64 { return s.Writer.Groups })
	written    = rate("writes", "writer.units", func(s *holdfast.Stats) int64 { return s.Writer.Units })
	statements = rate("statements", "successful_operations", func(s *holdfast.Stats) int64 { return s.SuccessfulOperations })
	conflicts  = rate("conflicts", "lock_conflicts", func(s *holdfast.Stats) int64 { return s.LockConflicts })
	failures   = rate("failures", "failed_operations", func(s *holdfast.Stats) int64 { return s.FailedOperations })
	logBytes   = level("log", "By", "file.log_bytes", func(s *sample) float64 { return float64(s.Locks.WAL.Bytes) })
	queued     = level("queued", "", "writer.queued", func(s *sample) float64 { return float64(s.Stats.Writer.Queued) })
	reads      = measure{key: "reads", unit: "1/s", now: func(before, s *sample) float64 { return perSecond(s.Reads-before.Reads, before, s) }}
	p95        = measure{key: "p95", unit: "s", now: func(_, s *sample) float64 { return s.P95 }}
)

func (v *visit) overview(ctx context.Context) (*overview, error) {
	h, err := v.watch.healthNow(ctx)
	if err != nil {
		return nil, err
	}
	held, err := v.watch.locks(ctx)
	if err != nil {
		return nil, err
	}
	var plots []plot
	for _, lines := range [][]measure{{commits, written}, {statements, reads}, {p95}, {conflicts, failures}, {logBytes}, {queued}} {
		plots = append(plots, plot{lines[0].key, "lines", lines}) // the first has the card
	}
	o := &overview{Status: h.Status, Findings: h.Findings, Alerts: v.lastAlerts()}
	o.Range, _ = v.stretch()
	sparks, err := v.charts(ctx, plots...)
	if err != nil {
		return nil, err
	}
	o.Cards = []card{
		v.healthCard(h), v.commitCard(h, sparks[0]), v.statementCard(h, sparks[1]), v.latencyCard(sparks[2]),
		v.conflictCard(h, sparks[3]), v.logCard(h, held, sparks[4]), v.queueCard(h, held, sparks[5]), v.readerCard(h, held), v.backupCard(h), v.spaceCard(h),
	}
	return o, nil
}

// by is the worst state that findings with these IDs have; "ok" if there is none.
func by(h holdfast.Health, ids ...string) string {
	for _, f := range h.Findings { // the worst first
		for _, id := range ids {
			if f.ID == id && f.Severity != "info" {
				return f.Severity
			}
		}
	}
	return "ok"
}

func (v *visit) healthCard(h holdfast.Health) card {
	c := card{ID: "health", State: h.Status, Value: v.text.T("state." + h.Status), Sentence: v.text.T("overview.health.ok"), page: "environment"}
	switch n := len(h.Findings); {
	case !h.DatabaseAccessible:
		c.Sentence = v.text.T("overview.health.inaccessible")
	case n > 0:
		c.Sentence = v.text.N("overview.health.findings", int64(n))
	}
	return c
}

// measured puts the newest value of a chart into a card.
func (v *visit) measured(c card, spark chart) card {
	c.Chart, c.Value = &spark, "–"
	if value, ok := spark.last(v.now); ok {
		c.Value = v.text.Unit(spark.Unit, value)
	}
	return c
}

func (v *visit) commitCard(h holdfast.Health, spark chart) card {
	w := h.ConnectionStats.Writer
	c := v.measured(card{ID: "commits", State: "ok", Sentence: v.text.T("overview.commits.none"), page: "pool"}, spark)
	if w.Groups > 0 {
		c.Sentence = v.text.T("overview.commits.some", v.text.Int(w.Units), v.text.Int(w.Groups), v.text.Num(float64(w.Units)/float64(w.Groups)))
	}
	if w.UnknownOutcomes > 0 {
		c.State, c.Sentence = "warning", v.text.N("overview.commits.unknown", w.UnknownOutcomes)
	}
	return c
}

func (v *visit) statementCard(h holdfast.Health, spark chart) card {
	s := h.ConnectionStats
	c := v.measured(card{ID: "statements", State: "ok", Sentence: v.text.T("overview.statements.none"), page: "queries"}, spark)
	if all := s.SuccessfulOperations + s.FailedOperations; all > 0 {
		c.Sentence = v.text.T("overview.statements.some", v.text.Int(all), v.text.Pct(h.Reliability.SuccessRate))
	}
	return c
}

func (v *visit) latencyCard(spark chart) card {
	c := v.measured(card{ID: "p95", State: "ok", page: "queries"}, spark)
	_, err := v.watch.queries()
	switch name, _ := v.stretch(); {
	case err != nil:
		c.State, c.Sentence = "unknown", v.text.T("overview.p95.off")
	case name != "5m":
		c.State, c.Sentence, c.Chart = "unknown", v.text.T("overview.p95.past"), nil
	case c.Value == "–":
		c.Sentence = v.text.T("overview.p95.none")
	default:
		c.Sentence = v.text.T("overview.p95.some", c.Value)
	}
	return c
}

func (v *visit) conflictCard(h holdfast.Health, spark chart) card {
	s := h.ConnectionStats
	c := v.measured(card{ID: "conflicts", State: "ok", Sentence: v.text.T("overview.conflicts.none"), page: "locks"}, spark)
	if s.LockConflicts > 0 {
		c.Sentence = v.text.T("overview.conflicts.some", v.text.Int(s.LockConflicts), v.text.Pct(h.Reliability.LockConflictResolution))
	}
	if now, ok := spark.last(v.now); ok && now > 0 && h.Reliability.LockConflictResolution < 0.95 {
		c.State = "warning"
	}
	return c
}

func (v *visit) logCard(h holdfast.Health, held holdfast.LockReport, spark chart) card {
	c := v.measured(card{ID: "log", State: by(h, "log-pinned", "log-large"), Sentence: v.text.T("overview.log.none"), page: "wal"}, spark)
	c.Value = v.text.Bytes(float64(held.WAL.Bytes))
	switch w := held.WAL; {
	case !h.WALModeEnabled:
		c.State, c.Sentence = "unknown", v.text.T("overview.log.off")
	case w.PinnedSeconds > 10 && w.Frames > w.CopiedFrames:
		c.Sentence = v.text.T("overview.log.pinned", orUnknown(v.text, w.PinnedBy), v.text.Dur(w.PinnedSeconds))
	case w.LimitBytes > 0 && w.Bytes > w.LimitBytes:
		c.State, c.Sentence = "warning", v.text.T("overview.log.large", v.text.Bytes(float64(w.LimitBytes)))
	case w.Frames > 0:
		c.Sentence = v.text.T("overview.log.some", v.text.Int(int64(w.Frames)), v.text.Int(int64(w.CopiedFrames)))
	}
	return c
}

func orUnknown(t *text, place string) string {
	if place == "" {
		return t.T("layout.unknown_place")
	}
	return place
}

func (v *visit) queueCard(h holdfast.Health, held holdfast.LockReport, spark chart) card {
	c := v.measured(card{ID: "queued", State: "ok", Sentence: v.text.T("overview.queued.free"), page: "pool"}, spark)
	c.Value = v.text.Int(int64(held.Queued))
	if len(held.Holders) > 0 && h.Writer.Holder != nil {
		holder := held.Holders[0]
		if holder.HeldSeconds >= 0.1 {
			c.Sentence = v.text.T("overview.queued.held", v.text.Kind(holder.Kind), orUnknown(v.text, holder.CallSite), v.text.Dur(holder.HeldSeconds))
		}
		switch {
		case holder.HeldSeconds > 30:
			c.State = "critical"
		case holder.HeldSeconds > 5:
			c.State = "warning"
		}
	}
	if h.File.Fenced {
		c.State, c.Sentence = "critical", v.text.T("overview.queued.fenced")
	}
	return c
}

func (v *visit) readerCard(h holdfast.Health, held holdfast.LockReport) card {
	r := h.ConnectionStats.Readers
	c := card{
		ID: "readers", State: "ok", Value: fmt.Sprintf("%d/%d", r.InUse, r.Max), page: "pool",
		Sentence: v.text.T("overview.readers.some", v.text.Int(int64(r.Open)), v.text.Int(int64(r.Waiting))),
	}
	if r.Waiting > 0 {
		c.State = "warning"
	}
	if old := held.OldestReader; old != nil && old.HeldSeconds > 60 {
		c.State, c.Sentence = "warning", v.text.T("overview.readers.old", orUnknown(v.text, old.CallSite), v.text.Dur(old.HeldSeconds))
	}
	return c
}

func (v *visit) backupCard(h holdfast.Health) card {
	c := card{ID: "backup", State: "unknown", Value: "–", Sentence: v.text.T("overview.backup.none"), page: "backups"}
	if b := h.Backup; !b.LastBackup.IsZero() {
		c.State, c.Value = "ok", v.text.Dur(v.now.Sub(b.LastBackup).Round(time.Second).Seconds())
		c.Sentence = v.text.T("overview.backup.some", v.text.Clock(b.LastBackup, v.now), v.text.Ago(b.LastVerified, v.now))
	}
	if state := by(h, "drill-failed", "backup-overdue", "drill-overdue", "backup-failed", "backup-unscheduled", "backup-unknown"); state != "ok" {
		c.State = state
	}
	return c
}

func (v *visit) spaceCard(h holdfast.Health) card {
	c := card{ID: "space", State: by(h, "disk-full", "disk-low"), Value: v.text.Bytes(float64(h.File.Bytes)), page: "storage"}
	c.Sentence = v.text.T("overview.space.unknown", v.text.Int(h.File.FreePages))
	if h.Volume.FreeBytes >= 0 && h.Volume.TotalBytes > 0 {
		free := float64(h.Volume.FreeBytes)
		c.Sentence = v.text.T("overview.space.some", v.text.Int(h.File.FreePages), v.text.Bytes(free), v.text.Pct(free/float64(h.Volume.TotalBytes)))
	}
	return c
}
