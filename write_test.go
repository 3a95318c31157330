package holdfast_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/doctor"
	"github.com/holdfastdb/holdfast/holdfasttest"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/locks"
)

var readOnly = &sql.TxOptions{ReadOnly: true}

func TestBatch(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a UNIQUE)")
	r, err := db.Batch(ctx(), []holdfast.Statement{
		{SQL: "INSERT INTO t(a) VALUES (?), (?)", Args: []any{"x", "y"}},
		{SQL: "INSERT INTO t(a) VALUES (:a)", Args: []any{sql.Named("a", []byte{1, 2})}},
		{SQL: "INSERT INTO t(a) SELECT last_insert_rowid() + 100"},
		{SQL: "UPDATE t SET a = NULL WHERE a = 'y'"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []holdfast.Result{{2, 2}, {3, 1}, {4, 1}, {4, 1}}
	if fmt.Sprint(r.Results) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", r.Results, want)
	}
	if n := number(t, db, "SELECT a FROM t WHERE id = 4"); n != 103 {
		t.Errorf("last_insert_rowid() in the batch gave %d", n)
	}
	// All or nothing.
	_, err = db.Batch(ctx(), []holdfast.Statement{
		{SQL: "DELETE FROM t"},
		{SQL: "INSERT INTO t(a) VALUES ('z'), ('z')"},
	})
	var e *holdfast.Error
	if !errors.As(err, &e) || e.ExtendedCode != 2067 || !strings.Contains(err.Error(), "statement 2") || !strings.Contains(err.Error(), "UNIQUE constraint failed: t.a") {
		t.Errorf("got %v", err)
	}
	if n := number(t, db, "SELECT count(*) FROM t"); n != 4 {
		t.Errorf("%d rows", n)
	}
	for _, q := range []string{"COMMIT", "ROLLBACK", "BEGIN", "SAVEPOINT x", "ATTACH 'x' AS y", "PRAGMA foreign_keys=OFF", "VACUUM", "CREATE TEMP TABLE x(a)"} {
		if _, err := db.Batch(ctx(), []holdfast.Statement{{SQL: "INSERT INTO t(a) VALUES (9)"}, {SQL: q}}); !errors.Is(err, holdfast.ErrRefused) {
			t.Errorf("%s: %v", q, err)
		}
	}
	if _, err := db.Batch(ctx(), []holdfast.Statement{{SQL: "SELECT 1; SELECT 2"}}); !errors.Is(err, holdfast.ErrInvalid) {
		t.Errorf("two statements: %v", err)
	}
	if _, err := db.Batch(ctx(), nil); err != nil {
		t.Errorf("an empty batch: %v", err)
	}
}

// TestFailingUnitsLeaveNoTrace: of many concurrent writers every third fails
// in one of the ways SQLite knows; rows must equal acknowledgements.
func TestFailingUnitsLeaveNoTrace(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, `CREATE TABLE p(id INTEGER PRIMARY KEY);
		CREATE TABLE t(id INTEGER PRIMARY KEY, who, u UNIQUE, p REFERENCES p(id) DEFERRABLE INITIALLY DEFERRED);
		CREATE TRIGGER bomb BEFORE INSERT ON t WHEN NEW.who = 'raise' BEGIN SELECT RAISE(ROLLBACK, 'bomb'); END;
		INSERT INTO t(who, u) VALUES ('seed', 'taken')`)
	var mu sync.Mutex
	acknowledged := map[string]int{"seed": 1}
	var wg sync.WaitGroup
	for g := range 24 {
		wg.Go(func() {
			for i := range 40 {
				who := fmt.Sprintf("g%d-%d", g, i)
				err := writeSomehow(db, (g+i)%8, who)
				fails := (g+i)%8 >= 3
				if (err != nil) != fails {
					t.Errorf("way %d: %v", (g+i)%8, err)
				}
				if err == nil {
					mu.Lock()
					acknowledged[who]++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	rows, err := db.Query("SELECT who, count(*) FROM t GROUP BY who")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var who string
		var n int
		if err := rows.Scan(&who, &n); err != nil {
			t.Fatal(err)
		}
		if acknowledged[who] != n {
			t.Errorf("%s: %d rows, %d acknowledged", who, n, acknowledged[who])
		}
		delete(acknowledged, who)
	}
	if len(acknowledged) > 0 {
		t.Errorf("lost: %v", acknowledged)
	}
	t.Logf("%+v", db.Stats().Writer)
}

func writeSomehow(db *holdfast.DB, way int, who string) error {
	insert := "INSERT INTO t(who) VALUES (?)"
	switch way {
	case 0:
		_, err := db.Exec(insert, who)
		return err
	case 1:
		return db.Update(ctx(), func(tx *sql.Tx) error { _, err := tx.Exec(insert, who); return err })
	case 2:
		_, err := db.Batch(ctx(), []holdfast.Statement{{SQL: insert, Args: []any{who}}, {SQL: "UPDATE t SET who = who WHERE id = 1"}})
		return err
	case 3: // a constraint
		_, err := db.Exec("INSERT INTO t(who, u) VALUES (?, 'taken')", who)
		return err
	case 4: // a constraint that only COMMIT sees, in a statement without a savepoint
		_, err := db.Exec("INSERT INTO t(who, p) VALUES (?, 999)", who)
		return err
	case 5: // the same in a batch
		_, err := db.Batch(ctx(), []holdfast.Statement{{SQL: insert, Args: []any{who}}, {SQL: "INSERT INTO t(who, p) VALUES ('child', 999)"}})
		return err
	case 6: // drops the whole transaction, and with it everybody's in the group
		_, err := db.Exec("INSERT INTO t(who) VALUES ('raise')")
		return err
	}
	// A transaction that is refused at its COMMIT.
	tx, err := db.Begin()
	if err != nil {
		return nil // must be an error of the COMMIT
	}
	if _, err := tx.Exec("INSERT INTO t(who, p) VALUES (?, 999)", who); err != nil {
		return nil
	}
	err = tx.Commit()
	var e *holdfast.Error
	if errors.As(err, &e) && e.ExtendedCode == 787 || errors.Is(err, holdfast.ErrRolledBack) {
		return err
	}
	return nil
}

func TestOrFailKeepsItsFirstRows(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a UNIQUE)")
	must(t, db, "INSERT INTO t VALUES (2)")
	if _, err := db.Exec("INSERT OR FAIL INTO t VALUES (1), (2), (3)"); err == nil {
		t.Error("no error")
	}
	if n := number(t, db, "SELECT count(*) FROM t"); n != 2 {
		t.Errorf("%d rows, want 2: OR FAIL keeps what came before", n)
	}
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a)")
	// A page limit stands in for a full volume: SQLITE_FULL all the same.
	c := conn(t, db)
	must(t, c, "PRAGMA max_page_count=40")
	_, err := c.ExecContext(ctx(), "INSERT INTO t "+series(1000, "randomblob(1000)"))
	if !errors.Is(err, holdfast.ErrDiskFull) {
		t.Errorf("got %v", err)
	}
	must(t, db, "INSERT INTO t VALUES (1)")
	if n := number(t, db, "SELECT count(*) FROM t"); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
	batch := []holdfast.Statement{{SQL: "INSERT INTO t(a) VALUES (?)", Args: []any{"once"}}}
	first, err := db.Batch(ctx(), batch, holdfast.IdempotencyKey("k1"))
	if err != nil || first.Repeated {
		t.Fatal(first, err)
	}
	again, err := db.Batch(ctx(), batch, holdfast.IdempotencyKey("k1"))
	if err != nil || !again.Repeated || fmt.Sprint(again.Results) != fmt.Sprint(first.Results) {
		t.Errorf("got %+v, %v", again, err)
	}
	batch[0].Args = []any{"other"}
	if _, err := db.Batch(ctx(), batch, holdfast.IdempotencyKey("k1")); !errors.Is(err, holdfast.ErrKeyReused) {
		t.Errorf("got %v", err)
	}
	runs := 0
	for range 3 {
		err := db.Update(ctx(), func(tx *sql.Tx) error {
			runs++
			_, err := tx.Exec("INSERT INTO t(a) VALUES ('update')")
			return err
		}, holdfast.IdempotencyKey("k2"))
		if err != nil {
			t.Fatal(err)
		}
	}
	// A failed write does not use its key up.
	fail := errors.New("no")
	if err := db.Update(ctx(), func(*sql.Tx) error { return fail }, holdfast.IdempotencyKey("k3")); err != fail {
		t.Errorf("got %v", err)
	}
	if err := db.Update(ctx(), func(tx *sql.Tx) error { _, err := tx.Exec("INSERT INTO t(a) VALUES ('late')"); return err }, holdfast.IdempotencyKey("k3")); err != nil {
		t.Error(err)
	}
	// The same key from many goroutines at once.
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := db.Batch(ctx(), []holdfast.Statement{{SQL: "INSERT INTO t(a) VALUES ('race')"}}, holdfast.IdempotencyKey("k4")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := number(t, db, "SELECT count(*) FROM t"); n != 4 || runs != 1 {
		t.Errorf("%d rows, %d runs", n, runs)
	}
}

// TestOutcomeStaysUnknown has a COMMIT fail in its sync, when the write is in the
// log already, and the repetition by key fail with something else.
func TestOutcomeStaysUnknown(t *testing.T) {
	t.Parallel()
	var syncs, opens atomic.Bool // fail
	vfs, err := sqlite.RegisterVFS(func(c *sqlite.FileCall) sqlite.ResultCode {
		switch {
		case c.Op == sqlite.FileSync && c.Kind == sqlite.FileWAL && syncs.Load():
			opens.Store(true)
			return sqlite.ResultIOErrFsync
		case c.Op == sqlite.FileOpen && opens.Load():
			return sqlite.ResultCantOpen
		}
		return c.Forward()
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := vfs.Unregister(); err != nil {
			t.Error(err)
		}
	})
	db, err := holdfast.Open(sqlite.WithProbe(ctx(), &sqlite.Probe{VFS: vfs}), filepath.Join(t.TempDir(), "app.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	must(t, db, "CREATE TABLE t(a)")
	const insert = "INSERT INTO t VALUES (1)"
	for name, write := range map[string]func(opt holdfast.WriteOption) error{
		"batch": func(opt holdfast.WriteOption) error {
			_, err := db.Batch(ctx(), []holdfast.Statement{{SQL: insert}}, opt)
			return err
		},
		"update": func(opt holdfast.WriteOption) error {
			return db.Update(ctx(), func(tx *sql.Tx) error { _, err := tx.Exec(insert); return err }, opt)
		},
	} {
		before := number(t, db, "SELECT count(*) FROM t")
		syncs.Store(true)
		err := write(holdfast.IdempotencyKey(name))
		if !errors.Is(err, holdfast.ErrOutcomeUnknown) || !errors.Is(err, holdfast.ErrCannotOpen) {
			t.Errorf("%s: %v", name, err)
		}
		syncs.Store(false)
		opens.Store(false)
		if err := write(holdfast.IdempotencyKey(name)); err != nil {
			t.Errorf("%s, again: %v", name, err)
		}
		if n := number(t, db, "SELECT count(*) FROM t"); n != before+1 {
			t.Errorf("%s: %d rows of one", name, n-before)
		}
	}
}

func TestBadStatements(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b BLOB) STRICT")
	const nul = "SELECT 1\x00; DROP TABLE t"
	if _, err := db.Exec(nul); !errors.Is(err, holdfast.ErrInvalid) {
		t.Errorf("exec: %v", err)
	}
	if _, err := db.Query(nul); !errors.Is(err, holdfast.ErrInvalid) {
		t.Errorf("query: %v", err)
	}
	if _, err := db.Exec("INSERT INTO t VALUES (?, ?)", 1); !errors.Is(err, holdfast.ErrInvalid) || !strings.Contains(err.Error(), "missing argument with index 2") {
		t.Errorf("too few arguments: %v", err)
	}
	if _, err := db.Exec("INSERT INTO t VALUES (:a, :b)", sql.Named("a", 1)); !strings.Contains(fmt.Sprint(err), `missing named argument "b"`) {
		t.Errorf("missing name: %v", err)
	}
	if _, err := db.Exec("INSERT INTO t VALUES (?, ?)", 1, struct{ X int }{1}); err == nil {
		t.Error("a struct was stored")
	}
	var e *holdfast.Error
	if _, err := db.Exec("INSERT INTO t VALUES (?, ?)", "text in an integer key", "x"); !errors.As(err, &e) {
		t.Errorf("wrong type: %v", err)
	}
	if _, err := db.Exec("INSERT INTO t VALUES (1, ?)", bytes.Repeat([]byte{1}, 1_000_000_001)); !errors.As(err, &e) || e.Code != 18 {
		t.Errorf("a value over the limit: %v", err)
	}
	must(t, db, "INSERT INTO t VALUES (1, X'00')")
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// TestNoValueInErrorsOrLogs plants a canary in every argument and literal and
// looks for it in everything that comes out.
func TestNoValueInErrorsOrLogs(t *testing.T) {
	t.Parallel()
	const canary = "CANARY-4711-do-not-show"
	var log lockedBuffer
	db := open(t, holdfast.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))),
		holdfast.WithBusyTimeout(20*time.Millisecond), holdfast.WithLeakThreshold(5*time.Millisecond))
	must(t, db, "CREATE TABLE t(a UNIQUE, b CHECK (b < 10)); CREATE VIRTUAL TABLE f USING fts5(x); CREATE TABLE s(n INTEGER) STRICT; INSERT INTO t VALUES ('"+canary+"', 1)")
	var out []string
	note := func(_ any, err error) {
		t.Helper()
		if err == nil {
			t.Error("no error")
			return
		}
		j, e := json.Marshal(err)
		if e != nil {
			t.Error(e)
		}
		out = append(out, err.Error(), string(j), fmt.Sprintf("%+v", err))
	}
	note(db.Exec("INSERT INTO t VALUES (?, 1)", canary))
	note(db.Exec("INSERT INTO t VALUES ('" + canary + "', 1)"))
	note(db.Exec("INSERT INTO t VALUES (?, 20)", canary+"2"))
	note(db.Exec("INSERT INTO s VALUES (?)", canary))
	note(db.Query("SELECT * FROM f WHERE f MATCH ?", `"`+canary))
	note(db.Query("SELECT * FROM f WHERE f MATCH ?", canary+":x"))
	note(db.Query("SELECT json_extract('{}', ?)", canary))
	note(db.Query("SELECT json(?)", canary))
	for _, sql := range []string{ // the same as literals of the text
		"SELECT json_extract('{}', '" + canary + "')",
		"SELECT * FROM f WHERE f MATCH '\"" + canary + "'",
		"SELECT * FROM f WHERE f MATCH '" + canary + ":x'",
		"INSERT INTO s VALUES ('" + canary + "')",
		"SELECT * FROM t WHERE a = '" + canary + "' AND",
		"SELECT '" + canary,
		"SELECT x'" + canary + "'",
		"SELECT * FROM t WHERE a LIKE 'x' ESCAPE '" + canary + "'",
		"PRAGMA journal_mode = off; SELECT '" + canary + "'",
		"SELECT printf('%*d', 2000000000, 1) || '" + canary + "'",
		"SELECT load_extension('" + canary + "')",
		"INSERT INTO t VALUES ('" + canary + "', 1), ('" + canary + "')",
		"ATTACH '/nowhere/" + canary + "' AS x",
		"VACUUM INTO '/nowhere/" + canary + "'",
		// In double quotes they are strings, as there is no such column.
		"SELECT json_extract('{}', \"" + canary + "\")",
		"SELECT * FROM f WHERE f MATCH \"" + canary + ":x\"",
		"INSERT INTO s VALUES (\"" + canary + "\")",
		"INSERT INTO t(a, \"b\") VALUES (\"" + canary + "\", 20)",
		"UPDATE t SET a = 1, b = 20 WHERE a IN (1, \"" + canary + "\") OR \"a\" IS DISTINCT FROM \"" + canary + "\"",
		"SELECT * FROM t WHERE a = \"" + canary + "\" AND",
		"SELECT \"" + canary,
		"ATTACH \"/nowhere/" + canary + "\" AS x",
		"VACUUM INTO \"/nowhere/" + canary + "\"",
	} {
		_, err := db.Exec(sql)
		if err == nil {
			t.Errorf("no error: %s", sql)
			continue
		}
		note(nil, err)
	}
	if _, err := db.Exec("SELECT * FROM nosuch WHERE a = 'nosuch'"); !strings.Contains(err.Error(), "no such table: nosuch") {
		t.Errorf("a name was taken for a value: %v", err)
	}
	note(db.Exec("ATTACH ? AS x", "/nowhere/"+canary))
	note(db.Exec("SELECT ?, ?", canary))
	note(db.Batch(ctx(), []holdfast.Statement{{SQL: "INSERT INTO t VALUES (?, 1)", Args: []any{canary}}}, holdfast.IdempotencyKey(canary)))
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	must(t, tx, "UPDATE t SET a = '"+canary+"' WHERE b = ? OR a = \""+canary+"\"", canary)
	note(db.Exec("DELETE FROM t WHERE a = ?", canary))
	if report, err := db.Locks(ctx()); err != nil {
		t.Error(err)
	} else {
		out = append(out, jsonOf(t, report), fmt.Sprintf("%+v", report))
	}
	for db.Stats().Leaks == 0 {
		_, _ = db.Exec("DELETE FROM t WHERE a = ?", canary)
	}
	tx.Rollback()
	out = append(out, jsonOf(t, db.Stats()), fmt.Sprintf("%+v", db.Stats()))
	if report, err := locks.Look(ctx(), db.Path()); err == nil { // Linux
		out = append(out, jsonOf(t, report))
	}
	for _, s := range append(out, log.String()) {
		if strings.Contains(s, "CANARY") || strings.Contains(s, "do-not-show") {
			t.Errorf("a value shows in: %s", s)
		}
	}
	if log.String() == "" {
		t.Error("nothing was logged, so nothing was tested")
	}
}

// doctor reads the same file and a data source name that may have a password.
func TestNoValueInDoctor(t *testing.T) {
	t.Parallel()
	const canary = "CANARY-4711-do-not-show"
	path := filepath.Join(t.TempDir(), "app.db")
	db, err := holdfast.Open(ctx(), path)
	if err != nil {
		t.Fatal(err)
	}
	must(t, db, "CREATE TABLE t(a, b)")
	must(t, db, "INSERT INTO t VALUES (?, ?)", canary, canary)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := doctor.Examine(ctx(), path, doctor.Options{
		DSN: path + "?_auth_pass=" + canary + "&_nosuch=" + canary, Driver: "mattn",
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := jsonOf(t, report); strings.Contains(got, canary) || !strings.Contains(got, "dsn-ignored") {
		t.Errorf("a value shows, or nothing was found: %s", got)
	}
}

// What was found by its key may have been recovered from a log that no sync has
// covered: a repetition is acknowledged after a sync, too.
func TestARepeatedKeyIsFlushed(t *testing.T) {
	t.Parallel()
	disk := holdfasttest.NewDisk()
	t.Cleanup(func() {
		if err := disk.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx := context.Background()
	db := holdfasttest.New(t, holdfasttest.WithDisk(disk), holdfasttest.WithSchema("CREATE TABLE t(a)"))
	syncs := disk.Inject(holdfasttest.Fault{Kind: holdfasttest.Slow, Op: holdfasttest.Sync, File: holdfasttest.WAL, Sticky: true})
	for name, write := range map[string]func() error{
		"Batch": func() error {
			_, err := db.Batch(ctx, []holdfast.Statement{{SQL: "INSERT INTO t VALUES (1)"}}, holdfast.IdempotencyKey("batch"))
			return err
		},
		"Update": func() error {
			return db.Update(ctx, func(tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, "INSERT INTO t VALUES (2)")
				return err
			}, holdfast.IdempotencyKey("update"))
		},
	} {
		for i := range 3 {
			before := syncs.Strikes()
			if err := write(); err != nil {
				t.Fatal(err)
			}
			if got := syncs.Strikes() - before; got != 1 {
				t.Errorf("%s, time %d: %d syncs", name, i, got)
			}
		}
	}
	if got := text(t, db, "SELECT count(*) FROM t"); got != "2" {
		t.Errorf("%s rows", got)
	}
}
