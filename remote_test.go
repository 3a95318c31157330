package holdfast_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
)

// fakeBackend is a back end whose database is a file, which it reaches as a program does.
type fakeBackend struct {
	driver.Connector
	db     *holdfast.DB
	cfg    holdfast.Config
	calls  atomic.Int64 // what was sent
	closed atomic.Int64
	level  atomic.Value // of the last Query
	set    holdfast.BatchSettings
	loaded []byte
	damage bool // Backup sends something else
	loses  bool // Restore loses a row
}

var fakes sync.Map // by their addresses

func init() {
	holdfast.RegisterBackend("fake", func(ctx context.Context, address string, cfg holdfast.Config) (holdfast.Backend, error) {
		b, ok := fakes.Load(address)
		if !ok {
			return nil, holdfast.NewError(holdfast.Failure{Kind: holdfast.ErrCannotOpen, Code: 14, Op: "open", Text: "nobody is there", Next: "look at the address"})
		}
		b.(*fakeBackend).cfg = cfg
		return b.(*fakeBackend), nil
	})
}

func openFake(t *testing.T) (*holdfast.DB, *fakeBackend) {
	t.Helper()
	under := open(t)
	b := &fakeBackend{Connector: under.Connector(), db: under}
	address := "fake://user:secret@" + strings.ReplaceAll(t.Name(), "/", "-") + ":4001,other:4001/?password=secret"
	fakes.Store(address, b)
	t.Cleanup(func() { fakes.Delete(address) })
	db, err := holdfast.Open(ctx(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db, b
}

func (b *fakeBackend) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := b.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return fakeConn{c, b}, nil
}

// fakeConn has no transactions.
type fakeConn struct {
	driver.Conn
	b *fakeBackend
}

func (c fakeConn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	return nil, holdfast.NewError(holdfast.Failure{Kind: holdfast.ErrUnsupported, Code: 21, Op: "begin", Text: "no transactions", Next: "call DB.Batch"})
}

func (c fakeConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.b.calls.Add(1)
	level, fresh := holdfast.ReadLevelOf(ctx)
	if holdfast.MustRead(ctx) && strings.HasPrefix(query, "INSERT") {
		return nil, holdfast.NewError(holdfast.Failure{Kind: holdfast.ErrRefused, Code: 21, Op: "query", Text: "it writes", Next: "use Query"})
	}
	c.b.level.Store(string(level) + " " + fresh.String())
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c fakeConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.b.calls.Add(1)
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (b *fakeBackend) Capabilities() holdfast.Capabilities {
	return holdfast.Capabilities{Backend: "fake", ReadLevels: []holdfast.ReadLevel{holdfast.ReadWeak}, Locks: true, Replicated: true, InteractiveTransactions: true}
}

func (b *fakeBackend) Batch(ctx context.Context, stmts []holdfast.Statement, o holdfast.BatchSettings) (holdfast.BatchResult, error) {
	b.calls.Add(1)
	b.set = o
	return b.db.Batch(ctx, stmts, holdfast.IdempotencyKey(o.IdempotencyKey))
}

func (b *fakeBackend) Health(context.Context) (holdfast.Health, error) {
	return holdfast.Health{Status: "ok", Cluster: &holdfast.ClusterHealth{Leader: "1"}}, nil
}

func (b *fakeBackend) Stats() holdfast.Stats { return holdfast.Stats{Sessions: 7} }

func (b *fakeBackend) Backup(ctx context.Context, w io.Writer) error {
	b.calls.Add(1)
	if b.damage {
		_, err := w.Write([]byte("SQLite format 3\x00 and nothing more"))
		return err
	}
	dir, err := os.MkdirTemp("", "fake")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := b.db.Backup(ctx, filepath.Join(dir, "sent.db")); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(dir, "sent.db"))
	if err == nil {
		_, err = w.Write(text)
	}
	return err
}

// Restore copies the table t of what it was sent.
func (b *fakeBackend) Restore(ctx context.Context, r io.Reader, size int64) (err error) {
	b.calls.Add(1)
	if b.loaded, err = io.ReadAll(r); err != nil || int64(len(b.loaded)) != size {
		return errors.Join(err, errors.New("another size"))
	}
	dir, err := os.MkdirTemp("", "fake")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "loaded.db")
	if err := os.WriteFile(path, b.loaded, 0o600); err != nil {
		return err
	}
	loaded, err := holdfast.Open(ctx, path)
	if err != nil {
		return err
	}
	defer loaded.Close()
	batch := []holdfast.Statement{{SQL: "DELETE FROM t"}}
	for row, err := range loaded.Rows(ctx, "SELECT id, a FROM t") {
		if err != nil {
			return err
		}
		if id := row.Int64(0); id > 1 || !b.loses {
			batch = append(batch, holdfast.Statement{SQL: "INSERT INTO t(id, a) VALUES (?, ?)", Args: []any{id, row.Value(1)}})
		}
	}
	_, err = b.db.Batch(ctx, batch)
	return err
}

