package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfastdb/holdfast/locks"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func (a *app) topCommand() *cobra.Command {
	interval := 500 * time.Millisecond
	cmd := &cobra.Command{
		Use:   "top DATABASE|URL",
		Short: "Watch the locks and the log of a database on a terminal",
		Long: `Watch the locks and the log of a database on a terminal: who writes, who keeps the log
from being copied, who waits, and what to do about it.

It sees what locks sees, and like locks it opens nothing by SQLite, locks nothing and
writes nothing. "holdfast locks --help" explains the locks, and what can't be seen where.

Of a daemon's database, named by its URL (http://HOST:PORT, or
http://HOST:PORT/databases/NAME), it shows what the daemon tells: who has its locks, at
which call site and statement, and who waits. A token comes from HOLDFAST_TOKEN.

The bar is the log: what is copied into the database already, and what is not. The digits
below are the read marks: the slots where readers see the log up to that frame. A reader
keeps later frames from being copied as long as it holds its slot.

Keys:

` + topKeys + `
For scripts there is "holdfast locks", which also prints JSON.`,
		Example: `  holdfast top app.db
  HOLDFAST_TOKEN=... holdfast top https://db.example.com:7391
  ssh -t server holdfast top /srv/app.db --interval 2s --ascii`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if interval <= 0 {
				return exitcode.Usagef("--interval is a duration such as 500ms")
			}
			if err := a.wantsTerminal(); err != nil {
				return err
			}
			ctx, cancel := a.within(cmd.Context())
			defer cancel()
			return locksError(a.top(ctx, args[0], interval))
		},
	}
	cmd.Flags().DurationVar(&interval, "interval", interval, "how often to look; + and - change it")
	return cmd
}

// wantsTerminal refuses to paint where nobody would see it.
func (a *app) wantsTerminal() error {
	switch {
	case a.format != output.Table:
		return exitcode.Usagef("top has no --output %s: use holdfast locks --watch --output json", a.format)
	case a.outWidth == 0 || !term.IsTerminal(int(a.in.Fd())):
		return exitcode.Usagef("top needs a terminal for its input and its output: use holdfast locks, or ssh -t")
	case os.Getenv("TERM") == "dumb":
		return exitcode.Usagef("top can't paint on a terminal with TERM=dumb: use holdfast locks --watch")
	}
	return nil
}

// looks are looks at a database, by its file or by the URL of a daemon.
func (a *app) looks(ctx context.Context, database string) (func() (*locks.Report, error), error) {
	if isURL(database) {
		return a.remoteLooks(ctx, database)
	}
	w, err := locks.NewWatcher(database)
	if err != nil {
		return nil, err
	}
	return func() (*locks.Report, error) { return w.Look(ctx) }, nil
}

func (a *app) top(ctx context.Context, database string, interval time.Duration) error {
	look, err := a.looks(ctx, database)
	if err != nil {
		return err
	}
	// The first look decides whether there is anything to watch; later a
	// database may go and come back.
	first, err := look()
	if err != nil {
		return err
	}
	m := topModel{
		look:     look,
		report:   first,
		interval: interval,
		style:    topStyle{ascii: a.ascii, color: a.color(true)},
	}
	// Signals end ctx already, and Ctrl-C is a key here.
	_, err = tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(a.in), tea.WithOutput(os.Stdout), tea.WithoutSignalHandler()).Run()
	if cause := ctx.Err(); cause != nil && errors.Is(err, tea.ErrProgramKilled) {
		return cause
	}
	if err != nil {
		return fmt.Errorf("paint on the terminal: %w", err)
	}
	return nil
}
