package sidelock

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The test binary starts itself again to have real processes: locks, their
// release by the kernel and starvation don't show within one.
const (
	childEnv   = "SIDELOCK_TEST_CHILD"   // what the child does: "ledger", "hold" or "duty"
	childLock  = "SIDELOCK_TEST_LOCK"    // path of the lock
	childTurns = "SIDELOCK_TEST_TURNS"   // ledger: how many entries end the test
	childWork  = "SIDELOCK_TEST_WORK_US" // ledger: microseconds that a turn lasts
)

// child is main in a child process.
func child() int {
	var err error
	switch os.Getenv(childEnv) {
	case "ledger":
		err = childLedger()
	case "hold":
		err = childHold()
	case "duty":
		err = childDuty()
	default:
		err = fmt.Errorf("unknown task")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		return 1
	}
	return 0
}

// childDuty takes a duty and keeps it until it is killed.
func childDuty() error {
	l, err := Open(os.Getenv(childLock))
	if err != nil {
		return err
	}
	if _, err := l.Take(context.Background(), Migration); err != nil {
		return err
	}
	fmt.Println("taken")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// childLedger waits for the start signal (end of standard input), then takes
// turns until the ledger is full.
func childLedger() error {
	turns, err := strconv.Atoi(os.Getenv(childTurns))
	if err != nil {
		return err
	}
	work, err := strconv.Atoi(os.Getenv(childWork))
	if err != nil {
		return err
	}
	path := os.Getenv(childLock)
	l, err := Open(path)
	if err != nil {
		return err
	}
	defer l.Close()
	ledger, err := os.OpenFile(ledgerOf(path), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer ledger.Close()
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	var longest time.Duration
	for full := false; !full; {
		waited, err := l.Acquire(context.Background())
		if err != nil {
			return err
		}
		longest = max(longest, waited)
		if full, err = sign(ledger, turns, time.Duration(work)*time.Microsecond); err != nil {
			return err
		}
		if err := l.Release(); err != nil {
			return err
		}
	}
	fmt.Println(longest.Microseconds())
	return nil
}

// sign writes this process's pid behind the last entry of the ledger and
// counts it at the front, in steps that only mutual exclusion keeps together:
// two processes inside at once would use one place twice.
func sign(ledger *os.File, turns int, work time.Duration) (full bool, err error) {
	var entry [8]byte
	if _, err := ledger.ReadAt(entry[:], 0); err != nil {
		return false, err
	}
	n := binary.LittleEndian.Uint64(entry[:])
	if n >= uint64(turns) {
		return true, nil
	}
	for start := time.Now(); time.Since(start) < work; {
	}
	binary.LittleEndian.PutUint64(entry[:], uint64(os.Getpid()))
	if _, err := ledger.WriteAt(entry[:], int64(n+1)*8); err != nil {
		return false, err
	}
	binary.LittleEndian.PutUint64(entry[:], n+1)
	_, err = ledger.WriteAt(entry[:], 0)
	return false, err
}

// childHold takes the turn, says so, and keeps it until it is killed.
func childHold() error {
	l, err := Open(os.Getenv(childLock))
	if err != nil {
		return err
	}
	if _, err := l.Acquire(context.Background()); err != nil {
		return err
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func ledgerOf(lock string) string { return strings.TrimSuffix(lock, Suffix) + ".ledger" }

// process is a running child.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
}

// start starts a child and waits until it is ready.
func start(t testing.TB, task, lock string, env ...string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+task, childLock+"="+lock)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	p := &process{cmd: cmd, stdin: stdin, stdout: bufio.NewReader(stdout)}
	if line, err := p.stdout.ReadString('\n'); line != "ready\n" {
		t.Fatalf("child said %q, %v", line, err)
	}
	return p
}

// race lets several processes fill a ledger. It returns how many turns each
// had, the longest wait, and how long it took.
func race(t testing.TB, procs, turns int, work time.Duration) (share map[int]int, longest, took time.Duration) {
	t.Helper()
	lock := lockPath(t)
	ledger := ledgerOf(lock)
	if err := os.WriteFile(ledger, make([]byte, 8), 0o600); err != nil {
		t.Fatal(err)
	}
	var children []*process
	share = make(map[int]int)
	for range procs {
		p := start(t, "ledger", lock, fmt.Sprintf("%s=%d", childTurns, turns), fmt.Sprintf("%s=%d", childWork, work.Microseconds()))
		children = append(children, p)
		share[p.cmd.Process.Pid] = 0
	}
	began := time.Now()
	for _, p := range children {
		p.stdin.Close()
	}
	for _, p := range children {
		out, _ := io.ReadAll(p.stdout)
		if err := p.cmd.Wait(); err != nil {
			t.Fatalf("child: %v", err)
		}
		us, err := strconv.Atoi(strings.TrimSpace(string(out)))
		if err != nil {
			t.Fatalf("child said %q", out)
		}
		longest = max(longest, time.Duration(us)*time.Microsecond)
	}
	took = time.Since(began)
	entries, err := os.ReadFile(ledger)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 8*(turns+1) {
		t.Fatalf("the ledger has %d bytes, not %d: turns overlapped", len(entries), 8*(turns+1))
	}
	for i := 8; i < len(entries); i += 8 {
		pid := int(binary.LittleEndian.Uint64(entries[i:]))
		if _, known := share[pid]; !known {
			t.Fatalf("entry %d is of process %d: turns overlapped", i/8, pid)
		}
		share[pid]++
	}
	return share, longest, took
}

// With turns as short as a transaction can be, everybody gets a like share.
// Shares are counted in turns, so a slow machine changes nothing.
func TestProcessesTakeTurns(t *testing.T) {
	if !Supported() {
		t.Skip("no file locks on this platform")
	}
	for _, work := range []time.Duration{100 * time.Microsecond, time.Millisecond} {
		t.Run(work.String(), func(t *testing.T) {
			const procs, turns = 4, 2000
			share, longest, took := race(t, procs, turns, work)
			t.Logf("%d turns in %v, longest wait %v, shares %v", turns, took, longest, share)
			for pid, n := range share {
				if n < turns/10 || n > turns*45/100 {
					t.Errorf("process %d had %d of %d turns", pid, n, turns)
				}
			}
		})
	}
}

// Empty turns change hands too fast for shares to mean anything, but they try
// mutual exclusion hardest.
func TestEmptyTurnsExclude(t *testing.T) {
	if !Supported() {
		t.Skip("no file locks on this platform")
	}
	race(t, 4, 20000, 0)
}

// More processes than places: those outside the queue have no order, but
// nobody may starve, and exclusion holds as ever.
func TestMoreProcessesThanPlaces(t *testing.T) {
	if !Supported() {
		t.Skip("no file locks on this platform")
	}
	const procs, turns = places + 4, 3000
	share, longest, took := race(t, procs, turns, 50*time.Microsecond)
	t.Logf("%d turns in %v, longest wait %v, shares %v", turns, took, longest, share)
	for pid, n := range share {
		if n == 0 {
			t.Errorf("process %d had no turn", pid)
		}
	}
}

func TestKilledHolderFreesTheTurn(t *testing.T) {
	if !Supported() {
		t.Skip("no file locks on this platform")
	}
	lock := lockPath(t)
	l := open(t, lock)
	for range 5 {
		holder := start(t, "hold", lock)
		if pid, ok := l.Holder(); !ok || pid != holder.cmd.Process.Pid {
			t.Errorf("Holder = %d, %v; want %d", pid, ok, holder.cmd.Process.Pid)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
		if _, err := l.Acquire(ctx); err == nil {
			t.Fatal("the turn was had twice")
		}
		cancel()
		if err := holder.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		acquire(t, l)
		release(t, l)
		holder.cmd.Wait()
		holder.stdin.Close()
	}
}

// A waiter killed in the queue must not hold up those behind it.
func TestKilledWaiterLeavesTheQueue(t *testing.T) {
	lock := lockPath(t)
	a, b := twoLocks(t, lock)
	if ok, err := a.file.tryLock(turn, 1); !ok || err != nil {
		t.Fatal(ok, err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=hold", childLock+"="+lock)
	if _, err := cmd.StdinPipe(); err != nil { // keeps the child alive should it get the turn
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for waiting := false; !waiting; { // until the child stands in the place "next"
		free, err := b.file.tryLock(next, 1)
		if err != nil {
			t.Fatal(err)
		}
		if free {
			if err := b.file.unlock(next, 1); err != nil {
				t.Fatal(err)
			}
		}
		waiting = !free
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended before it was killed")
	}
	if err := a.file.unlock(turn, 1); err != nil {
		t.Fatal(err)
	}
	acquire(t, b)
}
