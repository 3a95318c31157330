package holdfast_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/sidelock"
	"golang.org/x/sys/unix"
)

const stoppedVariable = "HOLDFAST_TEST_STOPPED"

// TestStopped is what a process runs that stops itself at a bad moment; by
// itself it does nothing. It prints how many rows it was told to be committed.
func TestStopped(t *testing.T) {
	job := os.Getenv(stoppedVariable)
	if job == "" {
		t.Skip("run by the tests below only")
	}
	moment, path, _ := strings.Cut(job, " ")
	db := openAt(t, path)
	rows := 0
	insert := func() {
		must(t, db, "INSERT INTO t VALUES (1)")
		rows++
	}
	stop := func() { // sent to the process, another thread could take it, later
		fmt.Println("\nstopping")
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := unix.Tgkill(os.Getpid(), unix.Gettid(), syscall.SIGSTOP); err != nil {
			t.Error(err)
		}
	}
	switch moment {
	case inTransaction:
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		must(t, tx, "INSERT INTO t VALUES (1)")
		stop()
		must(t, tx, "INSERT INTO t VALUES (1)")
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		rows += 2
	case withTurn: // a turn is kept for a millisecond by who has been quick, if the machine is
		for again := true; again; {
			for range 50 {
				insert()
			}
			stop()
			_, err := fmt.Scan(&again)
			if err != nil {
				t.Fatal(err)
			}
		}
	case inQueue: // the parent, which has the turn, stops it
		fmt.Println("\nwaiting")
		insert()
	}
	for range 50 {
		insert()
	}
	fmt.Println("\nrows", rows)
}

const (
	inTransaction = "transaction"
	withTurn      = "turn"
	inQueue       = "queue"
)

// stopped is a process that is stopped at a bad moment.
type stopped struct {
	*child
	path string
}

func startStopped(t *testing.T, moment, path string) *stopped {
	t.Helper()
	return &stopped{startChild(t, "TestStopped", stoppedVariable, moment+" "+path), path}
}

func (s *stopped) isStopped() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Contains(string(stat), ") T ")
}

// stops waits until the process has stopped itself.
func (s *stopped) stops() {
	s.t.Helper()
	s.line("stopping")
	until(s.t, "the stop", s.isStopped)
}

func (s *stopped) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// A process that is stopped costs the writers of another one their patience with
// it, is named where they give up, and loses nothing.
func TestStoppedProcess(t *testing.T) {
	t.Parallel()
	const patience = 2 * time.Second // of writer.turnPatience
	for _, moment := range []string{inTransaction, withTurn, inQueue} {
		t.Run(moment, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "app.db")
			const timeout = 400 * time.Millisecond
			db := openAt(t, path, holdfast.WithBusyTimeout(timeout))
			must(t, db, "CREATE TABLE t(a)")
			turn, err := sidelock.Open(path + sidelock.Suffix) // as another process would
			if err != nil {
				t.Fatal(err)
			}
			defer turn.Close()
			if moment == inQueue {
				until(t, "the turn", func() bool { free, err := turn.TryAcquire(); return free || err != nil })
			}
			s := startStopped(t, moment, path)
			if moment == inQueue {
				s.line("waiting")
				until(t, "a place in the queue", func() bool { return strings.Contains(lockRows(t, path+sidelock.Suffix), " 1 1") })
				s.signal(syscall.SIGSTOP)
				until(t, "the stop", s.isStopped)
			} else {
				s.stops()
			}
			if moment == inQueue {
				if err := turn.Release(); err != nil {
					t.Fatal(err)
				}
			}
			s.hasTurn(turn)
			written := 0
			const writers = 8
			results, took := make([]error, writers), make([]time.Duration, writers)
			var all sync.WaitGroup
			for i := range writers {
				all.Go(func() {
					start := time.Now()
					_, results[i] = db.Exec("INSERT INTO t VALUES (2)")
					took[i] = time.Since(start)
				})
			}
			all.Wait()
			for i, err := range results {
				if took[i] > timeout+patience+time.Second {
					t.Errorf("a writer with a busy_timeout of %v took %v", timeout, took[i])
				}
				var e *holdfast.Error
				switch {
				case moment != inTransaction && err == nil:
					written++
				case !errors.Is(err, holdfast.ErrBusy) || !errors.As(err, &e) || e.Holder == nil:
					t.Errorf("%v", err)
				case moment == inTransaction:
					s.isNamed(err, "WAL_WRITE")
				default:
					t.Errorf("the database is free, but: %v", err)
				}
			}
			t.Logf("%d of %d writers wrote; the longest took %v", written, writers, slices.Max(took))
			s.signal(syscall.SIGCONT)
			must(t, db, "INSERT INTO t VALUES (2)")
			written++
			var rows int
			if _, err := fmt.Sscan(s.line("rows"), &rows); err != nil {
				t.Fatal(err)
			}
			s.end()
			must(t, db, "INSERT INTO t VALUES (2)")
			written++
			if n := number(t, db, "SELECT count(*) FROM t"); n != int64(rows+written) {
				t.Errorf("%d rows, but %d and %d were acknowledged", n, rows, written)
			}
		})
	}
}

