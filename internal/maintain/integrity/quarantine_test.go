package integrity

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// A row that only breaks a rule stands before a record that can't be read.
func TestALookBehindTheFirstRow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	must(t, err)
	must(t, c.Exec("CREATE TABLE t(id INTEGER PRIMARY KEY, a CHECK(a>0)); PRAGMA ignore_check_constraints=1; INSERT INTO t VALUES(1,-1),(2,5),(3,'a text to be found')"))
	must(t, c.Close())
	b, err := os.ReadFile(path)
	must(t, err)
	at := bytes.Index(b, []byte("a text to be found"))
	b[at-3] = 0x7f // of the record, how long its header is
	must(t, os.WriteFile(path, b, 0o600))
	c, err = sqlite.Open(path, sqlite.OpenReadWrite)
	must(t, err)
	_, err = c.QueryText("SELECT max(a) FROM t")
	must(t, c.Close())
	if sqlite.Code(err) != sqlite.ResultCorrupt {
		t.Fatalf("%v", err)
	}
	l := secondLook{QuarantineConfig{Open: opens(path)}, sqlite.ResultCorrupt, "SELECT max(a) FROM t"}
	if evidence, is := l.look(t.Context()); !is {
		t.Errorf("not found: %q", evidence)
	}
}

func quarantine(t *testing.T, path string, open func(context.Context) (*sqlite.Conn, error)) *Quarantine {
	t.Helper()
	q := NewQuarantine(QuarantineConfig{
		Open: open, Bare: func() (*sqlite.Conn, error) { return sqlite.Open(path, sqlite.OpenReadWrite) },
		Identity: func() string { return "x" }, Free: func(string) (int64, error) { return 1 << 40, nil }, Path: path,
		OnFound: func(Damage) {}, OnKept: func(Damage) {},
	})
	t.Cleanup(q.Close)
	return q
}

// Two meet something at once. The one whose error is mostly damage waits for his own look.
func TestTwoLooks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	must(t, err)
	must(t, c.Exec("CREATE TABLE t(id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES(1,-1); CREATE TABLE u(a)"))
	root, err := c.QueryInt64("SELECT rootpage FROM sqlite_schema WHERE name='t'")
	must(t, err)
	must(t, c.Close())
	b, err := os.ReadFile(path)
	must(t, err)
	copy(b[(root-1)*4096:], "no page of a tree")
	must(t, os.WriteFile(path, b, 0o600))
	first := make(chan struct{})
	n := 0
	q := quarantine(t, path, func(ctx context.Context) (*sqlite.Conn, error) {
		if n++; n == 1 {
			close(first)
			<-ctx.Done() // the first look's time is too short for anything
			return nil, ctx.Err()
		}
		return sqlite.Open(path, sqlite.OpenReadWrite)
	})
	done := make(chan struct{})
	go func() {
		q.Suspect("query", "SELECT * FROM fts", &sqlite.Error{Code: sqlite.ResultCorruptVTab})
		close(done)
	}()
	<-first
	q.Suspect("query", "SELECT * FROM t", &sqlite.Error{Code: sqlite.ResultCorrupt})
	if err := q.Err(); err == nil {
		t.Error("whoever met the damage was told, and writes go on")
	}
	<-done
}

// A full check that finds nothing ends while the files are being kept.
func TestAbsolvedWhileKept(t *testing.T) {
	path, _ := newDB(t, "CREATE TABLE t(a)")
	q := quarantine(t, path, opens(path))
	keeping, goOn := make(chan struct{}), make(chan struct{})
	q.cfg.Exclude = func(context.Context) (func(), error) { close(keeping); <-goOn; return func() {}, nil }
	q.Condemn("verify", []string{"Tree 2 page 2: bad"})
	<-keeping
	q.Absolve(time.Now().Add(time.Second))
	if q.Err() != nil {
		t.Error("not lifted")
	}
	close(goOn)
	q.all.Wait()
	q2 := quarantine(t, path, opens(path))
	q2.Remember()
	if err := q2.Err(); err != nil {
		t.Error("found again by the next process:", err)
	}
}
