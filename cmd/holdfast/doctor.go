package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/source"
	"github.com/holdfastdb/holdfast/doctor"
	"github.com/holdfastdb/holdfast/doctor/selftest"
	"github.com/spf13/cobra"
)

func (a *app) doctorCommand() *cobra.Command {
	var o doctor.Options
	var code []string
	var test, hold bool
	cmd := &cobra.Command{
		Use:   "doctor [DATABASE]",
		Short: "Find what is wrong with a database, its files, its driver and its program",
		Long: `Find what is wrong with a database, its files, its driver and its program.

Without --open no SQLite connection is opened: doctor asks the system about the files
and reads their headers, and creates, locks and changes nothing, so it is safe while
others work and after a crash. --open adds a second stage, which opens the database
for reading only and asks it by SQL: integrity, foreign keys, indexes, statistics.
It leaves the database, its log and its journal as they are, but SQLite may create
the -shm.

A finding is one line: severity and id, what, what was seen, and the command that
fixes it. The worst comes first, and the first line is the answer. --gomod, --binary and
--dsn look at drivers and also work without a database. The texts are in English or
German, as LC_ALL, LC_MESSAGES or LANG say; ids and JSON keys are always the same.

--source looks at the source of a Go program for mistakes with SQLite: a PRAGMA that
reaches one connection only, rows that are never closed, the database used inside a
transaction, errors told by their text, a database file opened beside SQLite. It takes
the packages that go build would, without their tests, and needs the go command.

Who uses the database is seen on Linux only, and files that a process holds open
though they are deleted only of processes of the same user, or by root.

Exit codes:
    0  healthy: at most remarks
    1  a warning
    2  something critical
    3  nothing bad was seen, but the database or a package could not be examined
   66  the database is missing
Other codes are those of "holdfast help".`,
		Example: `  holdfast doctor app.db
  holdfast doctor app.db --open --json
  holdfast doctor --gomod go.mod
  holdfast doctor --binary ./server
  holdfast doctor --source ./...
  holdfast doctor --dsn 'file:app.db?_journal_mode=WAL' --driver modernc@v1.50.0`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := strings.Join(args, "")
			switch {
			case hold:
				return selftest.Hold(path, a.in, os.Stdout)
			case test:
				return a.selfTest(cmd.Context())
			case path == "" && o.GoMod == "" && o.Binary == "" && o.DSN == "" && len(code) == 0:
				return exitcode.Usagef("doctor needs a database, or --gomod, --binary, --dsn, --source or --selftest")
			case o.DSN != "" && o.Driver == "":
				return exitcode.Usagef("--dsn needs --driver: mattn, modernc or ncruces")
			}
			o.Language = language(os.Getenv)
			return a.doctor(cmd.Context(), path, o, code)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.Open, "open", false, "open the database for reading only and examine its content")
	f.StringVar(&o.GoMod, "gomod", "", "examine the SQLite drivers that this go.mod `file` requires")
	f.StringVar(&o.Binary, "binary", "", "examine the SQLite drivers in this Go `program`")
	f.StringVar(&o.DSN, "dsn", "", "examine this data source `name` of a driver")
	f.StringVar(&o.Driver, "driver", "", "the driver of --dsn: mattn, modernc or ncruces, with a `version` as in modernc@v1.50.0 if known")
	f.StringArrayVar(&code, "source", nil, "examine the source of these Go `packages`, as in ./...; may be repeated")
	f.BoolVar(&test, "selftest", false, "make databases that are ill or well, and check that doctor tells them apart")
	f.BoolVar(&hold, "hold", false, "read the database until standard input ends")
	_ = f.MarkHidden("hold")
	_ = cmd.RegisterFlagCompletionFunc("driver", cobra.FixedCompletions(completions([]string{"mattn", "modernc", "ncruces"}), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// language reads the environment as the C library does.
func language(getenv func(string) string) string {
	return cmp.Or(getenv("LC_ALL"), getenv("LC_MESSAGES"), getenv("LANG"))
}

// doctorAnswer is what doctor --json prints.
type doctorAnswer struct {
	Schema   string           `json:"schema"`
	Path     string           `json:"path,omitempty"`
	Status   string           `json:"status"` // "healthy", "warning", "critical", "unknown"
	Findings []doctor.Finding `json:"findings"`
	Blind    []string         `json:"blind"`
}

func (a *app) doctor(ctx context.Context, path string, o doctor.Options, code []string) error {
	ctx, cancel := a.within(ctx)
	defer cancel()
	r, err := doctor.Examine(ctx, path, o)
	if err == nil && len(code) > 0 {
		err = addSource(ctx, r, code, o.Language)
	}
	switch {
	case err != nil && exitcode.Of(err) == exitcode.Failed: // which would read as a warning
		return exitcode.With(exitcode.Usage, err)
	case err != nil:
		return err
	}
	answer := doctorAnswer{Schema: "holdfast.doctor/v1", Path: r.Path, Findings: r.Findings, Blind: r.Blind}
	answer.Status = []string{"healthy", "warning", "critical", "unknown"}[r.ExitCode()]
	if a.format == output.Table {
		if _, err := a.out.WriteString(findingLines(answer, o.Language)); err != nil {
			return &output.WriteError{Err: err}
		}
	} else {
		var rows [][]any
		for _, f := range r.Findings {
			rows = append(rows, []any{f.Severity.String(), f.ID, f.Summary, f.Evidence, f.Fix})
		}
		if err := a.printer().Document(answer, output.Grid(rows, "severity", "id", "summary", "evidence", "fix")); err != nil {
			return err
		}
	}
	return exitcode.Verdict(r.ExitCode()).AsError()
}

// addSource examines the packages and adds to the report what is found there.
func addSource(ctx context.Context, r *doctor.Report, code []string, language string) error {
	s, err := source.Examine(ctx, code, language)
	if err != nil {
		return err
	}
	r.Findings = append(r.Findings, s.Findings...)
	slices.SortStableFunc(r.Findings, func(a, b doctor.Finding) int { return cmp.Compare(b.Severity, a.Severity) })
	r.Blind = append(r.Blind, s.Blind...)
	r.Unknown = r.Unknown || len(s.Blind) > 0
	return nil
}

// findingLines is one line a finding. The first line is the answer: the worst
// finding, or that there is none.
func findingLines(answer doctorAnswer, language string) string {
	words := map[string]string{"healthy": "healthy", "unknown": "unknown", "blind": "not seen"}
	if strings.HasPrefix(language, "de") {
		words = map[string]string{"healthy": "gesund", "unknown": "unbekannt", "blind": "nicht zu sehen"}
	}
	var lines []string
	if word := words[answer.Status]; word != "" {
		lines = append(lines, strings.TrimSuffix(word+": "+answer.Path, ": "))
	}
	for _, f := range answer.Findings {
		lines = append(lines, fmt.Sprintf("%-8s %s | %s | %s | %s", f.Severity, f.ID, f.Summary, f.Evidence, f.Fix))
	}
	for _, b := range answer.Blind {
		lines = append(lines, words["blind"]+" | "+b)
	}
	for n := range lines {
		lines[n] = output.Visible(lines[n]) + "\n"
	}
	return strings.Join(lines, "")
}

// selfTestAnswer is what doctor --selftest --json prints.
type selfTestAnswer struct {
	Schema      string            `json:"schema"`
	SickFound   int               `json:"sick_found"`
	Sick        int               `json:"sick"`
	FalseAlarms int               `json:"false_alarms"`
	Healthy     int               `json:"healthy"`
	Cases       []selftest.Result `json:"cases"`
}

func (a *app) selfTest(ctx context.Context) error {
	ctx, cancel := a.within(ctx)
	defer cancel()
	dir, err := os.MkdirTemp("", "holdfast-doctor-")
	if err != nil {
		return exitcode.With(exitcode.CantCreate, err)
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	results, err := selftest.Run(ctx, dir, func(ctx context.Context, path string) *exec.Cmd {
		return exec.CommandContext(ctx, self, "doctor", "--hold", path)
	})
	if err != nil {
		return err
	}
	answer := selfTestAnswer{Schema: "holdfast.doctor.selftest/v1", Cases: results}
	var rows [][]any
	for _, r := range results {
		word := "ok"
		switch {
		case r.Skipped != "":
			rows = append(rows, []any{r.Name, "left out: " + r.Skipped, ""})
			continue
		case r.Sick:
			answer.Sick++
			if r.OK {
				answer.SickFound++
			}
		default:
			answer.Healthy++
			if !r.OK {
				answer.FalseAlarms++
			}
		}
		if !r.OK {
			word = "WRONG"
		}
		rows = append(rows, []any{r.Name, word, strings.Join(r.Found, " ")})
	}
	summary := fmt.Sprintf("%d of %d sick databases found, %d false alarms on %d healthy ones",
		answer.SickFound, answer.Sick, answer.FalseAlarms, answer.Healthy)
	if a.format == output.Table {
		if _, err := a.out.WriteString(summary + "\n"); err != nil {
			return &output.WriteError{Err: err}
		}
	}
	if err := a.printer().Document(answer, output.Grid(rows, "database", "verdict", "found")); err != nil {
		return err
	}
	if answer.SickFound < answer.Sick || answer.FalseAlarms > 0 {
		return exitcode.With(exitcode.Failed, fmt.Errorf("%s", summary))
	}
	return nil
}
