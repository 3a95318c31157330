package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/bench/internal/report"
	"github.com/holdfastdb/holdfast/bench/internal/rival"
	"github.com/holdfastdb/holdfast/bench/internal/work"
)

// cell is one contestant's turn.
type cell struct {
	workload   work.Workload
	contestant rival.Contestant
	template   string
	warm       time.Duration
	duration   time.Duration
	operations int64  // where it is not a time that ends it
	profiles   string // the directory for them; "" for none
}

const (
	// patience is what a cell may take beyond its duration before it is given up.
	// A design that waits 30 s for a lock, several times, has not come back by then.
	patience = time.Minute
	// slow is what an operation may take where it is their number that ends a cell.
	slow = 200 * time.Microsecond
)

func (c cell) limit() time.Duration {
	return c.warm + c.duration + time.Duration(c.operations)*slow + patience
}

// cell runs one. What goes wrong is part of the result: the others go on.
func (r *runner) cell(ctx context.Context, c cell) report.Run {
	limited, cancel := context.WithTimeout(ctx, c.limit())
	defer cancel()
	run, err := r.tryCell(limited, c)
	switch {
	case err == nil:
	case limited.Err() != nil && ctx.Err() == nil:
		run.Problem = fmt.Sprintf("it was not done after %s", c.limit())
	default:
		run.Problem = err.Error()
	}
	return run
}

func (r *runner) tryCell(ctx context.Context, c cell) (report.Run, error) {
	path := c.template
	if c.workload.Writes() {
		dir, err := os.MkdirTemp(r.dir, "cell-")
		if err != nil {
			return report.Run{}, err
		}
		defer os.RemoveAll(dir)
		path = filepath.Join(dir, "bench.db")
		if err := copyFile(c.template, path); err != nil {
			return report.Run{}, err
		}
	}
	tallies, wal, err := c.together(ctx, path)
	if err != nil {
		return report.Run{}, err
	}
	sum := new(work.Tally)
	for _, t := range tallies {
		sum.Merge(t)
	}
	run := c.result(sum)
	run.WAL, run.Share = wal, share(tallies)
	if c.workload.Writes() {
		v, err := work.Verify(ctx, path, sum)
		run.Lost, run.Surplus = v.Lost, v.Surplus
		if err != nil {
			return run, err
		}
	}
	return run, nil
}

// together runs the workload's processes at once and returns what they did, and
// the size to which the write-ahead log grew meanwhile.
func (c cell) together(ctx context.Context, path string) (tallies []*work.Tally, wal int64, err error) {
	var processes []*work.Process
	defer func() {
		for _, p := range processes[len(tallies):] {
			p.Kill()
		}
	}()
	for i := range c.workload.Processes {
		cmd, err := c.command(ctx, c.job(path, i))
		if err != nil {
			return nil, 0, err
		}
		p, err := work.Start(cmd)
		if err != nil {
			return nil, 0, err
		}
		processes = append(processes, p)
	}
	watch := watchSize(path + "-wal")
	defer func() { wal = watch.stop() }()
	for _, p := range processes {
		if err := p.Go(); err != nil {
			return nil, 0, err
		}
	}
	var errs []error
	for _, p := range processes {
		t, err := p.Finish()
		tallies = append(tallies, t)
		errs = append(errs, err)
	}
	return tallies, 0, errors.Join(errs...)
}

func (c cell) job(path string, process int) work.Job {
	w := c.workload
	return work.Job{
		Contestant: c.contestant.Name,
		Operation:  w.Operation,
		Settings: work.Settings{
			Path: path, Synchronous: w.Synchronous, Readers: cmp.Or(w.Readers, readers()), CacheKiB: w.CacheKiB,
		},
		Goroutines: w.Goroutines, FirstWorker: process * w.Goroutines, Rows: w.Rows,
		Warm: c.warm, Duration: c.duration, Operations: c.operations, Profile: c.profilePath(process),
	}
}

// profilePath is where a process leaves its profiles: W1-unprepared-8.holdfast.
// Each round writes over those of the round before.
func (c cell) profilePath(process int) string {
	if c.profiles == "" {
		return ""
	}
	name := strings.NewReplacer(" ", "-", "/", "-").Replace(c.workload.ID()) + "." + c.contestant.Name
	if c.workload.Processes > 1 {
		name += fmt.Sprintf(".%d", process+1)
	}
	return filepath.Join(c.profiles, name)
}

// workerArg makes this program a worker.
const workerArg = "worker"

func (c cell) command(ctx context.Context, j work.Job) (*exec.Cmd, error) {
	if c.contestant.Command != nil {
		return c.contestant.Command(ctx, j)
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, program, workerArg, string(text)), nil
}

func (c cell) result(t *work.Tally) report.Run {
	run := report.Run{
		Value: c.workload.Unit.Value(t),
		Done:  t.Done, Errors: t.Failed, FirstError: t.FirstError, Retries: t.Retries,
		Times: report.Times{
			P50: t.Latency.Quantile(0.5).Seconds(), P99: t.Latency.Quantile(0.99).Seconds(), Max: t.Latency.Max().Seconds(),
			Least:   t.Least.Seconds(),
			ReadP99: t.Reads.Quantile(0.99).Seconds(), IdleP99: t.Idle.Quantile(0.99).Seconds(),
		},
		Costs: report.Costs{Allocs: t.Allocs, Bytes: t.Bytes},
		Memory: report.Memory{
			Resident: float64(t.Memory.Resident), Live: float64(t.Memory.Live),
			Growth: t.Memory.Growth, LiveGrowth: t.Memory.LiveGrowth,
		},
	}
	if t.Done > 0 && c.workload.CountsCPU() {
		done := float64(t.Done)
		run.CPU, run.System, run.Faults = t.CPU/done, t.System/done, float64(t.Faults)/done
	}
	return run
}

// share tells how fair several processes were to each other: what the busiest
// did, as a multiple of what the slowest did. One process has nobody to be
// unfair to.
func share(tallies []*work.Tally) float64 {
	if len(tallies) < 2 {
		return 0
	}
	least, most := tallies[0].Done, tallies[0].Done
	for _, t := range tallies {
		least, most = min(least, t.Done), max(most, t.Done)
	}
	return float64(most) / float64(max(least, 1))
}
