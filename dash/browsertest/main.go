// Command browsertest serves the dashboard of a database under load, for run.mjs, which
// looks at every page in a browser. Shop and load are made up; the locks, the log, the
// backups and the other process are real.
//
//	go run ./dash/browsertest -dir DIRECTORY -listen 127.0.0.1:0
//
// It prints the address of the dashboard, and ends on SIGINT, SIGTERM or when its standard
// input does, so that it never outlives a test that was killed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/alerts"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/dash"
)

// prefix is where the dashboard is mounted: links that are not relative would break.
const prefix = "/ops/holdfast"

func main() {
	dir := flag.String("dir", "", "where the database is made; it must exist")
	listen := flag.String("listen", "127.0.0.1:0", "where to serve")
	child := flag.Bool("child", false, "be the other process")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		for in := make([]byte, 64); ; {
			if _, err := os.Stdin.Read(in); err != nil {
				cancel()
				return
			}
		}
	}()
	run := serve
	if *child {
		run = func(ctx context.Context, dir, _ string) error { return neighbour(ctx, dir) }
	}
	if err := run(ctx, *dir, *listen); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "browsertest:", err)
		os.Exit(1)
	}
}

// serve opens two databases, one of which is under load, and serves their dashboards.
func serve(ctx context.Context, dir, listen string) (err error) {
	shop, err := open(ctx, filepath.Join(dir, "shop.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shop.Close()) }()
	idle, err := open(ctx, filepath.Join(dir, "idle.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, idle.Close()) }()

	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	if err := fill(ctx, shop); err != nil {
		return err
	}
	scheduled, err := backups(ctx, shop, filepath.Join(dir, "backups"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scheduled.Close(context.WithoutCancel(ctx))) }()
	if _, err := shop.Verify(ctx, holdfast.VerifyFull); err != nil {
		return err
	}
	load(ctx, &all, shop)
	other(ctx, &all, dir)

	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	engine, err := rules(shop, idle)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	databases := map[string]*holdfast.DB{"shop": shop, "idle": idle}
	pages := dash.Databases(func() map[string]*holdfast.DB { return databases }, dash.WithPrefix(prefix), dash.WithTitle("Shop"), dash.WithAlerts(engine),
		dash.WithAuth(func(*http.Request) error { return nil }), dash.WithHosts("127.0.0.1"), dash.WithActions(true), dash.WithBackups(filepath.Join(dir, "backups")),
		dash.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, nil))))
	server := &http.Server{Handler: pages, ReadHeaderTimeout: 5 * time.Second}
	server.RegisterOnShutdown(func() { _ = pages.Close() })
	all.Go(func() {
		<-ctx.Done()
		short, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer done()
		_ = server.Shutdown(short) // it is a test's, and the process ends
	})
	fmt.Printf("http://%s%s/\n", l.Addr(), prefix)
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func open(ctx context.Context, path string) (*holdfast.DB, error) {
	return holdfast.Open(ctx, path, holdfast.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))))
}

// rules are looked at more often than by default, and some thresholds are lower, so that
// there is something to see within a minute.
func rules(shop, idle *holdfast.DB) (*alerts.Engine, error) {
	c := alerts.Config{Logger: slog.New(slog.DiscardHandler)}
	c.Alerts.Interval, c.Alerts.ResolveAfter = time.Second, 5*time.Second
	c.Load.WriteLockWarning, c.Load.ReaderWarning, c.Load.ReaderFrames = 2*time.Second, 20*time.Second, 100
	c.For.ReaderPinsWAL = 5 * time.Second
	e, err := alerts.New(c)
	if err != nil {
		return nil, err
	}
	e.Watch("shop", shop)
	e.Watch("idle", idle)
	_, err = e.Silence(alerts.Silence{Rule: "backup_stale", Database: "idle", Reason: "it has nothing worth a backup", By: "operations", Until: time.Now().Add(8 * time.Hour)})
	return e, err
}

// backups makes some now, proves one by restoring it, and goes on by schedule.
func backups(ctx context.Context, db *holdfast.DB, dir string) (*backup.Scheduled, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	keep, err := backup.ParseRetention("last=40")
	if err != nil {
		return nil, err
	}
	return backup.Schedule(db, backup.Plan{Destination: dir, Every: time.Minute, DrillEvery: 5 * time.Minute, Keep: keep})
}
