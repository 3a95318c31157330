package backup

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/internal/maintain/logbook"
	"github.com/holdfastdb/holdfast/internal/maintain/retain"
)

// Retention is how many backups are kept: the last ones, and of the last so many
// hours, days, weeks (ISO, from Monday on) and months, in UTC, that have a backup at
// all, the newest each. A backup that any of these wants is kept. The zero value
// keeps everything.
type Retention struct {
	Last, Hourly, Daily, Weekly, Monthly int

	// Spare is the path of one more backup that stays, as [Entry] has it.
	Spare string
}

// All tells whether everything is kept.
func (r Retention) All() bool { r.Spare = ""; return r == Retention{} }

// ParseRetention reads "last=3,daily=7,weekly=4".
func ParseRetention(text string) (Retention, error) {
	r, err := retain.Parse(text)
	return Retention{Last: r.Last, Hourly: r.Hourly, Daily: r.Daily, Weekly: r.Weekly, Monthly: r.Monthly}, err
}

// Retain divides backups of one database into those to keep and those to drop, both
// the newest first. It keeps the newest verified one whatever r says, and drops
// none that isn't verified: what that is only a person can say. Unverified ones
// don't count.
func Retain(entries []Entry, r Retention) (keep, drop []Entry) {
	sorted := slices.Clone(entries)
	slices.SortStableFunc(sorted, func(a, b Entry) int { return b.TakenAt.Compare(a.TakenAt) })
	if r.All() {
		return sorted, nil
	}
	type rule struct {
		n      int
		period func(time.Time) string
		seen   string
	}
	rules := []*rule{
		{n: r.Hourly, period: func(t time.Time) string { return t.Format("2006010215") }},
		{n: r.Daily, period: func(t time.Time) string { return t.Format("20060102") }},
		{n: r.Weekly, period: func(t time.Time) string { y, w := t.ISOWeek(); return fmt.Sprint(y, w) }},
		{n: r.Monthly, period: func(t time.Time) string { return t.Format("200601") }},
	}
	verified := 0
	for _, e := range sorted {
		if !e.Verified {
			keep = append(keep, e)
			continue
		}
		wanted := verified == 0 || verified < r.Last
		verified++
		for _, rule := range rules {
			if p := rule.period(e.TakenAt.UTC()); p != rule.seen {
				rule.seen = p
				wanted = wanted || rule.n > 0
				rule.n--
			}
		}
		if wanted || r.Spare != "" && logbook.Name(e.Path) == logbook.Name(r.Spare) {
			keep = append(keep, e)
		} else {
			drop = append(drop, e)
		}
	}
	return keep, drop
}
