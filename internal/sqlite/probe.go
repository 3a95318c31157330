package sqlite

import (
	"context"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Probe is what a test puts between a database and its connections. It travels
// in a context, so that no option of the library leads to it.
type Probe struct {
	// VFS is what connections are opened through; nil is the default one.
	VFS *VFS
	// Finished is told of each statement that has come to its end or was given
	// up, on the goroutine that did that: its text, literals and all, and how many
	// rows it has stepped over in a scan of a whole table. nil turns it off. It
	// must not panic and must not use a connection.
	Finished func(sql string, scanned int)
}

type probeKey struct{}

// WithProbe returns a context with p for those who open a database.
func WithProbe(ctx context.Context, p *Probe) context.Context {
	return context.WithValue(ctx, probeKey{}, p)
}

// ProbeOf returns the probe of a context, or nil.
func ProbeOf(ctx context.Context) *Probe {
	p, _ := ctx.Value(probeKey{}).(*Probe)
	return p
}

// Open is [Open] with the probe in place. It may be nil.
func (p *Probe) Open(path string, flags OpenFlags) (*Conn, error) {
	if p == nil {
		return Open(path, flags)
	}
	vfs := ""
	if p.VFS != nil {
		vfs = p.VFS.Name()
	}
	c, err := OpenVFS(path, flags, vfs)
	if err == nil && p.Finished != nil {
		c.finished, c.scanned = p.Finished, map[uintptr]int32{}
		sqlite3.Xsqlite3_trace_v2(c.tls, c.db, sqlite3.SQLITE_TRACE_PROFILE, cFunc(finishedTrampoline), c.id)
	}
	return c, err
}

func finishedTrampoline(tls *libc.TLS, _ uint32, h, stmt, _ uintptr) int32 {
	c := connOf(h)
	// Not set to zero, because Effort counts on from it.
	now := sqlite3.Xsqlite3_stmt_status(tls, stmt, sqlite3.SQLITE_STMTSTATUS_FULLSCAN_STEP, 0)
	scanned := now - c.scanned[stmt]
	c.scanned[stmt] = now
	c.finished(goString(sqlite3.Xsqlite3_sql(tls, stmt)), int(scanned))
	return 0
}
