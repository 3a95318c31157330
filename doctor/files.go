package doctor

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/holdfastdb/holdfast/internal/dbfile"
)

// files judges where the files lie and who may use them.
func (e *examination) files() {
	p := e.p
	bad := Warning // rollback mode needs locks only, which some of these give
	if p.header.wal || p.log != nil {
		bad = Critical
	}
	switch p.fs.Class {
	case dbfile.Network:
		e.found("filesystem-network", bad, p.fs.Type, p.fs.Mount)
	case dbfile.Bridged:
		e.found("filesystem-bridged", bad, p.fs.Type, p.fs.Mount)
	case dbfile.Memory:
		e.found("filesystem-memory", Info, p.fs.Type, p.fs.Mount)
	}
	if p.fs.ReadOnly {
		e.found("filesystem-read-only", Info, p.fs.Type, p.fs.Mount)
	}
	if p.file.Links > 1 {
		e.found("hard-links", Critical, p.file.Links, quote(p.fs.Mount))
	}
	if st, err := os.Lstat(p.named); err == nil && st.Mode()&fs.ModeSymlink != 0 {
		e.link()
	}
	e.permissions()
	for _, g := range p.watched.gone {
		e.found("deleted-open", Critical, g.pid, g.name)
	}
	if st, err := os.Lstat(p.lockPath); err == nil && !st.Mode().IsRegular() {
		e.found("lock-file-odd", Warning, p.lockPath, st.Mode().String())
	}
}

// link looks for sidecars that lie beside the link: SQLite uses those beside
// the file, so they were copied there or made by a program that doesn't
// follow links.
func (e *examination) link() {
	e.found("symlink", Info, e.p.named)
	abs, err := filepath.Abs(e.p.named)
	if err != nil || abs == e.p.path {
		return
	}
	for _, end := range []string{"-wal", "-journal"} {
		if st, err := os.Lstat(abs + end); err == nil && st.Mode().IsRegular() && st.Size() > 0 {
			e.found("sidecar-beside-link", Warning, abs+end, byteSize(st.Size()))
		}
	}
}

// permissions judges by the bits and not by what this process may do: it often
// is another user than the programs that use the database.
func (e *examination) permissions() {
	p := e.p
	if p.file.owner < 0 {
		return
	}
	if p.file.Mode.Perm()&0o002 != 0 {
		e.found("permissions-open", Warning, p.path, octal(p.file.Mode))
	}
	dir, err := attributesOf(p.dir())
	if err != nil {
		e.blind("directory", p.dir(), err)
		return
	}
	if dir.Mode.Perm()&0o002 != 0 && dir.Mode&fs.ModeSticky == 0 {
		e.found("permissions-open", Warning, p.dir(), octal(dir.Mode))
	}
	if p.header.wal && !p.fs.ReadOnly && p.file.mayWrite(p.file) && !p.file.mayWrite(*dir) {
		e.found("directory-not-writable", Warning, p.dir(), octal(dir.Mode), p.file.owner)
	}
	for name, side := range map[string]*attributes{p.walPath: p.wal, p.shmPath: p.shm, p.journalPath: p.journal} {
		if side == nil {
			continue
		}
		if side.owner != p.file.owner {
			e.found("owner-mixed", Warning, name, side.owner, p.file.owner)
		}
		if lacking := p.file.Mode.Perm() & 0o666 &^ side.Mode.Perm(); lacking != 0 {
			e.found("sidecar-permissions", Warning, name, octal(side.Mode), octal(p.file.Mode))
		}
	}
}

// mayWrite tells whether the owner of a may write to b. Root may.
func (a attributes) mayWrite(b attributes) bool {
	bit := fs.FileMode(0o002)
	switch {
	case a.owner == 0:
		return true
	case a.owner == b.owner:
		bit = 0o200
	case a.gid == b.gid:
		bit = 0o020
	}
	return b.Mode.Perm()&bit != 0
}

// copies looks among the neighbours for copies of the file that were made
// without its log: they look complete and lack what was committed last.
func (e *examination) copies() {
	p := e.p
	if p.log == nil || p.log.last == nil || p.log.damaged() || e.has("wal-mispaired") || bytes.Equal(p.log.last.bytes[:], p.head[:headerSize]) {
		return // no header in the log that would tell old from new
	}
	names, err := os.ReadDir(p.dir())
	if err != nil {
		e.blind("directory", p.dir(), err)
		return
	}
	base := filepath.Base(p.path)
	stem := strings.TrimSuffix(base, filepath.Ext(base))
	for _, entry := range names[:min(len(names), 1000)] {
		name := filepath.Join(p.dir(), entry.Name())
		if !strings.HasPrefix(entry.Name(), stem) || slices.Contains([]string{p.path, p.walPath, p.shmPath, p.journalPath, p.lockPath}, name) {
			continue
		}
		if e.copyWithoutLog(name) {
			e.found("backup-without-wal", Warning, name, p.log.commits)
		}
	}
}

// copyWithoutLog tells whether a file is a copy of the database that was made
// after the last commit in the log, but shows the state of the file alone.
func (e *examination) copyWithoutLog(name string) bool {
	a, err := attributesOf(name)
	if err != nil || !a.IsRegular() || a.Size != e.p.file.Size || a.ModTime.Before(e.p.wal.ModTime) || a.id == e.p.id {
		return false
	}
	if _, _, err := dbfile.Identify(name + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if openHere(name) != nil {
		return false
	}
	b, err := head(name, headerSize)
	return err == nil && len(e.p.head) >= headerSize && bytes.Equal(b, e.p.head[:headerSize])
}

// space is what a file system has left.
type space struct{ free, size, inodes, allInodes int64 }

const (
	mebi         = 1 << 20
	spaceFull    = 32 * mebi
	spaceLow     = 1024 * mebi
	tempTooSmall = 16 * mebi
)

func (e *examination) space() {
	p := e.p
	if r, ok := room(p.dir()); ok && !p.fs.ReadOnly {
		switch {
		case r.free < spaceFull:
			e.found("disk-full", Critical, byteSize(r.free), p.dir())
		case r.free < spaceLow && r.free < r.size/20:
			e.found("disk-low", Warning, byteSize(r.free), byteSize(r.size), p.dir())
		}
		if r.allInodes > 0 && r.inodes < 100 {
			e.found("inodes-low", Critical, r.inodes, p.dir())
		}
	}
	for _, dir := range tempDirs() {
		if st, err := os.Stat(dir); dir == "" || err != nil || !st.IsDir() {
			continue
		}
		if r, ok := room(dir); ok && r.free < tempTooSmall {
			e.found("temp-low", Warning, dir, byteSize(r.free))
		} else if ok && r.free < p.file.Size {
			e.found("temp-small", Info, dir, byteSize(r.free), byteSize(p.file.Size))
		}
		return
	}
}
