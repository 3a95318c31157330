package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/spf13/cobra"
)

func (a *app) queryCommand() *cobra.Command {
	var b bindings
	cmd := &cobra.Command{
		Use:   "query DATABASE SQL [ARGUMENT...]",
		Short: "Print the rows of one statement that reads",
		Long: `Print the rows of one statement that reads. SQL "-" is read from standard input.

The database is opened for reading only: a missing file is an error and is not
created, the journal mode stays as it is, and the engine refuses a statement that
writes, or reaches beyond this file: ATTACH, a PRAGMA that sets. RETURNING belongs to "holdfast exec", which prints its rows.

` + addressHelp + `

` + bindingsHelp + `

JSON carries integers with all digits, blobs as {"base64": ...}, text that is no
UTF-8 as {"text_base64": ...}, infinite numbers as {"float": "Infinity"}. Texts in
columns declared DATE, DATETIME or TIMESTAMP that are times are printed as times, in
JSON in UTC; CAST(x AS TEXT) shows them as they are stored. CSV and JSON Lines are
printed as the rows come; the other formats hold the whole result in memory.`,
		Example: `  holdfast query app.db "SELECT * FROM users WHERE id = ?" 42
  holdfast query app.db "SELECT name FROM users" -o csv
  echo "SELECT count(*) FROM users" | holdfast query app.db - --json`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.query(cmd.Context(), args[0], args[1], b.values(args[2:]))
		},
	}
	b.flags(cmd)
	return cmd
}

// queryAnswer is what query --json prints.
type queryAnswer struct {
	Schema          string          `json:"schema"`
	Columns         []string        `json:"columns"`
	Rows            json.RawMessage `json:"rows"`
	DurationSeconds float64         `json:"duration_seconds"`
}

func newQueryAnswer(r *output.Result, took time.Duration) queryAnswer {
	return queryAnswer{Schema: "holdfast.query/v1", Columns: r.Names(), Rows: r.JSON(), DurationSeconds: seconds(took)}
}

func (a *app) query(ctx context.Context, path, arg string, args []any) error {
	text, err := a.sqlText(arg)
	if err != nil {
		return err
	}
	if skipBlank(text) == "" {
		return errEmpty
	}
	ctx, cancel := a.within(ctx)
	defer cancel()
	open := a.openReading
	if isAddress(path) {
		open = func(ctx context.Context, address string) (*holdfast.DB, error) {
			return a.openAddress(ctx, address, true)
		}
	}
	db, err := open(ctx, path)
	if err != nil {
		return err
	}
	defer a.closeDatabase(db)
	if err := checkCount(ctx, db, text, args); err != nil {
		return err
	}
	return onlyReads(a.printRows(ctx, a.printer(), db, text, args...))
}

// printRows runs one statement and prints its rows.
func (a *app) printRows(ctx context.Context, p *output.Printer, db querier, text string, args ...any) error {
	start := time.Now()
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return p.Rows(rows, func(r *output.Result) any { return newQueryAnswer(r, time.Since(start)) })
}

// onlyReads sends a write to the verb that is made for it.
func onlyReads(err error) error {
	if errors.Is(err, holdfast.ErrReadOnly) {
		return exitcode.Usagef("query only reads; run a statement that writes with holdfast exec")
	}
	return err
}
