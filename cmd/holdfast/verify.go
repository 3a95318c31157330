package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfastdb/holdfast/replicate/objects"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
)

// verifyRequest is the command line of verify.
type verifyRequest struct {
	level     string
	inPlace   bool
	directory string
}

func (a *app) verifyCommand() *cobra.Command {
	var r verifyRequest
	cmd := &cobra.Command{
		Use:   "verify DATABASE",
		Short: "Read a whole database or backup, and say whether it is well",
		Long: `Read a whole database or backup, and say whether it is well. The first line is the
answer, then one line for each problem.

--level quick reads all pages and rows (PRAGMA quick_check). --level full also compares
indexes with their tables (PRAGMA integrity_check) and finds rows that refer to missing ones
(PRAGMA foreign_key_check).

What is read is a copy, page for page, beside the database or in --directory, so that the
log can be emptied as soon as the copy is made, and writers go on. It needs as much space as
the database, and is gone afterwards. Where there is no space, or nothing may be created, the
database itself is read, as with --in-place, and the answer says so. A database without a log
can't be committed to while it is copied, or, with --in-place, while it is checked. One that
nobody has open is read itself, without locks; if somebody opens it, the check is repeated.

A backup in a bucket or behind SFTP is named by its URL (see "holdfast help backup"): quick
reads it and compares each byte with its manifest, full also restores it to --directory (by
default that for temporary files), checks it there, and removes it.

On a terminal a bar on standard error shows how far it is. Interrupting it leaves nothing.

Exit codes:
    0  the database is well
    2  it is damaged, or refers to rows that are missing
   65  the file is no database
   66  the database is missing
   75  busy, or out of time
  130  interrupted
Other codes are those of "holdfast help".`,
		Example: `  holdfast verify app.db
  holdfast verify app.db --level full --directory /var/tmp
  holdfast verify backup.db --level full --json | jq .ok`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var level holdfast.VerifyLevel
			if err := level.UnmarshalText([]byte(r.level)); err != nil {
				return exitcode.Usagef("--level is quick or full")
			}
			options := []holdfast.VerifyOption{}
			if r.inPlace {
				options = append(options, holdfast.VerifyInPlace())
			}
			if r.directory != "" {
				options = append(options, holdfast.VerifyDirectory(r.directory))
			}
			ctx, cancel := a.within(cmd.Context())
			defer cancel()
			if objects.IsURL(args[0]) {
				return a.verifyStored(ctx, args[0], level, r.directory)
			}
			return a.verify(ctx, args[0], level, options)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.level, "level", "quick", "how closely: `quick` or full")
	f.BoolVar(&r.inPlace, "in-place", false, "read the database itself and make no copy")
	f.StringVar(&r.directory, "directory", "", "where the copy is made; default beside the database")
	_ = cmd.RegisterFlagCompletionFunc("level", cobra.FixedCompletions(completions([]string{"quick", "full"}), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.MarkFlagDirname("directory")
	return cmd
}

// verifyAnswer is what verify --json prints.
type verifyAnswer struct {
	Schema   string `json:"schema"`
	Database string `json:"database"`
	holdfast.VerifyReport
}

func (a *app) verify(ctx context.Context, path string, level holdfast.VerifyLevel, options []holdfast.VerifyOption) error {
	start := time.Now()
	p, err := a.openPatient(ctx, path, false)
	if p == nil {
		return err
	}
	defer p.close()
	answer := verifyAnswer{Schema: "holdfast.verify/v1", Database: p.seen.Path}
	if err == nil {
		err = p.examine(ctx, func(db *holdfast.DB) error {
			progress, done := a.progress()
			defer done()
			report, err := db.Verify(ctx, level, append(options, holdfast.VerifyProgress(progress))...)
			answer.VerifyReport = report
			return err
		})
	}
	if f, about := ailing(p.seen.Path, err); about && f.Severity == "critical" { // so damaged that it can't be opened
		answer.VerifyReport = holdfast.VerifyReport{Level: level, Problems: []string{f.Evidence}, DurationSeconds: seconds(time.Since(start)), Finished: time.Now().UTC()}
	} else if err != nil {
		return err
	}
	return a.printVerify(answer)
}

func (a *app) printVerify(answer verifyAnswer) error {
	if a.format == output.Table {
		if _, err := a.out.WriteString(verifyText(answer)); err != nil {
			return &output.WriteError{Err: err}
		}
	} else {
		var rows [][]any
		for _, problem := range answer.Problems {
			rows = append(rows, []any{problem})
		}
		if err := a.printer().Document(answer, output.Grid(rows, "problem")); err != nil {
			return err
		}
	}
	if !answer.OK {
		return exitcode.Verdict(2)
	}
	return nil
}

func verifyText(v verifyAnswer) string {
	damaged := len(v.Problems) > v.Orphans
	word := "ok"
	switch {
	case damaged:
		word = "damaged"
	case !v.OK:
		word = "orphans"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s (%s)\n", word, output.Visible(v.Database), output.Visible(verifiedHow(v.VerifyReport)))
	for _, problem := range v.Problems {
		b.WriteString(output.Visible(problem) + "\n")
	}
	if damaged {
		b.WriteString("stop writing, keep the file with its -wal and -shm, and restore a checked backup; holdfast salvage copies what can be read\n")
	}
	return b.String()
}

// verifiedHow says how a verdict was found.
func verifiedHow(v holdfast.VerifyReport) string {
	where := "on a copy"
	if !v.OnCopy {
		where = "in place"
		if v.InPlaceReason != "" {
			where += ": " + v.InPlaceReason
		}
	}
	took := time.Duration(v.DurationSeconds * float64(time.Second)).Round(time.Millisecond)
	return fmt.Sprintf("%s, %d pages in %s, %s", v.Level, v.Pages, took, where)
}

// bars shows one bar after the other, one for each stage.
type bars struct {
	ascii bool
	out   io.Writer
	stage string
	bar   *progressbar.ProgressBar
}

func (b *bars) show(stage string, done, total int) {
	if b.bar == nil || b.stage != stage {
		b.end()
		theme := progressbar.ThemeUnicode
		if b.ascii {
			theme = progressbar.ThemeASCII
		}
		b.stage = stage
		b.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(b.out), progressbar.OptionSetDescription(stage), progressbar.OptionSetTheme(theme), progressbar.OptionSetWidth(30),
			progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	_ = b.bar.Set(done) // a terminal that is gone is nobody's loss
}

// end takes the bar off the screen.
func (b *bars) end() {
	if b.bar != nil {
		_ = b.bar.Clear()
		b.bar = nil
	}
}
