package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/spf13/cobra"
)

// execRequest is the command line of exec.
type execRequest struct {
	bindings
	path      string
	text      string
	args      []string
	batchFile string
	key       string
}

func (a *app) execCommand() *cobra.Command {
	var r execRequest
	cmd := &cobra.Command{
		Use:   "exec DATABASE SQL [ARGUMENT...] | exec DATABASE --batch FILE",
		Short: "Run statements that write, all or nothing",
		Long: `Run statements that write, and return when they are committed. A missing file is
created, readable by its owner alone. SQL "-" is read from standard input.

Several statements in SQL, and the statements of --batch, are one transaction: all or
nothing. FILE ("-" is standard input) is a JSON array of [sql, [args]]; arguments are
null, numbers, texts, true, false or {"base64": "..."}. A statement that can't be part
of a transaction (VACUUM, ATTACH, a PRAGMA that sets) needs an exec of its own, and
BEGIN and COMMIT have no place here: use "holdfast shell" for scripts that have them.

With --key a write happens once: the key is recorded in the same transaction, and a
repetition, after a crash or an unknown outcome, does nothing.

` + addressHelp + `

` + bindingsHelp + `

JSON has an "outcome": "committed", "rolled_back" (nothing was written) or "unknown"
(the commit was under way; repeat it with the key it had, or look).`,
		Example: `  holdfast exec app.db "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT)"
  holdfast exec app.db "INSERT INTO users(name) VALUES (?) RETURNING id" Ada
  echo '[["INSERT INTO users(name) VALUES (?)", ["Grace"]]]' |
      holdfast exec app.db --batch - --key order-1815 --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("batch") {
				return cobra.ExactArgs(1)(cmd, args)
			}
			return cobra.MinimumNArgs(2)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r.path = args[0]
			if !cmd.Flags().Changed("batch") {
				r.text, r.args = args[1], args[2:]
			}
			return a.exec(cmd.Context(), r)
		},
	}
	r.flags(cmd)
	cmd.Flags().StringVar(&r.batchFile, "batch", "", "run the statements of a JSON `file`; - is standard input")
	cmd.Flags().StringVar(&r.key, "key", "", "idempotency `key`: the write happens once for it")
	return cmd
}

// execAnswer is what exec --json prints.
type execAnswer struct {
	Schema          string            `json:"schema"`
	RowsAffected    int64             `json:"rows_affected"`
	LastInsertID    int64             `json:"last_insert_id"`
	Outcome         holdfast.Outcome  `json:"outcome"`
	Repeated        bool              `json:"repeated,omitempty"` // the key was known: nothing ran again
	Results         []holdfast.Result `json:"results,omitempty"`  // of each statement, if there were several
	Columns         []string          `json:"columns,omitempty"`  // of a statement that returned rows
	Rows            json.RawMessage   `json:"rows,omitempty"`
	DurationSeconds float64           `json:"duration_seconds"`

	rows *output.Result
}

func (a *app) exec(ctx context.Context, r execRequest) error {
	batch, err := a.execBatch(r)
	if err != nil {
		return err
	}
	ctx, cancel := a.within(ctx)
	defer cancel()
	open, one := a.openWriting, execOne
	if isAddress(r.path) {
		open = func(ctx context.Context, address string) (*holdfast.DB, error) {
			return a.openAddress(ctx, address, false)
		}
		one = execAt
	}
	db, err := open(ctx, r.path)
	if err != nil {
		return err
	}
	defer a.closeDatabase(db)

	start := time.Now()
	var answer execAnswer
	if len(batch) == 1 && r.batchFile == "" && r.key == "" {
		answer, err = one(ctx, db, batch[0])
	} else {
		answer, err = execAll(ctx, db, batch, r.key)
	}
	answer.Schema, answer.DurationSeconds = "holdfast.exec/v1", seconds(time.Since(start))
	answer.Outcome = holdfast.OutcomeOf(err)
	if err != nil {
		if a.format.Structured() {
			_ = a.printer().Document(answer, nil) // err matters more than a failed print
		}
		return err
	}
	return a.printExec(answer)
}

// execBatch reads what is to be run.
func (a *app) execBatch(r execRequest) ([]holdfast.Statement, error) {
	if r.batchFile != "" {
		return a.readBatch(r.batchFile)
	}
	text, err := a.sqlText(r.text)
	if err != nil {
		return nil, err
	}
	list := split(text)
	if len(list) == 0 {
		return nil, errEmpty
	}
	if len(list) > 1 && len(r.args) > 0 {
		return nil, exitcode.Usagef("arguments go with a single statement, but there are %d; use --batch", len(list))
	}
	batch := make([]holdfast.Statement, len(list))
	for i, statement := range list {
		if controlsTransaction(statement) {
			return nil, exitcode.Usagef("exec runs its statements as one transaction: leave %s out, or use holdfast shell", keyword(statement))
		}
		batch[i] = holdfast.Statement{SQL: statement}
	}
	batch[0].Args = r.values(r.args)
	return batch, nil
}

// execOne runs a statement of any kind, and keeps the rows that it returns.
func execOne(ctx context.Context, db *holdfast.DB, s holdfast.Statement) (answer execAnswer, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return answer, err
	}
	defer conn.Close()
	if err := checkCount(ctx, conn, s.SQL, s.Args); err != nil {
		return answer, err
	}
	rows, err := conn.QueryContext(ctx, s.SQL, s.Args...)
	if err != nil {
		return answer, err
	}
	defer rows.Close()
	result, err := output.Collect(rows)
	if err != nil {
		return answer, err
	}
	if len(result.Columns) > 0 {
		answer.rows, answer.Columns, answer.Rows = result, result.Names(), result.JSON()
	}
	// The write is committed, and stays so whatever becomes of these figures.
	figures := conn.QueryRowContext(context.WithoutCancel(ctx), "SELECT changes(), last_insert_rowid()")
	if figures.Scan(&answer.RowsAffected, &answer.LastInsertID) != nil {
		answer.RowsAffected, answer.LastInsertID = -1, -1
	}
	return answer, nil
}

// execAll runs statements as one transaction.
func execAll(ctx context.Context, db *holdfast.DB, batch []holdfast.Statement, key string) (answer execAnswer, err error) {
	checked := make(map[string]int) // a batch tends to repeat one statement
	for i, s := range batch {
		if n, ok := checked[s.SQL]; ok && n == len(s.Args) {
			continue
		}
		checked[s.SQL] = len(s.Args)
		if err := checkCount(ctx, db, s.SQL, s.Args); err != nil {
			return answer, fmt.Errorf("statement %d of the batch: %w", i+1, err)
		}
	}
	done, err := db.Batch(ctx, batch, holdfast.IdempotencyKey(key))
	switch {
	case errors.Is(err, holdfast.ErrRefused):
		return answer, fmt.Errorf("%w; here that is an exec of its own, or holdfast shell", err)
	case err != nil:
		return answer, err
	}
	answer.Results, answer.Repeated = done.Results, done.Repeated
	for _, r := range done.Results {
		answer.RowsAffected += r.RowsAffected
		answer.LastInsertID = r.LastInsertID
	}
	return answer, nil
}

// printExec prints the rows if there are any, else the figures. With rows the
// figures are no part of the data and go to standard error.
func (a *app) printExec(answer execAnswer) error {
	if answer.rows != nil && !a.format.Structured() {
		fmt.Fprintf(a.errs, "%s affected, %s\n", count(int(answer.RowsAffected), "row"), answer.Outcome)
		return a.printer().Result(answer.rows)
	}
	return a.printer().Document(answer, output.Grid(
		[][]any{{answer.RowsAffected, answer.LastInsertID, answer.Outcome, answer.DurationSeconds}},
		"rows_affected", "last_insert_id", "outcome", "duration_seconds"))
}
