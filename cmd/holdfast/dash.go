package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfastdb/holdfast/dash"
	"github.com/spf13/cobra"
)

func (a *app) dashCommand() *cobra.Command {
	listen, title := "127.0.0.1:7392", ""
	cmd := &cobra.Command{
		Use:   "dash DATABASE",
		Short: "Show a database on pages for a browser",
		Long: `Show a database on pages for a browser: how it is, who waits for whom, which statements cost
what, the log, the pool, the environment. They need no script, are JSON too (?format=json),
and are in English and German, by the browser's wish.

Only this machine is answered, and nothing can be changed. For another machine's database:
ssh -L 7392:127.0.0.1:7392 SERVER holdfast dash DATABASE

The database is opened for reading only, without locks while nobody else has it open. What is
counted is what programs that run Holdfast and have it open tell by the socket beside it, to the same
user and to root (Linux and macOS); the pages say who has told. What was recorded comes from
DATABASE-holdfast.telemetry. A program of your own has the pages with its own figures by
package dash, "holdfast serve" for many databases.

The address is printed once pages are served. An interrupt ends it.`,
		Example: `  holdfast dash app.db
  holdfast dash app.db --listen 127.0.0.1:0 --title shop`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fromHere(listen); err != nil {
				return err
			}
			ctx, cancel := a.within(cmd.Context())
			defer cancel()
			return a.dash(ctx, args[0], listen, title)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", listen, "where to listen: an `address` of this machine; port 0 is one that is free")
	cmd.Flags().StringVar(&title, "title", "", "what stands at the top of each page instead of the file's name")
	return cmd
}

// fromHere refuses to listen where others could come from.
func fromHere(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return exitcode.Usagef("--listen %s: it is HOST:PORT, as 127.0.0.1:7392", address)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return exitcode.Usagef("--listen %s: dash serves its own machine only; use ssh -L from another one, or \"holdfast serve\" with tokens", address)
	}
	return nil
}

// dashAnswer is what dash --json prints.
type dashAnswer struct {
	Schema   string `json:"schema"`
	Database string `json:"database"`
	URL      string `json:"url"`
}

func (a *app) dash(ctx context.Context, path, listen, title string) error {
	pages := &patientPages{app: a, title: title}
	if err := pages.open(ctx, path); err != nil {
		return err
	}
	defer pages.close()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return exitcode.With(exitcode.Unavailable, fmt.Errorf("listen on %s: %w", listen, err))
	}
	server := &http.Server{
		Handler: pages, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
	}
	answer := dashAnswer{"holdfast.dash/v1", pages.patient.seen.Path, "http://" + listener.Addr().String() + "/"}
	if err := a.printDash(answer); err != nil {
		return errors.Join(err, listener.Close())
	}
	if err := a.out.Flush(); err != nil {
		return errors.Join(&output.WriteError{Err: err}, listener.Close())
	}
	ended := context.AfterFunc(ctx, func() { _ = server.Close() }) // who looks is not asked
	defer ended()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (a *app) printDash(answer dashAnswer) error {
	grid := output.Grid([][]any{{answer.Database, answer.URL}}, "database", "url")
	if a.format.Structured() {
		return a.printer().Document(answer, grid)
	}
	if a.format != output.Table {
		return a.printer().Result(grid)
	}
	if _, err := a.out.WriteString(answer.URL + "\n"); err != nil {
		return &output.WriteError{Err: err}
	}
	return nil
}

// patientPages are the pages of a database that others may begin to use: as long as nobody
// has, it is open without locks, and has to be opened anew then.
type patientPages struct {
	app   *app
	title string

	mu      sync.RWMutex // read by requests, so that none has the database while it is closed
	patient *patient
	pages   *dash.Dashboard
}

func (p *patientPages) open(ctx context.Context, path string) error {
	patient, err := p.app.openPatient(ctx, path, false)
	if err != nil {
		return err
	}
	p.show(patient)
	return nil
}

func (p *patientPages) show(patient *patient) {
	p.patient = patient
	p.pages = dash.Handler(patient.db, dash.WithOthers(), dash.WithTitle(p.title), dash.WithLogger(p.app.journal()))
}

func (p *patientPages) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.pages.Close()
	p.patient.close()
}

// ServeHTTP opens the database again if somebody has come, and shows it.
func (p *patientPages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.RLock()
	if p.patient.disturbed() {
		p.mu.RUnlock()
		p.reopen(r.Context())
		p.mu.RLock()
	}
	defer p.mu.RUnlock()
	p.pages.ServeHTTP(w, r)
}

// reopen opens the database with locks. If that fails the pages stay as they are, and it is
// tried again by the next request.
func (p *patientPages) reopen(ctx context.Context) {
	p.mu.RLock()
	_ = p.pages.Close() // streams hold the lock
	p.mu.RUnlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.patient.disturbed() {
		return
	}
	was := p.patient
	next := &patient{app: p.app, seen: was.seen}
	if err := next.open(ctx); err != nil {
		fmt.Fprintln(p.app.errs, "holdfast: open again:", p.app.message(err))
		p.show(was) // its streams begin again
		return
	}
	was.close()
	p.show(next)
}
