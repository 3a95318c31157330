// Command bench measures Holdfast, other SQLite drivers in their usual set-ups,
// and the limit, side by side in one run. See README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/holdfastdb/holdfast/bench/internal/report"
	"github.com/holdfastdb/holdfast/bench/internal/rival"
	"github.com/holdfastdb/holdfast/bench/internal/work"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) == 3 && os.Args[1] == workerArg {
		os.Exit(code(worker(ctx, os.Args[2])))
	}
	os.Exit(code(run(ctx, os.Args[1:], os.Stdout, os.Stderr)))
}

// errWrong ends a run whose figures can't all be trusted.
var errWrong = errors.New("some runs did not do what they were to do; see the lines that begin with !, and the column \"lost\"")

// code is the process's exit code; an error is printed.
func code(err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	log.New(os.Stderr, "bench: ", 0).Print(err)
	return 1
}

// worker does one job in a process of its own.
func worker(ctx context.Context, text string) error {
	var j work.Job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	c, ok := rival.Find(rival.All(rival.Sources{}), j.Contestant)
	if !ok || c.Open == nil {
		return fmt.Errorf("there is no contestant %q in this program", j.Contestant)
	}
	return work.Child(ctx, j, c.Open, os.Stdin, os.Stdout)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.from != "" {
		return show(o, stdout)
	}
	parent := o.dir
	if parent == "" {
		if parent, err = rival.CacheDir(); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp(parent, "run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	sources, err := unpack(dir)
	if err != nil {
		return err
	}
	all := rival.All(sources)
	workloads, err := o.chosenWorkloads()
	if err != nil {
		return err
	}
	named, err := o.chosenContestants(all)
	if err != nil {
		return err
	}
	contests := plan(workloads, all, named)
	if o.list {
		return list(stdout, contests, all, o)
	}
	if o.profile, err = makeDir(o.profile); err != nil {
		return err
	}
	result, err := measure(ctx, dir, contests, o, log.New(stderr, "", 0))
	if err != nil {
		return err
	}
	if err := write(result, o, stdout); err != nil {
		return err
	}
	if result.Problems() > 0 {
		return errWrong
	}
	if ctx.Err() != nil {
		return errors.New("interrupted: this is not all")
	}
	return nil
}

// makeDir makes the directory of --profile and returns a path to it that is
// good for processes which run elsewhere.
func makeDir(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	return path, os.MkdirAll(path, 0o755)
}

func measure(ctx context.Context, dir string, contests []contest, o options, progress *log.Logger) (*report.Report, error) {
	env, err := surroundings(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	if why := notReal(env.FileSystem); why != "" {
		progress.Print("note: ", why)
	}
	cells, expected := estimate(contests, o)
	progress.Printf("%d cells, %d rounds, about %s", cells, o.rounds, expected.Round(time.Second))
	start := time.Now()
	result, err := newRunner(dir, o, progress).measure(ctx, contests)
	if err != nil {
		return nil, err
	}
	env.Seconds, env.LoadAfter = time.Since(start).Seconds(), load()
	result.Environment = env
	return result, nil
}

// show is --from.
func show(o options, stdout io.Writer) error {
	f, err := os.Open(o.from)
	if err != nil {
		return err
	}
	defer f.Close()
	result, err := report.ReadJSON(f)
	if err != nil {
		return fmt.Errorf("%s: %w", o.from, err)
	}
	if o.workloads != "" {
		workloads, err := o.chosenWorkloads()
		if err != nil {
			return err
		}
		ids := make([]string, len(workloads))
		for i, w := range workloads {
			ids[i] = w.ID()
		}
		result.Keep(ids)
	}
	if o.contestants != "" {
		result.KeepContestants(split(o.contestants))
	}
	return write(result, o, stdout)
}

// write gives the report the forms that were asked for. The table is left out
// when the standard output is for JSON.
func write(r *report.Report, o options, stdout io.Writer) error {
	if o.json == "-" {
		return errors.Join(r.WriteJSON(stdout), toFile(o.svg, r.WriteSVG))
	}
	return errors.Join(r.WriteTable(stdout), toFile(o.json, r.WriteJSON), toFile(o.svg, r.WriteSVG))
}

func toFile(name string, write func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
