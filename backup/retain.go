package backup

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Retention is how many backups are kept: the last ones, and of the last so many
// hours, days, weeks (ISO, from Monday on) and months, in UTC, that have a backup at
// all, the newest each. A backup that any of these wants is kept. The zero value
// keeps everything.
type Retention struct {
	Last, Hourly, Daily, Weekly, Monthly int
}

// All tells whether everything is kept.
func (r Retention) All() bool { return r == Retention{} }

// ParseRetention reads "last=3,daily=7,weekly=4".
func ParseRetention(text string) (r Retention, err error) {
	fields := map[string]*int{"last": &r.Last, "hourly": &r.Hourly, "daily": &r.Daily, "weekly": &r.Weekly, "monthly": &r.Monthly}
	for part := range strings.SplitSeq(text, ",") {
		name, number, _ := strings.Cut(strings.TrimSpace(part), "=")
		field := fields[name]
		n, err := strconv.Atoi(number)
		if field == nil || err != nil || n < 1 {
			return Retention{}, fmt.Errorf("%q is no rule of retention: write last=3,hourly=24,daily=7,weekly=4,monthly=12, or some of these", part)
		}
		if *field != 0 {
			return Retention{}, fmt.Errorf("%s stands twice", name)
		}
		*field = n
	}
	return r, nil
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
		if wanted {
			keep = append(keep, e)
		} else {
			drop = append(drop, e)
		}
	}
	return keep, drop
}
