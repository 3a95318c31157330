package selftest

import (
	"os"
	"runtime"
	"strings"
)

var healthy = []patient{
	{name: "wal", make: sound},
	{name: "wal-in-use", make: func(l *lab) string {
		linuxOnly()
		l.made("a.db", wal+table+few)
		l.reader("a.db")
		l.made("a.db", few)
		return l.path("a.db")
	}},
	{name: "wal-copied-and-kept", make: func(l *lab) string {
		linuxOnly()
		l.made("a.db", wal+table+few)
		l.reader("a.db")
		l.made("a.db", few+"PRAGMA wal_checkpoint")
		return l.path("a.db")
	}},
	{name: "wal-many-commits", make: func(l *lab) string {
		linuxOnly()
		l.made("a.db", wal+table+few)
		l.reader("a.db")
		for range 20 {
			l.made("a.db", few+"CREATE TABLE u(x); DROP TABLE u")
		}
		return l.path("a.db")
	}},
	{name: "wal-after-reset", make: func(l *lab) string {
		linuxOnly()
		l.made("a.db", wal+table+rows)
		l.reader("a.db")
		l.made("a.db", few+rows+"PRAGMA wal_checkpoint; "+few+few)
		return l.path("a.db")
	}},
	{name: "rolled-back-after-spill", make: func(l *lab) string {
		linuxOnly()
		l.made("a.db", wal+table+few)
		l.reader("a.db")
		l.made("a.db", "PRAGMA cache_size=5; BEGIN; "+rows+"ROLLBACK; "+few)
		return l.path("a.db")
	}},
	{name: "rollback-mode", make: func(l *lab) string { return l.made("a.db", rollback+table+rows) }},
	{name: "journal-kept", make: func(l *lab) string {
		return l.made("a.db", "PRAGMA journal_mode=PERSIST; "+table+few+few)
	}},
	{name: "journal-truncated", make: func(l *lab) string {
		return l.made("a.db", "PRAGMA journal_mode=TRUNCATE; "+table+few+few)
	}},
	{name: "no-tables", make: func(l *lab) string { return l.made("a.db", wal) }},
	{name: "without-rowid", make: func(l *lab) string {
		return l.made("a.db", wal+"CREATE TABLE t(k TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO t VALUES ('a', 1), ('b', 2)")
	}},
	{name: "full-text", make: func(l *lab) string {
		return l.made("a.db", wal+"CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f VALUES ('hold fast'), ('rock')")
	}},
	{name: "large-pages", make: func(l *lab) string { return l.made("a.db", "PRAGMA page_size=65536; "+wal+table+rows) }},
	{name: "small-pages", make: func(l *lab) string { return l.made("a.db", "PRAGMA page_size=512; "+rollback+table+rows) }},
	{name: "utf-16", make: func(l *lab) string { return l.made("a.db", "PRAGMA encoding='UTF-16le'; "+wal+table+few) }},
	{name: "auto-vacuum", make: func(l *lab) string {
		return l.made("a.db", "PRAGMA auto_vacuum=INCREMENTAL; "+wal+table+rows+"DELETE FROM t; PRAGMA incremental_vacuum")
	}},
	{name: "read-only-directory", make: func(l *lab) string {
		path := l.made("a.db", rollback+table+few)
		unixOnly()
		l.chmodAtEnd(".", 0o700)
		l.chmod("a.db", 0o400)
		l.chmod(".", 0o500)
		return path
	}},
	{name: "symbolic-link", make: func(l *lab) string {
		must(os.Mkdir(l.path("data"), 0o700))
		l.made("data/a.db", wal+table+few)
		link(l, "data/a.db", "a.db")
		return l.path("a.db")
	}},
	{name: "foreign-keys", make: func(l *lab) string {
		return l.made("a.db", wal+table+rows+"CREATE TABLE c(x INTEGER REFERENCES t(id), y); CREATE INDEX cx ON c(x, y); INSERT INTO c SELECT id, 0 FROM t; ANALYZE")
	}},
	{name: "indexes-with-a-reason", make: func(l *lab) string {
		return l.made("a.db", wal+table+few+"CREATE UNIQUE INDEX u ON t(a); CREATE INDEX ab ON t(a, b); CREATE INDEX d ON t(a DESC); "+
			"CREATE INDEX n ON t(a COLLATE NOCASE); CREATE INDEX p ON t(a) WHERE b IS NOT NULL; CREATE INDEX e ON t(lower(a))")
	}},
	{name: "indexes-that-find-few", not: "index-one-key", make: func(l *lab) string {
		return l.made("a.db", wal+table+rows+"ALTER TABLE t ADD COLUMN state DEFAULT 'done'; UPDATE t SET state = 'new' WHERE id = 1; CREATE INDEX s ON t(state); "+
			"CREATE TABLE c(x REFERENCES t(id)); CREATE INDEX cx ON c(x); INSERT INTO c SELECT 1 FROM t; "+
			"CREATE INDEX p ON t(state) WHERE state = 'done'; ANALYZE")
	}},
	{name: "indexes-in-use", not: "index-unused", make: func(l *lab) string {
		path := l.made("a.db", wal+table+few+"CREATE INDEX used ON t(a); CREATE UNIQUE INDEX rule ON t(b, a); "+
			"CREATE INDEX p ON t(b) WHERE a = 'x'; CREATE INDEX e ON t(lower(a)); "+
			"CREATE TABLE c(x REFERENCES t(id)); CREATE INDEX cx ON c(x); "+
			"CREATE TABLE l(n COLLATE NOCASE); CREATE INDEX ln ON l(n); "+
			"CREATE TABLE audit(x); CREATE INDEX ax ON audit(x); CREATE TABLE source(y); CREATE TRIGGER g DELETE ON source BEGIN DELETE FROM audit WHERE x = old.y; END")
		l.tells(path, "DELETE FROM t WHERE a = ?", "SELECT 1 FROM l WHERE n LIKE ?", "INSERT INTO t VALUES (?)")
		return path
	}},
	{name: "indexes-of-unknown-statements", not: "index-unused", make: func(l *lab) string {
		path := l.made("a.db", wal+table+few+"CREATE INDEX idle ON t(b)")
		l.tells(path, "SELECT id FROM t WHERE a = ?", "SELECT function_of_the_program(b) FROM t")
		return path
	}},
	{name: "indexes-of-columns-that-are-not-told", not: "index-unused", make: func(l *lab) string {
		path := l.made("a.db", wal+table+few+"CREATE INDEX idle ON t(b)")
		l.tells(path, `SELECT id FROM "t" WHERE "?" = ?`)
		return path
	}},
	{name: "statistics", make: func(l *lab) string {
		return l.made("a.db", wal+table+rows+"CREATE INDEX i ON t(a); ANALYZE")
	}},
	{name: "whole-backup", make: func(l *lab) string {
		path := l.made("app.db", wal+table+rows)
		l.made("app.db", "VACUUM INTO "+literal(l.path("app-backup.db")))
		return path
	}},
	{name: "strange-name", make: func(l *lab) string {
		name := "it's a \"name\" 100%.sqlite"
		if runtime.GOOS == "windows" { // which allows no such quotes
			name = strings.ReplaceAll(name, `"`, "")
		}
		return l.made(name, wal+table+few)
	}},
	{name: "views-triggers", make: func(l *lab) string {
		return l.made("a.db", wal+table+"CREATE VIEW v AS SELECT a FROM t; CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET b = 1 WHERE id = new.id; END; "+few)
	}},
	{name: "application-id", make: func(l *lab) string {
		return l.made("a.db", wal+"PRAGMA application_id=42; PRAGMA user_version=7; "+table)
	}},
}

func literal(s string) string {
	b := []byte{'\''}
	for _, c := range []byte(s) {
		if c == '\'' {
			b = append(b, c)
		}
		b = append(b, c)
	}
	return string(append(b, '\''))
}
