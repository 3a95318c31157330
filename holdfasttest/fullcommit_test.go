package holdfasttest_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/holdfasttest"
)

// A disk takes half of the page of a commit, over an older log's page. Where the other
// half was the same, a power cut would leave a whole commit, and only then the outcome
// is unknown.
func TestDiskFullInTheMiddleOfACommit(t *testing.T) {
	t.Parallel()
	// Rows fill the page from its end: the newest is in the half that arrives.
	const (
		schema = `CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER, pad);
			INSERT INTO t VALUES (1, 100, zeroblob(1200)), (2, 100, zeroblob(1200)), (3, 100, zeroblob(1200))`
		newest, oldest = "UPDATE t SET n = 102 WHERE id = 3", "UPDATE t SET n = 102 WHERE id = 1"
	)
	for name, write := range map[string]func(db *holdfast.DB, update string) error{
		"a statement": func(db *holdfast.DB, update string) error {
			_, err := db.Exec(update)
			return err
		},
		"a transaction": func(db *holdfast.DB, update string) error {
			tx, err := db.Begin()
			must(t, err)
			_, err = tx.Exec(update)
			must(t, err)
			return tx.Commit()
		},
		"a session of its own": func(db *holdfast.DB, update string) error {
			return onConn(t, db, func(c *sql.Conn) error {
				_, err := c.ExecContext(t.Context(), update)
				return err
			})
		},
		"a transaction in a session of its own": func(db *holdfast.DB, update string) error {
			return onConn(t, db, func(c *sql.Conn) error {
				tx, err := c.BeginTx(t.Context(), nil)
				must(t, err)
				_, err = tx.Exec(update)
				must(t, err)
				return tx.Commit()
			})
		},
	} {
		for _, update := range []string{newest, oldest} {
			d := newDisk(t)
			recording, err := d.Record()
			must(t, err)
			path := filepath.Join(scratch(t), "app.db")
			db, err := holdfast.Open(d.Context(t.Context()), path)
			must(t, err)
			exec(t, db, schema)
			_, err = db.Checkpoint(t.Context(), holdfast.CheckpointRestart)
			must(t, err)
			exec(t, db, "UPDATE t SET n = 101 WHERE id = 3")
			_, err = db.Checkpoint(t.Context(), holdfast.CheckpointRestart)
			must(t, err)

			// The head of the new log, that of the frame, and the page.
			i := d.Inject(holdfasttest.Fault{Kind: holdfasttest.ShortWrite, Op: holdfasttest.Write, File: holdfasttest.WAL, N: 3})
			err = write(db, update)
			i.Remove()
			if i.Strikes() != 1 || !errors.Is(err, holdfast.ErrDiskFull) {
				t.Errorf("%s: %v, %d strikes", name, err, i.Strikes())
			}
			cut := afterNow(recording)
			if unknown := errors.Is(err, holdfast.ErrOutcomeUnknown); unknown != (update == newest) {
				t.Errorf("%s, %s: %v", name, update, err)
			}
			const count = "SELECT count(*) FROM t WHERE n = 102"
			var n int
			must(t, db.QueryRow(count).Scan(&n))
			if n != 0 {
				t.Errorf("%s: it is there", name)
			}
			exec(t, db, "UPDATE t SET n = 103 WHERE id = 2")
			must(t, db.Close())
			check(t, path, "0", count)
			dir := scratch(t)
			must(t, cut.WriteTo(dir))
			want := "0"
			if update == newest {
				want = "1"
			}
			check(t, filepath.Join(dir, "app.db"), want, count)
		}
	}
}

// onConn runs fn in a session that has a connection of its own.
func onConn(t *testing.T, db *holdfast.DB, fn func(*sql.Conn) error) error {
	t.Helper()
	c, err := db.Conn(t.Context())
	must(t, err)
	defer func() { must(t, c.Close()) }()
	_, err = c.ExecContext(t.Context(), "PRAGMA cache_size=100")
	must(t, err)
	return fn(c)
}

// afterNow is the state that a power cut would leave that comes now and loses nothing.
func afterNow(r *holdfasttest.Recording) holdfasttest.CrashState {
	for seed := uint64(0); ; seed++ {
		if s := r.CrashState(seed, holdfasttest.Journaled); s.Point == r.Len() && s.Kept == 1 {
			return s
		}
	}
}
