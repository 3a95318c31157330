package sqlite

import "testing"

// A statement that is compiled while foreign keys are deferred keeps no way back of its
// own: run again when they are not, it fails and leaves its row (SQLite 3.54.1, which
// recompiles at the pragma, but not when COMMIT takes it back).
func TestStatementsOfDeferredForeignKeysAreNotKept(t *testing.T) {
	for _, end := range []string{"COMMIT", "ROLLBACK"} {
		c := newConn(t, "CREATE TABLE parent(id INTEGER PRIMARY KEY); CREATE TABLE child(p REFERENCES parent); INSERT INTO parent VALUES (1)")
		mustExec(t, c, "PRAGMA foreign_keys=1")
		insert := func(p int64) error {
			t.Helper()
			s, _, err := c.PrepareCached("INSERT INTO child VALUES (?)")
			must(t, err)
			must(t, s.BindInt64(1, p))
			_, err = s.Step()
			if e := s.Release(); err == nil {
				err = e
			}
			return err
		}
		must(t, insert(1)) // it is in the cache now
		mustExec(t, c, "BEGIN")
		must(t, c.ExecCached("PRAGMA defer_foreign_keys=1"))
		if !c.DefersForeignKeys() {
			t.Error("they are not deferred")
		}
		must(t, insert(1))
		must(t, c.ExecCached(end))
		if c.DefersForeignKeys() {
			t.Errorf("they are still deferred after %s", end)
		}
		mustExec(t, c, "BEGIN")
		wantCode(t, insert(99), ResultConstraintForeignKey)
		wantInt(t, c, 0, "SELECT count(*) FROM child WHERE p = 99")
		mustExec(t, c, "COMMIT")
		wantInt(t, c, 0, "SELECT count(*) FROM pragma_foreign_key_check")
		if _, _, idle := c.StatementCacheStats(); idle == 0 {
			t.Error("nothing is kept at all")
		}
	}
}
