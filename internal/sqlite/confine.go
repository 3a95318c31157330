package sqlite

import (
	"strings"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// confinedProgress is how many instructions a confined connection runs between
// two looks at its progress handler, at the most. Each of them may be a function
// that takes milliseconds.
const confinedProgress = 100

// Confine restricts the connection, for good, to SQL text that a stranger may
// have written: statements that read the tables of the database and call
// functions without effects. What is not on the list fails to compile with
// [ResultAuth], or [ResultReadOnly] if it writes. The caller sets query_only,
// which it can't take back, and the limits, and opens the file for reading only.
//
// A function that works on large values asks the progress handler before each
// call, and fails with [ResultTooBig] if one call asks for more work than fits
// between two looks at the clock. See https://www.sqlite.org/security.html.
func (c *Conn) Confine() error {
	if c.db == 0 {
		return closedError("confine")
	}
	for _, o := range []struct {
		option DBConfig
		on     bool
	}{
		{DBConfigDefensive, true},
		{DBConfigTrustedSchema, false},
		{DBConfigWritableSchema, false},
		{DBConfigEnableLoadExtension, false},
		{DBConfigEnableFTS3Tokenizer, false},
		{DBConfigEnableAttachCreate, false},
		{DBConfigEnableAttachWrite, false},
		{DBConfigEnableTrigger, false},
	} {
		if _, err := c.DBConfig(o.option, o.on); err != nil {
			return err
		}
	}
	c.Limit(LimitAttached, 0)
	c.Limit(LimitWorkerThreads, 0)
	if err := c.keepModules("fts5", "fts5vocab", "rtree", "rtree_i32", "geopoly"); err != nil {
		return err
	}
	bounded, err := c.boundFunctions()
	if err != nil {
		return err
	}
	module, err := c.boundModule("fts5")
	if err != nil {
		return err
	}
	c.ClearStatementCache()
	c.confined = &confined{bounded: bounded, module: module}
	return nil
}

// keepModules removes all modules of virtual tables but these, among them those
// that read pages past the schema: dbstat and sqlite_dbpage. Pragmas and JSON
// make their modules when they are asked for.
func (c *Conn) keepModules(names ...string) error {
	const size = 8 // of the largest pointer
	list := c.tls.Alloc((len(names) + 1) * size)
	defer c.tls.Free((len(names) + 1) * size)
	at := list
	for _, name := range names {
		z, err := mallocString(c.tls, name)
		if err != nil {
			return err
		}
		defer free(c.tls, z)
		store(at, z)
		at += ptrSize
	}
	store[uintptr](at, 0)
	return c.result("drop_modules", sqlite3.Xsqlite3_drop_modules(c.tls, c.db, list))
}

// confined is what a confined connection has besides.
type confined struct {
	bounded map[uintptr]bounded // by the engine's definition of the function
	module  uintptr             // a boundedModule, to be freed with the connection
	base    int64               // memory in use when the latest statement began
	greedy  bool                // it was stopped because it took too much
	refused string              // what the authorizer has refused last, for the error
	writes  bool                // it would have written
}

// maxMemory is what a statement may take, beyond what the operators of a single row
// make, and one call. The engine
// counts for the whole process, so whoever else allocates meanwhile counts too:
// only the statement from outside is stopped for it.
const maxMemory = 256 << 20

// begin starts a statement's account.
func (f *confined) begin(tls *libc.TLS) {
	f.base, f.greedy = sqlite3.Xsqlite3_memory_used(tls), false
}

// exhausted tells whether a statement has taken too much: the progress handler
// asks, as JSON aggregates know no limit of length before they end, and each
// function that is bounded, as a thousand result columns are straight code.
func (f *confined) exhausted(tls *libc.TLS) bool {
	f.greedy = f.greedy || sqlite3.Xsqlite3_memory_used(tls)-f.base > maxMemory
	return f.greedy
}

// allows is the authorizer's list.
func (f *confined) allows(a AuthAction, arg1, arg2 string) bool {
	switch a {
	case ActionSelect, ActionRead, ActionRecursive, ActionTransaction, ActionSavepoint:
		return true
	case ActionFunction:
		if allowedFunctions[strings.ToLower(arg2)] {
			return true
		}
		f.refused, f.writes = "the function "+arg2, false
	case ActionPragma:
		name := strings.ToLower(arg1)
		if askingPragmas[name] || arg2 == "" && readingPragmas[name] {
			return true
		}
		f.refused, f.writes = "PRAGMA "+name, false
	case ActionAttach, ActionDetach:
		f.refused, f.writes = "ATTACH", false
	default:
		// R-Tree compiles what it would write with as soon as its table is read. On
		// a connection that is query_only it can't run.
		if (a == ActionInsert || a == ActionUpdate || a == ActionDelete) && isShadow(arg1) {
			return true
		}
		f.refused, f.writes = "a statement that writes", true
	}
	return false
}

func isShadow(table string) bool {
	for _, suffix := range []string{"_node", "_rowid", "_parent"} {
		if strings.HasSuffix(table, suffix) {
			return true
		}
	}
	return false
}

// refusal is the error of a statement that the list does not have.
func (f *confined) refusal() *Error {
	if f.writes {
		return newError(ResultReadOnly, "prepare")
	}
	return &Error{Code: ResultAuth, Op: "prepare", Msg: f.refused + " is not for SQL from outside", Offset: -1}
}

// Pragmas whose argument says what is asked for.
var askingPragmas = set("table_info table_xinfo table_list index_list index_info index_xinfo " +
	"foreign_key_list foreign_key_check integrity_check quick_check")

// Pragmas that answer without an argument. database_list isn't one of them: it
// tells where the file is. Full-text search asks for data_version.
var readingPragmas = set("application_id auto_vacuum collation_list compile_options data_version encoding foreign_keys " +
	"freelist_count function_list journal_mode module_list page_count page_size pragma_list query_only " +
	"schema_version synchronous user_version")

// allowedFunctions is every built-in function but those that load code
// (load_extension), write to the log (sqlite_log), show how rows are stored
// (sqlite_offset, rtreenode, rtreecheck, rtreedepth, geopoly_debug), take pointers
// (fts5), tell how the engine was built, or make gigabytes of a megabyte
// (json_pretty, of deep arrays).
var allowedFunctions = set("abs acos acosh asin asinh atan atan2 atanh avg bm25 ceil ceiling changes char coalesce " +
	"concat concat_ws cos cosh count cume_dist current_date current_time current_timestamp date datetime degrees " +
	"dense_rank exp first_value floor format fts5_get_locale fts5_insttoken fts5_locale geopoly_area geopoly_bbox geopoly_blob " +
	"geopoly_ccw geopoly_contains_point geopoly_group_bbox geopoly_json geopoly_overlap geopoly_regular geopoly_svg " +
	"geopoly_within geopoly_xform glob group_concat hex highlight if ifnull iif instr json json_array " +
	"json_array_insert json_array_length json_error_position json_extract json_group_array json_group_object " +
	"json_insert json_object json_patch json_quote json_remove json_replace json_set json_type " +
	"json_valid jsonb jsonb_array jsonb_array_insert jsonb_extract jsonb_group_array jsonb_group_object jsonb_insert " +
	"jsonb_object jsonb_patch jsonb_remove jsonb_replace jsonb_set julianday lag last_insert_rowid last_value lead " +
	"length like likelihood likely ln log log10 log2 lower ltrim match max min mod nth_value ntile nullif octet_length " +
	"percent_rank pi pow power printf quote radians random randomblob rank replace round row_number rtrim sign sin " +
	"sinh snippet soundex sqlite_version sqrt strftime string_agg substr substring sum tan tanh time timediff total " +
	"total_changes trim trunc typeof unhex unicode unistr unistr_quote unixepoch unlikely upper zeroblob -> ->>")

func set(words string) map[string]bool {
	m := make(map[string]bool)
	for word := range strings.FieldsSeq(words) {
		m[word] = true
	}
	return m
}
