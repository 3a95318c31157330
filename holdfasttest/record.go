package holdfasttest

import (
	"fmt"
	"path/filepath"
	"sync"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Recording is what happened to the files of a disk: every write, truncation,
// sync and deletion in their order, so that the state after a power cut can be
// made of it; see [Recording.CrashState]. Shared memory and temporary files are
// no part of it, as SQLite reads neither after a restart.
type Recording struct {
	mu    sync.Mutex // guards the rest; a write happens and is noted under it
	over  bool
	names map[string]*inode // the files that are there now, by path
	first map[string]*inode // those that were there, with what they held, before the first operation
	ops   []operation
	marks int
}

// inode is a file, whatever its name becomes: one that was deleted goes on to be
// written, but never under the name that another has got.
type inode struct {
	before []byte // what it held when it was first seen
}

type action int8

const (
	written action = iota
	truncated
	synced
	created
	deleted
	dirSynced // every name is on the disk
	marked
)

type operation struct {
	action action
	file   *inode
	name   string // of created and deleted
	offset int64  // of written; the size of truncated
	data   []byte
	began  int // of synced and dirSynced: it covers the operations before this one
}

// handle is a recorded file's state in the VFS.
type handle struct {
	recording *Recording
	file      *inode
	named     bool // its name is not known to be on the disk
}

// Record begins a recording. The databases must be opened afterwards, as a file
// is read as a whole when it is first opened, and if they stand in different
// directories their names must differ: a crash state is one directory.
func (d *Disk) Record() (*Recording, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.open.Load(); n > 0 {
		return nil, fmt.Errorf("holdfasttest: %d files are open already: begin the recording before the database is opened", n)
	}
	r := &Recording{names: map[string]*inode{}, first: map[string]*inode{}}
	d.recording.Store(r)
	return r, nil
}

// Stop ends the recording: what happens from here on is no part of it.
func (r *Recording) Stop() {
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
}

// Mark notes that the workload has come to a point, such as a commit that was
// just acknowledged, and returns its number, from 0 on. A [CrashState] tells how
// many marks came before it.
func (r *Recording) Mark() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.ops = append(r.ops, operation{action: marked})
	}
	r.marks++
	return r.marks - 1
}

// Len is how many operations there are: a power cut can come before each of
// them and after the last.
func (r *Recording) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ops)
}

// record lets a call happen and notes it.
func (r *Recording) record(c *sqlite.FileCall) sqlite.ResultCode {
	switch c.Op {
	case sqlite.FileOpen:
		rc := c.Forward()
		if rc == sqlite.ResultOK && c.Kind != sqlite.FileTemp && c.Path != "" {
			return r.opened(c.File)
		}
		return rc
	case sqlite.FileDelete:
		return r.delete(c)
	}
	var h *handle
	if c.File != nil {
		h, _ = c.File.State.(*handle)
	}
	switch {
	case h == nil || h.recording != r:
		return c.Forward()
	case c.Op == sqlite.FileWrite:
		return r.change(c, operation{action: written, file: h.file, offset: c.Offset, data: append([]byte(nil), c.Data...)})
	case c.Op == sqlite.FileTruncate:
		return r.change(c, operation{action: truncated, file: h.file, offset: c.Offset})
	case c.Op == sqlite.FileSync:
		return r.sync(c, h)
	}
	return c.Forward()
}

// change makes a change and notes it, in the order in which they happen.
func (r *Recording) change(c *sqlite.FileCall, op operation) sqlite.ResultCode {
	r.mu.Lock()
	defer r.mu.Unlock()
	rc := c.Forward()
	if rc == sqlite.ResultOK && !r.over {
		r.ops = append(r.ops, op)
	}
	return rc
}

// sync covers what came before it began: others go on writing meanwhile.
func (r *Recording) sync(c *sqlite.FileCall, h *handle) sqlite.ResultCode {
	began := r.Len()
	rc := c.Forward()
	r.mu.Lock()
	defer r.mu.Unlock()
	if rc != sqlite.ResultOK || r.over {
		return rc
	}
	r.ops = append(r.ops, operation{action: synced, file: h.file, began: began})
	if h.named { // SQLite syncs the directory with the first sync of a log or journal that it may have created
		h.named = false
		r.ops = append(r.ops, operation{action: dirSynced, began: began})
	}
	return rc
}

func (r *Recording) delete(c *sqlite.FileCall) sqlite.ResultCode {
	r.mu.Lock()
	defer r.mu.Unlock()
	rc := c.Forward()
	if rc != sqlite.ResultOK || r.over {
		return rc
	}
	if f := r.names[c.Path]; f != nil {
		delete(r.names, c.Path)
		r.ops = append(r.ops, operation{action: deleted, file: f, name: filepath.Base(c.Path)})
	}
	if c.Flags != 0 {
		r.ops = append(r.ops, operation{action: dirSynced, began: len(r.ops)})
	}
	return rc
}

// opened finds out which file it is. An empty one counts as just created: the
// library creates a database before SQLite opens it, and nobody has synced that.
func (r *Recording) opened(f *sqlite.File) sqlite.ResultCode {
	r.mu.Lock()
	defer r.mu.Unlock()
	file := r.names[f.Path]
	if file == nil {
		size, rc := f.Size()
		file = &inode{before: make([]byte, size)}
		if rc == sqlite.ResultOK && size > 0 {
			rc = f.ReadAt(file.before, 0)
		}
		if rc != sqlite.ResultOK {
			return rc
		}
		name := filepath.Base(f.Path)
		r.names[f.Path] = file
		switch {
		case size > 0:
			r.first[name] = file
		case !r.over:
			r.ops = append(r.ops, operation{action: created, file: file, name: name})
		}
	}
	f.State = &handle{recording: r, file: file, named: f.Created && f.Kind != sqlite.FileMain}
	return sqlite.ResultOK
}
