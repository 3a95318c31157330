package holdfasttest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/holdfasttest"
)

// Each fault arrives as the error that such a disk causes, nothing of the write
// is there, and the database goes on when the fault is gone.
func TestFaultsArrive(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault holdfasttest.Fault
		want  []error // one of them
	}{
		{"EIO in the log", holdfasttest.Fault{Kind: holdfasttest.IOErr, Op: holdfasttest.Write, File: holdfasttest.WAL}, []error{holdfast.ErrIO, holdfast.ErrOutcomeUnknown}},
		{"EIO at the sync", holdfasttest.Fault{Kind: holdfasttest.IOErr, Op: holdfasttest.Sync, File: holdfasttest.WAL}, []error{holdfast.ErrOutcomeUnknown}},
		{"full", holdfasttest.Fault{Kind: holdfasttest.Full, Op: holdfasttest.Write}, []error{holdfast.ErrDiskFull}},
		{"half a write", holdfasttest.Fault{Kind: holdfasttest.ShortWrite, N: 2}, []error{holdfast.ErrDiskFull}},
		{"read-only", holdfasttest.Fault{Kind: holdfasttest.ReadOnly, Op: holdfasttest.Write}, []error{holdfast.ErrIO, holdfast.ErrOutcomeUnknown}},
	} {
		d := newDisk(t)
		db := holdfasttest.New(t, holdfasttest.WithDisk(d), holdfasttest.WithSchema("CREATE TABLE t(a)"))
		i := d.Inject(c.fault)
		_, err := db.Exec("INSERT INTO t VALUES (1)")
		ok := false
		for _, want := range c.want {
			ok = ok || errors.Is(err, want)
		}
		if !ok || i.Strikes() != 1 || i.Calls() < 1 {
			t.Errorf("%s: %v, %d strikes of %d calls", c.name, err, i.Strikes(), i.Calls())
		}
		i.Remove()
		if _, err := db.Exec("INSERT INTO t VALUES (2)"); err != nil {
			t.Errorf("%s: afterwards: %v", c.name, err)
		}
		must(t, db.Close())
		if !errors.Is(err, holdfast.ErrOutcomeUnknown) {
			check(t, db.Path(), "2", "SELECT group_concat(a) FROM t")
		}
	}
}

func TestBusyStrikesOnce(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	db := holdfasttest.New(t, holdfasttest.WithDisk(d), holdfasttest.WithSchema("CREATE TABLE t(a)"))
	busy := holdfasttest.Fault{Kind: holdfasttest.Busy, Op: holdfasttest.Lock, File: holdfasttest.SHM}
	i := d.Inject(busy)
	exec(t, db, "INSERT INTO t VALUES (1)") // waited for
	if i.Strikes() != 1 {
		t.Errorf("%d strikes", i.Strikes())
	}
	d.Heal()
	busy.Sticky = true
	d.Inject(busy)
	// A busy machine can take longer than this for the one strike before.
	c, err := db.Conn(t.Context())
	must(t, err)
	_, err = c.ExecContext(t.Context(), "PRAGMA busy_timeout=10")
	must(t, err)
	if _, err := c.ExecContext(t.Context(), "INSERT INTO t VALUES (2)"); !errors.Is(err, holdfast.ErrBusy) {
		t.Error(err)
	}
	must(t, c.Close())
	d.Heal()
	exec(t, db, "INSERT INTO t VALUES (3)")
}

func TestSlowFsyncIsSlow(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	db := holdfasttest.New(t, holdfasttest.WithDisk(d), holdfasttest.WithSchema("CREATE TABLE t(a)"))
	const delay = 30 * time.Millisecond
	d.Inject(holdfasttest.Fault{Kind: holdfasttest.Slow, Delay: delay})
	began := time.Now()
	exec(t, db, "INSERT INTO t VALUES (1)")
	if took := time.Since(began); took < delay {
		t.Errorf("took %s", took)
	}
}

