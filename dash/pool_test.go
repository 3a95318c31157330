package dash

import (
	"context"
	"database/sql"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/queries"
)

// TestPoolUnderLoad has somebody who holds the writer, somebody who waits for it, and
// somebody who reads.
func TestPoolUnderLoad(t *testing.T) {
	t.Parallel()
	db := open(t)
	load(t, db)
	d := Handler(db)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "UPDATE orders SET status = 'x' WHERE id = 1"); err != nil {
		t.Fatal(err)
	}
	rows, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rows.ExecContext(t.Context(), "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	waited := make(chan error, 1)
	go func() {
		_, err := db.ExecContext(ctx, "DELETE FROM customers WHERE city = 'nowhere'")
		waited <- err
	}()
	for db.Stats().Writer.Queued == 0 {
		select {
		case <-ctx.Done():
			t.Fatal("nobody waits")
		case <-time.After(time.Millisecond):
		}
	}
	p := viewOf[poolView](t, d, "/pool")
	if p.Writing == nil || !strings.Contains(p.Writing.CallSite, "pool_test.go") || len(p.Waiters) != 1 || p.Waiters[0].Place != 1 || p.Readers.InUse < 1 {
		t.Errorf("%+v", p)
	}
	for lang, part := range map[string]string{"en": "It is held (write transaction)", "de": "Wer auf den Schreiber wartet"} {
		if text := shown(t, d, "/pool?lang="+lang); !strings.Contains(text, part) || !strings.Contains(text, "DELETE FROM customers WHERE city = ?") {
			t.Error(text)
		}
	}
	if err := rows.Rollback(); err != nil {
		t.Error(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
}

func TestSizeAdvice(t *testing.T) {
	t.Parallel()
	v := &visit{text: catalogue()["en"]}
	for _, c := range []struct {
		stats holdfast.ReaderStats
		state string
		size  int
	}{
		{holdfast.ReaderStats{Max: 8}, "unknown", 0},
		{holdfast.ReaderStats{Max: 8, MaxInUse: 1}, "ok", 8},
		{holdfast.ReaderStats{Max: 8, MaxInUse: 8}, "ok", 8},
		{holdfast.ReaderStats{Max: 8, MaxInUse: 8, Waits: 3, WaitSeconds: 1}, "warning", 12},
		{holdfast.ReaderStats{Max: 2, MaxInUse: 3, Beyond: 1}, "warning", 4},
	} {
		if got := v.adviseSize(c.stats); got.State != c.state || got.Size != c.size || got.Reason == "" {
			t.Errorf("%+v: %+v", c.stats, got)
		}
	}
}

func TestWaits(t *testing.T) {
	t.Parallel()
	q := func(each ...time.Duration) queries.Query {
		q := queries.Query{Times: queries.Times{Wait: new(queries.Histogram)}}
		for _, d := range each {
			q.Wait.Add(d)
		}
		return q
	}
	rows := waitsOf(queries.Report{Queries: []queries.Query{q(time.Second, time.Second), q(20 * time.Second)}, Others: q()})
	if len(rows) != 4 || rows[0] != (waitRow{1, 2, 1}) || rows[1].Calls != 0 || rows[3] != (waitRow{64, 1, 0.5}) {
		t.Errorf("%+v", rows)
	}
	if rows := waitsOf(queries.Report{Others: q()}); rows == nil || len(rows) != 0 {
		t.Errorf("%+v", rows)
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	db := open(t)
	_, report, err := holdfast.LoadConfig(holdfast.ConfigSource{Env: []string{"HOLDFAST_DATABASE_BUSY_TIMEOUT=5s"}})
	if err != nil {
		t.Fatal(err)
	}
	// LoadConfig refuses such a target; a program may have made its report otherwise.
	report.Values = append(report.Values, holdfast.ConfigValue{Key: "replication.target", Value: "s3://key:secret@host/bucket?token=secret", Origin: "flag"})
	d := Handler(db, WithConfig(func(name string) *holdfast.ConfigReport {
		if name != "" {
			t.Errorf("asked for %q", name)
		}
		return report
	}))
	e := viewOf[environment](t, d, "/environment")
	states := map[string]string{}
	for _, p := range e.Pragmas {
		states[p.Name] = p.State
	}
	for _, name := range []string{"journal_mode", "synchronous", "foreign_keys", "trusted_schema", "query_only", "auto_vacuum"} {
		if states[name] != "ok" {
			t.Errorf("%s: %+v", name, e.Pragmas)
		}
	}
	if e.Engine.Version == "" || len(e.Engine.CompileOptions) == 0 || e.Process.PID != os.Getpid() || e.PageSize == 0 || len(e.Config) < 20 || e.Disk == "" {
		t.Errorf("%+v", e)
	}
	text := shown(t, d, "/environment?lang=de")
	for _, part := range []string{"database.busy_timeout", "Umgebungsvariable", "s3://", "host/bucket"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %s", part)
		}
	}
	if strings.Contains(text, "secret") {
		t.Error("a secret is shown")
	}
	if text := shown(t, Handler(db), "/environment"); !strings.Contains(text, "is not known here") {
		t.Error("where settings come from is told without being known")
	}
}

func TestDiscreet(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"30s": "30s", "file:///backup": "file:///backup", "s3://bucket/x?key=1": "s3://bucket/x?…", "https://a:b@c/d": "https://%E2%80%A6@c/d", "://": "…", "x://%zz": "…",
	} {
		if got := discreet(value); got != want {
			t.Errorf("%s: %s, want %s", value, got, want)
		}
	}
}

// A sparkline has no gaps where samples come a little later each time.
func TestEvenly(t *testing.T) {
	t.Parallel()
	from := time.Unix(0, 0)
	c := chart{From: from, To: from.Add(30 * time.Second), Step: 1, Series: []series{{}}}
	for at := 1.02; at < 30; at += 1.02 {
		if at > 10 && at < 20 { // nobody looked
			continue
		}
		c.Series[0].Points = append(c.Series[0].Points, point{from.Add(time.Duration(at * float64(time.Second))), at})
	}
	gaps := 0
	for i, v := range evenly(c) {
		if math.IsNaN(v) {
			gaps++
			if i > 1 && (i < 9 || i > 21) {
				t.Errorf("part %d has no value", i)
			}
		}
	}
	if gaps < 7 {
		t.Errorf("%d gaps", gaps)
	}
}
