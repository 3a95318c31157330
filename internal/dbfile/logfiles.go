package dbfile

import (
	"errors"
	"io/fs"
	"sync"
	"time"
)

// LogFiles are the -wal and the -shm that the connections of a database have open.
// While one has, no SQLite removes them: if the name is gone or leads to another
// file, somebody has taken it from under the database. What is written then is in
// a file without a name and ends with the last process that has it, and others
// log and lock elsewhere; a connection that is opened then has another log than
// those before it.
//
// The zero value watches nothing. All methods are safe for concurrent use.
type LogFiles struct {
	mu    sync.Mutex
	conns int
	names []string // nil until it is known that there are any
	ids   [2]ID
	at    time.Time // of the last look
	gone  string    // the one that was taken; that stays so until the database is closed
	what  string    // became of it
}

// Watch begins to look, when a connection has opened both.
func (l *LogFiles) Watch(wal, shm string) {
	l.mu.Lock()
	l.names, l.at = []string{wal, shm}, time.Time{}
	l.mu.Unlock()
	_, _ = l.Look()
}

// Opened is called for each connection that has opened both. The next look is a
// new one.
func (l *LogFiles) Opened() {
	l.mu.Lock()
	l.conns++
	l.at = time.Time{}
	l.mu.Unlock()
}

// Closing is called before such a connection is closed: with the last one of all
// processes SQLite removes the files. It tells whether this is the last one here
// and the -wal was taken and the -shm, by which all who have the log exclude each
// other, was not: then nobody but the caller may ever copy the log.
func (l *LogFiles) Closing() (alone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns == 1 {
		l.at = time.Time{}
		l.look()
	}
	l.conns--
	if l.conns > 0 {
		return false
	}
	alone = l.logAlone()
	l.ids = [2]ID{}
	return alone
}

// logAlone is called with mu held.
func (l *LogFiles) logAlone() bool {
	if len(l.names) == 0 || l.gone != l.names[0] {
		return false
	}
	id, err := Look(l.names[1])
	return err == nil && id == l.ids[1]
}

// freshLogLook is for how long a look serves. What is acknowledged in a
// millisecond after the log was taken shares the lot of what was in it before.
const freshLogLook = time.Millisecond

// Look returns which file was taken, and what became of it; "" if none was.
func (l *LogFiles) Look() (gone, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.look()
	return l.gone, l.what
}

// look is Look with mu held.
func (l *LogFiles) look() {
	if l.gone != "" || l.conns == 0 || time.Since(l.at) < freshLogLook {
		return
	}
	l.at = time.Now()
	var none ID
	for i, name := range l.names {
		id, err := Look(name)
		switch {
		case err == nil && l.ids[i] == none:
			l.ids[i] = id
		case l.ids[i] == none: // not there yet
		case errors.Is(err, fs.ErrNotExist):
			l.gone, l.what = name, "was removed or renamed"
		case err == nil && id != l.ids[i]:
			l.gone, l.what = name, "was replaced by another file"
		}
	}
}
