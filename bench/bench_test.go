package main

import (
	"bytes"
	"context"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/bench/internal/report"
	"github.com/holdfastdb/holdfast/bench/internal/rival"
	"github.com/holdfastdb/holdfast/bench/internal/work"
)

// TestMain makes the test's binary a worker, as main does the program.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == workerArg {
		os.Exit(code(worker(context.Background(), os.Args[2])))
	}
	os.Exit(m.Run())
}

// contestants are all of them, with a limit that compiles in seconds.
func contestants(t *testing.T, dir string) []rival.Contestant {
	t.Helper()
	s, err := unpack(dir)
	must(t, err)
	s.Compiler = slices.Clone(s.Compiler)
	s.Compiler[slices.Index(s.Compiler, "-O2")] = "-O0"
	return rival.All(s)
}

// small makes a workload tiny, so that each contestant can do each kind.
func small(w work.Workload) work.Workload {
	w.Goroutines, w.Processes = min(w.Goroutines, 4), min(w.Processes, 2)
	w.Rows = min(w.Rows, 500)
	return w
}

// TestEverybodyDoesEverything runs one workload of each kind with everybody who
// says that he can, in processes as a real run does, and has the work checked.
func TestEverybodyDoesEverything(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newRunner(dir, options{rounds: 1}, log.New(io.Discard, "", 0))
	all := contestants(t, dir)
	for _, w := range oneOfEach() {
		template, err := r.template(t.Context(), w)
		must(t, err)
		for _, c := range all {
			if !c.Can(w) || redundant(w, c) {
				continue
			}
			if r.isMissing(t.Context(), c) {
				t.Logf("%s is missing: %s", c.Name, r.missing[c.Name])
				continue
			}
			t.Run(w.ID()+"/"+c.Name, func(t *testing.T) {
				t.Parallel()
				run := r.cell(t.Context(), cell{workload: w, contestant: c, template: template, warm: 5 * time.Millisecond, duration: 20 * time.Millisecond, operations: 500})
				checkRun(t, w, c, run)
			})
		}
	}
}

// redundant are set-ups that differ from others in their write transactions
// only, where there is none.
func redundant(w work.Workload, c rival.Contestant) bool {
	return withoutPatience(c) && w.Operation != work.Insert && w.Operation != work.InsertTx && w.Operation != work.Increment
}

// withoutPatience: nobody waits for a lock, or not where it is needed, so writes
// are refused. It is what these set-ups show.
func withoutPatience(c rival.Contestant) bool {
	return strings.HasSuffix(c.Name, "-default") || strings.HasSuffix(c.Name, "-deferred")
}

// oneOfEach is the first workload of each operation, and the one with several
// processes.
func oneOfEach() []work.Workload {
	var some []work.Workload
	seen := map[work.Operation]bool{}
	for _, w := range work.All() {
		if !seen[w.Operation] || w.Processes > 1 {
			seen[w.Operation] = true
			some = append(some, small(w))
		}
	}
	return some
}

func checkRun(t *testing.T, w work.Workload, c rival.Contestant, run report.Run) {
	t.Helper()
	canFail := withoutPatience(c)
	switch {
	case run.Problem != "":
		t.Errorf("problem: %s", run.Problem)
	case run.Lost > 0 || run.Surplus > 0:
		t.Errorf("%d lost, %d surplus", run.Lost, run.Surplus)
	case run.Errors > 0 && !canFail:
		t.Errorf("%d errors, first: %s", run.Errors, run.FirstError)
	case run.Done == 0 && !canFail, run.Done > 0 && run.Value <= 0:
		t.Errorf("%d done, value %g", run.Done, run.Value)
	case w.Processes > 1 && run.Share < 1:
		t.Errorf("the busiest process did %g times as much as the slowest", run.Share)
	}
}

