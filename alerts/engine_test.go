package alerts

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/config"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(beProgram())
	}
	goleak.VerifyTestMain(m)
}

// inbox is a receiver that remembers, and fails while it is told to.
type inbox struct {
	name string

	mu   sync.Mutex
	got  []*Notification
	fail error
}

func (i *inbox) Name() string { return cmp.Or(i.name, "inbox") }

func (i *inbox) Deliver(_ context.Context, n *Notification) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.fail != nil {
		return i.fail
	}
	i.got = append(i.got, n)
	return nil
}

func (i *inbox) breaks(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fail = err
}

// told are the alerts of the notifications so far, a line for each.
func (i *inbox) told() (out []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, n := range i.got {
		var list []string
		for _, a := range n.Alerts {
			list = append(list, strings.Join(strings.Fields(a.Status+" "+a.Labels["severity"]+" "+a.Labels["rule"]+" "+a.Labels["database"]+" "+a.Labels["subject"]), " "))
		}
		out = append(out, strings.Join(list, ", "))
	}
	return out
}

// fake is a subject that tells what it is told to.
type fake struct {
	o     observation
	err   error
	stuck chan struct{} // not nil: a look ends with it
}

func (f *fake) look(ctx context.Context, now time.Time, _ *Config) (*observation, error) {
	if f.stuck != nil {
		<-f.stuck
	}
	o := f.o
	o.at = now
	return &o, f.err
}

func healthy(name string) *fake {
	f := &fake{o: observation{name: name, figure: map[string]float64{}}}
	f.o.health.DatabaseAccessible = true
	return f
}

// hold has somebody hold the writer of f.
func (f *fake) hold(seconds float64) {
	f.o.locks.Holders = []holdfast.LockHolder{{Kind: "write transaction", Lock: "WAL_WRITE", CallSite: "billing.go:88", Statement: "UPDATE a SET b=?", HeldSeconds: seconds}}
}

// bench is an engine whose rounds are the test's, in a bubble of testing/synctest.
type bench struct {
	*Engine
	t  *testing.T
	in *inbox
}

func newBench(t *testing.T, c Config) *bench {
	t.Helper()
	b := &bench{t: t, in: &inbox{}}
	e, err := newEngine(c, []Receiver{b.in})
	if err != nil {
		t.Fatal(err)
	}
	b.Engine = e
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// after lets time pass and makes a round.
func (b *bench) after(d time.Duration) {
	time.Sleep(d) // the bubble's time
	b.round(time.Now())
	synctest.Wait()
}

func (b *bench) wantTold(want ...string) {
	b.t.Helper()
	if got := b.in.told(); !slices.Equal(got, want) {
		b.t.Errorf("told\n%s\nwanted\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (b *bench) wantActive(want ...string) {
	b.t.Helper()
	var got []string
	for _, a := range b.Active() {
		got = append(got, fmt.Sprintf("%s %s %s", a.State, a.Severity, a.Rule))
	}
	if !slices.Equal(got, want) {
		b.t.Errorf("active %q, wanted %q", got, want)
	}
}

func TestAnAlertLivesAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		f := healthy("orders")
		b.watch("orders", f)
		b.after(0)
		b.wantActive()

		f.hold(6)
		b.after(10 * time.Second)
		b.wantActive("firing warning write_lock_held_long")
		a := b.Active()[0]
		if !strings.Contains(a.Summary.EN, "orders") || !strings.Contains(a.Summary.EN, "billing.go:88") || !strings.Contains(a.Summary.DE, "billing.go:88") ||
			!strings.HasSuffix(a.Runbook, "runbooks.md#write_lock_held_long") || a.Fingerprint == "" || !a.FiredAt.Equal(time.Now()) {
			t.Errorf("%+v", a)
		}
		f.hold(31)
		b.after(25 * time.Second)
		b.wantActive("firing critical write_lock_held_long")
		b.after(10 * time.Second) // nothing new

		f.o.locks.Holders = nil
		b.after(10 * time.Second)
		b.after(59 * time.Second)
		b.wantActive("firing critical write_lock_held_long")
		b.after(time.Second)
		b.wantActive()
		b.wantTold("firing warning write_lock_held_long orders", "firing critical write_lock_held_long orders", "resolved critical write_lock_held_long orders")
		if h := b.History(); len(h) != 1 || h[0].State != Resolved || !h[0].ResolvedAt.Equal(time.Now()) {
			t.Errorf("%+v", h)
		}
	})
}

