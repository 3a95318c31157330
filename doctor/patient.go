package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/holdfastdb/holdfast/internal/dbfile"
)

// patient is what the first stage has read of a database.
type patient struct {
	named string // as the caller wrote it
	path  string
	id    dbfile.ID
	file  attributes
	fs    dbfile.FS

	head   []byte // the first bytes of the file, up to sample
	header header

	walPath, shmPath, journalPath, lockPath string

	wal     *attributes // nil without the file
	shm     *attributes
	journal *attributes

	log     *log // nil without a -wal that has content
	index   *walIndex
	undo    *undo
	watched watched
}

// attributes are what stat tells.
type attributes struct {
	dbfile.Info
	id         dbfile.ID
	owner, gid int // -1 where there is none
}

const (
	headerSize = 100
	sample     = 4096 // of the file's begin, to tell an encrypted file from another one
	attempts   = 5
)

// meet reads a database. A writer may be at work, so what was read is believed
// only if nothing has changed meanwhile; after some attempts the last one must
// do, and watched.still says that it may be inconsistent.
func meet(ctx context.Context, named, path string) (*patient, error) {
	var p *patient
	for range attempts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		next, err := read(path)
		if err != nil {
			return nil, err
		}
		p = next
		p.watch() // in between, so that a journal and the lock of its writer are of one moment
		if p.watched.still = p.unchanged(); p.watched.still {
			break
		}
	}
	p.named = named
	return p, nil
}

func read(path string) (*patient, error) {
	p := &patient{path: path}
	p.walPath, p.shmPath, p.journalPath, p.lockPath, _ = dbfile.Sidecars(path)
	file, err := attributesOf(path)
	if err != nil {
		return nil, err
	}
	p.file, p.id = *file, file.id
	if !file.IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if p.fs, err = dbfile.FileSystem(path); err != nil {
		return nil, err
	}
	for name, to := range map[string]**attributes{p.walPath: &p.wal, p.shmPath: &p.shm, p.journalPath: &p.journal} {
		if *to, err = attributesOf(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if p.head, err = head(path, sample); err != nil {
		return nil, err
	}
	p.header = parseHeader(p.head)
	return p, p.readSidecars()
}

func (p *patient) readSidecars() (err error) {
	if p.wal != nil && p.wal.Size > 0 && p.wal.IsRegular() {
		if p.log, err = readLog(p.walPath, p.wal.Size, p.pages()); err != nil {
			return vanished(err)
		}
	}
	if p.shm != nil && p.shm.IsRegular() {
		if p.index, err = readIndex(p.shmPath); err != nil {
			return vanished(err)
		}
	}
	if p.journal != nil && p.journal.Size > 0 && p.journal.IsRegular() {
		if p.undo, err = readUndo(p.journalPath, p.journal.Size); err != nil {
			return vanished(err)
		}
	}
	return nil
}

// vanished forgives a sidecar that its owner has removed between stat and open.
func vanished(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// pages is the number of whole pages in the file.
func (p *patient) pages() uint32 {
	if p.header.pageSize == 0 {
		return 0
	}
	return uint32(p.file.Size / int64(p.header.pageSize))
}

// unchanged tells whether what was read fits together: no checkpoint has written
// to the file, the log was not begun anew, the journal is the same. Commits may
// have been appended to the log; readLog bears that. Times tick every few
// milliseconds only, so the heads of the files are read again as well.
func (p *patient) unchanged() bool {
	for name, before := range map[string]*attributes{p.path: &p.file, p.walPath: p.wal, p.journalPath: p.journal} {
		now, err := attributesOf(name)
		if errors.Is(err, fs.ErrNotExist) && before == nil {
			continue
		}
		if err != nil || before == nil || now.id != before.id {
			return false
		}
		if name != p.walPath && (now.Size != before.Size || !now.ModTime.Equal(before.ModTime)) {
			return false
		}
	}
	heads := map[string][]byte{p.path: p.head[:min(len(p.head), headerSize)]}
	if p.log != nil {
		heads[p.walPath] = p.log.head
	}
	if p.undo != nil {
		heads[p.journalPath] = p.undo.head
	}
	for name, before := range heads {
		if now, err := head(name, len(before)); err != nil || !bytes.Equal(now, before) {
			return false
		}
	}
	if p.log == nil || p.log.lost == 0 {
		return true
	}
	// A writer that overwrites what it has rolled back can be met half-way, and
	// then old frames stand before new commits. Damage is there the next time.
	again, err := readLog(p.walPath, p.wal.Size, p.pages())
	return err == nil && again.broken == p.log.broken && again.lost == p.log.lost
}

func attributesOf(path string) (*attributes, error) {
	id, info, err := dbfile.Identify(path)
	if err != nil {
		return nil, err
	}
	a := &attributes{Info: info, id: id, owner: info.Owner, gid: -1}
	if st, err := os.Stat(path); err == nil {
		a.gid = groupOf(st)
	}
	return a, nil
}

func (p *patient) dir() string { return filepath.Dir(p.path) }
