package selftest

import (
	"crypto/sha256"
	"errors"
	"os"
	"runtime"

	"github.com/holdfastdb/holdfast/doctor"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

const (
	wal      = "PRAGMA journal_mode=WAL; "
	rollback = "PRAGMA journal_mode=DELETE; "
	table    = "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b BLOB); "
	rows     = "INSERT INTO t(a, b) SELECT value, randomblob(200) FROM (WITH RECURSIVE c(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM c WHERE value < 2000) SELECT value FROM c); "
	few      = "INSERT INTO t(a) VALUES ('x'), ('y'); "
)

var sick = []patient{
	{name: "hard-linked", want: "hard-links", make: func(l *lab) string {
		path := l.made("a.db", wal+table)
		must(os.Link(path, l.path("b.db")))
		return path
	}},
	{name: "log-beside-link", want: "sidecar-beside-link", make: func(l *lab) string {
		must(os.Mkdir(l.path("data"), 0o700))
		l.made("data/a.db", wal+table)
		link(l, "data/a.db", "a.db")
		l.write("a.db-wal", "left by a program that does not follow links")
		return l.path("a.db")
	}},
	{name: "open-to-all", want: "permissions-open", make: func(l *lab) string {
		path := l.made("a.db", wal+table)
		unixOnly()
		l.chmod("a.db", 0o666)
		return path
	}},
	{name: "directory-closed", want: "directory-not-writable", make: func(l *lab) string {
		path := l.made("a.db", wal+table)
		unixOnly()
		if os.Getuid() == 0 {
			must(os.Chown(path, 65534, 65534))
			return path
		}
		l.chmodAtEnd(".", 0o700)
		l.chmod(".", 0o500)
		return path
	}},
	{name: "sidecar-closed", want: "sidecar-permissions", make: func(l *lab) string {
		path := l.crashed("a.db", table, few)
		unixOnly()
		l.chmod("a.db", 0o660)
		l.chmod("a.db-wal", 0o400)
		return path
	}},
	{name: "sidecar-of-root", want: "owner-mixed", make: func(l *lab) string {
		path := l.crashed("a.db", table, few)
		if os.Getuid() != 0 {
			panic(&failure{errSkip("only root can give files away")})
		}
		must(os.Chown(l.path("a.db-wal"), 65534, 65534))
		return path
	}},
	{name: "log-of-another", want: "wal-mispaired", make: func(l *lab) string {
		l.crashed("a.db", table+few+few+few+"CREATE TABLE u(x); DROP TABLE u; VACUUM", few)
		l.crashed("b.db", table, "CREATE TABLE v(x); "+few)
		must(os.Rename(l.path("b.db-wal"), l.path("a.db-wal")))
		return l.path("a.db")
	}},
	{name: "log-beside-rollback", want: "wal-mispaired", make: func(l *lab) string {
		l.made("a.db", rollback+table+few)
		l.crashed("b.db", table, rows)
		must(os.Rename(l.path("b.db-wal"), l.path("a.db-wal")))
		return l.path("a.db")
	}},
	{name: "log-of-other-page-size", want: "wal-mispaired", make: func(l *lab) string {
		l.made("a.db", "PRAGMA page_size=8192; "+wal+table)
		l.crashed("b.db", table, rows)
		must(os.Rename(l.path("b.db-wal"), l.path("a.db-wal")))
		return l.path("a.db")
	}},
	{name: "old-copy-under-new-log", want: "wal-mispaired", make: func(l *lab) string {
		l.made("backup.db", rollback+table+few)
		l.made("backup.db", wal)
		l.copied("backup.db", "a.db")
		for range 3 { // each its own connection, so each counts up
			l.made("a.db", few+"CREATE TABLE IF NOT EXISTS u(x); DROP TABLE u")
		}
		l.crashedFrom("a.db", "CREATE TABLE w(x); "+few)
		l.copied("backup.db", "a.db")
		return l.path("a.db")
	}},
	{name: "log-header-damaged", want: "wal-damaged", make: func(l *lab) string {
		path := l.crashed("a.db", table, rows)
		l.patched("a.db-wal", 17, []byte{0xaa, 0x55})
		return path
	}},
	{name: "log-frame-damaged", want: "wal-damaged", make: func(l *lab) string {
		path := l.crashed("a.db", table, few+few+few+few)
		l.patched("a.db-wal", 32+24+4096+24+1000, []byte{1, 2, 3})
		return path
	}},
	{name: "log-left", want: "wal-leftover", make: func(l *lab) string {
		linuxOnly()
		return l.crashed("a.db", table, rows)
	}},
	{name: "log-kept-for-replication", want: "wal-replicated", make: func(l *lab) string {
		linuxOnly()
		must(os.Mkdir(l.path(".a.db-litestream"), 0o700))
		return l.crashed("a.db", table, rows)
	}},
	{name: "log-large", want: "wal-large", make: func(l *lab) string {
		return l.crashed("a.db", table, "INSERT INTO t(b) VALUES (zeroblob(18000000))")
	}},
	{name: "log-pinned", want: "wal-pinned", make: func(l *lab) string {
		linuxOnly()
		l.made("a.db", wal+table+few)
		l.reader("a.db")
		l.made("a.db", "PRAGMA wal_autocheckpoint=0; INSERT INTO t(b) VALUES (zeroblob(6000000)); PRAGMA wal_checkpoint")
		return l.path("a.db")
	}},
	{name: "log-lost", want: "wal-lost", make: func(l *lab) string {
		w := l.open("a.db", wal+table+few+"PRAGMA wal_autocheckpoint=0; PRAGMA wal_checkpoint(TRUNCATE); "+rows)
		r := l.open("a.db", "BEGIN; SELECT count(*) FROM t")
		must(w.Exec(rows + "PRAGMA wal_checkpoint"))
		_, err := w.DBConfig(sqlite.DBConfigNoCkptOnClose, true)
		must(errors.Join(err, r.Close(), w.Close()))
		l.copied("a.db", "copy.db")
		return l.path("copy.db")
	}},
	{name: "journal-left", want: "journal-hot", make: func(l *lab) string { return l.hot("a.db", "") }},
	{name: "journal-of-another", want: "journal-mispaired", make: func(l *lab) string {
		l.hot("b.db", "PRAGMA page_size=8192; ")
		l.made("a.db", rollback+table+rows)
		must(os.Rename(l.path("b.db-journal"), l.path("a.db-journal")))
		return l.path("a.db")
	}},
	{name: "super-journal", want: "super-journal", make: func(l *lab) string {
		path := l.hot("a.db", "")
		l.super("a.db-journal", l.path("a.db-mj0A1B2C3D4"))
		return path
	}},
	{name: "empty", want: "file-empty", make: func(l *lab) string { return l.write("a.db", "") }},
	{name: "cut-in-a-page", want: "file-truncated", make: func(l *lab) string {
		path := l.made("a.db", rollback+table+rows)
		l.cut("a.db", l.size("a.db")-1000)
		return path
	}},
	{name: "cut-by-pages", want: "file-truncated", make: func(l *lab) string {
		path := l.made("a.db", wal+table+rows)
		l.cut("a.db", l.size("a.db")-2*4096)
		return path
	}},
	{name: "text", want: "not-a-database", make: func(l *lab) string {
		return l.write("a.db", "-- SQL, and no database\nCREATE TABLE t(a);\n")
	}},
	{name: "encrypted", want: "encrypted", make: func(l *lab) string { return l.write("a.db", noise(8192)) }},
	{name: "header-overwritten", want: "header-damaged", make: func(l *lab) string {
		path := l.made("a.db", wal+table)
		l.patched("a.db", 16, []byte{0x12, 0x34})
		return path
	}},
	{name: "copied-without-log", want: "backup-without-wal", make: func(l *lab) string {
		path := l.crashed("app.db", table, few+"CREATE TABLE u(x); ")
		l.copied("app.db", "app.db.bak")
		return path
	}},
	{name: "log-alone", want: "database-missing", make: func(l *lab) string {
		path := l.crashed("a.db", table, few)
		must(os.Remove(path))
		return path
	}},
	{name: "replaced-while-open", want: "deleted-open", make: func(l *lab) string {
		linuxOnly()
		l.made("a.db", wal+table+few)
		l.made("new.db", wal+table+few)
		l.reader("a.db")
		must(os.Rename(l.path("new.db"), l.path("a.db")))
		for _, end := range []string{"-wal", "-shm"} {
			must(os.Remove(l.path("a.db" + end)))
		}
		return l.path("a.db")
	}},
	{name: "page-overwritten", want: "corrupt", make: func(l *lab) string {
		path := l.made("a.db", wal+table+rows)
		l.patched("a.db", 3*4096, []byte(noise(4096)))
		return path
	}},
	{name: "mostly-free", want: "free-pages", make: func(l *lab) string {
		return l.made("a.db", "PRAGMA auto_vacuum=NONE; "+wal+table+rows+rows+rows+"DELETE FROM t WHERE id > 500; ")
	}},
	{name: "orphans", want: "foreign-key-orphans", make: func(l *lab) string {
		return l.made("a.db", "PRAGMA foreign_keys=OFF; "+wal+table+"CREATE TABLE c(x INTEGER REFERENCES t(id)); INSERT INTO c VALUES (77)")
	}},
	{name: "key-without-index", want: "foreign-key-unindexed", make: func(l *lab) string {
		return l.made("a.db", wal+table+rows+"CREATE TABLE c(x INTEGER REFERENCES t(id)); INSERT INTO c SELECT id FROM t")
	}},
	{name: "index-twice", want: "index-duplicate", make: func(l *lab) string {
		return l.made("a.db", wal+table+few+"CREATE INDEX one ON t(a); CREATE INDEX two ON t(a)")
	}},
	{name: "index-within", want: "index-redundant", make: func(l *lab) string {
		return l.made("a.db", wal+table+few+"CREATE INDEX short ON t(a); CREATE INDEX long ON t(a, b)")
	}},
	{name: "index-of-one-key", want: "index-one-key", make: func(l *lab) string {
		return l.made("a.db", wal+table+rows+"ALTER TABLE t ADD COLUMN state DEFAULT 'done'; CREATE INDEX s ON t(state); ANALYZE")
	}},
	{name: "index-of-no-statement", want: "index-unused", make: func(l *lab) string {
		path := l.made("a.db", wal+table+few+"CREATE INDEX used ON t(a); CREATE INDEX idle ON t(b)")
		l.tells(path, "SELECT id FROM t WHERE a = ?", "INSERT INTO t VALUES (?)", "PRAGMA user_version", "COMMIT")
		return path
	}},
	{name: "no-statistics", want: "statistics-missing", make: func(l *lab) string {
		return l.made("a.db", wal+table+rows+"CREATE INDEX i ON t(a)")
	}},
	{name: "old-statistics", want: "statistics-stale", make: func(l *lab) string {
		return l.made("a.db", wal+table+few+"CREATE INDEX i ON t(a); ANALYZE; "+rows)
	}},
	{name: "old-driver", want: "driver-engine-bug", opts: doctor.Options{GoMod: oldModule}, make: sound},
	{
		name: "keys-of-another-driver", want: "dsn-ignored", make: sound,
		opts: doctor.Options{DSN: "file:a.db?_journal_mode=WAL", Driver: "ncruces"},
	},
}

const oldModule = "module example.com/app\n\ngo 1.26\n\nrequire (\n\tmodernc.org/sqlite v1.37.1\n)\n"

func sound(l *lab) string { return l.made("a.db", wal+table+few) }

func unixOnly() {
	if runtime.GOOS == "windows" {
		panic(&failure{errSkip("no permission bits")})
	}
}

func linuxOnly() {
	if runtime.GOOS != "linux" {
		panic(&failure{errSkip("only Linux tells what other processes hold")})
	}
}

func link(l *lab, target, name string) {
	err := os.Symlink(target, l.path(name))
	if err == nil {
		_, err = os.Lstat(l.path(name)) // wine says that it has made one
	}
	if err != nil {
		panic(&failure{errSkip("no symbolic links here")})
	}
}

// noise is the same at each call, and looks encrypted.
func noise(n int) string {
	var b []byte
	for sum := sha256.Sum256([]byte("noise")); len(b) < n; sum = sha256.Sum256(sum[:]) {
		b = append(b, sum[:]...)
	}
	return string(b[:n])
}

// crashedFrom lets the last writer of an existing database die.
func (l *lab) crashedFrom(name, after string) {
	c := l.open(name, "PRAGMA wal_autocheckpoint=0")
	_, err := c.DBConfig(sqlite.DBConfigNoCkptOnClose, true)
	must(err)
	must(c.Exec(after))
	must(c.Close())
}

// hot is a database whose writer died in a transaction that had begun to write
// into the file.
func (l *lab) hot(name, pragma string) string {
	l.made(name, pragma+rollback+table+rows)
	_, cmd := l.second(name, "PRAGMA cache_size=5; BEGIN; UPDATE t SET a = a || 'x'")
	must(cmd.Process.Kill())
	_ = cmd.Wait() // tells that it was killed
	return l.path(name)
}

// super ends a journal as a transaction over several databases does.
func (l *lab) super(journal, name string) {
	sum := uint32(0)
	for _, c := range []byte(name) {
		sum += uint32(int8(c))
	}
	be := func(n uint32) []byte { return []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)} }
	end := append([]byte(name), be(uint32(len(name)))...)
	end = append(append(end, be(sum)...), 0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7)
	l.patched(journal, l.size(journal), end)
}
