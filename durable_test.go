package holdfast_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// durable is the option that acknowledges writes when they are at the target.
func (f *fakeTarget) durable(c *holdfast.Config) {
	f.here(c)
	c.Replication.Mode = "DURABLE"
}

// gate has each upload of a target wait until it is told how to end.
type gate struct {
	begun chan struct{} // has one for each upload
	end   chan error    // of one upload
	open  chan struct{} // closed when they end well by themselves
}

func (f *fakeTarget) gate() *gate {
	g := &gate{begun: make(chan struct{}, 1000), end: make(chan error), open: make(chan struct{})}
	f.uploads(func(ctx context.Context) error {
		g.begun <- struct{}{}
		select {
		case err := <-g.end:
			return err
		case <-g.open:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return g
}

// writes are all the ways to commit; each adds one row to t.
var writes = map[string]func(ctx context.Context, db *holdfast.DB) error{
	"Exec": func(ctx context.Context, db *holdfast.DB) error {
		_, err := db.ExecContext(ctx, "INSERT INTO t VALUES (1)")
		return err
	},
	"several statements": func(ctx context.Context, db *holdfast.DB) error {
		_, err := db.ExecContext(ctx, "INSERT INTO t VALUES (1); DELETE FROM t WHERE a = 2; SELECT 1")
		return err
	},
	"a text with its own transaction": func(ctx context.Context, db *holdfast.DB) error {
		_, err := db.ExecContext(ctx, "BEGIN; INSERT INTO t VALUES (1); COMMIT")
		return err
	},
	"RETURNING": func(ctx context.Context, db *holdfast.DB) error {
		var a int
		return db.QueryRowContext(ctx, "INSERT INTO t VALUES (1) RETURNING a").Scan(&a)
	},
	"a prepared statement": func(ctx context.Context, db *holdfast.DB) error {
		s, err := db.PrepareContext(ctx, "INSERT INTO t VALUES (?)")
		if err != nil {
			return err
		}
		defer s.Close()
		_, err = s.ExecContext(ctx, 1)
		return err
	},
	"Batch": func(ctx context.Context, db *holdfast.DB) error {
		_, err := db.Batch(ctx, []holdfast.Statement{{SQL: "INSERT INTO t VALUES (1)"}})
		return err
	},
	"Batch with a key": func(ctx context.Context, db *holdfast.DB) error {
		_, err := db.Batch(ctx, []holdfast.Statement{{SQL: "INSERT INTO t VALUES (1)"}}, holdfast.IdempotencyKey("b"))
		return err
	},
	"Update": func(ctx context.Context, db *holdfast.DB) error { return db.Update(ctx, insertOne(ctx)) },
	"Update with a key": func(ctx context.Context, db *holdfast.DB) error {
		return db.Update(ctx, insertOne(ctx), holdfast.IdempotencyKey("u"))
	},
	"an optimistic Update": func(ctx context.Context, db *holdfast.DB) error {
		return db.Update(ctx, insertOne(ctx), holdfast.Optimistic())
	},
	"a transaction": func(ctx context.Context, db *holdfast.DB) error {
		return inTx(db.BeginTx(ctx, nil))(insertOne(ctx))
	},
	"a transaction that changed its connection": func(ctx context.Context, db *holdfast.DB) error {
		return inTx(db.BeginTx(ctx, nil))(func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, "CREATE TEMP TABLE mine(a)"); err != nil {
				return err
			}
			return insertOne(ctx)(tx)
		})
	},
	"a textual transaction": inConn("BEGIN", "INSERT INTO t VALUES (1)", "COMMIT"),
	"a savepoint":           inConn("SAVEPOINT s", "INSERT INTO t VALUES (1)", "RELEASE s"),
	"a pinned session":      inConn("PRAGMA recursive_triggers=1", "INSERT INTO t VALUES (1)"),
	"a pinned transaction":  inConn("PRAGMA recursive_triggers=1", "BEGIN", "INSERT INTO t VALUES (1)", "COMMIT"),
	"Migrate": func(ctx context.Context, db *holdfast.DB) error {
		_, err := holdfast.Migrate(ctx, db, func(db *sql.DB) error {
			_, err := db.ExecContext(ctx, "INSERT INTO t VALUES (1)")
			return err
		}, holdfast.MigrateBackups(0))
		return err
	},
	"RebuildTable": func(ctx context.Context, db *holdfast.DB) error {
		_, err := holdfast.Migrate(ctx, db, func(db *sql.DB) error {
			return inTx(db.BeginTx(ctx, nil))(func(tx *sql.Tx) error {
				if err := holdfast.RebuildTable(ctx, tx, "t", holdfast.TableRebuild{Create: "CREATE TABLE t(a INTEGER)"}); err != nil {
					return err
				}
				return insertOne(ctx)(tx)
			})
		}, holdfast.MigrateBackups(0))
		return err
	},
}

func insertOne(ctx context.Context) func(*sql.Tx) error {
	return func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO t VALUES (1)")
		return err
	}
}

