package outside_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/internal/locks/outside"
)

// mayWrite asks by a second process, this one having no right to.
func mayWrite(t *testing.T, path string) bool {
	t.Helper()
	h := start(t, enginePosix, path)
	h.run("1", "PRAGMA busy_timeout=0")
	h.send("1", "BEGIN IMMEDIATE")
	answer, err := h.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	h.kill()
	return strings.TrimSpace(answer) == "ok"
}

// Looking from outside takes no lock away, however often. What does, in the
// process that has them, is one open and close: the control.
func TestLooksLeaveLocksAlone(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"DELETE", "WAL"} {
		for _, kind := range kinds() {
			if kind == shellKind || kind == holdfastKind && mode == "DELETE" {
				continue // can't be made to open the file; makes it a WAL one
			}
			t.Run(mode+" "+kind, func(t *testing.T) {
				t.Parallel()
				path := prepare(t, mode)
				h := start(t, kind, path)
				h.run("1", "BEGIN IMMEDIATE")
				h.run("1", "INSERT INTO t VALUES (4)")
				before := locks(look(t, path), h.pid)
				for range 1000 {
					look(t, path)
				}
				after := locks(look(t, path), h.pid)
				if len(before) == 0 || strings.Join(before, " ") != strings.Join(after, " ") {
					t.Errorf("locks before %q, after %q", before, after)
				}
				if mayWrite(t, path) {
					t.Error("a second process may write")
				}
				locked := path
				if mode == "WAL" {
					locked += "-shm"
				}
				h.run("touch", locked)
				kept := len(locks(look(t, path), h.pid)) > 0
				if kept != h.ofd() { // locks of open files survive it
					t.Errorf("after the file was opened and closed, it holds %q", locks(look(t, path), h.pid))
				}
				if free := mayWrite(t, path); free == kept {
					t.Errorf("the lock is kept: %v, a second process may write: %v", kept, free)
				}
			})
		}
	}
}

// A process that has the database open itself keeps its locks, too: nothing is
// opened then.
func TestLookFromTheHolder(t *testing.T) {
	path := prepare(t, "DELETE")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec("INSERT INTO t VALUES (4)"); err != nil {
		t.Fatal(err)
	}
	r := look(t, path)
	if !strings.Contains(strings.Join(r.Blind, "\n"), "from another process") {
		t.Errorf("blind: %q", r.Blind)
	}
	if r = look(t, path); len(r.Holders) != 1 || r.Holders[0].Lock != outside.Reserved {
		t.Errorf("%+v", r.Holders)
	}
	if mayWrite(t, path) {
		t.Error("a second process may write")
	}
}
