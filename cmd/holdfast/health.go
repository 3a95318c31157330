package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/spf13/cobra"
)

func (a *app) healthCommand() *cobra.Command {
	var deep, full bool
	cmd := &cobra.Command{
		Use:   "health DATABASE|URL",
		Short: "Tell at once how a database is",
		Long: `Tell at once how a database is: whether it can be read, its journal mode, size, log,
free space and disk, and what programs that run Holdfast count. The first line is the
answer, then one line for each finding, the worst first.

Without --deep and --full nothing of the content is read, whatever the size: page 1 and
the schema, by a connection that only reads and waits for locks no longer than 250 ms.
--deep adds PRAGMA quick_check, --full PRAGMA integrity_check and foreign_key_check, both on
a copy beside the database, so that its log can be emptied meanwhile: see "holdfast verify".

Nothing is written to the database, also when it is another program's. A database in WAL
mode that nobody has open is read without locks, so that no -wal and -shm is created; if
somebody opens it meanwhile, the look is repeated with locks. Where a crashed program has
left a log without its -shm, SQLite creates the -shm. "holdfast doctor" opens nothing, and
finds more.

URL is that of "holdfast serve": http://HOST:PORT, or http://HOST:PORT/databases/NAME. Then it is
the daemon that tells. A token comes from HOLDFAST_TOKEN.

` + addressHelp + ` Its health is that of
its nodes: who leads, who can be reached, how far each is behind.

Programs that run Holdfast tell their own health by a socket beside the database, to the
same user and to root; what they find counts, too.

Exit codes:
    0  ok: at most remarks
    1  a warning
    2  something critical
    3  unknown: the database may not be read
   65  the file is no database
   66  the database is missing
   69  the daemon can't be reached
Other codes are those of "holdfast help".`,
		Example: `  holdfast health app.db
  holdfast health app.db --json | jq '.findings[] | [.severity, .id, .evidence]'
  holdfast health app.db --full`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := a.within(cmd.Context())
			defer cancel()
			look := a.health
			switch {
			case isURL(args[0]):
				look = a.remoteHealth
			case isAddress(args[0]):
				look = a.addressHealth
			}
			answer, err := look(ctx, args[0], deep, full)
			if err != nil {
				return err
			}
			return a.printHealth(answer)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&deep, "deep", false, "read all of it: pages and rows (PRAGMA quick_check)")
	f.BoolVar(&full, "full", false, "read all of it, and compare indexes and references (PRAGMA integrity_check, foreign_key_check)")
	return cmd
}

// healthAnswer is what health --json prints.
type healthAnswer struct {
	Schema string `json:"schema"`
	holdfast.Health
	Processes []holdfast.ProcessHealth `json:"processes"` // that have it open and run Holdfast, as they tell it
	Blind     []string                 `json:"blind"`
}

func (a *app) health(ctx context.Context, path string, deep, full bool) (*healthAnswer, error) {
	answer := &healthAnswer{Schema: "holdfast.health/v1", Processes: []holdfast.ProcessHealth{}, Blind: []string{}}
	p, err := a.openPatient(ctx, path, !deep && !full)
	if p == nil {
		return nil, err
	}
	defer p.close()
	answer.Health = holdfast.Health{Status: "unknown", IntegrityCheck: "unknown", ThreadingInfo: holdfast.Engine(), Look: holdfast.Look{LastCheck: time.Now().UTC()}, Findings: []holdfast.Finding{}}
	answer.File.Path, answer.File.Bytes, answer.File.JournalMode = p.seen.Path, p.seen.Size, p.seen.JournalMode
	answer.FileSizeMB = math.Round(float64(p.seen.Size)/(1<<20)*100) / 100
	answer.WALModeEnabled, answer.PageSize = p.seen.JournalMode == "wal", int64(p.seen.PageSize)
	if err == nil {
		err = p.examine(ctx, func(db *holdfast.DB) error {
			if deep || full {
				level := holdfast.VerifyQuick
				if full {
					level = holdfast.VerifyFull
				}
				progress, done := a.progress()
				_, err := db.Verify(ctx, level, holdfast.VerifyProgress(progress))
				done()
				if err != nil {
					return err
				}
			}
			h, err := db.Health(ctx)
			if err == nil {
				answer.Health = h
			}
			return err
		})
	}
	finding, about := ailing(p.seen.Path, err)
	switch {
	case about:
		answer.Status, answer.Findings = finding.Severity, append(answer.Findings, finding)
	case errors.Is(err, fs.ErrPermission), exitcode.Of(err) == exitcode.Permission:
		answer.Blind = append(answer.Blind, a.message(err))
	case err != nil:
		return nil, err
	}
	if p.alone { // read as immutable, it is in no mode
		answer.WALModeEnabled, answer.File.JournalMode = true, "wal"
	}
	told, silent, err := holdfast.AskHealth(ctx, p.seen.Path)
	if err != nil {
		return nil, err
	}
	answer.Blind = append(answer.Blind, silent...)
	answer.hear(told)
	return answer, nil
}