func inTx(tx *sql.Tx, err error) func(func(*sql.Tx) error) error {
	return func(fn func(*sql.Tx) error) error {
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := fn(tx); err != nil {
			return err
		}
		return tx.Commit()
	}
}

func inConn(statements ...string) func(context.Context, *holdfast.DB) error {
	return func(ctx context.Context, db *holdfast.DB) error {
		c, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		for _, s := range statements {
			if _, err := c.ExecContext(ctx, s); err != nil {
				return err
			}
		}
		return nil
	}
}

// No kind of write is acknowledged before its upload. Meanwhile its row is there
// to be read, and others commit: the writer is free.
func TestEveryWriteWaitsForItsUpload(t *testing.T) {
	t.Parallel()
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := newTarget(t)
			db := open(t, target.durable)
			must(t, db, "CREATE TABLE t(a INTEGER)")
			g := target.gate()
			first, second := make(chan error, 1), make(chan error, 1)
			go func() { first <- write(t.Context(), db) }()
			<-g.begun
			if n := number(t, db, "SELECT count(*) FROM t"); n != 1 {
				t.Errorf("%d rows while it is uploaded", n)
			}
			if holder := db.Stats().Writer; holder.Queued != 0 {
				t.Errorf("%d wait for the writer", holder.Queued)
			}
			go func() {
				_, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES (2)")
				second <- err
			}()
			poll(t, "a commit beside the upload", func() bool { return number(t, db, "SELECT count(*) FROM t") == 2 })
			select {
			case err := <-first:
				t.Errorf("acknowledged before its upload: %v", err)
			case err := <-second:
				t.Errorf("the other one was: %v", err)
			default:
			}
			g.end <- nil
			if err := <-first; err != nil {
				t.Error(err)
			}
			close(g.open)
			if err := <-second; err != nil {
				t.Error(err)
			}
			if s := db.Stats().Writer; s.UploadWaits < 2 || s.UploadWaitSeconds <= 0 || s.UnknownOutcomes != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// poll is for what nothing tells.
func poll(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// A write whose upload fails is there, and its outcome is said to be unknown; it
// is not repeated behind the caller's back.
func TestEveryWriteWhoseUploadFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("the bucket is gone")
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := newTarget(t)
			db := open(t, target.durable)
			must(t, db, "CREATE TABLE t(a INTEGER)")
			tried := 0
			target.uploads(func(context.Context) error { tried++; return broken })
			err := write(t.Context(), db)
			target.uploads(nil)
			var public *holdfast.Error
			if !errors.Is(err, holdfast.ErrOutcomeUnknown) || !errors.Is(err, holdfast.ErrNotReplicated) || !errors.Is(err, broken) || !errors.As(err, &public) {
				t.Errorf("%v", err)
			}
			if errors.Is(err, holdfast.ErrRolledBack) || tried != 1 {
				t.Errorf("%d tries, %v", tried, err)
			}
			if n := number(t, db, "SELECT count(*) FROM t"); n != 1 {
				t.Errorf("%d rows", n)
			}
			if n := db.Stats().Writer.UnknownOutcomes; n != 1 {
				t.Errorf("%d unknown outcomes", n)
			}
			must(t, db, "INSERT INTO t VALUES (2)") // the session is as good as before
		})
	}
}

// What acknowledges no write waits for nothing.
func TestWhatWaitsForNoUpload(t *testing.T) {
	t.Parallel()
	target := newTarget(t)
	db := open(t, target.durable)
	ctx := t.Context()
	must(t, db, "CREATE TABLE t(a UNIQUE)")
	must(t, db, "INSERT INTO t VALUES (7)")
	target.uploads(func(context.Context) error {
		t.Error("waited for an upload")
		return nil
	})
	defer target.uploads(nil)
	if n := number(t, db, "SELECT a FROM t"); n != 7 {
		t.Error(n)
	}
	for name, err := range map[string]error{
		"View":             db.View(ctx, func(*sql.Tx) error { return nil }),
		"optimistic":       db.Update(ctx, func(tx *sql.Tx) error { _ = text(t, tx, "SELECT a FROM t"); return nil }, holdfast.Optimistic()),
		"a text":           inConn("PRAGMA recursive_triggers=1", "SELECT 1", "PRAGMA recursive_triggers=0")(ctx, db),
		"a text rollback":  inConn("BEGIN", "INSERT INTO t VALUES (8)", "ROLLBACK")(ctx, db),
		"a transaction":    inTx(db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}))(func(*sql.Tx) error { return nil }),
		"PRAGMA optimize":  func() error { _, err := db.Optimize(ctx); return err }(),
		"Verify":           func() error { _, err := db.Verify(ctx, holdfast.VerifyQuick); return err }(),
		"Backup":           func() error { _, err := db.Backup(ctx, t.TempDir()); return err }(),
		"a lookup of rows": func() error { _, err := holdfast.Collect[int](db.Rows(ctx, "SELECT a FROM t")); return err }(),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := db.ExecContext(ctx, "INSERT INTO t VALUES (7)"); err == nil || errors.Is(err, holdfast.ErrOutcomeUnknown) {
		t.Errorf("a row that is there: %v", err)
	}
	stop := errors.New("no")
	if err := db.Update(ctx, func(tx *sql.Tx) error { _ = insertOne(ctx)(tx); return stop }); !errors.Is(err, stop) {
		t.Errorf("Update: %v", err)
	}
}