func (b *fakeBackend) Close() error { b.closed.Add(1); return nil }

// remoteArguments are what methods of DB are called with that need more than zero values.
var remoteArguments = map[string][]any{
	"Batch":  {[]holdfast.Statement{{SQL: "INSERT INTO t(a) VALUES (1)"}}},
	"Update": {func(*sql.Tx) error { return errors.New("it was called") }},
	"View":   {func(*sql.Tx) error { return errors.New("it was called") }},
}

// arguments fills in the parameters of a method.
func arguments(t *testing.T, name string, f reflect.Type) []reflect.Value {
	var in []reflect.Value
	given := remoteArguments[name]
	for i := range f.NumIn() {
		switch p := f.In(i); {
		case f.IsVariadic() && i == f.NumIn()-1:
			return in
		case p == reflect.TypeFor[context.Context]():
			in = append(in, reflect.ValueOf(t.Context()))
		case len(given) > 0 && reflect.TypeOf(given[0]).AssignableTo(p):
			in, given = append(in, reflect.ValueOf(given[0])), given[1:]
		case p.Kind() == reflect.String && (name == "Backup" || name == "Restore"):
			in = append(in, reflect.ValueOf(filepath.Join(t.TempDir(), "none.db")))
		case p.Kind() == reflect.String:
			in = append(in, reflect.ValueOf("SELECT 1").Convert(p))
		default:
			in = append(in, reflect.Zero(p))
		}
	}
	return in
}

// Every method of DB answers on a back end that is no file: it works, or says
// ErrUnsupported and has sent nothing.
func TestEveryMethodAnswersOnABackend(t *testing.T) {
	t.Parallel()
	db, b := openFake(t)
	must(t, b.db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
	supported := map[string]bool{}
	call := func(on reflect.Value, m reflect.Method) {
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("%s: panic: %v", m.Name, p)
			}
		}()
		f := on.MethodByName(m.Name)
		before := b.calls.Load()
		var err error
		for _, out := range f.Call(arguments(t, m.Name, f.Type())) {
			if e, ok := out.Interface().(error); ok {
				err = e
			}
		}
		supported[m.Name] = !errors.Is(err, holdfast.ErrUnsupported)
		switch {
		case supported[m.Name]:
		case b.calls.Load() != before:
			t.Errorf("%s: something was sent before %v", m.Name, err)
		case holdfast.OutcomeOf(err) != holdfast.RolledBack || !strings.Contains(err.Error(), "; "):
			t.Errorf("%s doesn't say what to do: %v", m.Name, err)
		}
	}
	every := func(on any) {
		v := reflect.ValueOf(on)
		for i := range v.NumMethod() {
			if m := v.Type().Method(i); !slices.Contains([]string{"Close", "OptimizeTask", "VacuumTask"}, m.Name) { // the last are of export_test.go
				call(v, m)
			}
		}
	}
	every(db)
	every(db.Maintenance())
	for _, name := range []string{"Begin", "BeginTx", "Update", "View", "Explain", "Measure", "Verify", "Locks", "Queries", "QueryCounts", "History", "Checkpoint", "Optimize", "Run", "Add", "Pause"} {
		if supported[name] {
			t.Errorf("%s is supported", name)
		}
	}
	for _, name := range []string{"Exec", "ExecContext", "Query", "QueryContext", "QueryRow", "Prepare", "Batch", "Health", "Stats", "Backup", "Capabilities", "Rows", "Ping", "Conn"} {
		if was, ok := supported[name]; !was || !ok {
			t.Errorf("%s is not supported", name)
		}
	}
	if _, err := holdfast.Migrate(ctx(), db, func(*sql.DB) error { return errors.New("it was called") }); !errors.Is(err, holdfast.ErrUnsupported) {
		t.Errorf("Migrate: %v", err)
	}
}

