package integrity

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newDB makes a database with a log, which is checked when the test ends, and
// returns a connection that writes.
func newDB(t *testing.T, schema string) (path string, writer *sqlite.Conn) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "app.db")
	writer, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	must(t, err)
	must(t, writer.Exec("PRAGMA journal_mode=WAL;"+schema))
	t.Cleanup(func() {
		if s, err := writer.QueryText("PRAGMA integrity_check"); s != "ok" {
			t.Errorf("integrity_check: %q, %v", s, err)
		}
		must(t, writer.Close())
	})
	return path, writer
}

func opens(path string) func(context.Context) (*sqlite.Conn, error) {
	return func(context.Context) (*sqlite.Conn, error) { return sqlite.Open(path, sqlite.OpenReadWrite) }
}

var bound = Patience{time.Millisecond, 2 * time.Millisecond}

func observe(t *testing.T, open func(context.Context) (*sqlite.Conn, error)) *Observer {
	t.Helper()
	o := NewObserver(open)
	t.Cleanup(func() { must(t, o.Close(context.Background())) })
	return o
}

func TestLook(t *testing.T) {
	path, writer := newDB(t, "CREATE TABLE t(a); CREATE INDEX i ON t(a); PRAGMA user_version=3; PRAGMA application_id=4")
	o := observe(t, opens(path))
	f, err := o.Look(t.Context(), bound)
	want := Facts{At: f.At, JournalMode: "wal", PageSize: 4096, Pages: 3, SchemaVersion: f.SchemaVersion, UserVersion: 3, ApplicationID: 4, LogFrames: f.LogFrames, ReadMarks: f.ReadMarks, LogKnown: true}
	if err != nil || f != want || f.LogFrames == 0 || f.ReadMarks[0] != 0 || f.ReadMarks[4] != -1 || f.SchemaVersion == 0 || f.At.IsZero() {
		t.Errorf("%+v, %v", f, err)
	}
	must(t, writer.Exec("INSERT INTO t VALUES (1); ANALYZE; DROP TABLE t"))
	if _, _, err := writer.WALCheckpoint("main", sqlite.CheckpointPassive); err != nil {
		t.Fatal(err)
	}
	f, err = o.Look(t.Context(), bound)
	if err != nil || !f.Statistics || f.FreePages == 0 || f.LogFrames == 0 || f.LogFrames != f.CopiedFrames {
		t.Errorf("%+v, %v", f, err)
	}
	if o.conn.TxnState("main") != sqlite.TxnNone {
		t.Error("it keeps its snapshot")
	}
	must(t, o.Close(t.Context()))
	if _, err := o.Look(t.Context(), bound); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// A look that does not come back keeps nobody else, nor does one whose turn has
// not come when its context ends.
func TestALookThatHangs(t *testing.T) {
	path, _ := newDB(t, "CREATE TABLE t(a)")
	opening, goOn := make(chan struct{}), make(chan struct{})
	o := observe(t, func(ctx context.Context) (*sqlite.Conn, error) {
		close(opening)
		<-goOn
		return opens(path)(ctx)
	})
	came := make(chan error)
	go func() { _, err := o.Look(t.Context(), bound); came <- err }()
	<-opening
	if _, err := o.Look(t.Context(), bound); !errors.Is(err, ErrOccupied) || o.UnderWay() <= 0 {
		t.Error(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := o.Look(ended, Patience{time.Hour, time.Hour}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(goOn)
	if err := <-came; err != nil || o.UnderWay() != 0 {
		t.Error(err)
	}
}

// A lock is waited for only so long, and the next look is a new one; so is the one
// after the file could not be opened.
func TestALookIsLockedOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	writer, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	must(t, err)
	defer writer.Close()
	must(t, writer.Exec("CREATE TABLE t(a); BEGIN EXCLUSIVE")) // without a log it keeps readers out
	failing := errors.New("no descriptor is left")
	o := observe(t, func(ctx context.Context) (*sqlite.Conn, error) {
		if err := failing; err != nil {
			return nil, err
		}
		return opens(path)(ctx)
	})
	if _, err := o.Look(t.Context(), bound); !errors.Is(err, failing) {
		t.Error(err)
	}
	failing = nil
	if _, err := o.Look(t.Context(), bound); sqlite.Code(err) != sqlite.ResultBusy {
		t.Error(err)
	}
	must(t, writer.Exec("COMMIT"))
	if f, err := o.Look(t.Context(), bound); err != nil || f.JournalMode != "delete" || f.LogFrames != 0 {
		t.Errorf("%+v, %v", f, err)
	}
}

// A commit that keeps readers out for a moment, and a look of somebody else that
// takes its time, are no news: what was seen just before is still true.
func TestALookInBetween(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	writer, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	must(t, err)
	defer writer.Close()
	must(t, writer.Exec("CREATE TABLE t(a)"))
	o := observe(t, opens(path))
	before, err := o.Look(t.Context(), Patience{Known: time.Millisecond, Unknown: time.Minute})
	must(t, err)
	must(t, writer.Exec("BEGIN EXCLUSIVE"))
	if f, err := o.Look(t.Context(), bound); err != nil || f != before {
		t.Errorf("locked out: %+v, %v, want %+v", f, err, before)
	}
	o.turn <- struct{}{}
	if f, err := o.Look(t.Context(), bound); err != nil || f != before {
		t.Errorf("occupied: %+v, %v, want %+v", f, err, before)
	}
	before.At = before.At.Add(-fresh) // time passes
	o.last.Store(&before)
	if _, err := o.Look(t.Context(), bound); !errors.Is(err, ErrOccupied) {
		t.Error(err)
	}
	<-o.turn
	if _, err := o.Look(t.Context(), bound); sqlite.Code(err) != sqlite.ResultBusy {
		t.Error(err)
	}
	must(t, writer.Exec("COMMIT"))
	if f, err := o.Look(t.Context(), bound); err != nil || !f.At.After(before.At.Add(fresh)) {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestVerifyInPlaceForWantOfSpace(t *testing.T) {
	path, _ := newDB(t, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
	v := NewVerifier(Config{Open: opens(path), Path: path, Free: func(string) (int64, error) { return 1 << 20, nil }})
	d, err := v.Run(t.Context(), Request{Full: true})
	if err != nil || !d.well() || d.OnCopy || !strings.Contains(d.InPlace, "not enough space") || !d.Full || d.Pages != 2 {
		t.Errorf("%+v, %v", d, err)
	}
	if last := v.Last(); last == nil || last.At != d.At {
		t.Errorf("%+v", last)
	}
}

// What killed processes have left goes; what may still be written stays, and so
// does everything of another name.
func TestSweep(t *testing.T) {
	path, _ := newDB(t, "CREATE TABLE t(a)")
	prefix := path + "-holdfast-verify-"
	old := time.Now().Add(-2 * left)
	for name, at := range map[string]time.Time{prefix + "1": old, prefix + "2": time.Now(), path + "-other": old} {
		must(t, os.WriteFile(name, nil, 0o600))
		must(t, os.Chtimes(name, at, at))
	}
	v := NewVerifier(Config{Open: opens(path), Path: path})
	if d, err := v.Run(t.Context(), Request{}); err != nil || !d.well() || !d.OnCopy {
		t.Errorf("%+v, %v", d, err)
	}
	names, err := filepath.Glob(path + "-*")
	must(t, err)
	want := []string{prefix + "2", path + "-other", path + "-shm", path + "-wal"}
	if slices.Sort(names); !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

func TestOrphansAreNoDamage(t *testing.T) {
	path, writer := newDB(t, "CREATE TABLE p(a INTEGER PRIMARY KEY); CREATE TABLE c(a REFERENCES p); INSERT INTO c VALUES (1)")
	v := NewVerifier(Config{Open: opens(path), Path: path})
	d, err := v.Run(t.Context(), Request{Full: true})
	if err != nil || len(d.Problems) != 0 || len(d.Orphans) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
	// A quick run does not see them, and does not take them back.
	if d, err := v.Run(t.Context(), Request{}); err != nil || !d.well() || v.Last().well() {
		t.Errorf("%+v, %v", d, err)
	}
	must(t, writer.Exec("DELETE FROM c"))
	if d, err := v.Run(t.Context(), Request{Full: true}); err != nil || !d.well() || !v.Last().well() {
		t.Errorf("%+v, %v", d, err)
	}
}

// A second run waits for the first, until its context ends or the verifier is
// closed, which ends the first too.
func TestVerifyOneAtATime(t *testing.T) {
	path, _ := newDB(t, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
	v := NewVerifier(Config{Open: opens(path), Path: path})
	inside, goOn := make(chan struct{}), make(chan struct{})
	first, second := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := v.Run(t.Context(), Request{Progress: func(stage string, _, _ int) {
			if stage == "copy" {
				close(inside)
				<-goOn
			}
		}})
		first <- err
	}()
	<-inside
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := v.Run(ended, Request{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	go func() { _, err := v.Run(t.Context(), Request{}); second <- err }()
	if err := v.Close(ended); !errors.Is(err, context.Canceled) { // the first is still there
		t.Error(err)
	}
	if err := <-second; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	close(goOn)
	if err := <-first; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	must(t, v.Close(t.Context()))
	if left, err := filepath.Glob(path + "-holdfast-verify-*"); len(left) > 0 || err != nil {
		t.Error(left, err)
	}
}

func TestFailureLog(t *testing.T) {
	var l FailureLog
	for _, code := range []sqlite.ResultCode{sqlite.ResultBusy, sqlite.ResultNotADB, sqlite.ResultConstraint} {
		l.Note("query", code)
	}
	if l.Failures() != (Failures{}) {
		t.Errorf("%+v", l.Failures())
	}
	before := time.Now()
	for _, code := range []sqlite.ResultCode{sqlite.ResultCorruptIndex, sqlite.ResultIOErrRead, sqlite.ResultFull} {
		l.Note("query", code)
	}
	f := l.Failures()
	if f.Corrupt.Code != sqlite.ResultCorruptIndex || !f.IO.recent() || f.Full.At.IsZero() || !strings.HasPrefix(f.IO.String(), "SQLITE_IOERR_READ in query at ") {
		t.Errorf("%+v", f)
	}
	l.Absolve(before)
	if l.Failures().Corrupt.At.IsZero() {
		t.Error("a check of before has taken it back")
	}
	l.Absolve(time.Now().Add(time.Second))
	if f := l.Failures(); !f.Corrupt.At.IsZero() || f.IO.At.IsZero() {
		t.Errorf("%+v", f)
	}
}

// Every finding, and what is next to it and none.
func TestJudge(t *testing.T) {
	now := time.Now()
	well := func() Vitals {
		return Vitals{
			Path: "app.db", Seen: Facts{JournalMode: "wal", Pages: 1000, Statistics: true}, WantsWAL: true, LogLimit: 64 << 20, LogKey: "maintenance.wal_limit", LogBytes: 4 << 20,
			Free: 100 << 30, Volume: 200 << 30, Readers: Crowd{Max: 8},
		}
	}
	engine := func(code sqlite.ResultCode) error {
		return fmt.Errorf("look: %w", &sqlite.Error{Code: code, Op: "step"})
	}
	held := Holding{Kind: "transaction", Site: "a.go:1", Age: 2 * time.Second, Slow: time.Second, Late: 30 * time.Second}
	for name, test := range map[string]struct {
		change func(*Vitals)
		want   string
	}{
		"well":               {func(*Vitals) {}, ""},
		"fenced":             {func(v *Vitals) { v.Fenced = errors.New("gone"); v.NotSeen = engine(sqlite.ResultCantOpen) }, "critical fenced"},
		"occupied":           {func(v *Vitals) { v.NotSeen = ErrOccupied }, "warning stalled"},
		"stalled":            {func(v *Vitals) { v.NotSeen, v.UnderWay = ErrOccupied, time.Second }, "critical stalled"},
		"locked":             {func(v *Vitals) { v.NotSeen = engine(sqlite.ResultBusyRecovery) }, "warning locked"},
		"crash-left":         {func(v *Vitals) { v.NotSeen = engine(sqlite.ResultReadOnlyRollback) }, "warning crash-left"},
		"not a database":     {func(v *Vitals) { v.NotSeen = engine(sqlite.ResultNotADB) }, "critical corrupt"},
		"unreadable":         {func(v *Vitals) { v.NotSeen = engine(sqlite.ResultCantOpen) }, "critical unreadable"},
		"damaged":            {func(v *Vitals) { v.Verified = &Verdict{Problems: []string{"page 3"}} }, "critical corrupt"},
		"damaged and met":    {func(v *Vitals) { v.Verified = &Verdict{Problems: []string{"page 3"}}; v.Failures.Corrupt.At = now }, "critical corrupt"},
		"met":                {func(v *Vitals) { v.Failures.Corrupt.At = now.Add(-time.Hour) }, "critical corrupt"},
		"orphans":            {func(v *Vitals) { v.Verified = &Verdict{Orphans: []string{"row 1"}} }, "critical foreign-key-orphans"},
		"verified":           {func(v *Vitals) { v.Verified = &Verdict{} }, ""},
		"I/O":                {func(v *Vitals) { v.Failures.IO.At = now }, "critical io-error"},
		"I/O long ago":       {func(v *Vitals) { v.Failures.IO.At = now.Add(-time.Hour) }, ""},
		"full":               {func(v *Vitals) { v.Free = 31 << 20 }, "critical disk-full"},
		"was full":           {func(v *Vitals) { v.Failures.Full.At = now }, "critical disk-full"},
		"almost full":        {func(v *Vitals) { v.Free = 1000 << 20 }, "warning disk-low"},
		"a small volume":     {func(v *Vitals) { v.Free, v.Volume = 1000<<20, 2000<<20 }, ""},
		"unknown volume":     {func(v *Vitals) { v.Free, v.Volume = -1, -1 }, ""},
		"writer held":        {func(v *Vitals) { v.Holder, v.Queued = held, 3 }, "warning writer-held"},
		"nobody waits":       {func(v *Vitals) { v.Holder = held }, ""},
		"writer held late":   {func(v *Vitals) { v.Holder, v.Queued = held, 3; v.Holder.Age = time.Minute }, "critical writer-held"},
		"readers taken":      {func(v *Vitals) { v.Readers = Crowd{8, 8, 1}; v.Reader = held; v.Reader.Slow = time.Minute }, "warning readers-taken"},
		"readers in use":     {func(v *Vitals) { v.Readers = Crowd{8, 8, 0}; v.Reader = held }, ""},
		"log pinned":         {func(v *Vitals) { v.Reader, v.Seen.LogFrames = held, 2000 }, "warning log-pinned"},
		"log copied":         {func(v *Vitals) { v.Reader, v.Seen.LogFrames, v.Seen.CopiedFrames = held, 2000, 1999 }, ""},
		"log large":          {func(v *Vitals) { v.LogBytes = 129 << 20 }, "warning log-large"},
		"log without limit":  {func(v *Vitals) { v.LogBytes, v.LogLimit = 1<<40, 0 }, ""},
		"copy behind":        {func(v *Vitals) { v.Copy = Shipping{Lag: time.Minute, Limit: time.Minute, Error: "no route"} }, "warning replication-behind"},
		"writes wait":        {func(v *Vitals) { v.Copy = Shipping{Lag: time.Minute, Limit: time.Minute, Durable: true} }, "critical replication-behind"},
		"copy without limit": {func(v *Vitals) { v.Copy = Shipping{Lag: time.Hour, Durable: true} }, ""},
		"upload failed":      {func(v *Vitals) { v.Copy = Shipping{Lag: time.Second, Limit: time.Minute, Error: "no route"} }, "warning replication-failing"},
		"copied elsewhere":   {func(v *Vitals) { v.Copy.Elsewhere = 7 }, "warning replication-elsewhere"},
		"bug":                {func(v *Vitals) { v.Bugs = []string{"it loses data"} }, "warning engine-bug"},
		"rollback":           {func(v *Vitals) { v.Seen.JournalMode = "delete" }, "info journal-mode"},
		"rollback, as asked": {func(v *Vitals) { v.Seen.JournalMode, v.WantsWAL = "delete", false }, ""},
		"no statistics":      {func(v *Vitals) { v.Seen.Statistics = false }, "info statistics-missing"},
		"small":              {func(v *Vitals) { v.Seen.Statistics, v.Seen.Pages = false, 10 }, ""},
		"the worst first": {
			func(v *Vitals) { v.Seen.Statistics = false; v.LogBytes = 1 << 30; v.Free = 0 },
			"critical disk-full, warning log-large, info statistics-missing",
		},
	} {
		v := well()
		test.change(&v)
		var got []string
		for _, f := range Judge(v) {
			got = append(got, f.Severity+" "+f.ID)
			if f.Summary == "" || f.Fix == "" {
				t.Errorf("%s: %+v", name, f)
			}
		}
		if s := strings.Join(got, ", "); s != test.want {
			t.Errorf("%s: %q, want %q", name, s, test.want)
		}
	}
}
