package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/daemon"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// app is one run of the command.
type app struct {
	in   *os.File
	out  *bufio.Writer
	errs io.Writer

	outWidth int  // columns of the terminal that is standard output, or 0
	errColor bool // standard error is a terminal that takes escape sequences

	output  string // flags
	json    bool
	timeout time.Duration
	config  string
	set     map[string]string
	ascii   bool
	noColor bool

	format  output.Format
	running bool // the command line was understood: what fails now isn't its fault
}

func newApp(in, out, errs *os.File) *app {
	a := &app{in: in, out: bufio.NewWriterSize(out, 1<<16), errs: errs}
	if width, _, err := term.GetSize(int(out.Fd())); err == nil {
		a.outWidth = max(width, 20)
	}
	a.errColor = term.IsTerminal(int(errs.Fd()))
	return a
}

// run does what args say and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errs)
	err := root.ExecuteContext(ctx)
	verdict, judged := errors.AsType[exitcode.Verdict](err)
	if e := a.out.Flush(); e != nil && (err == nil || judged) {
		err, judged = &output.WriteError{Err: e}, false
	}
	if judged {
		return int(verdict)
	}
	if err != nil && !a.running {
		err = exitcode.With(exitcode.Usage, err)
	}
	if err == nil {
		return exitcode.OK
	}
	return a.report(err)
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "holdfast",
		Short:         "Make SQLite dependable under concurrency",
		Long:          rootHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			if err := a.settle(); err != nil {
				return err
			}
			return onlyFiles(cmd, args)
		},
	}
	f := root.PersistentFlags()
	f.StringVarP(&a.output, "output", "o", string(output.Table), "output `format`: "+strings.Join(output.Formats(), ", "))
	f.BoolVar(&a.json, "json", false, "short for --output json")
	f.DurationVar(&a.timeout, "timeout", 0, "one budget for waiting and running, such as 5s; 0 leaves it to the configuration")
	f.StringVarP(&a.config, "config", "c", "", "configuration `file` (JSON)")
	f.StringToStringVar(&a.set, "set", nil, "one setting, as in --set database.busy_timeout=5s; may be repeated")
	f.BoolVar(&a.ascii, "ascii", false, "draw with ASCII characters only")
	f.BoolVar(&a.noColor, "no-color", false, "no colours and no bold; so does the environment variable NO_COLOR")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(completions(output.Formats()), cobra.ShellCompDirectiveNoFileComp))
	root.AddCommand(a.queryCommand(), a.execCommand(), a.shellCommand(), a.benchCommand(), a.locksCommand(), a.topCommand(), a.queriesCommand(), a.dashCommand(), a.healthCommand(), a.doctorCommand(), a.verifyCommand(), a.optimizeCommand(), a.backupCommand(), a.restoreCommand(), a.salvageCommand(), a.replicateCommand(), a.clusterCommand(), a.standbyCommand(), a.failoverCommand(), a.tortureCommand(), a.serveCommand(), a.alertsCommand(), a.configCommand(),
		a.versionCommand(), a.manCommand())
	root.AddCommand(a.explainCommand())
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		if strings.HasPrefix(err.Error(), "unknown shorthand flag") {
			return errors.New(err.Error() + "; put -- before an argument that begins with a minus")
		}
		return err
	})
	return root
}

func completions(names []string) []cobra.Completion { return append([]cobra.Completion(nil), names...) }

const rootHelp = `Make SQLite dependable under concurrency.

Data goes to standard output, everything else to standard error. A table is for
people; --json is one document with a "schema" key, durations in seconds and sizes in
bytes. With --json an error is a JSON object too, on standard error.

A database is named by its path, taken literally, or by a URI that begins with
"file:" (https://www.sqlite.org/uri.html). Settings come from --set, from the
environment (HOLDFAST_DATABASE_BUSY_TIMEOUT=5s), from the file of --config, and from
the defaults, in this order.

Exit codes:
    0  done
    1  the database refused the statement: syntax, constraint, no such table;
       or a benchmark found errors, or a scenario of torture failed
   64  the command line, the SQL text or its arguments can't be run at all
   65  the file is damaged, or no database
   66  the file is missing
   69  the engine can't be used, or a server can't be reached
   73  the file can't be created
   74  reading or writing failed, the disk is full, or an outcome is unknown
   75  busy, or out of time: try again
   77  permission denied, or the file is read-only
   78  the configuration is wrong
  130  interrupted`

// settle checks the global flags once they are parsed.
func (a *app) settle() error {
	format, err := output.ParseFormat(a.output)
	if err != nil {
		return err
	}
	if a.json {
		if format != output.Table && format != output.JSON {
			return exitcode.Usagef("--json and --output %s contradict each other: keep one", a.output)
		}
		format = output.JSON
	}
	if a.timeout < 0 {
		return exitcode.Usagef("--timeout %s is negative: give a duration such as 5s", a.timeout)
	}
	a.format = format
	a.running = true
	return nil
}

// color tells whether escape sequences are welcome where terminal says that a
// terminal is. See https://no-color.org.
func (a *app) color(terminal bool) bool {
	return terminal && !a.noColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func (a *app) printer() *output.Printer {
	return &output.Printer{Out: a.out, Format: a.format, Width: a.outWidth, ASCII: a.ascii, Color: a.color(a.outWidth > 0)}
}

// within bounds ctx by --timeout.
func (a *app) within(ctx context.Context) (context.Context, context.CancelFunc) {
	if a.timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, a.timeout)
}

// load reads the configuration, with all sections that the command knows.
func (a *app) load() (*daemon.Settings, *holdfast.ConfigReport, error) {
	return daemon.Load(holdfast.ConfigSource{Path: a.config, Env: os.Environ(), Overrides: a.set})
}

// settings loads the configuration for the database at path.
func (a *app) settings(path string) (holdfast.Config, error) {
	settings, _, err := a.load()
	if err != nil {
		return holdfast.Config{}, err
	}
	cfg := settings.For(path)
	cfg.Database.Path = path
	if a.timeout > 0 {
		cfg.Database.ConnectionTimeout = a.timeout
		cfg.Database.BusyTimeout = lockBudget(a.timeout)
	}
	// A person at a shell may well keep a transaction open.
	cfg.ConnectionPool.LeakThreshold = -1
	cfg.Logger = a.logger()
	return cfg, nil
}

// lockBudget ends a lock wait a little before the whole budget is spent, which
// began before the file was opened: the error of a lock names its holder, that
// of a context can't.
func lockBudget(whole time.Duration) time.Duration {
	return whole - min(whole/4, 250*time.Millisecond)
}

// logger passes on the library's warnings: settings that had no effect, a
// missing fair lock.
func (a *app) logger() *slog.Logger {
	options := &slog.HandlerOptions{
		Level: slog.LevelWarn,
		ReplaceAttr: func(_ []string, attr slog.Attr) slog.Attr {
			if attr.Key == slog.TimeKey || attr.Key == "caller" { // the caller is always this command
				return slog.Attr{}
			}
			return attr
		},
	}
	if a.format.Structured() {
		return slog.New(slog.NewJSONHandler(a.errs, options))
	}
	return slog.New(slog.NewTextHandler(a.errs, options))
}