// TestRun is the program from flags to files.
func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	json, svg := filepath.Join(dir, "out.json"), filepath.Join(dir, "out.svg")
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), []string{
		"--workloads", "W3/normal,W7/lease/1", "--contestants", "modernc-naive,spec-go", "--rounds", "2", "--duration", "10ms",
		"--dir", dir, "--json", json, "--svg", svg, "--profile", filepath.Join(dir, "profiles"),
	}, &stdout, &stderr)
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	for _, want := range []string{"W3 normal:", "W7 lease/1:", "holdfast ", "modernc-naive", "spec-go"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &stdout)
		}
	}
	f, err := os.Open(json)
	must(t, err)
	defer f.Close()
	r, err := report.ReadJSON(f)
	must(t, err)
	if len(r.Workloads) != 2 || len(r.Workloads[0].Contestants) != 3 || len(r.Workloads[0].Contestants[0].Runs) != 2 {
		t.Errorf("the JSON does not have two workloads of three contestants with two runs each")
	}
	for _, name := range []string{"W3-normal.holdfast", "W7-lease-1.spec-go"} {
		for _, ending := range []string{".cpu.pprof", ".allocs.pprof"} {
			if info, err := os.Stat(filepath.Join(dir, "profiles", name+ending)); err != nil || info.Size() == 0 {
				t.Errorf("the profile %s: %v", name+ending, err)
			}
		}
	}
	var again bytes.Buffer
	must(t, run(t.Context(), []string{"--from", json, "--workloads", "W7", "--contestants", "spec-go"}, &again, io.Discard))
	if !strings.Contains(again.String(), "W7 lease/1") || strings.Contains(again.String(), "W3 ") || strings.Contains(again.String(), "modernc") {
		t.Errorf("--from shows:\n%s", &again)
	}
	left, err := filepath.Glob(filepath.Join(dir, "run-*"))
	must(t, err)
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, bad := range [][]string{{"--rounds", "0"}, {"--duration", "-1s"}, {"--warm-up", "-1s"}, {"W4"}, {"--nonsense"}} {
		if _, err := parse(bad, io.Discard); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
	o, err := parse([]string{"--quick", "--rounds", "3"}, io.Discard)
	must(t, err)
	if o.rounds != 3 || o.duration != quickDuration || o.workloads != quickWorkloads {
		t.Errorf("--quick with --rounds 3 is %+v", o)
	}
	if _, err := (options{workloads: "W99"}).chosenWorkloads(); err == nil {
		t.Error("a workload that does not exist was accepted")
	}
	if _, err := (options{contestants: "nobody"}).chosenContestants(rival.All(rival.Sources{})); err == nil {
		t.Error("a contestant that does not exist was accepted")
	}
}

func TestBigIsOnlyOnRequest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		o    options
		want bool
	}{
		{options{}, false},
		{options{workloads: "W10"}, false},
		{options{workloads: "W10", big: true}, true},
		{options{workloads: "W10/rows/10M"}, true},
	} {
		chosen, err := c.o.chosenWorkloads()
		must(t, err)
		if slices.ContainsFunc(chosen, func(w work.Workload) bool { return w.Big }) != c.want {
			t.Errorf("%+v chooses big workloads: %t", c.o, !c.want)
		}
	}
}

// TestPlan holds the table of workloads and the list of contestants together.
func TestPlan(t *testing.T) {
	t.Parallel()
	all := rival.All(rival.Sources{})
	seen := map[string]bool{}
	for _, c := range all {
		if seen[c.Name] || c.Name == "" || c.Title == "" || (c.Open == nil) == (c.Command == nil) {
			t.Errorf("contestant %q is not complete, or there twice", c.Name)
		}
		seen[c.Name] = true
	}
	for _, w := range work.All() {
		for _, name := range w.Among {
			c, ok := rival.Find(all, name)
			if !ok {
				t.Errorf("%s is said to be about %s, which does not exist", w.ID(), name)
			} else if !c.Can(w) && c.Name != rival.Limit && !strings.HasPrefix(name, "spec-") {
				t.Errorf("%s is said to be about %s, which can't", w.ID(), name)
			}
		}
	}
	contests := plan(work.All(), all, nil)
	if len(contests) != len(work.All()) {
		t.Errorf("%d of %d workloads are planned", len(contests), len(work.All()))
	}
	for _, c := range contests {
		if c.contestants[0].Name != rival.Base || len(c.contestants) < 3 {
			t.Errorf("%s begins with %s and has %d contestants", c.workload.ID(), c.contestants[0].Name, len(c.contestants))
		}
	}
	_, expected := estimate(contests, options{rounds: defaultRounds, warm: defaultWarm, duration: defaultDuration, operations: defaultOperations})
	if expected > 15*time.Minute {
		t.Errorf("a whole run takes about %s, more than 15 minutes", expected)
	}
}

// TestChildThatFails must not end the run.
func TestChildThatFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newRunner(dir, options{rounds: 1}, log.New(io.Discard, "", 0))
	w := small(work.All()[0])
	template, err := r.template(t.Context(), w)
	must(t, err)
	c := rival.Contestant{Name: "nobody", Command: func(ctx context.Context, _ work.Job) (*exec.Cmd, error) {
		program, err := os.Executable()
		return exec.CommandContext(ctx, program, workerArg, "{}"), err
	}}
	run := r.cell(t.Context(), cell{workload: w, contestant: c, template: template, duration: time.Millisecond})
	if !strings.Contains(run.Problem, "there is no contestant") {
		t.Errorf("the problem is %q", run.Problem)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
