package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

// command is the program itself, which TestMain has put into the path.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "holdfast", args...)
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// endless is a query whose rows never end.
const endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"

func TestInterrupt(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows can't send an interrupt to one process")
	}
	cmd := command(t, "query", ":memory:", endless, "-o", "jsonl")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || line != "{\"x\":1}\n" {
		t.Fatalf("first line %q, %v", line, err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = lines.ReadString('\n')
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d: %s", code, &errs)
	}
	if got := strings.TrimSpace(errs.String()); !strings.Contains(got, `"message":"interrupted"`) {
		t.Errorf("standard error: %s", got)
	}
}

func TestNULInSQL(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"exec", "query"} {
		cmd := command(t, verb, ":memory:", "-")
		cmd.Stdin = strings.NewReader("SELECT 1 \x00 ;")
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != 64 || !bytes.Contains(out, []byte("NUL byte")) {
			t.Errorf("%s: exit code %d, %v: %s", verb, code, err, out)
		}
	}
}

// benchResult is what the tests look at in bench contention --json.
type benchResult struct {
	Transactions int64   `json:"transactions"`
	Errors       int64   `json:"errors"`
	LostUpdates  *int64  `json:"lost_updates"`
	Duration     float64 `json:"duration_seconds"`
	P50          float64 `json:"p50_seconds"`
	P99          float64 `json:"p99_seconds"`
	Max          float64 `json:"max_wait_seconds"`
	Processes    int     `json:"processes"`
	Contestants  []struct {
		Contestant string `json:"contestant"`
		Errors     int64  `json:"errors"`
	} `json:"contestants"`
}

func bench(t *testing.T, args ...string) benchResult {
	t.Helper()
	cmd := command(t, append([]string{"bench", "contention", "--json"}, args...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &errs)
	}
	var r benchResult
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%s", out)
	if r.Transactions == 0 || r.Errors != 0 || r.LostUpdates == nil || *r.LostUpdates != 0 {
		t.Errorf("Holdfast: %d transactions, %d errors, lost updates %v", r.Transactions, r.Errors, r.LostUpdates)
	}
	if !(0 < r.P50 && r.P50 <= r.P99 && r.P99 <= r.Max && r.Duration > 0) {
		t.Errorf("times are out of order: %s", out)
	}
	return r
}

func TestBenchContentionAgainstTheBareDriver(t *testing.T) {
	t.Parallel()
	r := bench(t, "--duration", "1s", "--compare", "bare")
	if len(r.Contestants) != 2 || r.Contestants[1].Contestant != "bare" {
		t.Fatalf("contestants: %+v", r.Contestants)
	}
	if r.Contestants[1].Errors == 0 {
		t.Error("the bare driver made no error: the load is none")
	}
}

func TestBenchContentionWithProcesses(t *testing.T) {
	t.Parallel()
	if r := bench(t, "--duration", "500ms", "--processes", "3", "--goroutines", "8"); r.Processes != 3 {
		t.Errorf("%d processes", r.Processes)
	}
}