func TestABackendIsAskedAsAFileIs(t *testing.T) {
	t.Parallel()
	db, b := openFake(t)
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a, at DATETIME)")
	if c := db.Capabilities(); c.Backend != "fake" || !c.Replicated || c.InteractiveTransactions || c.Locks || !c.Restore {
		t.Errorf("it can't do all that it says: %+v", c)
	}
	if db.Path() != "" || db.Stats().Sessions != 7 {
		t.Error(db.Path(), db.Stats().Sessions)
	}
	if h, err := db.Health(ctx()); err != nil || h.Cluster.Leader != "1" {
		t.Error(h, err)
	}
	low := holdfast.WithPriority(ctx(), holdfast.Low)
	if _, err := db.Batch(low, []holdfast.Statement{{SQL: "INSERT INTO t VALUES (1, ?, '2026-11-28 01:02:03')", Args: []any{"x"}}}, holdfast.IdempotencyKey("k")); err != nil {
		t.Fatal(err)
	}
	if b.set != (holdfast.BatchSettings{IdempotencyKey: "k", Priority: holdfast.Low}) {
		t.Errorf("%+v", b.set)
	}
	read := holdfast.WithFreshness(holdfast.WithReadLevel(ctx(), holdfast.ReadNone), 3e9)
	if n := number(t, db, "SELECT count(*) FROM t"); n != 1 || b.level.Load() != " 0s" {
		t.Error(n, b.level.Load())
	}
	must(t, b.db, "INSERT INTO t(a) VALUES (NULL), (2.5), (x'00ff')")
	var got []any
	for row, err := range db.Rows(read, "SELECT a, at FROM t ORDER BY id") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, row.Value(0), row.Type(1).String())
	}
	if want := []any{"x", "TEXT", nil, "NULL", 2.5, "NULL", []byte{0, 255}, "NULL"}; !reflect.DeepEqual(got, want) || b.level.Load() != "none 3s" {
		t.Errorf("%v at %v", got, b.level.Load())
	}
	for _, err := range db.Rows(ctx(), "SELECT * FROM missing") {
		var e *holdfast.Error
		if !errors.As(err, &e) || e.Code != 1 {
			t.Error(err)
		}
	}
	for _, err := range db.Rows(ctx(), "INSERT INTO t(a) VALUES (1) RETURNING id") {
		if !errors.Is(err, holdfast.ErrRefused) {
			t.Errorf("a write by Rows: %v", err)
		}
	}
	if db.Address() != strings.Replace(b.cfg.Database.Path[:strings.Index(b.cfg.Database.Path, "/?")], "user:secret@", "", 1) {
		t.Error(db.Address())
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil || b.closed.Load() != 1 {
		t.Error(err, b.closed.Load())
	}
	for name, err := range map[string]error{
		"batch":  second(db.Batch(ctx(), nil)),
		"health": second(db.Health(ctx())),
		"update": db.Update(ctx(), nil),
		"backup": second(db.Backup(ctx(), filepath.Join(t.TempDir(), "b.db"))),
	} {
		if !errors.Is(err, holdfast.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestABackendsBackupIsProven(t *testing.T) {
	t.Parallel()
	db, b := openFake(t)
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a); INSERT INTO t(a) VALUES (1), (2), (3)")
	dir := t.TempDir()
	info, err := db.Backup(ctx(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if !info.Verified || info.Rows["t"] != 3 || info.Method != "stream" || !strings.HasPrefix(filepath.Base(info.Destination), "fake-") {
		t.Errorf("%+v", info)
	}
	if strings.Contains(info.Source, "secret") || !strings.HasPrefix(info.Source, "fake://") || !strings.Contains(info.Source, "other:4001") {
		t.Errorf("source %s", info.Source)
	}
	if fi, err := os.Stat(info.Destination); err != nil || fi.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Error(fi.Mode(), err)
	}
	if proven, err := backup.Verify(ctx(), backup.File(info.Destination), nil); err != nil || proven.SHA256 != info.SHA256 {
		t.Error(err)
	}
	if _, err := backup.Schedule(db, backup.Plan{Destination: dir, Every: time.Hour}); !errors.Is(err, holdfast.ErrUnsupported) {
		t.Errorf("Schedule: %v", err)
	}
	b.damage = true
	target := filepath.Join(dir, "damaged.db")
	if _, err := db.Backup(ctx(), target); !errors.Is(err, holdfast.ErrCorrupt) {
		t.Errorf("what is no database: %v", err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || slices.Contains(names, target) || len(names) != 2 {
		t.Errorf("left: %v, %v", names, err)
	}
	if _, err := db.Backup(ctx(), info.Destination); !errors.Is(err, os.ErrExist) {
		t.Errorf("over another: %v", err)
	}
	if _, err := db.Backup(ctx(), target, holdfast.BackupVacuumed()); !errors.Is(err, holdfast.ErrUnsupported) {
		t.Error(err)
	}
}

func TestRestoreIntoABackend(t *testing.T) {
	t.Parallel()
	db, b := openFake(t)
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a); INSERT INTO t(a) VALUES (1), (2), (3)")
	path := filepath.Join(t.TempDir(), "backup.db")
	if _, err := b.db.Backup(ctx(), path); err != nil {
		t.Fatal(err)
	}
	info, err := db.Restore(ctx(), path)
	if err != nil || !maps.Equal(info.Rows, map[string]int64{"t": 3}) || info.Bytes != int64(len(b.loaded)) {
		t.Fatal(info, err)
	}
	if string(b.loaded[18:20]) != "\x01\x01" {
		t.Errorf("its journal mode is that of a log: %x", b.loaded[18:20])
	}
	copied := filepath.Join(t.TempDir(), "loaded.db")
	if err := os.WriteFile(copied, b.loaded, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := number(t, openAt(t, copied), "SELECT count(*) FROM t"); n != 3 {
		t.Errorf("%d rows were sent", n)
	}
	b.loses = true
	if _, err := db.Restore(ctx(), path); holdfast.OutcomeOf(err) != holdfast.Unknown || !strings.Contains(err.Error(), "has 2 rows there and 3 in the file") {
		t.Errorf("a row that is missing: %v", err)
	}
	sent := b.calls.Load()
	garbage := filepath.Join(t.TempDir(), "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{garbage: holdfast.ErrCorrupt, b.db.Path(): holdfast.ErrRefused, garbage + "-none": holdfast.ErrCannotOpen} {
		if _, err := db.Restore(ctx(), name); !errors.Is(err, want) {
			t.Errorf("%s: %v, not %v", name, err, want)
		}
	}
	if b.calls.Load() != sent {
		t.Error("something was sent all the same")
	}
	if _, err := b.db.Restore(ctx(), path); !errors.Is(err, holdfast.ErrUnsupported) {
		t.Errorf("on a file: %v", err)
	}
}

func TestRestoreOfABackupToAnAddress(t *testing.T) {
	t.Parallel()
	db, b := openFake(t)
	address := b.cfg.Database.Path
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a); INSERT INTO t(a) VALUES (1), (2), (3)")
	dir, scratch := t.TempDir(), t.TempDir()
	info, err := backup.Create(ctx(), db, dir, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	must(t, db, "DELETE FROM t WHERE id > 1")
	src, o := backup.File(info.Destination), backup.RestoreOptions{Scratch: scratch, DryRun: true}
	sent := b.calls.Load()
	r, err := backup.Restore(ctx(), src, address, o)
	if err != nil || len(r.Plan) != 3 || r.Verified || b.calls.Load() != sent {
		t.Errorf("a dry run: %+v (%v)", r, err)
	}
	o.DryRun = false
	r, err = backup.Restore(ctx(), src, address, o)
	if err != nil || !r.Verified || !r.RestoredTo.Equal(info.TakenAt) || r.Bytes != info.Bytes || strings.Contains(r.Database, "secret") {
		t.Fatalf("%+v (%v)", r, err)
	}
	if n := number(t, db, "SELECT count(*) FROM t"); n != 3 {
		t.Errorf("%d rows", n)
	}
	// What isn't the backup that it was is not sent.
	text, err := os.ReadFile(info.Destination)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-1] ^= 1
	if err := os.WriteFile(info.Destination, text, 0o600); err != nil {
		t.Fatal(err)
	}
	sent = b.calls.Load()
	if _, err = backup.Restore(ctx(), src, address, o); !errors.Is(err, backup.ErrDamaged) || b.calls.Load() != sent {
		t.Errorf("a damaged backup: %v", err)
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("left: %v (%v)", left, err)
	}
}

func TestRedacted(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"rqlite://u:p@h:4001,i:4001/x?level=none": "rqlite://h:4001,i:4001",
		"rqlite://h:4001":                         "rqlite://h:4001",
		"rqlite://u:p@ss/w@h:1":                   "rqlite://h:1",
		"rqlite://u:p?x@h:1":                      "rqlite://...",
		"rqlite://h:1?ca=a@b":                     "rqlite://...",
		"/tmp/a@b.db":                             "/tmp/a@b.db",
		"file:///tmp/x?mode=ro":                   "file:///tmp/x?mode=ro",
		`C://x`:                                   `C://x`,
	} {
		if got := holdfast.Redacted(address); got != want {
			t.Errorf("%s: %s", address, got)
		}
	}
}

func TestWhatHoldsOnFilesOnlyIsRefusedAtAnAddress(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change holdfast.Option
		want   error
	}{
		"untrusted SQL": {holdfast.WithUntrustedSQL(), holdfast.ErrRefused},
		"nobody there":  {func(*holdfast.Config) {}, holdfast.ErrCannotOpen},
		"replication": {func(c *holdfast.Config) {
			c.Replication.Target = "/somewhere"
		}, holdfast.ErrRefused},
	} {
		_, err := holdfast.Open(ctx(), "fake://user:secret@nowhere:1", c.change)
		if !errors.Is(err, c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