// A value at its threshold makes one alert, not one for each time that it crosses it.
func TestHysteresis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		f := healthy("orders")
		b.watch("orders", f)
		for range 20 {
			f.hold(5.1)
			b.after(30 * time.Second)
			f.hold(4.9) // within a tenth of the threshold
			b.after(90 * time.Second)
			f.hold(4) // well, but not for a minute
			b.after(30 * time.Second)
		}
		b.wantTold("firing warning write_lock_held_long orders")
		b.after(60 * time.Second)
		b.wantTold("firing warning write_lock_held_long orders", "resolved warning write_lock_held_long orders")
		f.hold(4.9) // within the margin nothing begins
		b.after(time.Hour)
		b.wantActive()
	})
}

func TestForAndItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{For: ForSettings{WALTooBig: time.Minute}})
		f := healthy("orders")
		b.watch("orders", f)
		big := func(bytes int64) { f.o.health.WAL.Bytes = bytes }
		big(100 << 20)
		b.after(0)
		b.after(59 * time.Second)
		b.wantActive("pending critical wal_too_big")
		big(0) // it was over before anybody was told
		b.after(time.Second)
		b.wantActive()
		big(100 << 20)
		b.after(10 * time.Second)
		b.after(60 * time.Second)
		b.wantTold("firing critical wal_too_big orders")
	})
}

func TestOffAndConfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		f := healthy("orders")
		b.watch("orders", f)
		f.hold(10)
		b.after(0)
		if err := b.Configure(Config{For: ForSettings{WriteLockHeldLong: -1}}, b.in); err != nil {
			t.Fatal(err)
		}
		b.after(time.Second)
		b.wantActive()
		if err := b.Configure(Config{Load: LoadThresholds{WriteLockWarning: 20 * time.Second}}, b.in); err != nil {
			t.Fatal(err)
		}
		b.after(time.Second)
		b.wantActive()
		f.hold(21)
		b.after(time.Second)
		b.wantTold("firing warning write_lock_held_long orders", "resolved warning write_lock_held_long orders", "firing warning write_lock_held_long orders")
		if err := b.Configure(Config{Load: LoadThresholds{WriteLockWarning: time.Minute}}); !errors.As(err, new(*holdfast.ConfigError)) {
			t.Errorf("a warning above critical: %v", err)
		}
	})
}

func TestGroupsRepeatsAndDatabases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		one, two := healthy("a"), healthy("b")
		b.watch("a", one)
		b.watch("b", two)
		one.hold(6)
		one.o.health.ConnectionStats.Damaged = true
		two.hold(40)
		b.after(0)
		first := []string{"firing critical integrity_failed a, firing warning write_lock_held_long a", "firing critical write_lock_held_long b"}
		got := b.in.told()
		slices.Sort(got)
		if !slices.Equal(got, first) {
			t.Errorf("%q", got)
		}
		for range 23 {
			b.after(10 * time.Minute)
		}
		if len(b.in.told()) != 2 {
			t.Errorf("repeated too early: %q", b.in.told())
		}
		b.after(10 * time.Minute)
		if len(b.in.told()) != 4 {
			t.Errorf("not repeated after four hours: %q", b.in.told())
		}
		b.Unwatch("b")
		b.after(time.Second)
		if got := b.in.told(); len(got) != 5 || got[4] != "resolved critical write_lock_held_long b" {
			t.Errorf("%q", got)
		}
	})
}

