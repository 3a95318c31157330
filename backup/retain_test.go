package backup_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/backup"
)

func entriesAt(times ...string) (out []backup.Entry) {
	for _, text := range times {
		at, err := time.Parse("2006-01-02 15:04", text)
		if err != nil {
			panic(err)
		}
		out = append(out, backup.Entry{Path: text, TakenAt: at, Verified: true})
	}
	return out
}

func paths(entries []backup.Entry) (out []string) {
	for _, e := range entries {
		out = append(out, e.Path)
	}
	return out
}

func TestRetain(t *testing.T) {
	t.Parallel()
	all := entriesAt("2026-01-31 23:00", "2026-02-01 00:30", "2026-02-01 00:10", "2026-01-25 12:00", "2026-01-26 12:00", "2025-12-31 12:00")
	for name, test := range map[string]struct {
		retention backup.Retention
		keep      []string
	}{
		"everything": {backup.Retention{}, []string{"2026-02-01 00:30", "2026-02-01 00:10", "2026-01-31 23:00", "2026-01-26 12:00", "2026-01-25 12:00", "2025-12-31 12:00"}},
		"last":       {backup.Retention{Last: 2}, []string{"2026-02-01 00:30", "2026-02-01 00:10"}},
		"hourly":     {backup.Retention{Hourly: 2}, []string{"2026-02-01 00:30", "2026-01-31 23:00"}},
		"daily":      {backup.Retention{Daily: 3}, []string{"2026-02-01 00:30", "2026-01-31 23:00", "2026-01-26 12:00"}},
		"weekly":     {backup.Retention{Weekly: 2}, []string{"2026-02-01 00:30", "2026-01-25 12:00"}}, // February 1 is a Sunday
		"monthly":    {backup.Retention{Monthly: 12}, []string{"2026-02-01 00:30", "2026-01-31 23:00", "2025-12-31 12:00"}},
		"together":   {backup.Retention{Last: 1, Daily: 2, Weekly: 2}, []string{"2026-02-01 00:30", "2026-01-31 23:00", "2026-01-25 12:00"}},
	} {
		keep, drop := backup.Retain(all, test.retention)
		if !slices.Equal(paths(keep), test.keep) {
			t.Errorf("%s: keeps %q, want %q", name, paths(keep), test.keep)
		}
		if len(keep)+len(drop) != len(all) {
			t.Errorf("%s: %d and %d of %d", name, len(keep), len(drop), len(all))
		}
	}
	unverified := entriesAt("2026-02-02 00:00", "2026-02-01 00:00")
	unverified[0].Verified = false
	if keep, drop := backup.Retain(unverified, backup.Retention{Last: 1}); len(keep) != 2 || len(drop) != 0 {
		t.Errorf("keeps %q, drops %q", paths(keep), paths(drop))
	}
	if keep, drop := backup.Retain(nil, backup.Retention{Last: 1}); len(keep)+len(drop) != 0 {
		t.Error("something of nothing")
	}
}

// Whatever there is and whatever the rules: nothing is lost or made up, the newest
// verified one stays, what isn't verified stays, each rule has its number as long as
// there are enough, and to retain again drops nothing more.
func TestRetainAlways(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 7))
		var entries []backup.Entry
		for i := range r.IntN(60) {
			at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.IntN(400*24*60)) * time.Minute)
			entries = append(entries, backup.Entry{Path: fmt.Sprint(i), TakenAt: at, Verified: r.IntN(5) > 0})
		}
		retention := backup.Retention{Last: r.IntN(4), Hourly: r.IntN(4), Daily: r.IntN(4), Weekly: r.IntN(4), Monthly: r.IntN(4)}
		keep, drop := backup.Retain(entries, retention)
		if len(keep)+len(drop) != len(entries) {
			t.Fatalf("seed %d: %d and %d of %d", seed, len(keep), len(drop), len(entries))
		}
		all := append(paths(keep), paths(drop)...)
		slices.Sort(all)
		if len(slices.Compact(all)) != len(entries) {
			t.Fatalf("seed %d: one stands twice", seed)
		}
		var newest *backup.Entry
		verified := 0
		for i, e := range entries {
			if e.Verified {
				verified++
				if newest == nil || e.TakenAt.After(newest.TakenAt) {
					newest = &entries[i]
				}
			}
		}
		for _, e := range drop {
			if !e.Verified || e.TakenAt.Equal(newest.TakenAt) && e.Path == newest.Path {
				t.Fatalf("seed %d: %+v is dropped", seed, e)
			}
		}
		kept := 0
		for _, e := range keep {
			if e.Verified {
				kept++
			}
		}
		if most := max(1, retention.Last+retention.Hourly+retention.Daily+retention.Weekly+retention.Monthly); !retention.All() && kept > most || kept < min(verified, retention.Last) {
			t.Fatalf("seed %d: %d of %d are kept by %+v", seed, kept, verified, retention)
		}
		if _, more := backup.Retain(keep, retention); len(more) > 0 {
			t.Fatalf("seed %d: the second time %q go", seed, paths(more))
		}
	}
}

func TestParseRetention(t *testing.T) {
	t.Parallel()
	got, err := backup.ParseRetention("last=3, hourly=24,daily=7,weekly=4,monthly=12")
	if want := (backup.Retention{Last: 3, Hourly: 24, Daily: 7, Weekly: 4, Monthly: 12}); got != want || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	for _, text := range []string{"", "3", "last", "last=0", "last=-1", "last=x", "yearly=1", "last=1,last=2"} {
		if r, err := backup.ParseRetention(text); err == nil {
			t.Errorf("%q: %+v", text, r)
		}
	}
}
