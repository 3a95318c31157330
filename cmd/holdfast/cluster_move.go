package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/cluster"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfastdb/holdfast/locks"
	"github.com/spf13/cobra"
)

func (a *app) clusterImportCommand() *cobra.Command {
	var o cluster.MoveOptions
	cmd := &cobra.Command{
		Use:   "import FILE ADDRESS",
		Short: "Move a database that is a file into a cluster, and compare all rows",
		Long: `Move a database that is a file into a cluster, and compare all rows.

Before anything is sent: a FILE that another program has open is refused, because what that
writes would be missing (see "holdfast locks"; on systems where that can't be seen it is
found by the comparison); so is a cluster that has something, unless --replace says that it
may go; and so is what a cluster can't keep: virtual tables of modules that rqlite doesn't
have, functions and collations of a program's own.

Then FILE is copied page by page and the copy checked by integrity_check, the copy is loaded,
and the rows of FILE are compared with those of the cluster, table by table: counts and hashes
of all values with their types, those of the cluster read linearizably. FILE stays as it is.

What a file doesn't show a cluster doesn't have either: interactive transactions, ATTACH,
extensions and functions that a program loads. See docs/guide/cluster.md.

` + addressText + `

Exit codes:
   65  the two are not the same afterwards, or FILE is damaged; the message names the tables
   75  another program has FILE open
Other codes are those of "holdfast help".`,
		Example: `  holdfast cluster import app.db rqlite://a:4001,b:4001
  holdfast cluster import app.db 'rqlite://app@a:4001?password_file=/etc/app/password&tls=on' --replace`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := a.within(cmd.Context())
			defer cancel()
			return a.clusterImport(ctx, args[0], args[1], o)
		},
	}
	cmd.Flags().BoolVar(&o.Replace, "replace", false, "replace all that the cluster has")
	cmd.Flags().StringVar(&o.Scratch, "scratch", "", "make the copy in this `directory`; default that for temporary files")
	return cmd
}

func (a *app) clusterExportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "export ADDRESS FILE",
		Short: "Move a cluster's database into a new file, and compare all rows",
		Long: `Move a cluster's database into a new file, and compare all rows.

The leader's database is copied beside FILE and checked by integrity_check, and its rows are
compared with those of the cluster, table by table: counts and hashes of all values with their
types, those of the cluster read linearizably. Only then the copy gets the name FILE, 0600.
A FILE that is there is refused. Nobody may write meanwhile: stop the programs first.

For copies of a cluster that is in use there is "holdfast cluster backup".

` + addressText + `

Exit codes:
   65  the two are not the same; the message names the tables, and there is no FILE
   73  FILE is there already
Other codes are those of "holdfast help".`,
		Example: `  holdfast cluster export rqlite://a:4001,b:4001 app.db`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := a.within(cmd.Context())
			defer cancel()
			return a.clusterExport(ctx, args[0], args[1])
		},
	}
}

// moveAnswer is what cluster import and export --json print.
type moveAnswer struct {
	Schema string `json:"schema"`
	Equal  bool   `json:"equal"`
	cluster.MoveReport
}

func (a *app) clusterImport(ctx context.Context, path, to string, o cluster.MoveOptions) error {
	if err := address(to); err != nil {
		return err
	}
	if isAddress(path) {
		return exitcode.Usagef("FILE is a database that is a file; \"holdfast cluster export\" moves the other way")
	}
	if err := openElsewhere(ctx, path); err != nil {
		return err
	}
	file, err := a.openForBackup(ctx, path)
	if err != nil {
		return err
	}
	defer a.closeDatabase(file)
	db, err := a.openAddress(ctx, to, false)
	if err != nil {
		return err
	}
	defer a.closeDatabase(db)
	done := a.moving(&o)
	report, err := cluster.Import(ctx, db, file, o)
	done()
	return a.printMove("holdfast.cluster.import/v1", report, err)
}

func (a *app) clusterExport(ctx context.Context, from, path string) error {
	if err := address(from); err != nil {
		return err
	}
	if isAddress(path) {
		return exitcode.Usagef("FILE is the name of a new file; \"holdfast cluster import\" moves the other way")
	}
	db, err := a.openAddress(ctx, from, true)
	if err != nil {
		return err
	}
	defer a.closeDatabase(db)
	var o cluster.MoveOptions
	done := a.moving(&o)
	report, err := cluster.Export(ctx, db, path, o)
	done()
	if errors.Is(err, fs.ErrExist) {
		err = exitcode.With(exitcode.CantCreate, fmt.Errorf("%w; name a file that is not there", err))
	}
	return a.printMove("holdfast.cluster.export/v1", report, err)
}

// openElsewhere refuses a file that somebody has open.
func openElsewhere(ctx context.Context, path string) error {
	seen, err := locks.Look(ctx, path)
	if err != nil {
		return locksError(err)
	}
	var who []string
	for _, p := range seen.Openers {
		if p.PID != os.Getpid() {
			who = append(who, fmt.Sprintf("%s (pid %d)", p.Name(), p.PID))
		}
	}
	if len(who) > 0 {
		return exitcode.With(exitcode.Busy, fmt.Errorf("%s is open in %s: what is written after the copy would be missing; stop that first", seen.Path, strings.Join(who, ", ")))
	}
	return nil
}

// moving tells a person what is done: by a bar on a terminal, else by a line for each step.
func (a *app) moving(o *cluster.MoveOptions) (done func()) {
	if a.format.Structured() {
		return func() {}
	}
	show, done := a.progress()
	o.Progress = func(step, table string, rows int64) {
		switch {
		case table != "":
			show(step+": "+table, int(rows), -1)
		case a.errColor:
			show(step, 0, -1)
		default:
			fmt.Fprintln(a.errs, "holdfast:", step)
		}
	}
	return done
}

// printMove prints what was compared, also if it is not the same.
func (a *app) printMove(schema string, r cluster.MoveReport, err error) error {
	if err != nil && !errors.Is(err, cluster.ErrDiffers) {
		return err
	}
	var e error
	if a.format == output.Table {
		lines := []string{fmt.Sprintf("%s is moved to %s: %s, %d rows in %d tables, all with equal hashes, in %s",
			r.From, r.To, size(r.Bytes), r.Rows, len(r.Tables)-1, time.Duration(r.DurationSeconds*float64(time.Second)).Round(time.Millisecond))}
		if err != nil {
			lines = nil
		}
		for _, d := range r.Differences {
			lines = append(lines, "DIFFERS  "+d.String())
		}
		e = a.printLines(lines)
	} else {
		var rows [][]any
		for _, t := range r.Tables {
			rows = append(rows, []any{t.Name, t.Rows, t.Hash})
		}
		e = a.printer().Document(moveAnswer{schema, err == nil, r}, output.Grid(rows, "table", "rows", "hash"))
	}
	if err != nil {
		return errors.Join(exitcode.With(exitcode.BadData, err), e)
	}
	return e
}
