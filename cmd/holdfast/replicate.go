package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfastdb/holdfast/replicate"
	"github.com/spf13/cobra"
)

// replicateRequest is the command line of replicate.
type replicateRequest struct {
	takeOver bool
	interval time.Duration
	every    time.Duration
}

func (a *app) replicateCommand() *cobra.Command {
	var r replicateRequest
	cmd := &cobra.Command{
		Use:   "replicate DATABASE [TARGET]",
		Short: "Copy a database continuously to another place, beside the program that uses it",
		Long: `Copy a database continuously to another place, beside the program that uses it: once a
second, what was committed since is shipped. holdfast restore brings it back, to its last
state or to an earlier one.

TARGET is a directory or s3://BUCKET/PREFIX?endpoint=HOST&region=REGION; without it it is
replication.target of the configuration. It belongs to this database alone. The keys of
S3 come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN),
from the profile or the role of the machine.

It runs until SIGINT or SIGTERM, ships what is left, and ends with 0. A target that can't
be reached is tried again; meanwhile what is committed is kept in the hidden directory
beside the database whose name ends in -litestream.

The write-ahead log belongs to the replication: the program must not checkpoint it. One
that uses Holdfast sees that directory and leaves it alone; another one sets PRAGMA
wal_autocheckpoint=0 on each of its connections. A database that isn't in WAL mode is
switched to it, and gets two small tables, _litestream_seq and _litestream_lock.

A target that has the history of another database is refused. --take-over goes on in one
whose history this database continues without proof: after a restore on another machine.
It begins with a copy of everything, and what is there stays restorable.

The other keys of section replication hold too: --set replication.retention=168h.`,
		Example: `  holdfast replicate app.db /mnt/nas/app
  holdfast replicate app.db 's3://backups/app?region=eu-central-1' --json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if r.interval < 0 || r.every <= 0 {
				return exitcode.Usagef("--interval and --every are durations such as 1s")
			}
			if a.format != output.Table && !a.format.Structured() {
				return exitcode.Usagef("replicate prints for people or as JSON; leave --output %s out", a.format)
			}
			target := ""
			if len(args) == 2 {
				target = args[1]
			}
			return replicateFailed(a.replicate(cmd.Context(), args[0], target, r))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&r.takeOver, "take-over", false, "go on in a target whose history nothing here shows to be this database's")
	f.DurationVar(&r.interval, "interval", 0, "how often what was committed is shipped; 0 leaves it to the configuration (1s)")
	f.DurationVar(&r.every, "every", 10*time.Second, "how often a line says how far it is")
	return cmd
}

func replicateFailed(err error) error {
	if history := (*replicate.HistoryError)(nil); errors.As(err, &history) {
		return exitcode.With(exitcode.CantCreate, err)
	}
	if errors.Is(err, replicate.ErrForeign) {
		return exitcode.With(exitcode.IO, err)
	}
	return err
}

func (a *app) replicate(ctx context.Context, path, target string, r replicateRequest) error {
	cfg, err := a.settings(path)
	if err != nil {
		return err
	}
	c := cfg.Replication
	if target != "" {
		c.Target = target
	}
	if c.Target == "" {
		return exitcode.Usagef("name a target: a directory, or s3://BUCKET/PREFIX")
	}
	if r.interval > 0 {
		c.Interval = r.interval
	}
	if r.takeOver {
		c.TakeOver = holdfast.On
	}
	c.Mode = replicate.Async // it can't hold back the answers of another program
	replication, err := replicate.Open(ctx, resolved(path), c, cfg.Logger)
	if err != nil {
		return err
	}
	err = a.watchReplication(ctx, replication, r.every)
	last := context.WithoutCancel(ctx)
	if c.CloseTimeout > 0 {
		var cancel context.CancelFunc
		last, cancel = context.WithTimeout(last, c.CloseTimeout)
		defer cancel()
	}
	if e := replication.Close(last); e != nil && err == nil {
		err = exitcode.With(exitcode.IO, fmt.Errorf("what was committed last may not be at the target: it is shipped when this is run again: %w", e))
	}
	return errors.Join(err, a.printReplication(replication.Stats(), true))
}

// watchReplication prints how far it is until it is interrupted, or can't go on.
func (a *app) watchReplication(ctx context.Context, r *replicate.Replication, every time.Duration) error {
	if err := r.Await(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if err := a.printReplication(r.Stats(), false); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.Ended():
			return r.Await(ctx) // says why
		case <-ticker.C:
		}
	}
}

// replicateAnswer is what replicate --json prints, a line each time.
type replicateAnswer struct {
	Schema string `json:"schema"`
	holdfast.ReplicationStats
	Done bool `json:"done"` // the last line
}

func (a *app) printReplication(s holdfast.ReplicationStats, done bool) error {
	var err error
	if a.format.Structured() {
		err = a.printer().Document(replicateAnswer{"holdfast.replicate/v1", s, done}, nil)
	} else {
		line := fmt.Sprintf("%s  transaction %s, lag %s, pending %s, %d uploads", time.Now().UTC().Format(time.RFC3339),
			orNone(s.Position), time.Duration(s.LagSeconds*float64(time.Second)).Round(100*time.Millisecond), size(s.PendingBytes), s.Uploads)
		if s.LastError != "" {
			line += ": " + s.LastError
		}
		err = a.printLines([]string{line})
	}
	if err == nil {
		err = a.out.Flush()
	}
	return err
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}
