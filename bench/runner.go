package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/bench/internal/report"
	"github.com/holdfastdb/holdfast/bench/internal/rival"
	"github.com/holdfastdb/holdfast/bench/internal/work"
)

// runner measures. Its directory has the templates, and a directory for each
// cell while it runs.
type runner struct {
	dir        string
	rounds     int
	warm       time.Duration
	duration   time.Duration
	operations int64
	profiles   string // the directory for them; "" for none
	progress   *log.Logger
	templates  map[string]string // by what is in them
	missing    map[string]string // why a contestant can't take part; "" if it can
}

func newRunner(dir string, o options, progress *log.Logger) *runner {
	return &runner{
		dir: dir, rounds: o.rounds, warm: o.warm, duration: o.duration, operations: o.operations, profiles: o.profile, progress: progress,
		templates: map[string]string{}, missing: map[string]string{},
	}
}

// measure runs all contests. When ctx ends it returns what it has.
func (r *runner) measure(ctx context.Context, contests []contest) (*report.Report, error) {
	result := &report.Report{Schema: report.Schema}
	for _, c := range contests {
		if ctx.Err() != nil {
			break
		}
		present := slices.DeleteFunc(slices.Clone(c.contestants), func(rc rival.Contestant) bool { return r.isMissing(ctx, rc) })
		w, err := r.contest(ctx, contest{c.workload, present})
		if err != nil {
			return nil, err
		}
		if ctx.Err() == nil || len(w.Contestants[0].Runs) > 0 {
			result.Workloads = append(result.Workloads, w)
		}
	}
	for name, reason := range r.missing {
		if reason != "" {
			result.Missing = append(result.Missing, report.Missing{Contestant: name, Reason: reason})
		}
	}
	slices.SortFunc(result.Missing, func(a, b report.Missing) int { return strings.Compare(a.Contestant, b.Contestant) })
	result.Summarize()
	return result, nil
}

func (r *runner) isMissing(ctx context.Context, c rival.Contestant) bool {
	if _, known := r.missing[c.Name]; !known {
		r.missing[c.Name] = ""
		if c.Missing != nil {
			r.missing[c.Name] = c.Missing(ctx)
		}
	}
	return r.missing[c.Name] != ""
}

// contest gives each contestant its turn in each round: A B C, A B C.
func (r *runner) contest(ctx context.Context, c contest) (report.Workload, error) {
	w := report.Workload{
		ID: c.workload.ID(), Title: c.workload.Title, Unit: c.workload.Unit.Name, Lower: c.workload.Unit.Lower,
	}
	for _, rc := range c.contestants {
		w.Contestants = append(w.Contestants, report.Contestant{
			Name: rc.Name, Base: rc.Name == rival.Base, Ours: strings.HasPrefix(rc.Name, rival.Base), Limit: rc.Name == rival.Limit,
		})
	}
	path, err := r.template(ctx, c.workload)
	if err != nil {
		return w, err
	}
	full := time.Duration(c.workload.Scale * float64(r.duration))
	rounds := c.workload.RoundsOf(r.rounds)
	for round := 1; round <= rounds; round++ {
		for i, rc := range c.contestants {
			run := r.cell(ctx, cell{
				workload: c.workload, contestant: rc, template: path, warm: r.warm, duration: full,
				operations: r.operations, profiles: r.profiles,
			})
			if ctx.Err() != nil {
				return w, nil // cut short, so it says nothing
			}
			run.Round = round
			w.Contestants[i].Runs = append(w.Contestants[i].Runs, run)
			r.say(c.workload, rc, round, run)
		}
	}
	return w, nil
}

func (r *runner) say(w work.Workload, c rival.Contestant, round int, run report.Run) {
	what := fmt.Sprintf("%.4g %s", run.Value, w.Unit.Name)
	if run.Problem != "" {
		what = run.Problem
	}
	r.progress.Printf("%-16s round %d/%d  %-16s %s", w.ID(), round, r.rounds, c.Name, what)
}

// template returns a database to begin with, and makes it the first time. One
// that is only read is WAL already, as it would be after the first program.
func (r *runner) template(ctx context.Context, w work.Workload) (string, error) {
	journal := "WAL"
	if w.Writes() {
		journal = "DELETE"
	}
	name := fmt.Sprintf("template-%d-%s.db", w.Items(), strings.ToLower(journal))
	if path, ok := r.templates[name]; ok {
		return path, nil
	}
	path := filepath.Join(r.dir, name)
	if err := work.Template(ctx, path, w.Items(), journal); err != nil {
		return "", err
	}
	r.templates[name] = path
	return path, nil
}

// readers is how many connections a pool of readers has: as many as Holdfast's.
func readers() int { return max(4, runtime.NumCPU()) }

// copyFile copies a database that nobody has open.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}
