package session

import "strings"

// Pragmas whose argument asks rather than sets; see
// https://www.sqlite.org/pragma.html.
var askingPragmas = map[string]bool{
	"table_info": true, "table_xinfo": true, "table_list": true,
	"index_info": true, "index_list": true, "index_xinfo": true,
	"foreign_key_list": true, "foreign_key_check": true,
	"integrity_check": true, "quick_check": true,
	"database_list": true, "collation_list": true, "function_list": true,
	"module_list": true, "pragma_list": true, "compile_options": true,
	"freelist_count": true, "page_count": true, "stats": true, "lock_status": true,
	// These write, through the transaction that routing opens for them: what
	// they do is in the file, not in the connection.
	"user_version": true, "application_id": true, "schema_version": true,
	"incremental_vacuum": true, "optimize": true,
	// Lives until COMMIT only, and the writer makes that follow soon.
	"defer_foreign_keys": true,
}

// pragmaClass says what a pragma does to the connection that runs it. Without
// an argument it reads, with few exceptions.
func pragmaClass(name, value string) class {
	switch name {
	case "wal_checkpoint":
		return outside
	case "data_version":
		// Its answer compares only with earlier ones of the same connection.
		return pragmaSet
	case "busy_timeout", "journal_mode":
		// Answered by the session: the budget belongs to Holdfast, and the
		// journal mode to the file.
		return pragmaSet
	}
	if value == "" || askingPragmas[name] {
		return plain
	}
	return pragmaSet
}

// refusal is why a pragma is not run, or "".
func refusal(name, value string) string {
	v := strings.ToUpper(strings.Trim(value, `'"`))
	switch name {
	case "journal_mode":
		if v == "OFF" || v == "MEMORY" {
			return "journal_mode=" + v + " loses or corrupts the database at the first crash; keep WAL, or open with limits.allow_unsafe"
		}
	case "synchronous":
		if v == "OFF" || v == "0" {
			return "synchronous=OFF loses acknowledged writes at a power cut; use NORMAL, or open with limits.allow_unsafe"
		}
	case "query_only":
		return "query_only decides where Holdfast may write; use a read-only transaction or WithReadOnly instead"
	}
	return ""
}
