package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/backup/salvage"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/spf13/cobra"
)

func (a *app) salvageCommand() *cobra.Command {
	var o salvage.Options
	cmd := &cobra.Command{
		Use:   "salvage DATABASE NEW",
		Short: "Copy what can be read of a damaged database into a new one",
		Long: `Copy what can be read of a damaged database into a new one. The damaged files are only
read. NEW must not exist.

It reads pages and not SQL: a damaged page costs the rows that were on it and no others. Pages
that nothing refers to any more, because a page above them is gone, are given back to their
table; rows that were on a damaged page come from indexes that have all of their columns. What
belongs to no table for sure, or is only there in part, is in the table lost_and_found of the
new database, with the reason. Indexes, views and triggers are made anew. The new database has
passed integrity_check before it gets its name.

A -wal beside the database is applied, unless the database is less damaged without it;
a -journal is rolled back. Where the first page is gone, --schema-from names a backup whose
tables are those of the damaged database.

A verified backup is better than any salvage: "holdfast restore" first, and salvage for what
was written since. docs/operator/corruption.md is the whole walk.

Exit codes:
    0  all rows are there
    1  something is lost: the report says what
    2  nothing could be read
   66  the database is missing
   73  the new file can't be created
   75  out of time
  130  interrupted
Other codes are those of "holdfast help".`,
		Example: `  holdfast salvage app.db salvaged.db
  holdfast salvage app.db-holdfast.corrupt-20261127T172548Z/app.db salvaged.db --json
  holdfast salvage app.db salvaged.db --schema-from /backups/app.db`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.salvage(cmd.Context(), args[0], args[1], o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.SchemaFrom, "schema-from", "", "take tables and indexes from this `database`, a backup")
	f.BoolVar(&o.WithoutLog, "without-log", false, "leave the -wal out")
	return cmd
}

func (a *app) salvage(ctx context.Context, path, dst string, o salvage.Options) error {
	ctx, cancel := a.within(ctx)
	defer cancel()
	progress, done := a.progress()
	o.Progress = progress
	report, err := salvage.Run(ctx, path, dst, o)
	done()
	switch {
	case errors.Is(err, salvage.ErrNothing):
		fmt.Fprintln(a.errs, "holdfast:", output.Visible(err.Error()))
		return exitcode.Verdict(2)
	case err != nil:
		return cannotCreate(backupFailed(err))
	case a.format == output.Table:
		err = a.printLines(salvageLines(report))
	default:
		var rows [][]any
		for _, t := range report.Tables {
			rows = append(rows, []any{t.Name, t.Rows, t.RowsLost, t.LostExact, t.FromIndexes, t.FromOrphans, t.Aside})
		}
		err = a.printer().Document(report, output.Grid(rows, "table", "rows", "rows_lost", "exact", "from_indexes", "from_orphans", "lost_and_found"))
	}
	if err != nil {
		return err
	}
	return exitcode.Verdict(map[string]int{"partial": 1, "nothing": 2}[report.Verdict]).AsError()
}

func salvageLines(r salvage.Report) (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	took := time.Duration(r.DurationSeconds * float64(time.Second)).Round(time.Millisecond)
	switch r.Verdict {
	case "whole":
		add("all %d rows of %s are in %s, which passes integrity_check (%s)", r.Rows, r.Database, r.Destination, took)
	case "partial":
		add("%d rows of %s are in %s, which passes integrity_check; about %d are lost (%s)", r.Rows, r.Database, r.Destination, r.RowsLost, took)
	default:
		add("no row of %s could be read; %s is empty (%s)", r.Database, r.Destination, took)
	}
	for _, t := range r.Tables {
		lines = append(lines, tableLines(t)...)
	}
	if r.Aside > 0 {
		add("%d rows are in the table %s, each with the reason", r.Aside, r.LostAndFound)
	}
	if len(r.DamagedPages) > 0 {
		add("damaged pages: %s", numbers(r.DamagedPages))
	}
	if len(r.Indexes) > 0 {
		add("damaged indexes, made anew: %s", strings.Join(r.Indexes, ", "))
	}
	for _, o := range r.NotMade {
		add("the %s %s could not be made: %s", o.Kind, o.Name, o.Reason)
	}
	if !r.HeaderWhole {
		add("the header is gone: pages of %d bytes and the encoding were guessed", r.PageSize)
	}
	if l := r.Log; l != nil && l.Applied {
		add("the -wal was applied: %d frames, %d lost", l.Committed, l.FramesLost)
	}
	if l := r.Log; l != nil && l.Note != "" {
		add("about the -wal: %s", l.Note)
	}
	if r.JournalPages > 0 {
		add("a transaction of %d pages was rolled back", r.JournalPages)
	}
	return lines
}

func tableLines(t salvage.Table) (lines []string) {
	if t.RowsLost == 0 && t.Aside == 0 && len(t.DamagedPages) == 0 && len(t.Problems) == 0 {
		return nil
	}
	about := "about "
	if t.LostExact {
		about = ""
	}
	line := fmt.Sprintf("%s: %d rows, %s%d lost", t.Name, t.Rows, about, t.RowsLost)
	if t.FromIndexes > 0 {
		line += fmt.Sprintf(", %d from indexes", t.FromIndexes)
	}
	if t.FromOrphans > 0 {
		line += fmt.Sprintf(", %d from pages that were cut off", t.FromOrphans)
	}
	if t.Aside > 0 {
		line += fmt.Sprintf(", %d in lost_and_found", t.Aside)
	}
	lines = append(lines, line)
	if len(t.Missing) > 0 && t.RowsLost > 0 {
		var all []string
		for _, r := range t.Missing[:min(len(t.Missing), 10)] {
			all = append(all, fmt.Sprintf("%d to %d", r.From, r.To))
		}
		lines = append(lines, "  missing rowids: "+strings.Join(all, ", "))
	}
	for _, p := range t.Problems[:min(len(t.Problems), 5)] {
		lines = append(lines, "  "+p)
	}
	return lines
}

func numbers(pages []uint32) string {
	var all []string
	for _, n := range pages[:min(len(pages), 20)] {
		all = append(all, fmt.Sprint(n))
	}
	if len(pages) > 20 {
		all = append(all, "...")
	}
	return strings.Join(all, ", ")
}
