package dash

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/queries"
)

const historySchema = `
CREATE TABLE series(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL) STRICT;
CREATE TABLE point(level INTEGER, at INTEGER, series INTEGER, count INTEGER NOT NULL,
	total REAL NOT NULL, least REAL NOT NULL, most REAL NOT NULL, last REAL NOT NULL,
	PRIMARY KEY(level, at, series)) STRICT, WITHOUT ROWID;
CREATE TABLE query(id INTEGER PRIMARY KEY, shape TEXT NOT NULL UNIQUE, statement TEXT NOT NULL, writes INTEGER NOT NULL) STRICT;
CREATE TABLE cost(level INTEGER, at INTEGER, query INTEGER, calls INTEGER NOT NULL, attempts INTEGER NOT NULL, errors TEXT NOT NULL,
	rows INTEGER NOT NULL, rows_changed INTEGER NOT NULL, vm_steps INTEGER NOT NULL, full_scan_steps INTEGER NOT NULL,
	sorts INTEGER NOT NULL, auto_indexes INTEGER NOT NULL, page_hits INTEGER NOT NULL, page_misses INTEGER NOT NULL,
	busy_waits INTEGER NOT NULL, plan TEXT NOT NULL, duration BLOB NOT NULL, wait BLOB NOT NULL,
	PRIMARY KEY(level, at, query)) STRICT, WITHOUT ROWID;
CREATE TABLE release(at INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
INSERT INTO series VALUES (1, 'writer.groups', 'counter'), (2, 'writer.units', 'counter'), (3, 'writer.queued', 'gauge');
INSERT INTO query VALUES (1, '0000000000000001', 'SELECT city FROM customers WHERE id = ?', 0), (2, '0000000000000002', 'DELETE FROM orders', 1);
PRAGMA user_version = 1;`

// remember writes a history of two days in version 1 of its schema: since 24 hours ago the first
// statement takes ten times as long, by another plan, and the second one is there.
func remember(t *testing.T, database string, now time.Time) {
	t.Helper()
	db, err := holdfast.OpenConfig(t.Context(), holdfast.Config{Database: holdfast.DatabaseConfig{
		Path: database + "-holdfast.telemetry", EnableWALMode: holdfast.Off, ControlSocket: holdfast.Off,
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(historySchema); err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	put := func(text string, args ...any) {
		if _, err := tx.Exec(text, args...); err != nil {
			t.Fatal(err)
		}
	}
	today := now.Add(-24 * time.Hour)
	for at := now.Add(-46*time.Hour + 7*time.Minute).Truncate(time.Minute); at.Before(now); at = at.Add(30 * time.Minute) {
		each, plan := map[int]time.Duration{1: time.Millisecond}, "aaaa"
		if at.After(today) {
			each, plan = map[int]time.Duration{1: 10 * time.Millisecond, 2: time.Microsecond}, "bbbb"
		}
		for level, l := range history.Levels() {
			bucket := at.Truncate(l.Step).Unix()
			for series, value := range []float64{600, 1200, 3} {
				put("INSERT INTO point VALUES (?1, ?2, ?3, 1, ?4, ?4, ?4, ?4) ON CONFLICT DO UPDATE SET count = count + 1, total = total + ?4", level, bucket, series+1, value)
			}
			for query, d := range each {
				h := new(queries.Histogram)
				for range 10 {
					h.Add(d)
				}
				took, _ := h.MarshalBinary()
				none, _ := new(queries.Histogram).MarshalBinary()
				put("INSERT OR REPLACE INTO cost VALUES (?, ?, ?, 10, 10, '{}', 20, 0, 300, 0, 0, 0, 5, 1, 0, ?, ?, ?)", level, bucket, query, plan, took, none)
			}
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// TestHistory shows what was recorded, also of what this process has not run.
func TestHistory(t *testing.T) {
	t.Parallel()
	db := open(t)
	remember(t, db.Path(), time.Now())
	d := Handler(db)
	l := viewOf[queryList](t, d, "/queries?range=24h&sort=added")
	if !l.Compared || len(l.Queries) != 2 {
		t.Fatalf("%+v", l)
	}
	slow, fresh := l.Queries[0], l.Queries[1]
	if slow.ID != "0000000000000001" || slow.Factor < 9 || slow.Factor > 11 || slow.Added <= 0 || !slices.Equal(slow.Marks, []mark{"plan"}) {
		t.Errorf("%+v", slow)
	}
	if !fresh.Writes || !slices.Equal(fresh.Marks, []mark{"plan", "new"}) && !slices.Equal(fresh.Marks, []mark{"new"}) {
		t.Errorf("%+v", fresh)
	}
	if only := viewOf[queryList](t, d, "/queries?range=24h&only=new"); len(only.Queries) != 1 || only.Queries[0].ID != fresh.ID {
		t.Errorf("%+v", only.Queries)
	}
	if l.Course == nil || len(l.Course.Series) != 2 || len(l.Course.Series[0].Points) < 24 || len(l.Course.Series[0].Points) != len(l.Course.Series[1].Points) {
		t.Errorf("%+v", l.Course)
	}
	q := viewOf[queryView](t, d, "/query?range=7d&id="+slow.ID)
	if q.Calls != 0 || !q.Since.IsZero() || len(q.Heat.Times) < 40 || len(q.Plan.Past) != 2 || q.Plan.Past[0].Plan != "bbbb" || q.Plan.Source != "now" || len(q.Plan.Steps) != 1 {
		t.Errorf("%+v", q)
	}
	for address, parts := range map[string][]string{
		"/queries?range=24h&lang=de":            {"×10", "neuer Plan", "Zeit je Anweisung"},
		"/query?id=" + slow.ID + "&range=24h":   {"This process has not run it", "Plans in the history", "bbbb"},
		"/?range=24h":                           {"in steps of 10 minutes"},
		"/pool?range=30d&lang=de":               {"einigen Stunden"},
		"/queries?range=1h&q=no+such+statement": {"matches the filter"},
	} {
		text := shown(t, d, address)
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%s: no %q in %s", address, part, text)
			}
		}
	}
	// 600 commits and 1200 writes in a minute of each half hour.
	o := viewOf[overview](t, d, "/?range=24h")
	for _, c := range o.Cards {
		switch c.ID {
		case "commits":
			if len(c.Chart.Series[0].Points) < 40 || c.Chart.Series[0].Points[1].Value != 1 || c.Chart.Series[1].Points[1].Value != 2 {
				t.Errorf("%+v", c.Chart)
			}
		case "queued":
			if c.Chart.Series[0].Points[1].Value != 3 {
				t.Errorf("%+v", c.Chart)
			}
		}
	}
	for _, c := range viewOf[poolView](t, d, "/pool?range=24h").Charts {
		if c.ID == "group" && c.Series[0].Points[1].Value != 2 {
			t.Errorf("%+v", c)
		}
	}
}
