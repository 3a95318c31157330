package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfastdb/holdfast/internal/control"
)

// header judges the begin of the file and tells whether the rest can be judged.
func (e *examination) header() bool {
	p := e.p
	switch {
	case p.file.Size == 0:
		s := Warning
		if p.log != nil {
			s = Critical
		}
		e.found("file-empty", s, p.path)
		return false
	case !p.header.magic && p.file.Size%512 == 0 && random(p.head):
		e.found("encrypted", Critical, byteSize(p.file.Size))
		return false
	case !p.header.magic:
		e.found("not-a-database", Critical, printable(p.head))
		return false
	case p.header.problem != "":
		e.found("header-damaged", Critical, e.say(p.header.problem))
		return p.header.pageSize > 0
	}
	if !p.header.wal {
		e.found("journal-rollback", Info)
	}
	return true
}

// printable shows the begin of a file that may hold anything.
func printable(b []byte) string {
	b = b[:min(len(b), 16)]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '.'
		}
		return r
	}, string(b))
}

// logs judges the -wal.
func (e *examination) logs(ctx context.Context) {
	p := e.p
	l := p.log
	if l == nil {
		return
	}
	if !p.watched.still {
		e.blind("moving")
		e.progress(ctx)
		return
	}
	if why := p.stranger(); why != "" {
		e.found("wal-mispaired", Critical, p.walPath, e.say(why))
		return
	}
	if l.damaged() && !p.copied() {
		what := e.say("frame checksum")
		if l.headerProblem != "" {
			what = e.say(l.headerProblem)
		}
		e.found("wal-damaged", Critical, p.walPath, what, l.frames, l.lost)
	}
	if l.frames > 0 && !p.watched.used() && !p.copied() {
		if state := p.replicationState(); state != "" {
			e.found("wal-replicated", Info, byteSize(p.wal.Size), l.commits, state)
		} else {
			e.found("wal-leftover", Warning, byteSize(p.wal.Size), l.commits)
		}
	} else if l.frames > 0 && !p.watched.sees {
		e.blind("locks")
	}
	e.progress(ctx)
}

// replicationState is the directory in which Litestream keeps how far it has come,
// "" if there is none. It leaves the log behind on purpose: what isn't at the
// target yet is found there by the next run.
func (p *patient) replicationState() string {
	dir := filepath.Join(filepath.Dir(p.path), "."+filepath.Base(p.path)+"-litestream")
	if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
		return ""
	}
	return dir
}

// stranger says why the log can't belong to the file, by a key of phrases; "" if
// nothing speaks against it. SQLite can't tell: it replays every log that lies
// under the right name and is sound in itself.
func (p *patient) stranger() string {
	l := p.log
	switch {
	case l.frames == 0:
		return ""
	case l.pageSize != p.header.pageSize:
		return "other page size"
	case !p.header.wal:
		return "rollback mode"
	case l.first == nil:
		return ""
	case l.last.header.encoding != p.header.encoding && p.header.encoding != 0 && l.last.header.encoding != 0:
		return "other encoding"
	// The first version of page 1 in the log follows the one in the file, or a
	// checkpoint has brought one of the log's versions to the file.
	case p.header.counter != l.first.header.counter-1 && !l.counters[p.header.counter]:
		return "other counter"
	case l.last.header.cookie < p.header.cookie:
		return "older schema"
	}
	return ""
}

// current returns the index of the log if it belongs to it.
func (p *patient) current() *walIndex {
	if p.index == nil || !p.index.ok || p.log == nil || p.index.salt != p.log.salt {
		return nil
	}
	return p.index
}

// copied tells whether all of the log is in the file already, so that nothing
// depends on it.
func (p *patient) copied() bool {
	x := p.current()
	return x != nil && x.frames > 0 && x.copied == x.frames
}

const (
	largeLog     = 16 * mebi
	hugeLog      = 1024 * mebi
	pinnedFrames = 1000 // SQLite's autocheckpoint begins there
)

