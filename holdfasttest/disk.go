package holdfasttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Disk is what a database believes to be its disk: calls that touch files pass
// through it, and it may fail them, delay them or leave them out, and remember
// them. It is used for one database at a time or several, and by any number of
// goroutines.
type Disk struct {
	vfs   *sqlite.VFS
	probe *sqlite.Probe

	// faults are replaced, never changed: every call looks at them.
	faults    atomic.Pointer[[]*Injection]
	recording atomic.Pointer[Recording]
	open      atomic.Int64 // files

	mu sync.Mutex // serializes writers of faults and recording
}

// NewDisk returns a disk without faults. The caller must Close it, after the
// databases that were opened with its context.
func NewDisk() *Disk {
	d := &Disk{}
	vfs, err := sqlite.RegisterVFS(d.call)
	if err != nil {
		// The engine didn't start: there is no memory for a hundred bytes.
		panic(fmt.Sprintf("holdfasttest: %v", err))
	}
	d.vfs, d.probe = vfs, &sqlite.Probe{VFS: vfs}
	return d
}

// Context returns a context for [holdfast.Open] and OpenConfig: all connections
// of the database that they open use the disk. A database that the process has
// open already without it is refused, as its connections are shared.
func (d *Disk) Context(ctx context.Context) context.Context {
	return sqlite.WithProbe(ctx, d.probe)
}

// Close takes the disk away. It fails while a database on it is open.
func (d *Disk) Close() error {
	if err := d.vfs.Unregister(); err != nil {
		return errors.New("holdfasttest: close the databases before their disk")
	}
	return nil
}

// call decides about one call of SQLite.
func (d *Disk) call(c *sqlite.FileCall) sqlite.ResultCode {
	if all := d.faults.Load(); all != nil {
		for _, i := range *all {
			if i.takes(c) {
				return i.fault.act(d, c)
			}
		}
	}
	return d.forward(c)
}

// forward lets the call happen, and remembers it.
func (d *Disk) forward(c *sqlite.FileCall) sqlite.ResultCode {
	var rc sqlite.ResultCode
	if r := d.recording.Load(); r != nil {
		rc = r.record(c)
	} else {
		rc = c.Forward()
	}
	switch {
	case c.Op == sqlite.FileOpen && rc == sqlite.ResultOK:
		d.open.Add(1)
	case c.Op == sqlite.FileClose:
		d.open.Add(-1)
	}
	return rc
}
