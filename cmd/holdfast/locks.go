package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfastdb/holdfast/locks"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// locksRequest is the command line of locks.
type locksRequest struct {
	watch    bool
	interval time.Duration
	over     time.Duration
}

func (a *app) locksCommand() *cobra.Command {
	var r locksRequest
	cmd := &cobra.Command{
		Use:   "locks DATABASE",
		Short: "Show who holds which lock of a database, and since at least when",
		Long: `Show who holds which lock of a database, and since at least when: processes of any
program, with any SQLite. The first line is the answer.

Nothing is opened by SQLite, locked or written: the command reads the kernel's lock
table, the lists of open files, and the first bytes of the database, its -shm and -wal,
and asks programs that run Holdfast. It may be run at any time, by anybody.

  SHARED       reads, in rollback mode; a COMMIT waits for it
  RESERVED     will write; other writers wait
  PENDING      waits in COMMIT for readers, and lets no new ones in
  EXCLUSIVE    nobody else can read or write
  WAL_READ     reads the snapshot of a slot; the log is not copied past it
  WAL_WRITE    writes; other writers wait
  WAL_CKPT     copies the log into the database
  WAL_RECOVER  rebuilds the index of the log; everybody waits

A program that runs Holdfast tells its own user and root more, by a socket beside the
database: call sites, statements (without values), since when, and who waits inside. It
doesn't if database.control_socket is off. Which of its readers has which slot is not
known; the oldest is shown at its oldest snapshot.

Systems keep no time of a lock. Held "at least" is how long this command has seen it, if
the program doesn't tell: it looks twice, --over apart, and with --watch until it is
interrupted. Who lets a lock go between two looks and takes it again counts as one holder,
unless a commit shows that it was another transaction. Another program that waits in its
busy_timeout polls, and looks idle.

What each system shows, beside the journal mode and the state of the log:

  Linux        all locks and all who have the database open: pid, program, user, state
  macOS        all locks: pid, program, user, and whether it is stopped; the open files
               of nobody
  other Unix   one holder of each lock, by its pid alone
  Windows      all who have the database open: pid, program, user; the locks of nobody

On Linux, locks of other containers are invisible from inside one: look from the host, or
from the owner's PID namespace. The open files of other users are visible to root only;
without them most locks still have a process, but idle connections and locks of open
files (OFD) may lack one. On other Unix systems the locks of open files have no process.
What can't be seen is said, with the next step.

With --watch on a terminal the picture is painted again every --interval; elsewhere it is
printed when it changes, and with --json at every look, one document a line.`,
		Example: `  holdfast locks app.db
  holdfast locks app.db --watch
  holdfast locks app.db --json | jq '.holders[] | [.pid, .lock, .held_at_least_seconds]'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if r.interval <= 0 || r.over < 0 {
				return exitcode.Usagef("--interval and --over are durations such as 250ms")
			}
			if r.watch && a.format != output.Table && !a.format.Structured() {
				return exitcode.Usagef("--watch prints for people or as JSON; leave --output %s out", a.format)
			}
			ctx, cancel := a.within(cmd.Context())
			defer cancel()
			w, err := locks.NewWatcher(args[0])
			if err == nil && r.watch {
				err = a.watchLocks(ctx, w, r.interval)
			} else if err == nil {
				err = a.printLocks(ctx, w, r.over)
			}
			return locksError(err)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&r.watch, "watch", "w", false, "look again and again, until interrupted")
	f.DurationVar(&r.interval, "interval", 250*time.Millisecond, "how often --watch looks")
	f.DurationVar(&r.over, "over", 250*time.Millisecond, "look twice, this far apart; 0 looks once")
	return cmd
}

// locksError gives the errors of package locks their exit codes.
func locksError(err error) error {
	switch {
	case errors.Is(err, locks.ErrName):
		return exitcode.With(exitcode.Usage, err)
	case errors.Is(err, locks.ErrNoFile):
		return exitcode.With(exitcode.Missing, err)
	case errors.Is(err, locks.ErrNotDatabase):
		return exitcode.With(exitcode.BadData, err)
	}
	return err
}

func (a *app) printLocks(ctx context.Context, w *locks.Watcher, over time.Duration) error {
	r, err := w.Look(ctx)
	if err == nil && over > 0 {
		if err = pause(ctx, over); err == nil {
			r, err = w.Look(ctx)
		}
	}
	if err != nil {
		return err
	}
	if a.format == output.Table {
		_, err = a.out.WriteString(a.locksText(r, r.At))
		return err
	}
	return a.printer().Document(newLocksAnswer(r), locksGrid(r, r.At, a.ascii))
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// watchLocks shows what each look has seen until ctx ends.
func (a *app) watchLocks(ctx context.Context, w *locks.Watcher, every time.Duration) error {
	paint := a.outWidth > 0 && os.Getenv("TERM") != "dumb"
	last := ""
	for {
		r, err := w.Look(ctx)
		if err != nil {
			return err
		}
		switch {
		case a.format.Structured():
			err = a.printer().Document(newLocksAnswer(r), nil)
		case paint:
			width, height, e := term.GetSize(int(os.Stdout.Fd()))
			if e != nil {
				return fmt.Errorf("ask the terminal for its size: %w", e)
			}
			a.outWidth = max(width, 20) // its user may have changed it
			_, err = a.out.WriteString(screen(a.locksText(r, r.At), a.outWidth, height))
		default:
			// A picture without ages is the same as long as nobody comes or goes.
			if picture := a.locksText(r, time.Time{}); picture != last {
				last = picture
				_, err = a.out.WriteString(r.At.UTC().Format(time.RFC3339) + "\n" + a.locksText(r, r.At) + "\n")
			}
		}
		if err == nil {
			err = a.out.Flush()
		}
		if err == nil {
			err = pause(ctx, every)
		}
		if err != nil {
			return err
		}
	}
}

// screen paints a picture over what the terminal shows, cut to its size: one
// line more would scroll, and leave it torn.
func screen(picture string, width, height int) string {
	var lines []string
	for line := range strings.Lines(picture) {
		lines = append(lines, strings.Split(text.WrapSoft(strings.TrimSuffix(line, "\n"), width), "\n")...)
	}
	if room := max(height-1, 2); len(lines) > room {
		more := fmt.Sprintf("(%d more lines)", len(lines)-room+1)
		lines = append(lines[:room-1], more)
	}
	const home, clearLine, clearRest = "\x1b[H", "\x1b[K", "\x1b[J"
	return home + strings.Join(lines, clearLine+"\n") + clearLine + "\n" + clearRest
}

// locksText is the picture for people: the answer, the file, a table, and what
// it means. Without a time it has no ages.
func (a *app) locksText(r *locks.Report, now time.Time) string {
	var b strings.Builder
	b.WriteString(answerLine(r, now) + "\n" + fileLine(r) + "\n")
	if len(r.Openers)+len(r.Holders) > 0 {
		p := a.printer()
		var table strings.Builder
		p.Out = &table
		if p.Result(locksGrid(r, now, a.ascii)) == nil { // a Builder takes everything
			b.WriteString(table.String())
		}
	}
	for _, h := range r.Holders {
		b.WriteString(output.Visible(h.Text) + "\n")
	}
	for _, line := range waiterTexts(r, now, shownWaiters) {
		b.WriteString(output.Visible(line) + "\n")
	}
	if len(r.Openers) == 0 && len(r.Blind) == 0 && r.WAL != nil && r.WAL.Bytes > 0 {
		b.WriteString("the log is left over, and the next connection takes it in: don't delete " + output.Visible(filepath.Base(r.Path)) + "-wal\n")
	}
	for _, s := range r.Blind {
		b.WriteString("can't be seen: " + output.Visible(s) + "\n")
	}
	return b.String()
}

// shownWaiters is how many waiters are told to people; JSON has more.
const shownWaiters = 10

// waiterTexts are at most so many lines about those who wait.
func waiterTexts(r *locks.Report, now time.Time, most int) []string {
	var lines []string
	for i, w := range r.Waiters {
		if more := waiting(r) - i; i == most-1 && more > 1 {
			return append(lines, fmt.Sprintf("%d more wait", more))
		}
		before := " for at least "
		if w.Statement != "" || w.CallSite != "" {
			before = ";" + before // else it would be the statement's
		}
		lines = append(lines, w.Text+age(w.Since, now, before))
	}
	return lines
}

// waiting is how many wait, also those who are not listed.
func waiting(r *locks.Report) int { return max(len(r.Waiters), r.Queued) }

// answerLine says who holds what. A process is told once, with the lock that
// keeps most others out; the report has it first.
func answerLine(r *locks.Report, now time.Time) string {
	name := output.Visible(filepath.Base(r.Path))
	if len(r.Holders) == 0 {
		switch n := len(r.Openers); {
		case len(r.Blind) > 0:
			return "nobody is seen to hold a lock on " + name + ", but not everything can be seen from here"
		case n == 0:
			return "nobody has " + name + " open"
		case n == 1:
			return "nobody holds a lock on " + name + "; 1 process has it open"
		default:
			return fmt.Sprintf("nobody holds a lock on %s; %d processes have it open", name, n)
		}
	}
	var told []int
	var parts []string
	for _, h := range r.Holders {
		if slices.Contains(told, h.PID) && h.PID != 0 {
			continue
		}
		told = append(told, h.PID)
		state := ""
		if h.State == "stopped" {
			state = ", stopped,"
		}
		parts = append(parts, output.Visible(h.Name())+state+" holds "+lockText(h)+age(h.Since, now, " for at least "))
	}
	const shown = 3
	if more := len(parts) - shown; more > 0 {
		parts = append(parts[:shown], fmt.Sprintf("and %d more", more))
	}
	return name + ": " + strings.Join(parts, "; ")
}

func fileLine(r *locks.Report) string {
	mode := map[string]string{"wal": "WAL mode", "rollback": "rollback mode"}[r.JournalMode]
	if mode == "" {
		mode = "unknown journal mode"
	}
	line := mode
	if r.PageSize > 0 {
		line += fmt.Sprintf(", pages of %d bytes", r.PageSize)
	}
	line += ", " + size(r.Size)
	if r.WAL != nil {
		line += fmt.Sprintf("; log %s, %d of %d frames copied", size(r.WAL.Bytes), r.WAL.CopiedFrames, r.WAL.Frames)
	}
	return line
}

func size(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d bytes", n)
	case n < 10_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 10_000_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

// age is how long something has been seen, cut and not rounded: it was at least
// so long. It is "" if that is no time worth a word.
func age(since, now time.Time, before string) string {
	d := now.Sub(since).Truncate(10 * time.Millisecond)
	if d > time.Second {
		d = d.Truncate(100 * time.Millisecond)
	}
	if d <= 0 {
		return ""
	}
	return before + d.String()
}

func lockText(h locks.Holder) string {
	if h.Slot < 0 {
		return h.Lock
	}
	return fmt.Sprintf("%s slot %d (frame %d)", h.Lock, h.Slot, h.SnapshotFrame)
}

func locksGrid(r *locks.Report, now time.Time, ascii bool) *output.Result {
	atLeast := "\u2265 "
	if ascii {
		atLeast = ">= "
	}
	var rows [][]any
	holding := map[int]bool{}
	for _, h := range r.Holders {
		holding[h.PID] = true
		rows = append(rows, []any{int64(h.PID), h.Program, h.User, h.State, lockText(h), age(h.Since, now, atLeast)})
	}
	for _, p := range r.Openers {
		if !holding[p.PID] {
			rows = append(rows, []any{int64(p.PID), p.Program, p.User, p.State, "no lock; may be waiting", ""})
		}
	}
	return output.Grid(rows, "pid", "program", "user", "state", "holds", "for")
}