// hasTurn makes sure that the process was stopped while it had the turn.
func (s *stopped) hasTurn(turn *sidelock.Lock) {
	s.t.Helper()
	for {
		free, err := turn.TryAcquire()
		if err != nil {
			s.t.Fatal(err)
		}
		if !free {
			break
		}
		if err := turn.Release(); err != nil {
			s.t.Fatal(err)
		}
		until(s.t, "the end of a kept turn", func() bool { return !strings.Contains(lockRows(s.t, s.path+sidelock.Suffix), " 0 0") })
		s.say("true")
		s.signal(syscall.SIGCONT)
		s.stops()
	}
	s.say("false") // for when it goes on
}

// isNamed checks what an error says of the process.
func (s *stopped) isNamed(err error, lock string) {
	s.t.Helper()
	var e *holdfast.Error
	if !errors.As(err, &e) || e.Holder == nil {
		s.t.Errorf("%v", err)
		return
	}
	if h := e.Holder; h.PID != s.cmd.Process.Pid || h.State != "stopped" || h.Lock != lock || h.Program == "" {
		s.t.Errorf("%+v, the holder is %d", h, s.cmd.Process.Pid)
	}
	if !strings.Contains(err.Error(), fmt.Sprint("kill -CONT ", s.cmd.Process.Pid)) {
		s.t.Errorf("%v", err)
	}
}

// Who gives up while others of its process still have patience with a stopped
// one is told whom for.
func TestStoppedWithTheTurnIsNamed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := openAt(t, path)
	must(t, db, "CREATE TABLE t(a)")
	s := startStopped(t, withTurn, path)
	turn, err := sidelock.Open(path + sidelock.Suffix) // as another process would
	if err != nil {
		t.Fatal(err)
	}
	defer turn.Close()
	s.stops()
	s.hasTurn(turn)
	patient := make(chan error, 1)
	go func() { _, err := db.Exec("INSERT INTO t VALUES (2)"); patient <- err }()
	until(t, "the patient one", func() bool { return len(locksOf(t, db).Holders) > 0 })
	if h := locksOf(t, db).Holders[0]; h.PID != s.cmd.Process.Pid || h.Lock != "TURN" || h.State != "stopped" {
		t.Errorf("%+v, the holder is %d", h, s.cmd.Process.Pid)
	}
	c := conn(t, db)
	must(t, c, "PRAGMA busy_timeout=50")
	_, err = c.ExecContext(ctx(), "INSERT INTO t VALUES (2)")
	if !errors.Is(err, holdfast.ErrBusy) {
		t.Fatal(err)
	}
	s.isNamed(err, "TURN")
	if err := <-patient; err != nil { // it goes on without the turn
		t.Error(err)
	}
}
