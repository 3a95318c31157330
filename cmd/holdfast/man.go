package main

import (
	"fmt"
	"io"
	"os"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func (a *app) manCommand() *cobra.Command {
	dir := ""
	cmd := &cobra.Command{
		Use:   "man [COMMAND...]",
		Short: "Print or write the manual pages",
		Long:  "Print the manual page of a command (of holdfast itself without one), or write all pages to a directory.",
		Example: `  holdfast man query | man -l -
  holdfast man --dir /usr/local/share/man/man1`,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			root.DisableAutoGenTag = true
			if dir == "" {
				return manPage(root, args, a.out)
			}
			if len(args) > 0 {
				return exitcode.Usagef("--dir writes all pages: leave %q out", args[0])
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return exitcode.With(exitcode.CantCreate, fmt.Errorf("create the directory for the pages: %w", err))
			}
			if err := doc.GenManTree(root, manHeader(), dir); err != nil {
				return exitcode.With(exitcode.CantCreate, fmt.Errorf("write the pages: %w", err))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "write all pages to this `directory`")
	_ = cmd.MarkFlagDirname("dir")
	return cmd
}

func manPage(root *cobra.Command, args []string, out io.Writer) error {
	target, rest, err := root.Find(args)
	if err != nil || len(rest) > 0 {
		return exitcode.Usagef("there is no command %q; holdfast help lists them", args)
	}
	return doc.GenMan(target, manHeader(), out)
}

// manHeader leaves the title to the generator, which makes it of the command.
func manHeader() *doc.GenManHeader {
	return &doc.GenManHeader{Section: "1", Source: "Holdfast " + version().Version, Manual: "Holdfast Manual"}
}
