package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/queries"
	"github.com/rogpeppe/go-internal/testscript"
)

// recorded is a history as two days of a program leave it, in version 1 of its schema:
// the first statement became ten times slower a day ago, by another plan, with a new
// release; another one stayed as it was, one came and one went.
func recorded(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: recorded DATABASE")
	}
	ts.Check(writeHistory(ts.MkAbs(args[0]), time.Now()))
}

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
INSERT INTO series VALUES (1, 'writer.groups', 'counter'), (2, 'writer.queued', 'gauge'), (3, 'wal.frames', 'gauge');
INSERT INTO query VALUES (1, '0000000000000001', 'SELECT b FROM t WHERE a = ?', 0), (2, '0000000000000002', 'SELECT a FROM t WHERE rowid = ?', 0),
	(3, '0000000000000003', 'INSERT INTO fresh VALUES (?)', 1), (4, '0000000000000004', 'DELETE FROM gone', 1);
PRAGMA user_version = 1;`

func writeHistory(path string, now time.Time) (err error) {
	db, err := sql.Open("sqlite", path+"-holdfast.telemetry")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	put := func(text string, args ...any) {
		if err == nil {
			_, err = tx.Exec(text, args...)
		}
	}
	put(historySchema)
	today := now.Add(-24 * time.Hour)
	for at := now.Add(-46*time.Hour + 7*time.Minute).Truncate(time.Minute); at.Before(now); at = at.Add(30 * time.Minute) {
		slow, plan, extra := 1, "aaaa", 4
		if at.After(today) {
			slow, plan, extra = 10, "bbbb", 3
		}
		for level, l := range history.Levels() {
			bucket := at.Truncate(l.Step).Unix()
			for series, value := range []int{100 * slow, slow, 7} {
				put("INSERT INTO point VALUES (?1, ?2, ?3, 1, ?4, ?4, ?4, ?4) ON CONFLICT DO UPDATE SET count = count + 1, total = total + ?4", level, bucket, series+1, float64(value))
			}
			for query, each := range map[int]time.Duration{1: time.Duration(slow) * time.Millisecond, 2: 2 * time.Millisecond, extra: time.Microsecond} {
				h := new(queries.Histogram)
				for range 10 {
					h.Add(each)
				}
				took, _ := h.MarshalBinary()
				none, _ := new(queries.Histogram).MarshalBinary()
				put(`INSERT OR REPLACE INTO cost VALUES (?, ?, ?, 10, 10, '{"SQLITE_BUSY":1}', 20, 0, 300, 0, 0, 0, 5, 1, 0, ?, ?, ?)`, level, bucket, query, map[bool]string{true: plan, false: "cccc"}[query == 1], took, none)
			}
		}
	}
	put("INSERT INTO release VALUES (?, 'app v1.0.0'), (?, 'app v1.1.0')", now.Add(-46*time.Hour).Unix(), today.Unix())
	return errors.Join(err, tx.Commit())
}

func TestComparedQueries(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeHistory(path, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, with := range []string{"previous", "release"} {
		code, out := ended(t, "queries", path, "--compare", with, "--json")
		var answer struct {
			Schema  string
			Queries []struct{ Statement string }
			History struct {
				Step     float64 `json:"step_seconds"`
				Releases []history.Release
				Compared struct {
					With    string
					Empty   bool
					Queries []history.QueryChange
				}
			}
		}
		if err := json.Unmarshal([]byte(out), &answer); err != nil || code != 0 {
			t.Fatalf("exit code %d, %v: %s", code, err, out)
		}
		c := answer.History.Compared
		if answer.Schema != "holdfast.queries/v1" || c.With != with || c.Empty || len(c.Queries) != 4 || len(answer.History.Releases) == 0 {
			t.Fatalf("%s", out)
		}
		first, last := c.Queries[0], c.Queries[3]
		if first.Statement != "SELECT b FROM t WHERE a = ?" || first.MeanFactor < 9 || first.MeanFactor > 11 || !first.PlanChanged || first.Now.Plan != "bbbb" || first.Now.Errors == 0 || first.Now.Rows != 2 {
			t.Errorf("%s: first is %+v", with, first)
		}
		if last.Statement != "DELETE FROM gone" || last.Now.Calls != 0 || last.AddedSeconds >= 0 {
			t.Errorf("%s: last is %+v", with, last)
		}
	}
}

func TestBegin(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{"24h": 24 * time.Hour, "7d": 168 * time.Hour, "0.5d": 12 * time.Hour, "2026-11-27T08:00:00Z": 4 * time.Hour, "release": time.Hour} {
		got, err := begin(text, now, []history.Release{{At: now.Add(-2 * time.Hour)}, {At: now.Add(-time.Hour)}})
		if err != nil || now.Sub(got) != want {
			t.Errorf("%s: %v, %v", text, now.Sub(got), err)
		}
	}
	for _, text := range []string{"yesterday", "-1h", "0d", "xd", "2027-01-01T00:00:00Z"} {
		if got, err := begin(text, now, nil); err == nil {
			t.Errorf("%s is %v", text, got)
		}
	}
	if s := stepFor(stretch{now.Add(-time.Hour), now}); s != time.Minute {
		t.Errorf("an hour in steps of %v", s)
	}
	if s := stepFor(stretch{now.Add(-1000 * time.Hour), now}); s != time.Hour {
		t.Errorf("1000 hours in steps of %v", s)
	}
	if _, err := begin("release", now, nil); err == nil || !strings.Contains(err.Error(), "--since") || errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
