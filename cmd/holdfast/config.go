package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/spf13/cobra"
)

func (a *app) configCommand() *cobra.Command {
	cmd := group("config", "Check, print or write a configuration")
	cmd.AddCommand(a.configCheckCommand(), a.configPrintCommand(), a.configInitCommand())
	return cmd
}

// group is a command that only has subcommands. Cobra alone would print the
// help and succeed when the subcommand is missing or mistyped.
func group(name, short string) *cobra.Command {
	return &cobra.Command{
		Use:   name,
		Short: short,
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			var names []string
			for _, sub := range cmd.Commands() {
				if sub.IsAvailableCommand() {
					names = append(names, sub.Name())
				}
			}
			if len(args) == 0 {
				return exitcode.Usagef("holdfast %s needs a subcommand: %s", name, strings.Join(names, ", "))
			}
			return exitcode.Usagef("unknown command %q for holdfast %s: choose %s", args[0], name, strings.Join(names, ", "))
		},
	}
}

// namedConfig takes a file named as an argument for that of --config.
func (a *app) namedConfig(args []string) error {
	if len(args) > 0 {
		if a.config != "" && a.config != args[0] {
			return exitcode.Usagef("two configuration files are given: %s and --config %s; keep one", args[0], a.config)
		}
		a.config = args[0]
	}
	return nil
}

// configProblem is one thing that is wrong.
type configProblem struct {
	Key     string `json:"key"`
	Where   string `json:"where"`
	Problem string `json:"problem"`
}

// configCheckAnswer is what config check --json prints.
type configCheckAnswer struct {
	Schema   string          `json:"schema"`
	Valid    bool            `json:"valid"`
	Problems []configProblem `json:"problems"`
	Notes    []string        `json:"notes"`
}

func (a *app) configCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say everything that is wrong with a configuration",
		Long: `Say everything that is wrong with a configuration: with FILE (or --config), the
environment and --set together. Notes are about settings that don't do what a reader
would expect; they are no error. The exit code is 0 or 78.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.namedConfig(args); err != nil {
				return err
			}
			_, report, err := a.load()
			problems := configProblems(err)
			if err != nil && problems == nil {
				return err // the file could not be read at all
			}
			answer := configCheckAnswer{Schema: "holdfast.config.check/v1", Valid: err == nil, Problems: []configProblem{}, Notes: []string{}}
			answer.Problems = append(answer.Problems, problems...)
			if report != nil {
				answer.Notes = append(answer.Notes, report.Notes...)
			}
			if err := a.printer().Document(answer, answer.table()); err != nil {
				return err
			}
			if !answer.Valid {
				return exitcode.With(exitcode.Config, fmt.Errorf("the configuration has %s", count(len(problems), "error")))
			}
			return nil
		},
	}
}

func (c configCheckAnswer) table() *output.Result {
	var rows [][]any
	for _, p := range c.Problems {
		rows = append(rows, []any{"error", p.Where, p.Problem})
	}
	for _, n := range c.Notes {
		rows = append(rows, []any{"note", "", n})
	}
	if rows == nil {
		rows = append(rows, []any{"ok", "", "nothing is wrong"})
	}
	return output.Grid(rows, "kind", "where", "what")
}

// configProblems takes the *holdfast.ConfigError out of a joined error.
func configProblems(err error) []configProblem {
	var list []configProblem
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			list = append(list, configProblems(e)...)
		}
		return list
	}
	if e, ok := errors.AsType[*holdfast.ConfigError](err); ok {
		list = append(list, configProblem{e.Key, e.Where, e.Problem})
	}
	return list
}

// configPrintAnswer is what config print --json prints.
type configPrintAnswer struct {
	Schema string                 `json:"schema"`
	Values []holdfast.ConfigValue `json:"values"`
	Notes  []string               `json:"notes"`
}

func (a *app) configPrintCommand() *cobra.Command {
	changed := false
	cmd := &cobra.Command{
		Use:   "print [FILE]",
		Short: "Print each setting in effect and where it came from",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.namedConfig(args); err != nil {
				return err
			}
			_, report, err := a.load()
			if err != nil {
				return err
			}
			answer := configPrintAnswer{Schema: "holdfast.config.print/v1", Values: []holdfast.ConfigValue{}, Notes: []string{}}
			answer.Notes = append(answer.Notes, report.Notes...)
			var rows [][]any
			for _, v := range report.Values {
				if changed && v.Value == v.Default {
					continue
				}
				answer.Values = append(answer.Values, v)
				rows = append(rows, []any{v.Key, v.Value, v.Origin, v.Default})
			}
			if !a.format.Structured() {
				for _, n := range answer.Notes {
					fmt.Fprintln(a.errs, "note:", n)
				}
			}
			return a.printer().Document(answer, output.Grid(rows, "key", "value", "origin", "default"))
		},
	}
	cmd.Flags().BoolVar(&changed, "changed", false, "only the settings that differ from their defaults")
	return cmd
}

func (a *app) configInitCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a configuration to start from",
		Long:  `Write a configuration to start from, to FILE or standard output. An existing file is left alone.`,
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				_, err := a.out.Write(holdfast.ExampleConfig())
				return err
			}
			return writeConfig(args[0])
		},
	}
}

// writeConfig writes the example to a file that must not exist yet.
func writeConfig(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = f.Write(holdfast.ExampleConfig())
		err = errors.Join(err, f.Close())
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		return exitcode.With(exitcode.CantCreate, fmt.Errorf("%s exists; choose another name, or remove it first", path))
	case errors.Is(err, fs.ErrPermission):
		return exitcode.With(exitcode.Permission, fmt.Errorf("write the configuration: %w", err))
	}
	return exitcode.With(exitcode.CantCreate, fmt.Errorf("write the configuration: %w", err))
}
