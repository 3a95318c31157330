package main

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/daemon"
	"github.com/holdfastdb/holdfast/locks"
	"github.com/jedib0t/go-pretty/v6/text"
)

var update = flag.Bool("update", false, "write the files that tests compare with")

// topAt is a time at which the pictures have been seen.
var topAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// pinned is a log that a stopped reader keeps, while others write and wait.
func pinned() *locks.Report {
	const unused = 1<<32 - 1
	reader := locks.Process{PID: 4100, Program: "python3", User: "app", State: "stopped", Connections: 1}
	second := locks.Process{PID: 4150, Program: "server", User: "app", State: "sleeping", Connections: 9}
	writer := locks.Process{PID: 4200, Program: "importer-with-a-long-name", User: "operations-team", State: "running", Connections: 1}
	idle := locks.Process{PID: 4300, Program: "cron\x1b[2J", User: "root", State: "sleeping", Connections: 1}
	return &locks.Report{
		Path: "/srv/app.db", At: topAt, JournalMode: "wal", PageSize: 4096, Size: 81920,
		WAL: &locks.WAL{Bytes: 4_152_992, Frames: 1008, CopiedFrames: 252, ReadMarks: [5]uint32{0, 252, 900, 5000, unused}},
		Holders: []locks.Holder{
			{Process: writer, Lock: "WAL_WRITE", Slot: -1, Since: topAt.Add(-1200 * time.Millisecond), Text: "importer-with-a-long-name (pid 4200) holds WAL_WRITE: it writes, and every other writer waits"},
			{Process: reader, Lock: "WAL_READ", Slot: 1, SnapshotFrame: 252, Since: topAt.Add(-95 * time.Minute), Text: "python3 (pid 4100) holds WAL_READ slot 1: it reads the snapshot at frame 252 of 1008, and no later frame can be copied; the process is stopped and will keep it: let it go on (kill -CONT 4100) or end it"},
			{Process: second, Lock: "WAL_READ", Slot: 2, SnapshotFrame: 900, Since: topAt, Text: "server (pid 4150) holds WAL_READ slot 2: it reads the snapshot at frame 900 of 1008, and no later frame can be copied"},
		},
		Waiters: []locks.Waiter{{Process: second, Lock: "WAL_CKPT", Behind: []int{4100}, Since: topAt.Add(-time.Second), Text: "server (pid 4150) waits in a checkpoint for python3 (pid 4100)"}},
		Openers: []locks.Process{reader, second, writer, idle},
		Blind: []string{
			"open files of other users: run it as root to see idle connections and the locks of open files",
			"locks of other containers: look from the host",
		},
	}
}

// crowd is more than a screen can list.
func crowd() *locks.Report {
	r := pinned()
	for range 5 {
		r.Waiters = append(r.Waiters, r.Waiters[0])
	}
	for pid := range 20 {
		r.Openers = append(r.Openers, locks.Process{PID: 5000 + pid, Program: "worker", User: "app", State: "sleeping", Connections: 1})
	}
	return r
}

// told is of a program that runs Holdfast, and has a long queue.
func told() *locks.Report {
	r := pinned()
	shop := locks.Process{PID: 4200, Program: "shopd", User: "app", State: "running", Connections: 3}
	h := &r.Holders[0]
	h.Process, h.CallSite, h.Statement = shop, "order.go:88 (shop.Place)", "INSERT INTO orders VALUES (?)"
	h.Text = "shopd (pid 4200) holds WAL_WRITE: it writes, and every other writer waits; call site order.go:88 (shop.Place); statement INSERT INTO orders VALUES (?)"
	for i := range 20 {
		r.Waiters = append(r.Waiters, locks.Waiter{
			Process: shop, Lock: "WAL_WRITE", Behind: []int{4200}, Since: topAt.Add(-time.Duration(i) * time.Second),
			CallSite: "bill.go:9 (shop.Bill)", Statement: "UPDATE bills SET paid = ?", Text: "shopd (pid 4200) waits inside for the writer; call site bill.go:9 (shop.Bill); statement UPDATE bills SET paid = ?",
		})
	}
	r.Queued = 1500
	return r
}

// However many wait, people read of a few and of how many more.
func TestManyWaiters(t *testing.T) {
	lines := waiterTexts(told(), topAt, shownWaiters)
	if len(lines) != shownWaiters || lines[shownWaiters-1] != "1491 more wait" {
		t.Errorf("%q", lines)
	}
	if want := "shopd (pid 4200) waits inside for the writer; call site bill.go:9 (shop.Bill); statement UPDATE bills SET paid = ?; for at least 2s"; lines[3] != want {
		t.Errorf("%q, want %q", lines[3], want)
	}
	a := newLocksAnswer(told())
	if w := a.Waiters[3]; a.Queued != 1500 || w.CallSite != "bill.go:9 (shop.Bill)" || w.Statement != "UPDATE bills SET paid = ?" || w.WaitsAtLeast != 2 {
		t.Errorf("%+v", w)
	}
	if h := a.Holders[0]; h.CallSite != "order.go:88 (shop.Place)" || h.Statement != "INSERT INTO orders VALUES (?)" {
		t.Errorf("%+v", h)
	}
}