// progress judges how far checkpoints have come: by frames in the log against
// frames copied. SQLite's busy flag says 0 even if a reader blocks them all.
func (e *examination) progress(ctx context.Context) {
	p := e.p
	frames, copied := p.log.frames, uint32(0)
	x := p.current()
	if x != nil {
		frames, copied = x.frames, x.copied
	}
	if p.wal.Size > largeLog && (p.wal.Size > p.file.Size/2 || p.wal.Size > hugeLog) {
		e.found("wal-large", Warning, byteSize(p.wal.Size), byteSize(p.file.Size), frames, copied)
	}
	if x == nil || frames-copied < pinnedFrames {
		return
	}
	slot, mark := -1, uint32(0)
	for s := range p.watched.readers {
		m := x.marks[s]
		if s == 0 {
			m = 0 // it reads the file alone, whatever its mark says
		}
		if m < frames && (slot < 0 || m < mark) {
			slot, mark = s, m
		}
	}
	if slot >= 0 && (p.watched.writer == 0 || p.watched.readers[slot] != p.watched.writer) { // a writer reads, too
		e.found("wal-pinned", Warning, frames, copied, p.reader(ctx, p.watched.readers[slot]), slot, mark)
	}
}

// journal judges the rollback journal.
func (e *examination) journal() {
	p := e.p
	u := p.undo
	if u == nil || !u.hot || p.watched.writes || !p.watched.still {
		return
	}
	switch {
	case u.pageSize != 0 && u.pageSize != p.header.pageSize:
		e.found("journal-mispaired", Critical, p.journalPath, u.pageSize, p.header.pageSize)
		return
	case p.header.wal && p.log != nil:
		e.found("journal-mispaired", Critical, p.journalPath, u.pageSize, p.header.pageSize)
		return
	case u.super != "":
		// Only its base name is certain: the directory may be a mount that is
		// elsewhere by now.
		if _, err := os.Lstat(u.super); errors.Is(err, fs.ErrNotExist) {
			e.found("super-journal", Warning, p.journalPath, filepath.Base(u.super), e.say("super gone"))
		} else {
			e.found("super-journal", Warning, p.journalPath, filepath.Base(u.super), e.say("super there"))
		}
		return
	}
	if !p.watched.sees {
		e.blind("locks")
	}
	e.found("journal-hot", Warning, p.journalPath, byteSize(p.journal.Size), u.pages)
}

// length judges whether the file has all its pages. The header alone doesn't
// tell: the log may hold pages that the file lacks, a journal may take some
// back, and a writer may be about to append them.
func (e *examination) length() {
	p := e.p
	if !p.watched.still || p.undo != nil && p.undo.hot || e.has("wal-mispaired", "wal-damaged") {
		return
	}
	have, size := p.pages(), int64(p.header.pageSize)
	l := p.log
	switch {
	case l != nil && l.partial:
		return
	case l != nil && l.frames > 0:
		for pgno := have + 1; pgno <= l.dbPages; pgno++ {
			if !l.beyond[pgno] {
				e.found("file-truncated", Critical, byteSize(p.file.Size), have, l.dbPages)
				return
			}
		}
	case p.file.Size%size != 0:
		e.found("file-truncated", Critical, byteSize(p.file.Size), have, max(have+1, p.header.count))
	case p.header.counted() && have < p.header.count:
		e.found("file-truncated", Critical, byteSize(p.file.Size), have, p.header.count)
	case p.header.counted() && have > p.header.count && p.header.wal:
		e.found("wal-lost", Warning, have, p.header.count)
	}
}

// reader names a process that reads, and what its oldest reader does, if it runs
// Holdfast and tells.
func (p *patient) reader(ctx context.Context, pid int) string {
	answers, _ := control.Ask(ctx, p.path, control.RequestLocks)
	for _, a := range answers {
		if a.PID != pid || a.Locks == nil {
			continue
		}
		for _, h := range a.Locks.Holders { // the oldest reader is the first
			if h.Lock == "WAL_READ" {
				does := strings.Trim(h.CallSite+": "+h.Statement, ": ")
				return fmt.Sprintf("%s (%s)", process(pid), does)
			}
		}
	}
	return process(pid)
}

// process names a process as far as it is known.
func process(pid int) string {
	if pid <= 0 {
		return "?"
	}
	return "pid " + itoa(pid)
}
