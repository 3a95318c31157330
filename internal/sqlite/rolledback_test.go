package sqlite

import (
	"os"
	"path/filepath"
	"testing"
)

// shortage lets so many writes of the log through, so many bytes of the next one,
// and none after that, once it is armed.
type shortage struct {
	armed        bool
	kind         FileKind
	whole, bytes int
}

func (s *shortage) call(c *FileCall) ResultCode {
	if !s.armed || c.Op != FileWrite || c.Kind != s.kind {
		return c.Forward()
	}
	if s.whole--; s.whole >= 0 {
		return c.Forward()
	}
	if s.bytes > 0 {
		c.Data = c.Data[:s.bytes]
		s.bytes = 0
		if rc := c.Forward(); rc != ResultOK {
			return rc
		}
	}
	return ResultFull
}

// The rows fill the one page of t from its end, so the newest is what a write of half
// a page carries.
const fullPage = `CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER, pad);
	INSERT INTO t VALUES (1, 100, zeroblob(1200)), (2, 100, zeroblob(1200)), (3, 100, zeroblob(1200))`

// What RolledBack says is what a recovery makes of the files.
func TestRolledBack(t *testing.T) {
	checkpointed := func(t *testing.T, c *Conn) {
		t.Helper()
		_, _, err := c.WALCheckpoint("", CheckpointPassive)
		must(t, err)
	}
	half := func(whole int) shortage { return shortage{kind: FileWAL, whole: whole, bytes: 2048} }
	for name, one := range map[string]struct {
		before   string // what the log before held
		log      string // and what the log that is written on holds
		write    string
		disk     shortage
		want     bool
		comeBack bool
	}{
		"half of a page, the other half as it was": {
			before: "UPDATE t SET n=101 WHERE id=3", write: "UPDATE t SET n=102 WHERE id=3", disk: half(2), comeBack: true,
		},
		"half of a page, the other half another": {
			before: "UPDATE t SET n=101 WHERE id=3", write: "UPDATE t SET n=102 WHERE id=1", disk: half(2), want: true,
		},
		"nothing of a page that was there": {
			before: "UPDATE t SET n=101 WHERE id=3; UPDATE t SET n=102 WHERE id=3", write: "UPDATE t SET n=101 WHERE id=3", disk: shortage{kind: FileWAL, whole: 2}, comeBack: true,
		},
		"nothing of another page": {
			before: "UPDATE t SET n=101 WHERE id=3", write: "UPDATE t SET n=102 WHERE id=3", disk: shortage{kind: FileWAL, whole: 2}, want: true,
		},
		"behind a commit, the other half as it was": {
			before: "UPDATE t SET n=101 WHERE id=3; UPDATE t SET n=102 WHERE id=3", log: "UPDATE t SET n=103 WHERE id=3",
			write: "UPDATE t SET n=104 WHERE id=3", disk: half(1), comeBack: true,
		},
		"behind a commit, half of a frame's head": {
			before: "UPDATE t SET n=101 WHERE id=3; UPDATE t SET n=102 WHERE id=3", log: "UPDATE t SET n=103 WHERE id=3",
			write: "UPDATE t SET n=104 WHERE id=3", disk: shortage{kind: FileWAL, bytes: 12}, want: true,
		},
		"behind a commit, at the end of the file": {
			log: "UPDATE t SET n=103 WHERE id=3", write: "UPDATE t SET n=104 WHERE id=3", disk: half(1), want: true,
		},
		"a new log, of which nothing is written": {
			before: "UPDATE t SET n=101 WHERE id=3", write: "UPDATE t SET n=102 WHERE id=3", disk: shortage{kind: FileWAL}, want: true,
		},
		"a new log, half of whose head is written": {
			before: "UPDATE t SET n=101 WHERE id=3", write: "UPDATE t SET n=102 WHERE id=3", disk: shortage{kind: FileWAL, bytes: 16}, want: true,
		},
		"a new log, of which the head is written": {
			before: "UPDATE t SET n=101 WHERE id=3", write: "UPDATE t SET n=102 WHERE id=3", disk: shortage{kind: FileWAL, whole: 1}, want: true,
		},
		"the first log, an empty file": {write: "UPDATE t SET n=102 WHERE id=3", disk: half(2), want: true},
	} {
		t.Run(name, func(t *testing.T) {
			disk := one.disk
			db := newTestDB(t, "PRAGMA journal_mode=WAL; "+fullPage)
			c := openThrough(t, db, register(t, func(c *FileCall) ResultCode { return disk.call(c) }))
			must(t, c.WALAutocheckpoint(0))
			wantInt(t, c, 3, "SELECT count(*) FROM t")
			if one.before != "" {
				mustExec(t, c, one.before)
				checkpointed(t, c)
			}
			mustExec(t, c, one.log)
			want, err := c.QueryText("SELECT group_concat(n) FROM t")
			must(t, err)
			disk.armed = true
			wantCode(t, c.Exec(one.write), ResultFull)
			disk.armed = false
			if got := c.RolledBack(); got != one.want {
				t.Errorf("%v", got)
			}
			wantText(t, c, want, "SELECT group_concat(n) FROM t")
			if got := recovered(t, c); (got != want) != one.comeBack {
				t.Errorf("recovery finds %s, there was %s", got, want)
			}
			mustExec(t, c, "UPDATE t SET n=105 WHERE id=3")
			wantText(t, c, recovered(t, c), "SELECT group_concat(n) FROM t")
		})
	}
}

