package dash

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/alerts"
	"github.com/holdfastdb/holdfast/backup"
)

// told is a page as JSON.
func told[V any](t *testing.T, h http.Handler, target string) V {
	t.Helper()
	w := get(t, h, target, func(r *http.Request) { r.Header.Set("Accept", "application/json") })
	var doc struct{ View V }
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%s: %d, %v: %s", target, w.Code, err, w.Body)
	}
	return doc.View
}

// says checks that a page has all of these in both languages: pairs of English and German.
func says(t *testing.T, h http.Handler, target string, pairs ...string) {
	t.Helper()
	for i, lang := range []string{"en", "de"} {
		join := "?"
		if strings.Contains(target, "?") {
			join = "&"
		}
		body := shown(t, h, target+join+"lang="+lang)
		for ; i < len(pairs); i += 2 {
			if !strings.Contains(body, pairs[i]) {
				t.Errorf("%s in %s does not say %q", target, lang, pairs[i])
			}
		}
	}
}

// soon waits until something has come about in another goroutine.
func soon(t *testing.T, what string, there func() bool) {
	t.Helper()
	end := time.After(20 * time.Second)
	for !there() {
		select {
		case <-end:
			t.Fatalf("%s did not come about", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// crowd is a database with one who holds the writer, one who waits for it, and one who
// reads. leave ends them.
func crowd(t *testing.T, db *holdfast.DB) (leave func()) {
	t.Helper()
	reader, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := reader.QueryRow("SELECT count(*) FROM customers WHERE city = 'Bremen'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	writer, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Exec("UPDATE customers SET city = 'Kiel'"); err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() {
		waited <- db.Update(context.WithoutCancel(t.Context()), func(tx *sql.Tx) error {
			_, err := tx.Exec("INSERT INTO orders(customer) VALUES (1)")
			return err
		})
	}()
	soon(t, "a waiter", func() bool {
		r, err := db.Locks(t.Context())
		return err == nil && r.Queued == 1
	})
	return func() {
		if err := errors.Join(writer.Commit(), <-waited, reader.Commit()); err != nil {
			t.Error(err)
		}
	}
}

func TestLocksPage(t *testing.T) {
	t.Parallel()
	db := open(t)
	d := Handler(db)
	says(t, d, "/locks", "Nobody holds the writer", "Niemand hält in diesem Moment den Schreiber", "Nobody waits", "Niemand wartet")
	if v := told[locksView](t, d, "/locks"); len(v.Holders) != 0 || len(v.Waiters) != 0 || v.OldestReader != nil || len(v.Sentences) == 0 {
		t.Errorf("with nobody there: %+v", v)
	}

	leave := crowd(t, db)
	d = Handler(db) // with nothing in its cache
	v := told[locksView](t, d, "/locks")
	const here = "operations_test.go:"
	if len(v.Holders) != 2 || v.Holders[0].Kind != "write transaction" || !strings.HasPrefix(v.Holders[0].CallSite, here) || v.Holders[0].Since.IsZero() {
		t.Errorf("holders: %+v", v.Holders)
	}
	if v.OldestReader == nil || !strings.HasPrefix(v.OldestReader.CallSite, here) || strings.Contains(v.OldestReader.Statement, "Bremen") {
		t.Errorf("oldest reader: %+v", v.OldestReader)
	}
	if len(v.Waiters) != 1 || v.Waiters[0].Behind != v.Holders[0].CallSite || !strings.HasPrefix(v.Waiters[0].CallSite, here) || v.Queued != 1 {
		t.Errorf("waiters: %+v", v.Waiters)
	}
	kinds := map[string]bool{}
	for _, l := range v.Timeline.Lanes {
		for _, s := range l.Spans {
			kinds[s.Kind] = kinds[s.Kind] || s.Open && !s.From.After(s.To)
		}
	}
	if !kinds["write"] || !kinds["read"] || !kinds["wait"] {
		t.Errorf("timeline: %+v", v.Timeline)
	}
	says(t, d, "/locks", "waiting for it: 1", "darauf warten: 1", "One write waits", "Ein Schreibvorgang wartet", "write transaction", "Schreibtransaktion",
		`class="pic-write"`, `class="pic-wait"`, "The oldest reader is", "Der älteste Leser ist", here, here)
	leave()
}

// What was seen stays in the timeline when it is over, as one bar for one hold.
func TestTimelineRemembers(t *testing.T) {
	t.Parallel()
	db := open(t)
	v := &visit{db: db, watch: &watch{db: db, source: own{db}}, text: catalogue()["en"], now: time.Now()}
	leave := crowd(t, db)
	begun := time.Now()
	for i := range 5 {
		v.watch.sample(t.Context(), begun.Add(time.Duration(i)*time.Second))
	}
	leave()
	v.now = begun.Add(30 * time.Second)
	v.watch.sample(t.Context(), v.now)
	l := v.timeline()
	spans := 0
	for _, lane := range l.Lanes {
		for _, s := range lane.Spans {
			if s.Kind == "checkpoint" {
				continue
			}
			spans++
			if length := s.To.Sub(s.From); length < 4*time.Second || length > 25*time.Second || s.Open {
				t.Errorf("%s: %+v", lane.Name, s)
			}
		}
	}
	if spans != 3 {
		t.Errorf("%d spans of one who wrote, one who waited and one who read: %+v", spans, l.Lanes)
	}
	if late := v.timeline(); late.To.Sub(late.From) != timelineLength {
		t.Errorf("from %s to %s", late.From, late.To)
	}
	v.now = begun.Add(time.Hour)
	if l := v.timeline(); len(l.Lanes) != 0 {
		t.Errorf("an hour later: %+v", l.Lanes)
	}
}

func TestWALPage(t *testing.T) {
	t.Parallel()
	db := open(t)
	if _, err := db.Checkpoint(t.Context(), holdfast.CheckpointTruncate); err != nil {
		t.Fatal(err)
	}
	d := Handler(db)
	says(t, d, "/wal", "The log is empty", "Das Log ist leer", "all copied", "alles kopiert")

	leave := crowd(t, db)
	leave() // its reader was older than what it has written
	reader, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := reader.QueryRow("SELECT count(*) FROM orders").Scan(&n); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		run(t, db, "INSERT INTO orders(customer, status) VALUES (1, 'open')")
	}
	if _, err := db.Checkpoint(t.Context(), holdfast.CheckpointPassive); err != nil {
		t.Fatal(err)
	}
	d = Handler(db)
	v := told[walView](t, d, "/wal")
	if !v.Log.InUse || v.Log.Frames < 30 || v.Log.Copied >= v.Log.Frames || v.Log.PageSize != 4096 || v.Stats.Checkpoints == 0 {
		t.Errorf("the log: %+v", v.Log)
	}
	if len(v.Checkpoints) == 0 || !v.Checkpoints[0].Busy || v.Checkpoints[0].Mode != holdfast.CheckpointPassive {
		t.Errorf("checkpoints: %+v", v.Checkpoints)
	}
	says(t, d, "/wal", "busy: somebody was in the way", "besetzt: Jemand war im Weg", "are only in the log", "stehen nur im Log",
		"In the database", "In der Datenbank", `class="pic-fresh"`, `class="pic-fresh"`)
	if err := reader.Commit(); err != nil {
		t.Fatal(err)
	}
}

func TestStoragePage(t *testing.T) {
	t.Parallel()
	db := open(t)
	run(t, db, "CREATE INDEX orders_status ON orders(status)")
	d := Handler(db)
	says(t, d, "/storage", "Measure now", "Jetzt messen", "less than half an hour is on record", "Weniger als eine halbe Stunde")
	if v := told[storageView](t, d, "/storage"); v.Sizes.Asked || len(v.Sizes.Tables) != 0 || v.Pages == 0 || v.PageSize != 4096 || v.File.Path != "shop.db" || v.Range != "24h" {
		t.Errorf("before anybody asks: %+v", v)
	}
	v := told[storageView](t, d, "/storage?sizes=1&range=1h")
	at := slices.IndexFunc(v.Sizes.Tables, func(s holdfast.TableSize) bool {
		return s.Name == "orders_status" && s.Table == "orders" && s.Bytes > 0
	})
	if !v.Sizes.Asked || at < 0 || v.Sizes.Partial || v.Sizes.Error != "" || v.Range != "1h" {
		t.Errorf("asked for: %+v", v.Sizes)
	}
	run(t, db, "CREATE TABLE later(a)")
	says(t, d, "/storage?sizes=1", "Measured at", "Gemessen um", `class="pic-label pic-on">orders`, `class="pic-label pic-on">orders`)
	if body := shown(t, d, "/storage?sizes=1"); strings.Contains(body, ">later<") {
		t.Error("the file was read again within a minute")
	}
}

func TestGrowth(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	line := func(n int, at func(i int) float64) growth {
		g := growth{Now: now, Room: 10_000_000}
		for i := range n {
			g.Points = append(g.Points, point{now.Add(time.Duration(i-n) * time.Minute), at(i)})
		}
		g.forecast(time.Hour)
		return g
	}
	g := line(100, func(i int) float64 { return 1_000_000 + 6000*float64(i) }) // 100 bytes a second
	end := g.Forecast[len(g.Forecast)-1]
	if math.Abs(g.Rate-100*24*3600) > 1 || math.Abs(end.Mid-(1_594_000+360_000)) > 1 || end.Low != end.Mid || end.High != end.Mid || g.Full == nil || math.Abs(*g.Full-84_060) > 10 {
		t.Errorf("a straight line: %+v, full in %v s", end, g.Full)
	}
	jump := line(100, func(i int) float64 { return 1_000_000 + 6000*float64(i) + 5_000_000*float64(i/99) })
	if math.Abs(jump.Rate-g.Rate) > g.Rate/10 {
		t.Errorf("one jump makes %f of %f bytes a day", jump.Rate, g.Rate)
	}
	rough := line(100, func(i int) float64 { return 1_000_000 + 6000*float64(i) + 50_000*math.Sin(float64(i)) })
	if e := rough.Forecast[len(rough.Forecast)-1]; e.Low >= e.Mid || e.Mid >= e.High {
		t.Errorf("a rough line has the range %+v", e)
	}
	if less := line(100, func(i int) float64 { return 1_000_000 - 6000*float64(i) }); less.Full != nil || less.Rate >= 0 || less.Forecast[12].Low < 0 {
		t.Errorf("one that shrinks: %+v", less)
	}
	if one := line(1, func(int) float64 { return 1 }); len(one.Forecast) != 0 {
		t.Errorf("one point: %+v", one)
	}
}

func TestBackupsPage(t *testing.T) {
	t.Parallel()
	db, dir := open(t), t.TempDir()
	says(t, Handler(db), "/backups", "No backup is on record", "Kein Backup ist verzeichnet", "makes no continuous copy", "macht keine fortlaufende Kopie")

	s, err := backup.Schedule(db, backup.Plan{Destination: dir, Every: time.Hour, DrillEvery: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	do := func(task, outcome string) {
		t.Helper()
		if r, err := db.Maintenance().Run(t.Context(), task+":"+dir); r.Outcome != outcome {
			t.Fatalf("%s: %+v, %v", task, r, err)
		}
	}
	do("backup", "done")
	d := Handler(db)
	v := told[backupsView](t, d, "/backups?range=1h")
	if len(v.Places) != 1 || !v.Places[0].Listed || len(v.Places[0].Entries) != 1 || !v.Places[0].Entries[0].Good || v.Places[0].Entries[0].Proven ||
		v.Places[0].State != "ok" || v.LossSeconds == nil || v.LastBackup.IsZero() {
		t.Fatalf("after a backup: %+v", v)
	}
	states := func(m momentsView) (list []string) {
		for _, dot := range m.Rows[0].Dots {
			list = append(list, dot.State)
		}
		return list
	}
	if got := states(v.Points); !slices.Contains(got, "good") {
		t.Errorf("dots: %s", got)
	}
	says(t, d, "/backups", "No backup was ever restored", "Noch nie wurde ein Backup wiederhergestellt", "checked when it was made", "beim Anlegen geprüft")

	do("drill", "done")
	if err := os.WriteFile(filepath.Join(dir, "stranger-20260101T000000.000Z.db"), []byte("of another database"), 0o600); err != nil {
		t.Fatal(err)
	}
	d = Handler(db)
	v = told[backupsView](t, d, "/backups?range=1h")
	if got := states(v.Points); len(v.Places[0].Entries) != 1 || !v.Places[0].Entries[0].Proven || !slices.Contains(got, "proven") || v.LastVerified.IsZero() {
		t.Errorf("after a drill: %+v, dots %s", v.Places, got)
	}
	says(t, d, "/backups", "A backup was last restored and checked", "Zuletzt wurde ein Backup um", `class="pic-dot pic-proven"`, `class="pic-dot pic-proven"`)

	// A file stands where the next one is written to.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	do("backup", "failed")
	d = Handler(db)
	v = told[backupsView](t, d, "/backups?range=1h")
	if got := states(v.Points); v.Places[0].State != "warning" || v.Places[0].Listed || v.Places[0].Why == "" || !slices.Contains(got, "failed") {
		t.Errorf("after a failure: %+v, dots %s", v.Places, got)
	}
	says(t, d, "/backups", "Last try failed:", "Der letzte Versuch schlug fehl:", "is not known here", "ist hier nicht bekannt")
}

func TestMaintenancePage(t *testing.T) {
	t.Parallel()
	db := open(t)
	m := db.Maintenance()
	d := Handler(db)
	says(t, d, "/maintenance", "has run no task yet", "hat noch keine Aufgabe ausgeführt", "not checked the whole database", "noch nicht die ganze Datenbank geprüft")
	remove, err := m.Add(holdfast.MaintenanceTask{Name: "tidy", Run: func(context.Context) (string, error) { return "", errors.New("the broom is gone") }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := remove(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	for task, outcome := range map[string]string{"verify": "done", "tidy": "failed"} {
		if r, err := m.Run(t.Context(), task); r.Outcome != outcome {
			t.Fatalf("%s: %+v, %v", task, r, err)
		}
	}
	d = Handler(db)
	v := told[maintenanceView](t, d, "/maintenance")
	if v.Verified == nil || !v.Verified.OK || len(v.Runs) != 2 || v.Stats.Done != 1 || v.Stats.Failed != 1 || len(v.Calendar.Days) != daysBack+1+daysAhead {
		t.Errorf("after two runs: %+v", v)
	}
	days := 0
	for _, c := range v.Calendar.Days { // the run may have been yesterday
		if c.Proven && c.Done == 1 {
			days++
		}
	}
	if days != 1 {
		t.Errorf("calendar: %+v", v.Calendar)
	}
	says(t, d, "/maintenance", "pages were checked and are well", "Seiten wurden geprüft und sind in Ordnung", "The last run failed: tidy", "Der letzte Lauf schlug fehl: tidy",
		"the broom is gone", "the broom is gone", "check (verify)", "Prüfung (verify)")
	if err := m.Pause(t.Context(), "we move house"); err != nil {
		t.Fatal(err)
	}
	says(t, Handler(db), "/maintenance", "Maintenance is paused: we move house", "Die Wartung ist angehalten: we move house")
	m.Resume()
}

func TestAlertsPage(t *testing.T) {
	t.Parallel()
	db := open(t)
	says(t, Handler(db), "/alerts", "looks at no rules", "wertet keine Regeln aus", "WALTooBig", "WALTooBig", "alert_load.wal_size", "alert_load.wal_size")
	if v := told[alertsView](t, Handler(db), "/alerts"); v.Known || len(v.Rules) < 19 || v.Status != nil {
		t.Errorf("without an engine: known %t, %d rules", v.Known, len(v.Rules))
	}

	c := alerts.Config{}
	c.Alerts.Interval, c.Alerts.ResolveAfter, c.Load.WriteLockWarning = 10*time.Millisecond, time.Millisecond, time.Millisecond
	e, err := alerts.New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	e.Watch("shop", db)
	firing := func(a alerts.Alert) bool { return a.Rule == "write_lock_held_long" && a.State == alerts.Firing }
	leave := crowd(t, db)
	soon(t, "the alert", func() bool { return slices.ContainsFunc(e.Active(), firing) })
	if _, err := e.Silence(alerts.Silence{Rule: "wal_too_big", Database: "shop", Reason: "we import", Until: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	one, several := Handler(db, WithAlerts(e)), Databases(func() map[string]*holdfast.DB { return map[string]*holdfast.DB{"shop": db, "other": db} }, WithAlerts(e))
	for _, at := range []struct {
		h       http.Handler
		address string
	}{{one, "/alerts"}, {several, "/d/shop/alerts"}} {
		v := told[alertsView](t, at.h, at.address)
		i := slices.IndexFunc(v.Active, func(a alertRow) bool { return a.Rule == "write_lock_held_long" })
		if !v.Known || i < 0 || v.Active[i].State != "firing" || !strings.Contains(v.Active[i].Summary, "operations_test.go:") || len(v.Silences) != 1 || len(v.Objectives) < 7 {
			t.Errorf("%s: active %+v, silences %+v, %d objectives", at.address, v.Active, v.Silences, len(v.Objectives))
		}
		says(t, at.h, at.address, "firing", "ausgelöst", "WriteLockHeldLong", "WriteLockHeldLong", "we import", "we import", "Budget left", "Budget übrig")
	}
	if v := told[alertsView](t, several, "/d/other/alerts"); len(v.Active)+len(v.Silences) != 0 || v.Unmeasured == "" {
		t.Errorf("another database has %+v", v.Active)
	}
	leave()
	soon(t, "the end of the alert", func() bool { return !slices.ContainsFunc(e.Active(), firing) && len(e.History()) > 0 })
	says(t, Handler(db, WithAlerts(e)), "/alerts", "WriteLockHeldLong", "WriteLockHeldLong", "Past alerts", "Vergangene Alarme")
	says(t, Handler(db, WithAlerts(e)), "/", "Last alerts", "Letzte Alarme", "WriteLockHeldLong", "WriteLockHeldLong", "· over ·", "· vorbei ·")
}

// States that are hard to bring about are shown all the same.
func TestRareStates(t *testing.T) {
	t.Parallel()
	db := open(t)
	d := Handler(db)
	now := time.Now()
	loss := 3.5
	for id, model := range map[string]any{
		"backups": &backupsView{
			LossSeconds: &loss, Fenced: true, Range: "24h",
			Replication: holdfast.ReplicationStats{Target: "s3://bucket/shop", Mode: "ASYNC", Position: "a/1", LagSeconds: 400, LastError: "no route", LastUpload: now},
		},
		"maintenance": &maintenanceView{
			Verified: &holdfast.VerifyReport{Problems: []string{"row 3 is missing from index i"}, Finished: now},
			Memory:   memoryView{[]holdfast.MemorySuspect{{Kind: "statements", CallSite: "a.go:1", Count: 99, Since: now}}},
			Runs:     []holdfast.MaintenanceRun{{Task: "vacuum", Outcome: "skipped", Why: "the database is busy", Times: 7, Started: now}},
		},
		"storage": &storageView{Volume: holdfast.VolumeHealth{FreeBytes: -1, TotalBytes: -1}, Range: "1h", Sizes: sizesView{Asked: true, Error: "busy"}},
		"wal": &walView{
			Range: "5m", Log: logView{InUse: true, Frames: 9, HandedOver: true, Blind: "no"},
			Checkpoints: []holdfast.CheckpointRun{{At: now, Error: "disk I/O error"}, {At: now, LogFrames: 5, CopiedFrames: 4}, {At: now, Busy: true, Times: 12, Since: now}},
		},
		"locks": &locksView{
			Range: "5m",
			Outside: outsideView{
				Known:   true,
				Holders: []foreignRow{{PID: 7, Program: "sqlite3", Lock: "WAL_WRITE", Slot: -1}, {PID: 8, Program: "app", Lock: "WAL_READ", Slot: 2, CallSite: "a.go:1", Statement: "SELECT ?"}},
				Waiters: []foreignRow{{PID: 9, Program: "python3", Lock: "WAL_WRITE", Behind: []int{7}}},
				Openers: []foreignRow{{PID: 7, Program: "sqlite3"}}, Blind: []string{"no /proc"},
			},
		},
	} {
		p, ok := d.pageOf(nil, id)
		if !ok {
			t.Fatal(id)
		}
		for lang, text := range d.texts {
			v := &visit{options: &d.options, db: db, page: p, text: text, now: now}
			content, err := d.render(v, id, model)
			if err != nil || strings.Contains(string(content), "%!") || strings.Contains(string(content), "ZgotmplZ") {
				t.Errorf("%s in %s: %v\n%s", id, lang, err, content)
			}
			for i, want := range map[string][]string{
				"backups": {"s3://bucket/shop", "a/1"}, "maintenance": {"row 3 is missing", "× 7"}, "storage": {"busy"}, "wal": {"disk I/O error", "× 12"}, "locks": {"sqlite3", "pid 7", "no /proc"},
			}[id] {
				if !strings.Contains(string(content), want) {
					t.Errorf("%s in %s does not say %q (%d)", id, lang, want, i)
				}
			}
		}
	}
}

// A database in memory has no file, no log on the disk and no history.
func TestPagesInMemory(t *testing.T) {
	t.Parallel()
	db, err := holdfast.Open(t.Context(), ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	d := Handler(db)
	for _, id := range []string{"locks", "wal", "storage", "backups", "maintenance", "alerts"} {
		says(t, d, "/"+id, "</main>", "</main>")
	}
	says(t, d, "/locks", "the database is in memory", "Die Datenbank liegt im Speicher")
	if fmt.Sprint(told[storageView](t, d, "/storage").Growth.Why) == "" {
		t.Error("it has a forecast without a history")
	}
}

// 99.9 % of a promise is not all of it.
func TestExact(t *testing.T) {
	t.Parallel()
	all := catalogue()
	for part, want := range map[float64][2]string{
		0.999: {"99.9", "99,9"}, 0.995: {"99.5", "99,5"}, 0.99976: {"99.976", "99,976"}, 0.9999999: {"99.999", "99,999"}, 1: {"100", "100"}, 0: {"0", "0"},
	} {
		if en, de := all["en"].exact(part), all["de"].exact(part); en != want[0]+thin+"%" || de != want[1]+thin+"%" {
			t.Errorf("%v is %s and %s, not %s", part, en, de, want)
		}
	}
}

// tray is a receiver that keeps what it gets, or refuses it.
type tray struct {
	refuses error
	got     chan string
}

func (r *tray) Name() string { return "tray" }

func (r *tray) Deliver(_ context.Context, n *alerts.Notification) error {
	if r.refuses == nil {
		r.got <- n.Status
	}
	return r.refuses
}

func TestAlertIsTestedByAButton(t *testing.T) {
	t.Parallel()
	db := open(t)
	c := alerts.Config{}
	c.Alerts.Log = holdfast.Off
	r := &tray{got: make(chan string, 1)}
	e, err := alerts.New(c, r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	d := Handler(db, signedIn, WithActions(true), WithAlerts(e))
	press := func(d *Dashboard, want, says string) {
		t.Helper()
		w := send(t, d, "/act/alert", forms(t, get(t, d, "/alerts", signIn).Body.String())["alert"])
		if text := w.Body.String(); !strings.Contains(text, `class="problem done `+want) || !strings.Contains(text, says) {
			t.Errorf("%d %s", w.Code, text)
		}
	}
	press(d, "done", "delivered to tray")
	if status := <-r.got; status != "firing" {
		t.Errorf("it is %s", status)
	}
	r.refuses = errors.New("the tray is full")
	press(d, "failed", "the tray is full")
	if body := get(t, Handler(db, signedIn, WithAlerts(e)), "/alerts", signIn).Body.String(); strings.Contains(body, "act/alert") {
		t.Error("there is a button without WithActions")
	}
}
