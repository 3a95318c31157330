package sqlite

import (
	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// AuthAction is what a statement wants to do.
type AuthAction int

// Actions an authorizer is asked about, with the meaning of arg1 and arg2.
// See https://www.sqlite.org/c3ref/c_alter_table.html.
const (
	ActionCreateIndex       AuthAction = sqlite3.SQLITE_CREATE_INDEX        // index, table
	ActionCreateTable       AuthAction = sqlite3.SQLITE_CREATE_TABLE        // table
	ActionCreateTempIndex   AuthAction = sqlite3.SQLITE_CREATE_TEMP_INDEX   // index, table
	ActionCreateTempTable   AuthAction = sqlite3.SQLITE_CREATE_TEMP_TABLE   // table
	ActionCreateTempTrigger AuthAction = sqlite3.SQLITE_CREATE_TEMP_TRIGGER // trigger, table
	ActionCreateTempView    AuthAction = sqlite3.SQLITE_CREATE_TEMP_VIEW    // view
	ActionCreateTrigger     AuthAction = sqlite3.SQLITE_CREATE_TRIGGER      // trigger, table
	ActionCreateView        AuthAction = sqlite3.SQLITE_CREATE_VIEW         // view
	ActionDelete            AuthAction = sqlite3.SQLITE_DELETE              // table
	ActionDropIndex         AuthAction = sqlite3.SQLITE_DROP_INDEX          // index, table
	ActionDropTable         AuthAction = sqlite3.SQLITE_DROP_TABLE          // table
	ActionDropTempIndex     AuthAction = sqlite3.SQLITE_DROP_TEMP_INDEX     // index, table
	ActionDropTempTable     AuthAction = sqlite3.SQLITE_DROP_TEMP_TABLE     // table
	ActionDropTempTrigger   AuthAction = sqlite3.SQLITE_DROP_TEMP_TRIGGER   // trigger, table
	ActionDropTempView      AuthAction = sqlite3.SQLITE_DROP_TEMP_VIEW      // view
	ActionDropTrigger       AuthAction = sqlite3.SQLITE_DROP_TRIGGER        // trigger, table
	ActionDropView          AuthAction = sqlite3.SQLITE_DROP_VIEW           // view
	ActionInsert            AuthAction = sqlite3.SQLITE_INSERT              // table
	ActionPragma            AuthAction = sqlite3.SQLITE_PRAGMA              // pragma, argument or ""; '' is an empty argument
	ActionRead              AuthAction = sqlite3.SQLITE_READ                // table, column
	ActionSelect            AuthAction = sqlite3.SQLITE_SELECT              //
	ActionTransaction       AuthAction = sqlite3.SQLITE_TRANSACTION         // BEGIN, COMMIT or ROLLBACK
	ActionUpdate            AuthAction = sqlite3.SQLITE_UPDATE              // table, column
	ActionAttach            AuthAction = sqlite3.SQLITE_ATTACH              // file, or "" if it is not a literal
	ActionDetach            AuthAction = sqlite3.SQLITE_DETACH              // schema
	ActionAlterTable        AuthAction = sqlite3.SQLITE_ALTER_TABLE         // schema, table
	ActionReindex           AuthAction = sqlite3.SQLITE_REINDEX             // index
	ActionAnalyze           AuthAction = sqlite3.SQLITE_ANALYZE             // table
	ActionCreateVTable      AuthAction = sqlite3.SQLITE_CREATE_VTABLE       // table, module
	ActionDropVTable        AuthAction = sqlite3.SQLITE_DROP_VTABLE         // table, module
	ActionFunction          AuthAction = sqlite3.SQLITE_FUNCTION            // "", function
	ActionSavepoint         AuthAction = sqlite3.SQLITE_SAVEPOINT           // BEGIN, RELEASE or ROLLBACK; name
	ActionRecursive         AuthAction = sqlite3.SQLITE_RECURSIVE           //
)

// AuthResult is an authorizer's answer.
type AuthResult int

// Answers of an authorizer.
const (
	AuthOK     AuthResult = sqlite3.SQLITE_OK     // allow
	AuthDeny   AuthResult = sqlite3.SQLITE_DENY   // fail the whole statement with ResultAuth
	AuthIgnore AuthResult = sqlite3.SQLITE_IGNORE // leave this part out: NULL for a column read, no change for a write
)

// SetAuthorizer sets what is asked about each action of a statement while it is
// compiled; nil allows everything. The arguments that an action does not have
// are "". trigger is the innermost trigger or view the action comes from.
//
// Setting it is cheap and leaves prepared statements alone: fn is asked about
// statements prepared from now on, and about older ones only when SQLite
// compiles them again after a schema change. A statement that
// [Conn.PrepareCached] finds in the cache has been asked about before.
// See https://www.sqlite.org/c3ref/set_authorizer.html.
func (c *Conn) SetAuthorizer(fn func(a AuthAction, arg1, arg2, schema, trigger string) AuthResult) {
	if c.db != 0 {
		c.hooks.auth = fn
	}
}

func authorizerTrampoline(_ *libc.TLS, h uintptr, action int32, arg1, arg2, schema, trigger uintptr) (rc int32) {
	c := connOf(h)
	first, second := goString(arg1), goString(arg2)
	if action == sqlite3.SQLITE_PRAGMA && arg2 != 0 && second == "" {
		second = "''" // PRAGMA query_only = '' sets it, and PRAGMA query_only does not
	}
	if c.confined != nil && !c.confined.allows(AuthAction(action), first, second) {
		return sqlite3.SQLITE_DENY
	}
	fn := c.hooks.auth
	if fn == nil {
		return sqlite3.SQLITE_OK
	}
	if c.panicked != nil {
		return sqlite3.SQLITE_DENY
	}
	done := false
	defer c.caught(&done, &rc, sqlite3.SQLITE_DENY)
	rc = int32(fn(AuthAction(action), first, second, goString(schema), goString(trigger)))
	done = true
	return rc
}