// recovered is what another process would find in the files as they are.
func recovered(t *testing.T, c *Conn) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.db")
	for ending, kind := range map[string]FileKind{"": FileMain, "-wal": FileWAL} {
		f, ok := c.RawFile(kind)
		if !ok {
			t.Fatalf("%q is not open", ending)
		}
		size, err := f.Size()
		must(t, err)
		b := make([]byte, size)
		must(t, f.ReadAt(b, 0))
		must(t, os.WriteFile(path+ending, b, 0o600))
	}
	other, err := Open(path, OpenReadWrite)
	must(t, err)
	wantText(t, other, "ok", "PRAGMA integrity_check")
	text, err := other.QueryText("SELECT group_concat(n) FROM t")
	must(t, err)
	must(t, other.Close())
	return text
}

// Without a log nothing comes back. What this can't tell is no.
func TestRolledBackElsewhere(t *testing.T) {
	for mode, want := range map[string]bool{"DELETE": true, "TRUNCATE": true, "PERSIST": false} {
		t.Run(mode, func(t *testing.T) {
			disk := shortage{kind: FileMain}
			db := newTestDB(t, fullPage)
			c := openThrough(t, db, register(t, func(c *FileCall) ResultCode { return disk.call(c) }))
			mustExec(t, c, "PRAGMA journal_mode="+mode)
			disk.armed = true
			wantCode(t, c.Exec("UPDATE t SET n=102 WHERE id=3"), ResultFull)
			disk.armed = false
			if got := c.RolledBack(); got != want {
				t.Errorf("%v", got)
			}
			wantInt(t, c, 0, "SELECT count(*) FROM t WHERE n=102")
		})
	}
	db := newTestDB(t, "PRAGMA journal_mode=WAL; "+fullPage)
	c, other := db.open(), db.open()
	wantInt(t, c, 3, "SELECT count(*) FROM t")
	if !c.RolledBack() {
		t.Error("nothing was written")
	}
	mustExec(t, other, "BEGIN IMMEDIATE")
	if c.RolledBack() {
		t.Error("while somebody else has the write lock")
	}
	mustExec(t, other, "ROLLBACK")
	mustExec(t, c, "ATTACH ':memory:' AS another")
	if c.RolledBack() {
		t.Error("with another database, which may have committed")
	}
	mustExec(t, c, "DETACH another; BEGIN")
	if c.RolledBack() {
		t.Error("inside a transaction")
	}
	mustExec(t, c, "ROLLBACK")
}
