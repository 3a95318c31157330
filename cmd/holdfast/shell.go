package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func (a *app) shellCommand() *cobra.Command {
	readOnly := false
	history := ""
	cmd := &cobra.Command{
		Use:   "shell DATABASE",
		Short: "Run statements from the terminal or a script",
		Long: `Run statements from the terminal or a script. A missing file is created.

A statement ends with a semicolon and may have many lines. BEGIN opens a write
transaction that lasts until COMMIT or ROLLBACK; the prompt shows it with a star. Other
writers wait for it meanwhile. Ctrl-C ends the statement that is running, not the shell.
.help lists the commands of the shell itself.

If standard input is no terminal, it is a script: the shell stops at the first error, with
its exit code. A transaction that is still open at the end is rolled back, and that is an
error. --timeout is for each statement.

The lines typed are kept in "holdfast/history" below $XDG_STATE_HOME (~/.local/state),
readable by their owner alone; --history "" keeps none.`,
		Example: `  holdfast shell app.db
  holdfast shell app.db < migration.sql`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("history") {
				history = historyFile()
			}
			return a.shell(cmd.Context(), args[0], readOnly, history)
		},
	}
	cmd.Flags().BoolVar(&readOnly, "read-only", false, "refuse every write, and all that reaches beyond the file, which must exist")
	cmd.Flags().StringVar(&history, "history", "", "keep the lines typed in this `file`")
	return cmd
}

// shell is one run of the shell. Every statement runs on one connection, so
// that transactions, TEMP tables and pragmas last.
type shell struct {
	app     *app
	db      *holdfast.DB
	conn    *sql.Conn
	printer *output.Printer
	timer   bool
	tx      transaction
	depth   int // of .read

	interactive bool
	interrupts  chan os.Signal // Ctrl-C, for the statement that is running
}

// lineReader is where lines come from. io.EOF ends them; errAborted means that
// the user has given up the line.
type lineReader interface {
	line(prompt string) (string, error)
}

var errAborted = errors.New("line given up")

// errQuit ends the shell.
var errQuit = errors.New("quit")

func (a *app) shell(ctx context.Context, path string, readOnly bool, history string) (err error) {
	open := a.openWriting
	if readOnly {
		open = a.openReading
	}
	openCtx, cancel := a.within(ctx)
	db, err := open(openCtx, path)
	cancel()
	if err != nil {
		return err
	}
	defer a.closeDatabase(db)
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	s := &shell{app: a, db: db, conn: conn, printer: a.printer()}
	if !term.IsTerminal(int(a.in.Fd())) || a.outWidth == 0 {
		return s.script(ctx, newScript(a.in))
	}
	if isPartOf(history, s.db.Path()) { // nothing is attached yet
		return exitcode.Usagef("--history %s belongs to the database that is open; choose another file", history)
	}
	return s.dialogue(ctx, history)
}

// dialogue talks to a person until he ends it.
func (s *shell) dialogue(ctx context.Context, history string) error {
	s.interactive = true
	// From here on Ctrl-C is for one statement, not for the whole command.
	signal.Reset(os.Interrupt)
	s.interrupts = make(chan os.Signal, 1)
	signal.Notify(s.interrupts, os.Interrupt)
	defer signal.Stop(s.interrupts)

	t := openTerminal(history, s.complete)
	defer t.close(s.app.errs)
	// A prompt can't be called off, so on SIGTERM the process ends here, with
	// the terminal as it was. SQLite rolls an open transaction back.
	stop := context.AfterFunc(ctx, func() {
		t.close(s.app.errs)
		os.Exit(exitcode.Interrupted)
	})
	defer stop()
	fmt.Fprintf(s.app.errs, "Holdfast %s, SQLite %s. A statement ends with a semicolon; .help helps, .quit leaves.\n",
		version().Version, holdfast.Engine().Version)
	err := s.loop(ctx, t)
	if err == nil && s.tx.open {
		fmt.Fprintln(s.app.errs, "The open transaction was rolled back.")
	}
	return err
}

// script runs lines until the first error.
func (s *shell) script(ctx context.Context, in lineReader) error {
	if err := s.loop(ctx, in); err != nil {
		return err
	}
	if s.tx.open && s.depth == 0 {
		return exitcode.With(exitcode.Failed, errors.New("the script ended inside a transaction, which was rolled back; end it with COMMIT"))
	}
	return nil
}

// loop reads lines, puts them together to statements and runs these.
func (s *shell) loop(ctx context.Context, in lineReader) error {
	pending := ""
	for {
		line, err := in.line(s.prompt(pending != ""))
		switch {
		case errors.Is(err, errAborted):
			pending = ""
			continue
		case errors.Is(err, io.EOF):
			if skipBlank(pending) == "" {
				return nil
			}
			return s.carryOn(s.statement(ctx, pending))
		case err != nil:
			return exitcode.With(exitcode.IO, fmt.Errorf("read the input: %w", err))
		}
		if pending == "" && strings.HasPrefix(line, ".") {
			err = s.carryOn(s.command(ctx, line))
		} else {
			pending, err = s.statements(ctx, pending+line+"\n")
		}
		if errors.Is(err, errQuit) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.app.out.Flush(); err != nil {
			return &output.WriteError{Err: err}
		}
	}
}

// statements runs the complete statements of text and returns what is left.
func (s *shell) statements(ctx context.Context, text string) (rest string, err error) {
	for {
		statement, tail, ok := cut(text)
		if !ok {
			break
		}
		text = tail
		if skipBlank(statement) == "" {
			continue
		}
		if err := s.statement(ctx, statement); err != nil {
			// What stands behind a failed statement was meant to follow it.
			return "", s.carryOn(err)
		}
	}
	if skipBlank(text) == "" {
		return "", nil
	}
	return text, nil
}

// carryOn shows a person what went wrong and goes on; a script ends there.
func (s *shell) carryOn(err error) error {
	if err == nil || !s.interactive || s.depth > 0 || errors.Is(err, errQuit) {
		return err
	}
	_ = s.app.out.Flush() // the error of the terminal comes back with the next line
	s.app.report(err)
	return nil
}

// statement runs one statement within --timeout, until Ctrl-C.
func (s *shell) statement(ctx context.Context, text string) error {
	ctx, cancel := s.app.within(ctx)
	defer cancel()
	defer s.onInterrupt(cancel)()
	start := time.Now()
	err := s.app.printRows(ctx, s.printer, s.conn, strings.TrimSpace(text))
	s.tx.after(text, err)
	if err != nil {
		return err
	}
	if s.timer {
		fmt.Fprintf(s.app.errs, "%s\n", time.Since(start).Round(time.Microsecond))
	}
	return nil
}

// onInterrupt calls cancel at the next Ctrl-C, until the function that it
// returns is called.
func (s *shell) onInterrupt(cancel context.CancelFunc) (done func()) {
	if !s.interactive {
		return func() {}
	}
	select { // one that came while no statement was running
	case <-s.interrupts:
	default:
	}
	over := make(chan struct{})
	go func() {
		select {
		case <-s.interrupts:
			cancel()
			wakeTerminal(os.Stdout)
		case <-over:
		}
	}()
	return func() { close(over) }
}

func (s *shell) prompt(more bool) string {
	star := " "
	if s.tx.open {
		star = "*"
	}
	if more {
		return "     ...>" + star
	}
	return "holdfast>" + star
}