func TestSilences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "silences.json")
		b := newBench(t, Config{Alerts: Settings{SilencesFile: path}})
		f := healthy("orders")
		b.watch("orders", f)
		f.hold(6)
		for _, wrong := range []Silence{
			{Until: time.Now().Add(time.Hour)},
			{Reason: "x"},
			{Reason: "x", Until: time.Now().Add(-time.Hour)},
			{Reason: "x", Until: time.Now().Add(time.Hour), Rule: "wal_to_big"},
		} {
			if _, err := b.Silence(wrong); err == nil {
				t.Errorf("%+v was taken", wrong)
			}
		}
		s, err := b.Silence(Silence{Rule: "write_lock_held_long", Database: "orders", Reason: "migration", By: "anna", Until: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		b.after(time.Second)
		b.wantActive("firing warning write_lock_held_long")
		if got := b.Active()[0].SilencedBy; got != s.ID {
			t.Errorf("silenced by %q, not %q", got, s.ID)
		}
		b.wantTold()

		again, _, err := loadSilences(path)
		if err != nil || len(again.list) != 1 || again.list[0] != s {
			t.Errorf("after a restart: %+v, %v", again.list, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		if err := b.Unsilence(s.ID); err != nil {
			t.Fatal(err)
		}
		if err := b.Unsilence(s.ID); !errors.Is(err, ErrNoSilence) {
			t.Errorf("%v", err)
		}
		b.after(time.Second)
		b.wantTold("firing warning write_lock_held_long orders")

		if _, err := b.Silence(Silence{Reason: "all of it", Until: time.Now().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		f.hold(40)
		b.after(time.Second)
		b.after(2 * time.Minute) // it has ended by itself
		b.wantTold("firing warning write_lock_held_long orders", "firing critical write_lock_held_long orders")
	})
}

// What is accepted can be listed, and read by the next start.
func TestSilencesThatCouldNotBeTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "silences.json")
		west, east := time.FixedZone("", -23*3600), time.FixedZone("", 23*3600)
		for _, file := range []string{"", path} {
			b := newBench(t, Config{Alerts: Settings{SilencesFile: file}})
			for _, wrong := range []Silence{
				{Reason: "r", Until: time.Date(9999, 12, 31, 23, 0, 0, 0, west)},
				{Reason: "r", From: time.Date(0, 1, 1, 1, 0, 0, 0, east), Until: time.Now().Add(time.Hour)},
			} {
				if _, err := b.Silence(wrong); err == nil {
					t.Errorf("%+v was taken", wrong)
				}
			}
			var list Answer
			if code := ask(t, Handler(b.Engine), "GET", "/alerts", "", &list); code != 200 || len(list.Silences) != 0 {
				t.Errorf("%d, %+v", code, list)
			}
		}
		b := newBench(t, Config{Alerts: Settings{SilencesFile: path}})
		taken := 0
		for range 40 {
			if _, err := b.Silence(Silence{Reason: strings.Repeat("x", 60_000), Until: time.Now().Add(time.Hour)}); err == nil {
				taken++
			}
		}
		again, _, err := loadSilences(path)
		if err != nil || len(again.list) != taken || taken == 0 || taken == 40 || len(b.Silences()) != taken {
			t.Errorf("%d of 40 were taken, %d are there, %d in the file: %v", taken, len(b.Silences()), len(again.list), err)
		}
	})
}

// What is damaged is kept aside, and stops nothing; what is no such file is not touched.
func TestSilencesFileThatIsNone(t *testing.T) {
	for what, text := range map[string]string{"cut off": `[{"id": "a", "reas`, "another shape": `{"silences": 1}`, "empty": "", "too large": strings.Repeat(" ", mostFile+1)} {
		path := filepath.Join(t.TempDir(), "silences.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		e, err := New(Config{Alerts: Settings{SilencesFile: path}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Errorf("%s: the start was stopped: %v", what, err)
			continue
		}
		if aside, err := os.ReadFile(path + ".damaged"); err != nil || string(aside) != text || !strings.Contains(log.String(), "silences.json.damaged") {
			t.Errorf("%s: kept aside is %.20q, %v; the log: %s", what, aside, err, log.String())
		}
		s, err := e.Silence(Silence{Reason: "r", Until: time.Now().Add(time.Hour)})
		if again, damage, e := loadSilences(path); err != nil || e != nil || damage != nil || len(again.list) != 1 || again.list[0] != s {
			t.Errorf("%s: the next start finds %+v, %v, %v; %v", what, again.list, damage, e, err)
		}
		if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); err != nil || len(left) > 0 {
			t.Errorf("%s: %q are left, %v", what, left, err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	dir := t.TempDir()
	database := filepath.Join(dir, "b.db")
	if err := os.WriteFile(database, []byte("[]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "a.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{database, filepath.Join(dir, "a.json")} {
		if _, err := New(Config{Alerts: Settings{SilencesFile: path}}); err == nil {
			t.Errorf("%s was taken", path)
		}
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

func TestBlind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		f, other := healthy("orders"), healthy("other")
		b.watch("orders", f)
		b.watch("other", other)
		f.hold(6)
		b.after(0)
		f.err = errors.New("no answer")
		b.after(10 * time.Second)
		b.after(60 * time.Second)
		b.wantActive("firing critical monitoring_blind", "firing warning write_lock_held_long") // what is not known has not ended
		other.hold(6)
		b.after(time.Second)
		if n := len(b.Active()); n != 3 {
			t.Errorf("%d alerts: the other database is looked at as before", n)
		}
		f.err = nil
		b.after(time.Second)
		b.after(time.Minute)
		b.wantActive("firing warning write_lock_held_long", "firing warning write_lock_held_long")
		if s := b.Status(); s.Rounds != 6 || len(s.Databases) != 2 || s.Databases[0].Error != "" || len(s.Receivers) != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{Alerts: Settings{Keep: 3}})
		f := healthy("orders")
		b.watch("orders", f)
		for range 5 {
			f.hold(6)
			b.after(time.Second)
			f.hold(0)
			b.after(time.Second)
			b.after(time.Minute)
		}
		h := b.History()
		if len(h) != 3 || !h[0].ResolvedAt.After(h[1].ResolvedAt) {
			t.Errorf("%+v", h)
		}
	})
}

// The keys and the shape of Alertmanager's webhook.
func TestNotificationIsAlertmanagers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{Alerts: Settings{ExternalURL: "https://db.example/", Language: "de"}})
		f := healthy("orders")
		b.watch("orders", f)
		f.hold(6)
		b.after(0)
		text, err := json.Marshal(b.in.got[0])
		if err != nil {
			t.Fatal(err)
		}
		var n map[string]any
		if err := json.Unmarshal(text, &n); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels", "commonAnnotations", "externalURL", "alerts"} {
			if _, ok := n[key]; !ok {
				t.Errorf("%s is missing", key)
			}
		}
		a := n["alerts"].([]any)[0].(map[string]any)
		for _, key := range []string{"status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"} {
			if _, ok := a[key]; !ok {
				t.Errorf("alerts[].%s is missing", key)
			}
		}
		if n["version"] != "4" || n["receiver"] != "inbox" || n["status"] != "firing" || n["groupKey"] != `{}:{database="orders"}` || a["endsAt"] != "0001-01-01T00:00:00Z" {
			t.Errorf("%s", text)
		}
		labels, annotations := n["commonLabels"].(map[string]any), n["commonAnnotations"].(map[string]any)
		if labels["alertname"] != "HoldfastWriteLockHeldLong" || labels["database"] != "orders" || labels["severity"] != "warning" ||
			!strings.Contains(annotations["summary"].(string), "wird seit 6s gehalten") || !strings.HasSuffix(annotations["runbook_url"].(string), "runbooks.de.md#write_lock_held_long") {
			t.Errorf("%s", text)
		}
	})
}