func rollback() *locks.Report {
	p := locks.Process{PID: 77, Program: "sqlite3", User: "app", State: "sleeping", Connections: 1}
	return &locks.Report{
		Path: "/srv/app.db", At: topAt, JournalMode: "rollback", PageSize: 4096, Size: 8192,
		Holders: []locks.Holder{{Process: p, Lock: "RESERVED", Slot: -1, Since: topAt.Add(-time.Second), Text: "sqlite3 (pid 77) holds RESERVED: it will write, readers go on and other writers wait"}},
		Openers: []locks.Process{p},
	}
}

func quiet() *locks.Report {
	return &locks.Report{
		Path: "/srv/app.db", At: topAt, JournalMode: "wal", PageSize: 4096, Size: 8192,
		WAL: &locks.WAL{Bytes: 8272, Frames: 2, CopiedFrames: 2, Reset: true, ReadMarks: [5]uint32{0, 2, 1<<32 - 1, 1<<32 - 1, 1<<32 - 1}},
	}
}

// inside is what a daemon tells: a write that others wait for, and an old read.
func inside() *daemon.LocksAnswer {
	return &daemon.LocksAnswer{
		At: topAt, PID: 4200, Program: "holdfast", Path: "/srv/app.db", Bytes: 81920, PageSize: 4096, JournalMode: "wal",
		Locks: holdfast.LockReport{
			Holders: []holdfast.LockHolder{{Kind: "write transaction", Lock: "WAL_WRITE", CallSite: "run.go:330 (api.each)", Statement: "INSERT INTO t VALUES (?)", Since: topAt.Add(-3 * time.Second)}},
			Waiters: []holdfast.LockWaiter{{Kind: "statement", Statement: "UPDATE t SET a = ?", Since: topAt.Add(-2 * time.Second)}}, Queued: 7,
			WAL: holdfast.WALReport{Bytes: 412032, Frames: 100, CopiedFrames: 40},
		},
		Reads: holdfast.LockReport{Holders: []holdfast.LockHolder{{Kind: "rows", Lock: "WAL_READ", Statement: "SELECT * FROM t", Since: topAt.Add(-time.Minute)}}},
	}
}

func TestTopOfADaemon(t *testing.T) {
	m := topOf(seenInside(inside()), 160, 24)
	picture := m.picture()
	for _, want := range []string{
		"holdfast (pid 4200) holds WAL_WRITE for at least 3s", "WAL mode, pages of 4096 bytes, 81.9 kB; log 412.0 kB, 40 of 100 frames copied",
		"writer      holdfast (pid 4200), at least 3s; run.go:330 (api.each)", "queue       7 wait for the writer, longest for 2s: UPDATE t SET a = ?",
		"checkpoint  60 frames to copy", "WAL_READ", "call site run.go:330 (api.each); statement INSERT INTO t VALUES (?)", "can't be seen: which part of the log",
	} {
		if !strings.Contains(picture, want) {
			t.Errorf("%q is missing in\n%s", want, picture)
		}
	}
	if m = send(m, tea.KeyPressMsg{Code: tea.KeyDown}); !strings.Contains(m.picture(), "holds WAL_READ: rows; statement SELECT * FROM t") {
		t.Errorf("the second row:\n%s", m.picture())
	}
	for _, not := range []string{"read marks", "stuck at", "slot"} {
		if strings.Contains(picture, not) {
			t.Errorf("%q is told, and not known:\n%s", not, picture)
		}
	}
}

func topOf(r *locks.Report, width, height int) topModel {
	m := topModel{report: r, interval: 500 * time.Millisecond, look: func() (*locks.Report, error) { return r, nil }}
	return send(m, tea.WindowSizeMsg{Width: width, Height: height})
}

// send gives a model messages, without a terminal.
func send(m topModel, msgs ...tea.Msg) topModel {
	for _, msg := range msgs {
		next, _ := m.Update(msg)
		m = next.(topModel)
	}
	return m
}

func key(name string) tea.Msg {
	special := map[string]tea.KeyPressMsg{
		"up": {Code: tea.KeyUp}, "down": {Code: tea.KeyDown}, "space": {Code: tea.KeySpace, Text: " "},
		"ctrl+c": {Code: 'c', Mod: tea.ModCtrl}, "ctrl+z": {Code: 'z', Mod: tea.ModCtrl},
	}
	if k, ok := special[name]; ok {
		return k
	}
	r, _ := utf8.DecodeRuneInString(name)
	return tea.KeyPressMsg{Code: r, Text: name}
}

