package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/daemon"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/httpload"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/spf13/cobra"
)

// httpRequest is the command line of bench http.
type httpRequest struct {
	clients  int
	duration time.Duration
	rounds   int
	dir      string
	profile  string
	slow     int
}

func (a *app) benchHTTPCommand() *cobra.Command {
	var r httpRequest
	cmd := &cobra.Command{
		Use:   "http",
		Short: "Many clients write single rows to a daemon over HTTP",
		Long: `Many clients write single rows to a daemon over HTTP, each on a connection of its own,
waiting for each answer. An answer comes after the row is on the disk.

Two daemons take turns, in this process: "shared" puts the writes of several requests into
one COMMIT, as "holdfast serve" does; "apart" makes one COMMIT for each request
(writer.max_group=1). The clients take their part of the same processors. Figures are
medians of the rounds.

With --slow-clients there is a third, "flooded": the first, while so many others open
connections and send their requests byte by byte.

Without --dir the files are in the directory for temporary files; where that is memory,
commits cost nothing. They are removed at the end.

The exit code is 1 if a write failed, or an acknowledged row is missing.`,
		Example: `  holdfast bench http
  holdfast bench http --dir /srv/bench --rounds 5 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case r.clients < 1 || r.clients > 10_000:
				return exitcode.Usagef("--clients %d: choose 1 to 10000", r.clients)
			case r.rounds < 1 || r.rounds > 1000:
				return exitcode.Usagef("--rounds %d: choose 1 to 1000", r.rounds)
			case r.duration <= 0:
				return exitcode.Usagef("--duration %s: choose a time such as 5s", r.duration)
			case r.slow < 0 || r.slow > 10_000:
				return exitcode.Usagef("--slow-clients %d: choose 0 to 10000", r.slow)
			}
			ctx, cancel := a.within(cmd.Context())
			defer cancel()
			return a.benchHTTP(ctx, r)
		},
	}
	f := cmd.Flags()
	f.IntVar(&r.clients, "clients", 32, "clients that write at once")
	f.DurationVar(&r.duration, "duration", 3*time.Second, "how long each daemon is measured in a round")
	f.IntVar(&r.rounds, "rounds", 3, "rounds, in which the two take turns")
	f.StringVar(&r.dir, "dir", "", "the `directory` for the files, instead of a temporary one")
	f.StringVar(&r.profile, "profile", "", "write a profile of the processor, of all daemons that share commits and their clients, to this `file`")
	f.IntVar(&r.slow, "slow-clients", 0, "slow clients that flood a third daemon; 0 is none")
	_ = cmd.MarkFlagDirname("dir")
	return cmd
}

// httpAnswer is what bench http --json prints.
type httpAnswer struct {
	Schema  string         `json:"schema"`
	Clients int            `json:"clients"`
	CPUs    int            `json:"cpus"`
	Rounds  int            `json:"rounds"`
	Shared  httpContender  `json:"shared"`
	Apart   httpContender  `json:"apart"`
	Ratio   float64        `json:"ratio"` // of the writes per second
	Flooded *httpContender `json:"flooded,omitempty"`
}

// contenders take turns in this order.
func (h *httpAnswer) contenders() []*httpContender {
	list := []*httpContender{&h.Shared, &h.Apart}
	if h.Flooded != nil {
		list = append(list, h.Flooded)
	}
	return list
}

// httpContender are medians of the rounds, and sums of what must be none.
type httpContender struct {
	WritesPerSecond float64 `json:"writes_per_second"`
	WritesPerCommit float64 `json:"writes_per_commit"`
	P50Seconds      float64 `json:"p50_seconds"`
	P99Seconds      float64 `json:"p99_seconds"`
	Errors          int64   `json:"errors"`
	Lost            int64   `json:"lost"` // rows that were acknowledged and aren't there

	SlowConnections int64 `json:"slow_connections,omitempty"` // that were made, and thrown out

	group  string // writer.max_group
	slow   int
	rounds []httpRound
	first  string
}

type httpRound struct{ perSecond, perCommit, p50, p99 float64 }

func (a *app) benchHTTP(ctx context.Context, r httpRequest) error {
	dir, err := os.MkdirTemp(r.dir, "holdfast-bench-")
	if err != nil {
		return exitcode.With(exitcode.CantCreate, fmt.Errorf("create a directory: %w", err))
	}
	defer os.RemoveAll(dir)
	answer := httpAnswer{Schema: "holdfast.bench.http/v1", Clients: r.clients, CPUs: runtime.GOMAXPROCS(0), Rounds: r.rounds}
	answer.Shared.group, answer.Apart.group = "0", "1"
	if r.slow > 0 {
		answer.Flooded = &httpContender{group: "0", slow: r.slow}
	}
	for n := range r.rounds {
		if a.errColor && !a.format.Structured() {
			fmt.Fprintf(a.errs, "round %d of %d\n", n+1, r.rounds)
		}
		for i, c := range answer.contenders() {
			if err := c.measure(ctx, a, r, filepath.Join(dir, fmt.Sprintf("%d-%d.db", n, i))); err != nil {
				return err
			}
		}
	}
	for _, c := range answer.contenders() {
		c.settle()
	}
	if answer.Apart.WritesPerSecond > 0 {
		answer.Ratio = answer.Shared.WritesPerSecond / answer.Apart.WritesPerSecond
	}
	return a.printBenchHTTP(&answer)
}

// measure runs a daemon, and one round against it.
func (c *httpContender) measure(ctx context.Context, a *app, r httpRequest, path string) (err error) {
	d, err := daemon.Start(ctx, daemon.Options{
		Load: func() (*daemon.Settings, error) {
			s, _, err := daemon.Load(holdfast.ConfigSource{Path: a.config, Env: os.Environ(), Overrides: map[string]string{
				"database.path": path, "writer.max_group": c.group, "serve.listen": "127.0.0.1:0", "serve.dash": "off", "alerts.enabled": "off",
			}})
			return s, err
		},
		Getenv: func(string) string { return "" }, Logger: slog.New(slog.DiscardHandler), Version: version().Version,
	})
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- d.Serve(serving) }()
	defer func() {
		stop()
		err = errors.Join(err, <-served)
	}()
	db := d.DB("") // closed with the daemon
	if _, err := db.ExecContext(ctx, httpload.Table); err != nil {
		return err
	}
	load := httpload.Load{Address: d.Addr().String(), Clients: r.clients, Duration: r.duration / 5}
	warm, err := httpload.Run(ctx, load) // connections, caches, the first pages of the log
	if err != nil {
		return err
	}
	if r.profile != "" && c.group != "1" && c.slow == 0 {
		end, err := profileTo(r.profile)
		if err != nil {
			return err
		}
		defer end()
	}
	before := db.Stats().Writer.Groups
	load.Duration = r.duration
	if c.slow > 0 {
		flood := httpload.BeginFlood(ctx, load.Address, c.slow, time.Second, "")
		defer func() { c.SlowConnections += flood.End() }()
	}
	report, err := httpload.Run(ctx, load)
	if err != nil {
		return err
	}
	commits := db.Stats().Writer.Groups - before
	var rows int64
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM bench_http").Scan(&rows); err != nil {
		return err
	}
	c.Errors += report.Errors + warm.Errors
	c.Lost += max(0, report.Writes+warm.Writes-rows)
	c.first = report.First
	c.rounds = append(c.rounds, httpRound{
		report.PerSecond(), float64(report.Writes) / float64(max(commits, 1)), report.Quantile(0.5).Seconds(), report.Quantile(0.99).Seconds(),
	})
	return nil
}

func profileTo(file string) (end func(), err error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, exitcode.With(exitcode.CantCreate, err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close() // a profile that was cut short says so when it is read
	}, nil
}

// settle makes the medians.
func (c *httpContender) settle() {
	median := func(of func(httpRound) float64) float64 {
		var list []float64
		for _, r := range c.rounds {
			list = append(list, of(r))
		}
		slices.Sort(list)
		return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
	}
	c.WritesPerSecond = median(func(r httpRound) float64 { return r.perSecond })
	c.WritesPerCommit = median(func(r httpRound) float64 { return r.perCommit })
	c.P50Seconds = median(func(r httpRound) float64 { return r.p50 })
	c.P99Seconds = median(func(r httpRound) float64 { return r.p99 })
}

func (a *app) printBenchHTTP(answer *httpAnswer) error {
	row := func(name string, c *httpContender, ratio any) []any {
		return []any{name, int64(c.WritesPerSecond), fmt.Sprintf("%.1f", c.WritesPerCommit), shortTime(c.P50Seconds), shortTime(c.P99Seconds), c.Errors, c.Lost, ratio}
	}
	rows := [][]any{row("shared", &answer.Shared, fmt.Sprintf("%.2f", answer.Ratio)), row("apart", &answer.Apart, "1.00")}
	if f := answer.Flooded; f != nil {
		rows = append(rows, row("flooded", f, fmt.Sprintf("%.2f", f.WritesPerSecond/max(answer.Apart.WritesPerSecond, 1))))
	}
	err := a.printer().Document(answer, output.Grid(rows, "commits", "writes/s", "per commit", "p50", "p99", "errors", "lost", "ratio"))
	for _, c := range answer.contenders() {
		if err == nil && (c.Errors > 0 || c.Lost > 0) {
			err = exitcode.With(exitcode.Failed, fmt.Errorf("%s, %s; the first error: %s", count(int(c.Errors), "error"), count(int(c.Lost), "lost row"), c.first))
		}
	}
	return err
}
