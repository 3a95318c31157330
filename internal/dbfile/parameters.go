package dbfile

import (
	"fmt"
	"strings"
)

// ways tells, for parameters that SQLite or other Go drivers know, how the
// same is had with Holdfast. Several drivers' spellings share one entry.
var ways = []struct {
	keys string // separated by blanks
	way  string
}{
	{"_pragma", "Holdfast sets and checks the pragmas of every connection itself; give the setting in Config, or run the PRAGMA, which then holds for that session"},
	{"_busy_timeout _timeout busy_timeout", "Holdfast always waits; set busy_timeout in Config or WithBusyTimeout"},
	{"_journal_mode _journal journal_mode", "Holdfast always uses WAL; set enable_wal_mode to false in Config to leave the file's own mode alone"},
	{"_foreign_keys _fk foreign_keys _defer_foreign_keys _defer_fk", "Holdfast enforces foreign keys on every connection; set enable_foreign_keys in Config to turn that off, or run PRAGMA defer_foreign_keys in the transaction"},
	{"_txlock", "Holdfast begins every transaction IMMEDIATE unless it is read-only; ask for a read-only one with sql.TxOptions{ReadOnly: true}"},
	{"_synchronous _sync synchronous", "Holdfast uses synchronous=FULL, so that a power cut loses no commit; set synchronous in Config or WithSynchronous for another level"},
	{"_cache_size cache_size", "Holdfast divides one memory budget among all connections; set memory_budget or cache_size in Config"},
	{"_loc _time_format _timefmt _time_integer_format _inttotime _texttotime _timezone", "Holdfast stores time.Time so that SQLite's date functions read it and returns it from DATE, DATETIME and TIMESTAMP columns, with nothing to set"},
	{"_auto_vacuum _vacuum", "Holdfast creates new files with auto_vacuum=INCREMENTAL; set auto_vacuum in Config for another mode"},
	{"_locking_mode _locking", "Holdfast needs locking_mode=NORMAL, since it keeps several connections"},
	{"_query_only _readonly", "write mode=ro, set read_only in Config, or use View for one transaction"},
	{"_stmt_cache_size", "Holdfast keeps prepared statements by itself; set statement_cache_size in Config for another number"},
	{"_mutex", "Holdfast uses each connection in one goroutine at a time, with nothing to set"},
	{"_auth _auth_user _auth_pass _auth_crypt _auth_salt", "SQLite has given up user authentication; protect the file by its permissions"},
	{"_key _cipher _pragma_key key hexkey textkey", "Holdfast has no encryption; encrypt the volume or the columns"},
	{"authToken tls syncUrl", "it belongs to a server and this is a file; name a cluster as rqlite://host:port"},
	{"_writable_schema _ignore_check_constraints", "it can corrupt the database; run the PRAGMA in the one session that needs it"},
	{"_case_sensitive_like _cslike _recursive_triggers _rt _secure_delete _dqs _error_rc", "run the PRAGMA, which then holds for that session"},
	{"vfs", "Holdfast uses the operating system's own VFS, because two locking protocols on one file corrupt it; for a database in memory write file:NAME?mode=memory"},
	{"nolock", "without locks a second connection corrupts the database, and Holdfast keeps several; write immutable=1 if nobody writes the file"},
	{"psow", "SQLite's default for powersafe overwrite is right for nearly all disks"},
	{"modeof", "it sets the permissions after those of another file; set those of the database file, and its -wal and -shm follow"},
}

// maxKey bounds how much of an unknown key an error repeats: what stands
// before a missing "=" may be anything.
const maxKey = 40

// refusedParameter words the refusal of a parameter. It never repeats a value,
// which may be a password.
func refusedParameter(key string) string {
	for _, w := range ways {
		for known := range strings.FieldsSeq(w.keys) {
			if known == key {
				return fmt.Sprintf("the URI parameter %s is not taken: %s", key, w.way)
			}
		}
	}
	if len(key) > maxKey {
		key = key[:maxKey] + "..."
	}
	return fmt.Sprintf("the URI parameter %q is unknown; mode, immutable and cache=private are the ones a file may have", key)
}