func TestRulesAreComplete(t *testing.T) {
	seen := map[string]bool{}
	list := Rules(Config{})
	if len(list) != 19 {
		t.Errorf("%d rules", len(list))
	}
	for i, r := range list {
		if r.ID == "" || r.Name == "" || seen[r.ID] || r.Off || len(r.Levels) == 0 || r.When.EN == "" || r.When.DE == "" || r.Next.EN == "" || r.Next.DE == "" {
			t.Errorf("%+v", r)
		}
		seen[r.ID] = true
		for _, l := range r.Levels {
			for _, x := range l.Thresholds {
				if x.Text == "" || x.Doc == "" || x.Value <= 0 {
					t.Errorf("%s: %+v", r.ID, x)
				}
			}
		}
		if rules[i].check == nil && r.ID != blindRule {
			t.Errorf("%s checks nothing", r.ID)
		}
	}
	used := map[string]bool{}
	for _, r := range rules {
		for _, keys := range r.levels {
			for _, k := range keys {
				used[k] = true
			}
		}
	}
	for k := range thresholds {
		if !used[k] {
			t.Errorf("%s belongs to no rule", k)
		}
	}
}

// Every threshold and time has a rule, and every key of the configuration a default.
func TestDefaults(t *testing.T) {
	c := DefaultConfig()
	if c.Alerts.Interval != 10*time.Second || c.Alerts.Repeat != 4*time.Hour || c.Load.WALSize != 64<<20 || c.For.WALTooBig != 2*time.Minute || c.Safety.BackupVerified != 7*24*time.Hour {
		t.Errorf("%+v", c)
	}
	if again, err := c.complete(); err != nil || again != c {
		t.Errorf("completing twice differs: %+v, %v", again, err)
	}
	for _, s := range Sections() {
		if !slices.ContainsFunc(settings().Values(&c, &c, nil), func(v config.Value) bool { return strings.HasPrefix(v.Key, s+".") }) {
			t.Errorf("there is no section %s", s)
		}
	}
	for _, wrong := range []Config{
		{Alerts: Settings{Webhook: "hooks.example"}},
		{Alerts: Settings{Webhook: "https://user:hunter2@hooks.example/"}},
		{Alerts: Settings{Heartbeat: "ftp://x/"}},
		{Alerts: Settings{Interval: -1}},
		{Mail: MailSettings{Server: "mail.example"}},
		{Safety: SafetyThresholds{BackupWarning: 400}},
	} {
		err := wrong.Validate()
		if !errors.As(err, new(*holdfast.ConfigError)) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}

// Every alert leads somewhere, in both languages.
func TestRunbooks(t *testing.T) {
	for _, page := range []string{"runbooks.md", "runbooks.de.md"} {
		text, err := os.ReadFile(filepath.Join("..", "docs", "operator", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range append([]rule{{id: "test"}}, rules...) {
			if !strings.Contains(strings.ReplaceAll(string(text), "\r", ""), "\n## "+r.id+"\n") {
				t.Errorf("%s has no section %s", page, r.id)
			}
		}
	}
}
