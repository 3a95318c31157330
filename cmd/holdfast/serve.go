package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/daemon"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/mail"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/spf13/cobra"
)

func (a *app) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Serve databases over HTTP",
		Long: `Serve databases over HTTP: for programs in any language, with one writer for all of them,
and with backups, replication and maintenance by the configuration.

FILE is a configuration as "holdfast config" knows it. Its section "serve" says where to
listen, who may come, and how much a request may ask; an object "databases" has several
databases, each with the sections in which it differs. "holdfast config check FILE" says
what is wrong with it.

The interface is rqlite's data API, as one node can honour it: /db/query, /db/execute,
/db/request, and the same below /databases/NAME/. /openapi.json describes it. A write is
answered when it is on the disk; writes of many clients share commits.

Without tokens only this machine is served. With serve.read_tokens or serve.write_tokens
each request needs one: "Authorization: Bearer TOKEN", or as the password of basic
authentication.

/healthz and /readyz are for probes, /metrics is for Prometheus. "holdfast health URL",
"holdfast queries URL" and "holdfast top URL" ask a daemon; they take a token from
HOLDFAST_TOKEN.

SIGTERM and SIGINT end it: no new requests, those under way finish within
serve.drain_timeout, the databases are closed. A second signal ends it at once. SIGHUP
reads the configuration again: tokens, limits, the certificate, alerts and who is told of
them, the dashboard, and databases that were added or removed; what is wrong with it is
logged, and nothing changes then.

Under systemd (Type=notify) it tells when it is ready, and that its databases answer.`,
		Example: `  holdfast serve -c /etc/holdfast/holdfast.json
  holdfast serve --set database.path=app.db
  curl -G 'http://127.0.0.1:7391/db/query?pretty' --data-urlencode 'q=SELECT * FROM users'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.format != output.Table && !a.format.Structured() {
				return exitcode.Usagef("serve prints a log, for people or as JSON; leave --output %s out", a.format)
			}
			return a.serve(cmd.Context())
		},
	}
}

func (a *app) serve(ctx context.Context) error {
	formats, err := readingFormats("")
	if err != nil {
		return err
	}
	log := a.journal()
	d, err := daemon.Start(ctx, daemon.Options{
		Load: func() (*daemon.Settings, error) {
			settings, report, err := a.load()
			if err != nil {
				return nil, err
			}
			for _, note := range report.Notes {
				log.Warn("holdfast: configuration: " + note)
			}
			return settings, nil
		},
		Getenv: os.Getenv, Logger: log, Version: "holdfast " + version().Version, Formats: formats, Receivers: mail.Receivers,
	})
	if err != nil {
		return cannotCreate(err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	defer signal.Stop(signals)
	hangups, end := make(chan struct{}), make(chan struct{})
	defer close(end)
	go func() {
		for {
			select {
			case <-signals:
				select {
				case hangups <- struct{}{}:
				case <-end:
					return
				}
			case <-end:
				return
			}
		}
	}()
	if err := d.Run(ctx, daemon.NewNotifier(os.Getenv, os.Getpid()), hangups); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	log.Info("holdfast: stopped")
	return nil
}

// journal is the log of a daemon, on standard error.
func (a *app) journal() *slog.Logger {
	if a.format.Structured() {
		return slog.New(slog.NewJSONHandler(a.errs, nil))
	}
	return slog.New(slog.NewTextHandler(a.errs, nil))
}
