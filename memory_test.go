package holdfast_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// keepsStatements prepares and never closes: the leak that TestLeakedStatementsAreNamed
// plants.
func keepsStatements(t *testing.T, db *holdfast.DB, i int) {
	s, err := db.Prepare(fmt.Sprintf("SELECT a FROM t WHERE a = %d AND b = ?", i))
	if err != nil {
		t.Fatal(err)
	}
	_ = s
}

// closesStatements does as it should, more often.
func closesStatements(t *testing.T, db *holdfast.DB) {
	for range 10 {
		s, err := db.Prepare("SELECT b FROM t WHERE a = ?")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLeakedStatementsAreNamed(t *testing.T) {
	t.Parallel()
	told := make(chan string, 100)
	db := open(t, holdfast.WithLogger(slog.New(slog.NewTextHandler(tellingWriter{told, "not closed"}, nil))),
		holdfast.WithLeakThreshold(4*time.Millisecond))
	must(t, db, "CREATE TABLE t(a, b)")
	deadline := time.After(30 * time.Second)
	for i := 0; ; i++ {
		keepsStatements(t, db, i)
		closesStatements(t, db)
		select {
		case line := <-told:
			if !strings.Contains(line, "holdfast_test.keepsStatements") || strings.Contains(line, "a = 1") {
				t.Fatal(line)
			}
		case <-deadline:
			t.Fatalf("%d statements were left open, and nobody was named", i)
		default:
			continue
		}
		break
	}
	s := db.Stats()
	i := indexOf(s.Memory.Suspects, "statements")
	if i < 0 {
		t.Fatalf("no suspect: %+v", s.Memory.Suspects)
	}
	if got := s.Memory.Suspects[i]; !strings.Contains(got.CallSite, "keepsStatements") || got.Count < 64 ||
		got.Statement != "SELECT a FROM t WHERE a = ? AND b = ?" || s.Leaks == 0 {
		t.Errorf("%+v, %d leaks", got, s.Leaks)
	}
	for _, other := range s.Memory.Suspects {
		if strings.Contains(other.CallSite, "closesStatements") {
			t.Errorf("%+v closes what it prepares", other)
		}
	}
}

func indexOf(s []holdfast.MemorySuspect, kind string) int {
	for i := range s {
		if s[i].Kind == kind {
			return i
		}
	}
	return -1
}

// tellingWriter passes on the lines with a word.
type tellingWriter struct {
	to   chan string
	word string
}

func (w tellingWriter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.word) {
		select {
		case w.to <- string(p):
		default:
		}
	}
	return len(p), nil
}

func TestKeptConnIsASuspect(t *testing.T) {
	t.Parallel()
	told := make(chan string, 100)
	db := open(t, holdfast.WithLogger(slog.New(slog.NewTextHandler(tellingWriter{told, "kind=connection"}, nil))), holdfast.WithLeakThreshold(4*time.Millisecond))
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	<-told
	i := indexOf(db.Stats().Memory.Suspects, "connection")
	if i < 0 || !strings.Contains(db.Stats().Memory.Suspects[i].CallSite, "TestKeptConnIsASuspect") {
		t.Errorf("%+v", db.Stats().Memory.Suspects)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if s := db.Stats().Memory.Suspects; len(s) != 0 {
		t.Errorf("closed, and still %+v", s)
	}
}

// A mixed load on more data than the budget: what is granted stays within it at every
// look, what the caches have within what is granted, and the numbers are there.
func TestMemoryStaysWithinTheBudget(t *testing.T) {
	const budget, readers = 4 << 20, 8
	cfg := holdfast.Config{}
	cfg.Database.MemoryBudget = budget
	cfg.ConnectionPool.MaxConnections = readers
	db, err := holdfast.OpenConfig(t.Context(), withPath(cfg, t.TempDir()+"/app.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	defer check(t, db)
	must(t, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
	must(t, db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<4000) INSERT INTO t SELECT i, zeroblob(3000) FROM n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	for g := range 3 {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 1))
			for ctx.Err() == nil {
				loadOnce(t, db, rnd, g)
			}
		})
	}
	looks := 0
	for deadline := time.After(60 * time.Second); ; {
		m := db.Stats().Memory
		if m.Granted > m.Budget || m.Budget < budget || m.Usable > m.Budget {
			t.Fatalf("%+v", m)
		}
		bytes, seen := int64(0), 0
		for _, c := range m.Connections {
			bytes += c.CacheBytes
			if c.CacheBytes > c.CacheLimit+c.CacheLimit/8+256<<10 { // seen before it was made smaller, or with pages in use
				t.Errorf("%+v", c)
			}
			if c.Hits > 0 && c.Misses > 0 && c.SchemaBytes > 0 && c.StatementBytes > 0 {
				seen++
			}
		}
		if looks++; seen >= 2 && m.Resizes > 0 {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("after %d looks %+v", looks, m)
		case <-time.After(20 * time.Millisecond): // rounds come once a second
		}
	}
	cancel()
	all.Wait()
}

// loadOnce is one operation of a mixed load: reads by key, short scans, writes.
func loadOnce(t *testing.T, db *holdfast.DB, rnd *rand.Rand, g int) {
	a := 1 + rnd.IntN(4000)
	var n sql.NullInt64
	var err error
	switch op := rnd.IntN(100); {
	case op < 80:
		err = db.QueryRow("SELECT length(b) FROM t WHERE a = ?", a).Scan(&n)
	case op < 95 || g%2 == 0:
		err = db.QueryRow("SELECT sum(length(b)) FROM t WHERE a BETWEEN ? AND ?", a, a+100).Scan(&n)
	default:
		_, err = db.Exec("UPDATE t SET b = zeroblob(3000) WHERE a = ?", a)
	}
	if err != nil {
		t.Error(err)
	}
}

func withPath(cfg holdfast.Config, path string) holdfast.Config {
	cfg.Database.Path = path
	return cfg
}

// A session with a connection of its own has a part of the budget, and keeps the cache
// size that the program gave it.
func TestSessionsCacheIsItsOwn(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a)")
	ctx := t.Context()
	c, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.ExecContext(ctx, "PRAGMA cache_size=-12345"); err != nil {
		t.Fatal(err)
	}
	role := func() int64 {
		for _, m := range db.Stats().Memory.Connections {
			if m.Role == "session" {
				return m.CacheLimit
			}
		}
		return -1
	}
	if n := role(); n <= 0 {
		t.Errorf("the session's connection has %d of the budget", n)
	}
	before := db.Stats().Memory.Granted
	var n int
	for range 50 {
		if err := c.QueryRowContext(ctx, "PRAGMA cache_size").Scan(&n); err != nil || n != -12345 {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if _, err := c.ExecContext(ctx, "PRAGMA cache_size="+defaultCacheSize(t)); err != nil {
		t.Fatal(err)
	}
	if n := role(); n != -1 {
		t.Errorf("a session that has changed nothing any more has %d of the budget, of %d before", n, before)
	}
}

// defaultCacheSize is what a connection is opened with.
func defaultCacheSize(t *testing.T) string {
	t.Helper()
	cfg := holdfast.DefaultConfig()
	return fmt.Sprint(-(cfg.Database.MemoryBudget / int64(cfg.ConnectionPool.MaxConnections+1) >> 10))
}
