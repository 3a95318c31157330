package cluster_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cluster/internal/faults"
)

func TestNothingIsSentThatIsRefused(t *testing.T) {
	c := faults.New(t, 1)
	db := open(t, c, "")
	run(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
	before := c.Requests()
	for _, sql := range []string{"BEGIN", "-- a\ncommit", "INSERT INTO t VALUES(1, 2); BEGIN", "ATTACH 'x' AS y", "SAVEPOINT a", "VACUUM", "PRAGMA foreign_keys=OFF", ""} {
		if sql == "" {
			continue
		}
		if _, err := db.Exec(sql); !errors.Is(err, holdfast.ErrRefused) || holdfast.OutcomeOf(err) != holdfast.RolledBack {
			t.Errorf("Exec %q: %v", sql, err)
		}
		if _, err := db.Batch(t.Context(), []holdfast.Statement{{SQL: sql}}); !errors.Is(err, holdfast.ErrRefused) && !errors.Is(err, holdfast.ErrInvalid) {
			t.Errorf("Batch %q: %v", sql, err)
		}
		if _, err := db.Query(sql); err == nil {
			t.Errorf("Query %q", sql)
		}
		if _, err := db.Prepare(sql); err == nil {
			t.Errorf("Prepare %q", sql)
		}
	}
	if _, err := db.BeginTx(t.Context(), nil); !errors.Is(err, holdfast.ErrUnsupported) || !strings.Contains(err.Error(), "Batch") {
		t.Errorf("BeginTx: %v", err)
	}
	for _, args := range [][]any{{1}, {1, math.Inf(1)}, {1, "\xff"}, {1, struct{}{}}, {1, uint64(1 << 63)}} {
		if _, err := db.Exec("INSERT INTO t VALUES(?, ?)", args...); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
	if _, err := db.Query("SELECT 1; SELECT 2"); !errors.Is(err, holdfast.ErrInvalid) {
		t.Errorf("two queries: %v", err)
	}
	if n := c.Requests() - before; n != 0 {
		t.Errorf("%d requests", n)
	}
	if r, err := db.Exec(" ; -- nothing"); err != nil {
		t.Errorf("%v %v", r, err)
	}
}

func TestReadOnly(t *testing.T) {
	c := faults.New(t, 1)
	run(t, open(t, c, ""), "CREATE TABLE t(id)")
	db := open(t, c, "", holdfast.WithReadOnly())
	if _, err := db.Exec("INSERT INTO t VALUES(1)"); !errors.Is(err, holdfast.ErrReadOnly) {
		t.Error(err)
	}
	if _, err := db.Batch(t.Context(), insert(1)); !errors.Is(err, holdfast.ErrReadOnly) {
		t.Error(err)
	}
	var n int
	if err := db.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != 0 {
		t.Error(n, err)
	}
}

// Values come back as what they were, also where the server would take them for something else.
func TestValues(t *testing.T) {
	db := open(t, faults.New(t, 1), "")
	values(t, db)
}

func values(t *testing.T, db *holdfast.DB) {
	run(t, db, "CREATE TABLE v(id INTEGER PRIMARY KEY, any, n INTEGER, r REAL, s TEXT, b BLOB, at DATETIME)")
	at := time.Date(2026, 11, 28, 3, 4, 5, 123456789, time.FixedZone("", 3600))
	for id, v := range []any{
		int64(math.MaxInt64), int64(math.MinInt64), int64(0), 1.5, -1e-300, 1e300, "", "x'6869'", " X'00' ", "x''", "nul\x00byte", "😀 \ufffd \\ufffd", "'; DROP TABLE v; --", nil, "[1,2]", "true",
	} {
		run(t, db, "INSERT INTO v(id, any) VALUES(?, ?)", id, v)
		var got any
		if err := db.QueryRow("SELECT any FROM v WHERE id = ?", id).Scan(&got); err != nil || got != v {
			t.Errorf("%#v came back as %#v, %v", v, got, err)
		}
		var n int
		if err := db.QueryRow("SELECT count(*) FROM v WHERE id = ? AND any IS ?", id, v).Scan(&n); err != nil || n != 1 {
			t.Errorf("%#v is not found: %v", v, err)
		}
	}
	run(t, db, "INSERT INTO v(id, n, r, s, b, at) VALUES(:id, @n, $r, ?4, :b, :at)", sql.Named("id", 100), sql.Named("at", at), sql.Named("b", []byte{0, 1, 255}), "text", sql.Named("n", 5), sql.Named("r", 2.0))
	var (
		n    any
		r, s any
		b    []byte
		when time.Time
	)
	err := db.QueryRow("SELECT n, r, s, b, at FROM v WHERE id = 100").Scan(&n, &r, &s, &b, &when)
	if err != nil || n != int64(5) || r != 2.0 || s != "text" || string(b) != "\x00\x01\xff" || !when.Equal(at) {
		t.Errorf("%#v %#v %#v %v %v, %v", n, r, s, b, when, err)
	}
	for _, blob := range [][]byte{{}, {0}, make([]byte, 100_000)} {
		run(t, db, "UPDATE v SET b = ? WHERE id = 100", blob)
		if err := db.QueryRow("SELECT b FROM v WHERE id = 100").Scan(&b); err != nil || len(b) != len(blob) || b == nil {
			t.Errorf("a blob of %d bytes has %d, %v", len(blob), len(b), err)
		}
	}
	// A blob that the server takes for text is damaged on the way. It must not come back as if it were not.
	var got any
	if err := db.QueryRow("SELECT max(b) FROM (SELECT x'ff00' AS b)").Scan(&got); err == nil {
		t.Errorf("a damaged blob came back as %#v", got)
	}
	var id int64
	if err := db.QueryRow("INSERT INTO v(any) VALUES(1) RETURNING\n\tid").Scan(&id); err != nil || id != 101 {
		t.Errorf("RETURNING: %d, %v", id, err)
	}
	res, err := db.Exec("INSERT INTO v(any) VALUES(1), (2), (3)")
	if err != nil {
		t.Fatal(err)
	}
	rows, _ := res.RowsAffected()
	if id, _ := res.LastInsertId(); id != 104 || rows != 3 {
		t.Errorf("last ID %d, %d rows", id, rows)
	}
	if res, err = db.Exec("CREATE INDEX i ON v(any)"); err != nil {
		t.Fatal(err)
	}
	if rows, _ := res.RowsAffected(); rows != 0 { // the server says 3: those of the statement before
		t.Errorf("an index affects %d rows", rows)
	}
}

func TestBatches(t *testing.T) { batches(t, open(t, faults.New(t, 1), "")) }

func batches(t *testing.T, db *holdfast.DB) {
	ctx := t.Context()
	run(t, db, "CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER)")
	run(t, db, "INSERT INTO account VALUES(1, 100), (2, 0)")
	transfer := func(n int) []holdfast.Statement {
		return []holdfast.Statement{
			{SQL: "UPDATE account SET balance = balance - ? WHERE id = 1 AND balance >= ?", Args: []any{n, n}, Expect: holdfast.Exactly(1)},
			{SQL: "UPDATE account SET balance = balance + ? WHERE id = 2", Args: []any{n}, Expect: holdfast.Exactly(1)},
		}
	}
	balances := func(want ...int) {
		t.Helper()
		for i, w := range want {
			var got int
			if err := db.QueryRow("SELECT balance FROM account WHERE id = ?", i+1).Scan(&got); err != nil || got != w {
				t.Errorf("account %d has %d, want %d: %v", i+1, got, w, err)
			}
		}
	}
	if r, err := db.Batch(ctx, transfer(60)); err != nil || len(r.Results) != 2 || r.Results[0].RowsAffected != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	balances(40, 60)
	_, err := db.Batch(ctx, transfer(60))
	var guard *holdfast.GuardError
	if !errors.Is(err, holdfast.ErrGuardFailed) || !errors.As(err, &guard) || *guard != (holdfast.GuardError{Statement: 1, Expected: 1}) {
		t.Errorf("%v, %+v", err, guard)
	}
	balances(40, 60)

	for i := range 3 {
		r, err := db.Batch(ctx, append(transfer(10), holdfast.Statement{SQL: "INSERT INTO account VALUES(NULL, 7)"}), holdfast.IdempotencyKey("once"))
		want := []holdfast.Result{{RowsAffected: 1}, {RowsAffected: 1}, {LastInsertID: 3, RowsAffected: 1}}
		if err != nil || r.Repeated != (i > 0) || fmt.Sprint(r.Results) != fmt.Sprint(want) {
			t.Errorf("%+v, %v", r, err)
		}
	}
	balances(30, 70, 7)
	if _, err := db.Batch(ctx, transfer(11), holdfast.IdempotencyKey("once")); !errors.Is(err, holdfast.ErrKeyReused) {
		t.Errorf("another write with the key: %v", err)
	}
	// A write that was rolled back leaves no key behind.
	if _, err := db.Batch(ctx, transfer(1000), holdfast.IdempotencyKey("twice")); !errors.Is(err, holdfast.ErrGuardFailed) {
		t.Error(err)
	}
	run(t, db, "UPDATE account SET balance = 1000 WHERE id = 1")
	if r, err := db.Batch(ctx, transfer(1000), holdfast.IdempotencyKey("twice")); err != nil || r.Repeated {
		t.Errorf("%+v, %v", r, err)
	}
	balances(0, 1070)

	_, err = db.Batch(ctx, []holdfast.Statement{{SQL: "INSERT INTO account VALUES(10, 1)"}, {SQL: "INSERT INTO account VALUES(1, 'a secret')"}})
	var e *holdfast.Error
	if !errors.As(err, &e) || e.Statement != 2 || e.Code != 19 || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v, %+v", err, e)
	}
	var n int
	if err := db.QueryRow("SELECT count(*) FROM account WHERE id = 10").Scan(&n); err != nil || n != 0 {
		t.Errorf("half a batch: %d, %v", n, err)
	}
}

func TestTheLeaderIsFollowed(t *testing.T) {
	c := faults.New(t, 3)
	db := open(t, c, "level=linearizable")
	run(t, db, "CREATE TABLE t(id)")
	for i := range 6 {
		c.Lead(i % 3)
		run(t, db, "INSERT INTO t VALUES(?)", i)
		var n int
		if err := db.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != i+1 {
			t.Errorf("%d rows, %v", n, err)
		}
	}
	c.Lead(-1)
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	if _, err := db.ExecContext(ctx, "INSERT INTO t VALUES(7)"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a leader: %v", err)
	}
	short := open(t, c, "timeout=200ms")
	if _, err := short.Exec("INSERT INTO t VALUES(7)"); !errors.Is(err, holdfast.ErrBusy) {
		t.Errorf("without a leader: %v", err)
	}
	var n int
	if err := db.QueryRowContext(holdfast.WithReadLevel(t.Context(), holdfast.ReadNone), "SELECT count(*) FROM t").Scan(&n); err != nil || n != 6 {
		t.Errorf("at level none everybody answers: %d, %v", n, err)
	}
}

// Only one machine is in the address. The others are learned of from it, so that user and
// password go nowhere else.
func TestMachinesAreLearnedOf(t *testing.T) {
	c := faults.New(t, 3)
	c.Lead(2)
	first, _, _ := strings.Cut(c.Address(""), ",")
	db, err := holdfast.Open(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	run(t, db, "CREATE TABLE t(id)")
}

// A leader that is stopped keeps its connections and answers nothing. When another one leads, who
// waits for the old one is told; with a key the write goes on to the new one.
func TestALeaderThatFallsSilent(t *testing.T) {
	c := faults.New(t, 3)
	db := open(t, c, "")
	run(t, db, "CREATE TABLE t(id)")
	silent := faults.Fault{Answer: func(x *faults.Exchange) {
		c.Lead(1)
		x.Hang()
	}}
	c.Script(silent)
	start := time.Now()
	if _, err := db.Exec("INSERT INTO t VALUES(1)"); holdfast.OutcomeOf(err) != holdfast.Unknown {
		t.Errorf("the leader has not answered: %v", err)
	}
	c.Lead(0)
	run(t, db, "INSERT INTO t VALUES(2)")
	c.Script(silent)
	if _, err := db.Batch(t.Context(), insert(3), holdfast.IdempotencyKey("3")); err != nil {
		t.Error(err)
	}
	if rows := c.Ledger("SELECT id FROM t ORDER BY id"); fmt.Sprint(rows) != "[2 3]" {
		t.Error(rows)
	}
	t.Logf("in %s", time.Since(start))
}

func TestWhoGoesAwayWhileHeWaits(t *testing.T) {
	c := faults.New(t, 1)
	db := open(t, c, "")
	run(t, db, "CREATE TABLE t(id)")
	arrived, goOn := make(chan struct{}), make(chan struct{})
	c.Script(faults.Fault{Answer: func(x *faults.Exchange) {
		close(arrived)
		<-goOn
		x.Answer(200, string(x.Apply()))
	}})
	first := make(chan error)
	go func() { _, err := db.Exec("INSERT INTO t VALUES(1)"); first <- err }()
	<-arrived
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	_, err := db.ExecContext(ctx, "INSERT INTO t VALUES(2)")
	if err != context.DeadlineExceeded {
		t.Errorf("it was not sent: %v", err)
	}
	close(goOn)
	if err := <-first; err != nil {
		t.Error(err)
	}
	c.Settle()
	if rows := c.Ledger("SELECT id FROM t"); fmt.Sprint(rows) != "[1]" {
		t.Error(rows)
	}
}

func TestClosed(t *testing.T) {
	c := faults.New(t, 1)
	db := open(t, c, "")
	run(t, db, "CREATE TABLE t(id)")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("INSERT INTO t VALUES(1)"); err == nil {
		t.Error("it is closed")
	}
	if _, err := db.Batch(t.Context(), insert(1)); !errors.Is(err, holdfast.ErrClosed) {
		t.Error(err)
	}
}

// What was written stays written, also where its rows can't be shown: no error says that it was not.
func TestRowsOfAWriteThatAreLost(t *testing.T) {
	c := faults.New(t, 1)
	db := open(t, c, "response_limit=1024")
	run(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB, s TEXT)")
	var got any
	for _, sql := range []string{
		"INSERT INTO t(b) VALUES(zeroblob(2000)) RETURNING b",
		"INSERT INTO t(s) VALUES('a') RETURNING x'ff00'",
	} {
		if err := db.QueryRow(sql).Scan(&got); holdfast.OutcomeOf(err) != holdfast.Unknown {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if n := c.Ledger("SELECT count(*) FROM t")[0]; n != 2 {
		t.Errorf("%d rows", n)
	}
	if err := db.QueryRow("SELECT b FROM t").Scan(&got); !errors.Is(err, holdfast.ErrRefused) || !strings.Contains(err.Error(), "response_limit") {
		t.Errorf("a long answer: %v", err)
	}
	before := c.Requests()
	if _, err := db.Exec("SELECT 1"); err != nil || c.Requests() != before {
		t.Errorf("what only reads went into the log: %v", err)
	}
}

// A request that gets no answer from a node that goes on leading holds up nobody else.
func TestOneRequestThatHangs(t *testing.T) {
	c := faults.New(t, 3)
	db := open(t, c, "")
	run(t, db, "CREATE TABLE t(id)")
	arrived := make(chan struct{})
	c.Script(faults.Fault{Answer: func(x *faults.Exchange) { close(arrived); x.Hang() }})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() { _, err := db.ExecContext(ctx, "INSERT INTO t VALUES(1)"); first <- err }()
	<-arrived
	run(t, db, "INSERT INTO t VALUES(2)")
	cancel()
	if err := <-first; holdfast.OutcomeOf(err) != holdfast.Unknown || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestTLS(t *testing.T) {
	c, ca, cert, key := faults.NewTLS(t, 3)
	c.Lead(1)
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return url.QueryEscape(path)
	}
	client := "&timeout=2s&cert=" + file("cert.pem", cert) + "&key=" + file("key.pem", key)
	run(t, open(t, c, "tls=on&ca="+file("ca.pem", ca)+client), "CREATE TABLE t(id)")
	run(t, open(t, c, "tls=insecure"+client), "INSERT INTO t VALUES(1)")
	before := c.Requests()
	for _, parameters := range []string{
		"timeout=200ms", "tls=on" + client, "tls=insecure&timeout=200ms",
		"tls=on&server_name=elsewhere.example&ca=" + file("ca.pem", ca) + client,
	} {
		if _, err := open(t, c, parameters).Exec("INSERT INTO t VALUES(2)"); holdfast.OutcomeOf(err) != holdfast.RolledBack {
			t.Errorf("%s: %v", parameters, err)
		} else if strings.Contains(parameters, "on&") && !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: it does not say why: %v", parameters, err)
		}
	}
	if n := c.Requests() - before; n != 0 {
		t.Errorf("%d requests came through", n)
	}
}

func TestSecretsStaySecret(t *testing.T) {
	const secret = "s3cr3t"
	c := faults.New(t, 1)
	c.RequirePassword(secret)
	run(t, open(t, c, ""), "CREATE TABLE t(id)")
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, hosts, _ := strings.Cut(c.Address(""), "@")
	for _, a := range []string{"rqlite://alice@" + hosts + "?password_file=" + file, "rqlite://alice:wrong-" + secret + "@" + hosts} {
		db, err := holdfast.Open(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		_, err = db.Exec("INSERT INTO t VALUES(1)")
		if wrong := strings.Contains(a, "wrong"); wrong == (err == nil) || err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%v", err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, a := range []string{
		"://a:b:c", "a:70000", "a:x", "", "a,,b", "a/b", "a?tls=perhaps", "a?level=strong", "a?timeout=5", "a?unknown=1", "a?ca=x", "a?tls=on&cert=x", "a?tls=on&ca=/no/such/file",
		"a?freshness_strict=x", "a?response_limit=1", "a?level=weak&level=none", "%zz@a", "[::1", "a b",
	} {
		_, err := holdfast.Open(t.Context(), "rqlite://alice:"+secret+"@"+a)
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", a, err)
		}
	}
}

func TestBackupAndRestore(t *testing.T) { backupAndRestore(t, open(t, faults.New(t, 1), "")) }

func backupAndRestore(t *testing.T, db *holdfast.DB) {
	ctx := t.Context()
	run(t, db, "CREATE TABLE kept(id INTEGER PRIMARY KEY, b BLOB)")
	run(t, db, "INSERT INTO kept(b) VALUES(randomblob(100000)), (randomblob(10))")
	dst := filepath.Join(t.TempDir(), "copy.db")
	info, err := db.Backup(ctx, dst)
	if err != nil || !info.Verified || info.Rows["kept"] != 2 {
		t.Fatalf("%+v, %v", info, err)
	}
	if stat, err := os.Stat(dst); err != nil || stat.Mode().Perm() != 0o600 && os.PathSeparator == '/' {
		t.Error(stat.Mode(), err)
	}
	run(t, db, "DELETE FROM kept")
	if _, err := db.Restore(ctx, dst); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := db.QueryRowContext(holdfast.WithReadLevel(ctx, holdfast.ReadLinearizable), "SELECT count(*) FROM kept").Scan(&n); err != nil || n != 2 {
		t.Errorf("%d rows, %v", n, err)
	}
	text := filepath.Join(t.TempDir(), "text.db")
	if err := os.WriteFile(text, []byte("DROP TABLE kept; -- a text that the server would run "+strings.Repeat(" ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Restore(ctx, text); err == nil {
		t.Error("a text was restored")
	}
	if err := db.QueryRow("SELECT count(*) FROM kept").Scan(&n); err != nil || n != 2 {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestABackupThatEndsInTheMiddle(t *testing.T) {
	c := faults.New(t, 1)
	db := open(t, c, "")
	run(t, db, "CREATE TABLE t(a)")
	c.CutBackupsShort()
	dst := filepath.Join(t.TempDir(), "copy.db")
	if info, err := db.Backup(t.Context(), dst); err == nil {
		t.Errorf("%+v", info)
	}
	if _, err := os.Stat(dst); !errors.Is(err, os.ErrNotExist) {
		t.Error("it has its name all the same")
	}
}

func extendedOf(err error) int {
	var e *holdfast.Error
	if errors.As(err, &e) {
		return e.ExtendedCode
	}
	return 0
}