func TestTopPictures(t *testing.T) {
	t.Parallel()
	ascii := func(m topModel) topModel { m.style.ascii = true; return m }
	failed := looked{err: errors.New("/srv/app.db does not exist")}
	for name, m := range map[string]topModel{
		"pinned":   topOf(pinned(), 80, 24),
		"second":   send(topOf(pinned(), 80, 24), key("down"), key("space")),
		"crowd":    topOf(crowd(), 80, 24),
		"told":     topOf(told(), 80, 24),
		"ascii":    ascii(topOf(pinned(), 80, 24)),
		"narrow":   send(topOf(pinned(), 80, 24), tea.WindowSizeMsg{Width: 40, Height: 16}),
		"wide":     topOf(pinned(), 120, 30),
		"help":     send(topOf(pinned(), 80, 24), key("?")),
		"rollback": send(topOf(rollback(), 80, 24), failed),
		"quiet":    topOf(quiet(), 80, 24),
	} {
		got := m.picture() + "\n"
		file := filepath.Join("testdata", "top", name+".golden")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != strings.ReplaceAll(string(want), "\r\n", "\n") {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
		if name == "ascii" && strings.IndexFunc(got, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
			t.Errorf("not ASCII:\n%s", got)
		}
	}
}

// TestTopFits: a line too many or too long would leave the screen torn.
func TestTopFits(t *testing.T) {
	t.Parallel()
	for _, r := range []*locks.Report{pinned(), crowd(), told(), rollback(), quiet()} {
		for width := 1; width <= 130; width++ {
			for height := 1; height <= 30; height++ {
				m := topOf(r, width, height)
				m.style.color = true
				for _, m := range []topModel{m, send(m, key("?"))} {
					lines := strings.Split(m.picture(), "\n")
					if len(lines) != height {
						t.Fatalf("%d lines at %dx%d", len(lines), width, height)
					}
					for _, line := range lines {
						if n := text.StringWidthWithoutEscSequences(line); n > width {
							t.Fatalf("%d columns at %dx%d: %q", n, width, height, line)
						}
						if rest := text.StripEscape(line); strings.Contains(rest, "\x1b") {
							t.Fatalf("a cut escape sequence: %q", line)
						}
					}
				}
			}
		}
	}
	if s := topOf(pinned(), 80, 24).picture(); strings.Contains(s, "\x1b") {
		t.Errorf("escape sequences without colour: %q", s)
	}
}

func TestTopKeys(t *testing.T) {
	t.Parallel()
	m := topOf(pinned(), 80, 24)
	for _, name := range []string{"q", "ctrl+c"} {
		if _, cmd := m.Update(key(name)); cmd == nil || cmd() != tea.Quit() {
			t.Errorf("%s does not quit", name)
		}
		if _, cmd := send(m, key("?")).Update(key(name)); cmd == nil || cmd() != tea.Quit() {
			t.Errorf("%s does not quit from the help", name)
		}
	}
	if got := send(m, key("+")).interval; got != 250*time.Millisecond {
		t.Errorf("+ makes it %v", got)
	}
	if got := send(m, key("-")).interval; got != time.Second {
		t.Errorf("- makes it %v", got)
	}
	for range 20 {
		m = send(m, key("+"), key("down"))
	}
	if m.interval != shortestInterval || m.selected.pid != 4300 {
		t.Errorf("%v, %+v", m.interval, m.selected)
	}
	if m := send(m, key("?"), key("x")); m.help {
		t.Error("the help stays")
	}

	// Who is selected stays so, and when it is gone the first is.
	m = send(topOf(pinned(), 80, 24), key("down"))
	fewer := pinned()
	fewer.Holders = fewer.Holders[1:]
	if m = send(m, looked{report: fewer}); m.chosen(topRows(m.report)) != 0 || m.selected.pid != 4100 {
		t.Errorf("%+v", m.selected)
	}
	if m = send(m, looked{report: rollback()}, key("up")); m.selected.pid != 77 {
		t.Errorf("%+v", m.selected)
	}
}

// TestTopLooksOnce: a Watcher is for one goroutine at a time.
func TestTopLooksOnce(t *testing.T) {
	t.Parallel()
	m := topOf(quiet(), 80, 24)
	first := tick{m.beat}
	next, cmd := m.Update(first)
	if cmd == nil {
		t.Fatal("a tick starts no look")
	}
	m = next.(topModel)
	for _, msg := range []tea.Msg{first, tick{m.beat}, key("space"), key("space"), key("+")} {
		if next, cmd = m.Update(msg); cmd != nil {
			t.Fatalf("a second look, or a second clock, at %#v", msg)
		}
		m = next.(topModel)
	}
	next, cmd = m.Update(looked{report: pinned()})
	if m = next.(topModel); cmd == nil || m.looking || m.report.WAL.Frames != 1008 {
		t.Fatalf("after a look: %+v", m)
	}

	// A pause keeps the picture, and ends with a look.
	m = send(m, key("space"))
	if m, cmd := m.Update(tick{m.beat}); cmd != nil || m.(topModel).looking {
		t.Error("it looks though it is paused")
	}
	if next, cmd = m.Update(key("space")); cmd == nil || !next.(topModel).looking {
		t.Fatal("the end of a pause starts no look")
	}
	if l, ok := cmd().(looked); !ok || l.err != nil || l.report.WAL.Frames != 2 {
		t.Errorf("%+v", l)
	}
}