// Without locks two connections of different processes would write at once; here
// it is enough that nothing is locked any more.
func TestNoLocks(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	db := holdfasttest.New(t, holdfasttest.WithDisk(d), holdfasttest.WithSchema("CREATE TABLE t(a)"))
	d.Inject(holdfasttest.Fault{Kind: holdfasttest.NoLocks, Sticky: true})
	tx, err := db.Begin()
	must(t, err)
	if _, err := tx.Exec("INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	check(t, db.Path(), "0", "SELECT count(*) FROM t")
	other, err := sqliteWrites(db.Path())
	if err != nil {
		t.Errorf("%s %v", other, err)
	}
	_ = tx.Rollback()
	d.Heal()
}

// sqliteWrites writes as another process would.
func sqliteWrites(path string) (string, error) {
	answers, err := holdfasttest.Examine(path, "INSERT INTO t VALUES (2) RETURNING a")
	return strings.Join(answers, " "), err
}

func TestADiskIsOneDatabases(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	path := filepath.Join(scratch(t), "app.db")
	db, err := holdfast.Open(d.Context(context.Background()), path)
	must(t, err)
	if err := d.Close(); err == nil {
		t.Error("the disk was closed under an open database")
	}
	if _, err := d.Record(); err == nil {
		t.Error("a recording has begun although files are open")
	}
	if _, err := holdfast.Open(context.Background(), path); !errors.Is(err, holdfast.ErrRefused) {
		t.Errorf("opened past the disk: %v", err)
	}
	must(t, db.Close())
	if _, err := d.Record(); err != nil {
		t.Error(err)
	}
}

// TestKillAtCommit has a child killed at the sync of its third commit. The
// commit whose sync was made is there, although nobody was told.
func TestKillAtCommit(t *testing.T) {
	if path := os.Getenv("HOLDFASTTEST_KILLED"); path != "" {
		killed(t, path, os.Getenv("HOLDFASTTEST_AFTER") == "true")
	}
	for _, after := range []bool{false, true} {
		path := filepath.Join(scratch(t), "app.db")
		cmd := osexec.Command(os.Args[0], "-test.run=^TestKillAtCommit$")
		cmd.Env = append(os.Environ(), "HOLDFASTTEST_KILLED="+path, "HOLDFASTTEST_AFTER="+strconv.FormatBool(after))
		out, err := cmd.Output()
		if exit := (*osexec.ExitError)(nil); !errors.As(err, &exit) || exit.Success() {
			t.Fatalf("%v: %s", err, out)
		}
		acked := 0
		for s := bufio.NewScanner(strings.NewReader(string(out))); s.Scan(); {
			if s.Text() == "acked" {
				acked++
			}
		}
		got, err := holdfasttest.Examine(path, "SELECT count(*) FROM t")
		must(t, err)
		if rows, _ := strconv.Atoi(got[0]); acked != 2 || rows < acked || after && rows != 3 {
			t.Errorf("after %v: %d acknowledged, %d rows", after, acked, rows)
		}
	}
}

func killed(t *testing.T, path string, after bool) {
	d := holdfasttest.NewDisk()
	db, err := holdfast.Open(d.Context(context.Background()), path)
	must(t, err)
	exec(t, db, "CREATE TABLE t(a)")
	d.Inject(holdfasttest.KillAtCommit(3, after))
	for i := range 5 {
		exec(t, db, "INSERT INTO t VALUES (?)", i)
		fmt.Println("acked")
	}
}

// Many goroutines, faults that come and go.
func TestFaultsOfManyGoroutines(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	db := holdfasttest.New(t, holdfasttest.WithDisk(d), holdfasttest.WithSchema("CREATE TABLE t(a INTEGER PRIMARY KEY)"))
	const workers, rounds = 8, 20
	var all sync.WaitGroup
	acked := make([][]int, workers)
	for w := range workers {
		all.Go(func() {
			for i := range rounds {
				if i == w {
					defer d.Inject(holdfasttest.Fault{Kind: holdfasttest.Full, N: 3}).Remove()
				}
				id := w*rounds + i
				if _, err := db.Exec("INSERT INTO t VALUES (?)", id); err == nil {
					acked[w] = append(acked[w], id)
				} else if !errors.Is(err, holdfast.ErrDiskFull) && !errors.Is(err, holdfast.ErrOutcomeUnknown) && !errors.Is(err, holdfast.ErrIO) && !errors.Is(err, holdfast.ErrCannotOpen) && !errors.Is(err, holdfast.ErrRolledBack) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	d.Heal()
	n := 0
	for _, ids := range acked {
		for _, id := range ids {
			var there int
			must(t, db.QueryRow("SELECT count(*) FROM t WHERE a = ?", id).Scan(&there))
			if there != 1 {
				t.Errorf("%d was acknowledged and is not there", id)
			}
			n++
		}
	}
	if n < workers*rounds/2 {
		t.Errorf("only %d writes of %d", n, workers*rounds)
	}
}