// hear adds what programs tell: what they find counts as if it had been seen here.
func (h *healthAnswer) hear(told []holdfast.ProcessHealth) {
	severities := []string{"info", "warning", "critical"}
	rank := func(severity string) int { return slices.Index(severities, severity) }
	for _, t := range told {
		h.Processes = append(h.Processes, t)
		for _, f := range t.Health.Findings {
			same := func(g holdfast.Finding) bool { return g.ID == f.ID }
			if rank(f.Severity) < 0 || slices.ContainsFunc(h.Findings, same) {
				continue
			}
			f.Evidence = fmt.Sprintf("%s (pid %d): %s", t.Program, t.PID, f.Evidence)
			h.Findings = append(h.Findings, f)
			if r := rank(f.Severity); r > rank("info") && r > rank(h.Status) {
				h.Status = f.Severity
			}
		}
	}
	slices.SortStableFunc(h.Findings, func(a, b holdfast.Finding) int { return rank(b.Severity) - rank(a.Severity) })
}

func (a *app) printHealth(h *healthAnswer) error {
	if a.format == output.Table {
		var lines []string
		if h.Status == "ok" || h.Status == "unknown" {
			lines = append(lines, h.Status+": "+h.File.Path)
		}
		for _, f := range h.Findings {
			lines = append(lines, fmt.Sprintf("%-8s %s | %s | %s | %s", f.Severity, f.ID, f.Summary, f.Evidence, f.Fix))
		}
		for _, b := range h.Blind {
			lines = append(lines, "not seen | "+b)
		}
		for i := range lines {
			lines[i] = output.Visible(lines[i]) + "\n"
		}
		if _, err := a.out.WriteString(strings.Join(lines, "")); err != nil {
			return &output.WriteError{Err: err}
		}
	}
	if err := a.printer().Document(h, healthGrid(h)); err != nil {
		return err
	}
	verdict := slices.Index([]string{"ok", "warning", "critical"}, h.Status)
	if verdict < 0 {
		verdict = 3
	}
	return exitcode.Verdict(verdict).AsError()
}

func healthGrid(h *healthAnswer) *output.Result {
	if h.Cluster != nil {
		return clusterGrid(h)
	}
	rows := [][]any{
		{"file", fmt.Sprintf("%s, %d pages of %d bytes, %d free", size(h.File.Bytes), h.PageCount, h.PageSize, h.File.FreePages)},
		{"journal mode", h.File.JournalMode},
	}
	if h.WALModeEnabled {
		rows = append(rows, []any{"log", fmt.Sprintf("%s, %d of %d frames copied", size(h.WAL.Bytes), h.WAL.CopiedFrames, h.WAL.Frames)})
	}
	integrity := h.IntegrityCheck
	if v := h.LastVerified; v != nil {
		integrity += ", " + verifiedHow(*v)
	}
	rows = append(rows, []any{"integrity", integrity})
	if b := h.Backup; !b.LastBackup.IsZero() {
		restored := "none was restored yet to see whether it does"
		if !b.LastVerified.IsZero() {
			restored = "one was restored and checked on " + b.LastVerified.Format(time.RFC3339)
		}
		rows = append(rows, []any{"backup", "the last of " + b.LastBackup.Format(time.RFC3339) + "; " + restored})
	}
	if h.Volume.FreeBytes >= 0 && h.DatabaseAccessible {
		rows = append(rows, []any{"volume", fmt.Sprintf("%s of %s free", size(h.Volume.FreeBytes), size(h.Volume.TotalBytes))})
	}
	rows = append(rows, []any{"engine", "SQLite " + h.ThreadingInfo.Version})
	for _, p := range h.Processes {
		s := p.Health.ConnectionStats
		rows = append(rows, []any{
			fmt.Sprintf("%s (pid %d)", p.Program, p.PID),
			fmt.Sprintf("%s; %d operations, %d failed, %d lock conflicts; %d writes wait; %d of %d readers in use; integrity %s",
				p.Health.Status, s.SuccessfulOperations+s.FailedOperations, s.FailedOperations, s.LockConflicts, p.Health.Writer.Queued,
				s.Readers.InUse, s.Readers.Max, p.Health.IntegrityCheck),
		})
	}
	return output.Grid(rows, "what", "is")
}

// progress shows how far a verification is, on a terminal that is standard error.
// done takes the bar away.
func (a *app) progress() (show func(stage string, done, total int), done func()) {
	if !a.errColor || os.Getenv("TERM") == "dumb" {
		return func(string, int, int) {}, func() {}
	}
	b := &bars{ascii: a.ascii, out: a.errs}
	return b.show, b.end
}
