package sqlite

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// TestMillionOperations does a million of everything and expects SQLite to hold
// the memory it held before, not a byte more.
func TestMillionOperations(t *testing.T) {
	ops := 1_000_000
	if testing.Short() {
		ops = 50_000
	}
	checkMemory(t)
	for range 4 { // connections come and go too
		work := newWorkload(t)
		for i := range ops / 4 {
			work.step(i)
		}
		work.close()
	}
}

// workload uses one connection in every way.
type workload struct {
	t       *testing.T
	c       *Conn
	text    string
	blob    []byte
	pending []*Stmt // in use for a while
	events  int
}

func newWorkload(t *testing.T) *workload {
	c, err := Open(":memory:", OpenReadWrite)
	must(t, err)
	w := &workload{t: t, c: c, text: strings.Repeat("text ", 20000), blob: bytes.Repeat([]byte{7}, 100000)}
	mustExec(t, c, "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c BLOB); CREATE TABLE u(a UNIQUE); INSERT INTO u VALUES (1)")
	c.SetStatementCacheSize(40)
	c.SetCommitHook(func() bool { w.events++; return false })
	c.SetRollbackHook(func() { w.events++ })
	c.SetUpdateHook(func(AuthAction, string, string, int64) { w.events++ })
	c.SetProgressHandler(50, func() bool { w.events++; return false })
	c.SetAuthorizer(func(AuthAction, string, string, string, string) AuthResult { w.events++; return AuthOK })
	must(t, c.CreateFunction("f", 1, true, func(args []Value) (any, error) {
		w.events++
		if args[0].Type() == TypeNull {
			return nil, newError(ResultMismatch, "f")
		}
		return args[0].Text(), nil
	}))
	return w
}

func (w *workload) step(i int) {
	must := func(err error) { must(w.t, err) }
	switch {
	case i%10_000 == 9999:
		w.backup()
	case i%5_000 == 4999:
		w.session()
	case i%500 == 499:
		w.errors()
	case i%100 == 99:
		must(w.c.Exec(fmt.Sprintf("BEGIN; INSERT INTO t(b) VALUES (f('%d')); ROLLBACK; DELETE FROM t WHERE a>1000", i)))
	default:
		w.statement(i)
	}
}

// statement runs one of 60 texts, 20 more than the cache holds.
func (w *workload) statement(i int) {
	must := func(err error) { must(w.t, err) }
	sql := "SELECT a, b, c, f(?4) FROM t WHERE a=?1 AND ?2 IS NOT ?3"
	if i%3 == 0 {
		sql = "INSERT OR REPLACE INTO t VALUES (?, ?, ?)"
	}
	if i%8 == 0 {
		sql += fmt.Sprintf(" -- %d", i/8%60)
	}
	s, _, err := w.c.PrepareCached(sql)
	must(err)
	size := i % 50
	if i%997 == 0 {
		size = i % 100_000
	}
	must(s.BindInt64(1, int64(i%1000)))
	must(s.BindText(2, w.text[:size]))
	must(s.BindBlob(3, w.blob[:size]))
	if s.BindParamCount() == 4 {
		must(s.BindText(4, "x"))
	}
	row, err := s.Step()
	must(err)
	if row {
		text := s.ColumnText(1)
		if s.ColumnText(3) != "x" || text != "changed" && len(text) != len(s.ColumnBlob(2)) {
			w.t.Fatal("wrong row")
		}
	}
	if i%1001 == 0 {
		w.pending = append(w.pending, s) // still running while others come and go
		if len(w.pending) < 5 {
			return
		}
		s, w.pending = w.pending[0], w.pending[1:]
	}
	must(s.Release())
}

func (w *workload) errors() {
	for sql, code := range map[string]ResultCode{
		"SELEKT":                    ResultError,
		"INSERT INTO u VALUES (1)":  ResultConstraintUnique,
		"SELECT f(NULL)":            ResultMismatch,
		"SELECT zeroblob(1<<40)":    ResultTooBig,
		"INSERT INTO nowhere(x, y)": ResultError,
	} {
		wantCode(w.t, w.c.Exec(sql), code)
		s, _, err := w.c.PrepareCached(sql)
		if err == nil {
			_, err = s.Step()
			wantCode(w.t, s.Release(), code)
		}
		wantCode(w.t, err, code)
	}
	_, err := Open("/nowhere/at/all", OpenReadWrite)
	wantCode(w.t, err, ResultCantOpen)
}

func (w *workload) backup() {
	must := func(err error) { must(w.t, err) }
	dst, err := Open(":memory:", OpenReadWrite)
	must(err)
	b, err := NewBackup(dst, "", w.c, "")
	must(err)
	for done := false; !done; {
		done, err = b.Step(100)
		must(err)
	}
	must(b.Finish())
	_, err = NewBackup(dst, "", w.c, "") // left for Close
	must(err)
	image, err := w.c.Serialize("")
	must(err)
	must(dst.Close())
	dst, err = Open(":memory:", OpenReadWrite)
	must(err)
	must(dst.Deserialize("", image, false))
	wantText(w.t, dst, "ok", "PRAGMA integrity_check")
	must(dst.Close())
}

func (w *workload) session() {
	must := func(err error) { must(w.t, err) }
	s, err := w.c.NewSession("")
	must(err)
	must(s.Attach(""))
	must(w.c.Exec("UPDATE t SET b='changed' WHERE a%2; DELETE FROM t WHERE a%3=0"))
	set, err := s.Changeset()
	must(err)
	inverse, err := InvertChangeset(set)
	must(err)
	must(w.c.ApplyChangeset(inverse, func(string) bool { return true }, nil))
	must(w.c.ApplyChangeset(set, nil, func(ConflictType, *ChangesetIter) ConflictAction { return ConflictAbort }))
	if len(set)%2 == 0 {
		must(s.Close()) // the others are left for the connection
	}
}

func (w *workload) close() {
	if n, _, err := w.c.Status(DBStatusStmtUsed, false); n == 0 || err != nil {
		w.t.Error(n, err)
	}
	if w.c.tls.StackSlots() != unusedSlots() {
		w.t.Error("stack slots are still in use")
	}
	must(w.t, w.c.Close())
	if w.events == 0 || len(w.c.stmts)+len(w.c.owned) != 0 {
		w.t.Error(w.events, len(w.c.stmts), len(w.c.owned))
	}
	for _, s := range w.pending {
		wantCode(w.t, s.Release(), ResultMisuse)
	}
	w.pending = nil
}