// A retry that finds its key recorded says so only when the first write is at
// the target.
func TestRetryWithAKeyWaitsForTheUpload(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(context.Context, *holdfast.DB) error{
		"Batch": writes["Batch with a key"], "Update": writes["Update with a key"],
		"optimistic": func(ctx context.Context, db *holdfast.DB) error {
			return db.Update(ctx, insertOne(ctx), holdfast.IdempotencyKey("o"), holdfast.Optimistic())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := newTarget(t)
			db := open(t, target.durable)
			must(t, db, "CREATE TABLE t(a INTEGER)")
			must(t, db, "INSERT INTO t VALUES (0)")
			g := target.gate()
			answer := make(chan error, 1)
			for try := range 3 {
				go func() { answer <- write(t.Context(), db) }()
				<-g.begun
				select {
				case err := <-answer:
					t.Fatalf("try %d was answered before its upload: %v", try, err)
				default:
				}
				if try < 2 {
					g.end <- errors.New("not yet")
					if err := <-answer; !errors.Is(err, holdfast.ErrNotReplicated) {
						t.Errorf("try %d: %v", try, err)
					}
				}
			}
			close(g.open)
			if err := <-answer; err != nil {
				t.Error(err)
			}
			if n := number(t, db, "SELECT count(*) FROM t"); n != 2 {
				t.Errorf("%d rows", n)
			}
		})
	}
}

// A context ends its own wait, and says that it did; who shares the upload goes on.
func TestContextEndsAnUploadWait(t *testing.T) {
	t.Parallel()
	target := newTarget(t)
	db := open(t, target.durable)
	must(t, db, "CREATE TABLE t(a INTEGER)")
	for name, write := range writes {
		g := target.gate()
		ctx, cancel := context.WithCancel(t.Context())
		other, mine := make(chan error, 1), make(chan error, 1)
		go func() { other <- writes["Exec"](t.Context(), db) }()
		<-g.begun
		before := number(t, db, "SELECT count(*) FROM t")
		go func() { mine <- write(ctx, db) }()
		poll(t, "the commit of "+name, func() bool { return number(t, db, "SELECT count(*) FROM t") > before || len(mine) > 0 })
		cancel()
		// Until it has given the writer back the end of its context may still undo it.
		err := <-mine
		known := err == context.Canceled || errors.Is(err, sql.ErrTxDone) // before its COMMIT
		if !known && (!errors.Is(err, holdfast.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled)) {
			t.Errorf("%s: %v", name, err)
		}
		select {
		case err := <-other:
			t.Fatalf("the other was answered beside %s: %v", name, err)
		default:
		}
		close(g.open)
		if err := <-other; err != nil {
			t.Errorf("beside %s: %v", name, err)
		}
		must(t, db, "DELETE FROM t")
	}
}

// Close waits for the uploads that writes wait for, and no longer than its bound.
func TestCloseDuringAnUpload(t *testing.T) {
	t.Parallel()
	target := newTarget(t)
	db := open(t, target.durable)
	must(t, db, "CREATE TABLE t(a INTEGER)")
	g := target.gate()
	answer, closed := make(chan error, 1), make(chan error, 1)
	go func() { answer <- writes["Exec"](context.Background(), db) }()
	<-g.begun
	go func() { closed <- db.Close() }()
	select {
	case err := <-closed:
		t.Errorf("Close did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	g.end <- nil
	if err := errors.Join(<-answer, <-closed); err != nil {
		t.Error(err)
	}

	hangs := newTarget(t)
	db, err := holdfast.Open(t.Context(), db.Path(), hangs.durable, func(c *holdfast.Config) { c.Replication.CloseTimeout = 50 * time.Millisecond })
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{})
	hangs.uploads(func(ctx context.Context) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	})
	go func() { answer <- writes["Exec"](context.Background(), db) }()
	<-begun
	if err := db.Close(); err != nil {
		t.Error(err) // the target says that it has shipped what was left
	}
	if err := <-answer; !errors.Is(err, holdfast.ErrOutcomeUnknown) || !errors.Is(err, holdfast.ErrNotReplicated) {
		t.Errorf("the write: %v", err)
	}
}
