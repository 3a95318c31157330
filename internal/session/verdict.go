package session

import (
	"strings"
	"sync"

	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
)

// class is what kind of statement a text is, as the engine reported it while
// compiling it.
type class uint8

const (
	plain      class = iota // routed by readOnly alone
	blank                   // comments only
	begin                   // BEGIN
	commit                  // COMMIT, END
	rollback                // ROLLBACK
	savepoint               // SAVEPOINT name
	release                 // RELEASE name
	rollbackTo              // ROLLBACK TO name
	attach                  // ATTACH
	detach                  // DETACH
	temporary               // creates or changes TEMP objects
	pragmaSet               // changes the state of the connection
	outside                 // can't run in a transaction: VACUUM, wal_checkpoint
)

// verdict is what the engine said about one statement text. It is immutable
// once it is in the cache.
type verdict struct {
	class    class
	readOnly bool
	dml      bool   // inserts, updates or deletes rows of the caller's tables
	counters bool   // asks for last_insert_rowid(), changes() or total_changes()
	deaf     bool   // may work for long without asking whether it should stop
	name     string // savepoint or pragma name, or the file to attach or to VACUUM INTO
	value    string // argument of the pragma

	query *stats.Query // what counts the statement, or nil
}

// Settle counts executions that were set aside.
func (v *verdict) Settle(e sqlite.Effort) {
	c := stats.Call{Rows: int64(e.Rows), Attempts: int64(e.Runs), Effort: effortOf(&e)}
	c.Untimed, c.Aside = true, int64(e.Runs)-1
	v.query.Count(&c)
}

// attempts is a verdict as the account of executions whose calls somebody else counts.
type attempts verdict

// Settle counts what the engine has done.
func (v *attempts) Settle(e sqlite.Effort) {
	v.query.Count(&stats.Call{Attempts: int64(e.Runs), Effort: effortOf(&e), Again: true})
}

// local tells whether the statement concerns the session's own connection.
func (v *verdict) local() bool {
	return v.class == attach || v.class == detach || v.class == temporary || v.class == pragmaSet
}

// verdicts remembers one verdict per statement text. It is bounded: programs
// that write values into their SQL would fill it for ever.
type verdicts struct {
	mu sync.RWMutex
	m  map[string]*verdict
}

const (
	maxVerdicts    = 4096
	maxVerdictText = 8 << 10 // longer texts are not remembered
)

func (vs *verdicts) get(sql string) *verdict {
	vs.mu.RLock()
	v := vs.m[sql]
	vs.mu.RUnlock()
	return v
}

func (vs *verdicts) put(sql string, v *verdict) {
	if len(sql) > maxVerdictText {
		return
	}
	vs.mu.Lock()
	if vs.m == nil || len(vs.m) >= maxVerdicts {
		vs.m = make(map[string]*verdict)
	}
	vs.m[sql] = v
	vs.mu.Unlock()
}

func (vs *verdicts) texts() []string {
	vs.mu.RLock()
	defer vs.mu.RUnlock()
	list := make([]string, 0, len(vs.m))
	for text, v := range vs.m {
		if v.class == plain {
			list = append(list, text)
		}
	}
	return list
}

// recorder listens to what the engine authorizes while it compiles a
// statement; see https://www.sqlite.org/c3ref/set_authorizer.html.
type recorder struct {
	v       verdict
	actions int
	pragma  bool
}

// authorize is the callback. Many pragmas take effect while they are compiled,
// so one that sets is denied here: it must not touch the connection that only
// serves for finding out what it is.
func (r *recorder) authorize(a sqlite.AuthAction, arg1, arg2, schema, _ string) sqlite.AuthResult {
	r.actions++
	switch a {
	case sqlite.ActionTransaction:
		r.transaction(arg1)
	case sqlite.ActionSavepoint:
		r.savepoint(arg1, arg2)
	case sqlite.ActionAttach:
		r.v.class = attach
		r.v.name = arg1 // empty when it is an expression
	case sqlite.ActionDetach:
		r.v.class = detach
	case sqlite.ActionPragma:
		r.pragma = true
		r.v.name, r.v.value = strings.ToLower(arg1), arg2
		r.v.class = pragmaClass(r.v.name, arg2)
		// ANALYZE, which is most of optimize, counts as count(*) does.
		r.v.deaf = r.v.name == "wal_checkpoint" || r.v.name == "optimize"
		if r.v.class != plain {
			return sqlite.AuthDeny
		}
	case sqlite.ActionAnalyze:
		r.v.deaf = true
	case sqlite.ActionFunction:
		switch strings.ToLower(arg2) {
		case "count":
			// Of a whole table it is one instruction. Views and triggers are
			// authorized with the statement that uses them.
			r.v.deaf = true
		case "last_insert_rowid", "changes", "total_changes":
			r.v.counters = true
		}
	case sqlite.ActionCreateTempTable, sqlite.ActionCreateTempIndex, sqlite.ActionCreateTempTrigger, sqlite.ActionCreateTempView,
		sqlite.ActionDropTempTable, sqlite.ActionDropTempIndex, sqlite.ActionDropTempTrigger, sqlite.ActionDropTempView:
		r.v.class = temporary
	case sqlite.ActionInsert, sqlite.ActionUpdate, sqlite.ActionDelete:
		if strings.EqualFold(schema, "temp") {
			r.v.class = temporary
		}
		if !strings.HasPrefix(arg1, "sqlite_") {
			r.v.dml = true
		}
	}
	return sqlite.AuthOK
}

func (r *recorder) transaction(op string) {
	switch op {
	case "BEGIN":
		r.v.class = begin
	case "COMMIT":
		r.v.class = commit
	case "ROLLBACK":
		r.v.class = rollback
	}
}

func (r *recorder) savepoint(op, name string) {
	r.v.name = name
	switch op {
	case "BEGIN":
		r.v.class = savepoint
	case "RELEASE":
		r.v.class = release
	case "ROLLBACK":
		r.v.class = rollbackTo
	}
}

// classify compiles the first statement of sql on c and returns what it is,
// its text and what follows it. It runs nothing.
func classify(c *sqlite.Conn, sql string) (v *verdict, text, tail string, err error) {
	var r recorder
	c.SetAuthorizer(r.authorize)
	s, tail, err := c.Prepare(sql)
	if !r.pragma && outdated(c, &err) {
		r = recorder{}
		s, tail, err = c.Prepare(sql)
	}
	c.SetAuthorizer(nil)
	if err != nil {
		if r.pragma && r.v.class != plain && sqlite.Code(err).Primary() == sqlite.ResultAuth {
			text, tail = splitStatement(sql)
			return &r.v, text, tail, nil
		}
		return nil, "", "", err
	}
	if s == nil {
		r.v.class = blank
		return &r.v, sql, "", nil
	}
	r.v.readOnly = s.ReadOnly()
	if s.Explain() > 0 {
		r.v = verdict{readOnly: true}
	}
	if err := s.Finalize(); err != nil {
		return nil, "", "", err
	}
	text = sql[:len(sql)-len(tail)]
	if !r.v.readOnly && r.actions == 0 {
		// Nobody authorizes VACUUM, nor a CREATE ... IF NOT EXISTS of what is there.
		vacuum, file, err := vacuumTarget(c, text)
		if err != nil {
			return nil, "", "", err
		}
		if vacuum {
			r.v.class, r.v.name = outside, file
		}
	}
	return &r.v, text, tail, nil
}

// outdated tells whether a statement that did not compile may compile now. A
// connection learns of a schema change when it runs something; before that
// SQLite looks for it after some errors ("no such table") but not after others
// ("cannot modify v because it is a view", though it has a trigger by now). Where
// the look itself fails, as in a file that somebody has locked, nobody knows
// whether *err was right, and it becomes the look's.
func outdated(c *sqlite.Conn, err *error) bool {
	if sqlite.Code(*err) != sqlite.ResultError {
		return false
	}
	_, e := c.QueryInt64("SELECT 1 FROM sqlite_schema LIMIT 0")
	if e != nil && sqlite.Code(e) != sqlite.ResultError {
		*err = e
	}
	return e == nil
}

// vacuumTarget tells whether a statement is VACUUM, by the compiled form that
// EXPLAIN shows, and the file after INTO if that is a literal; see
// https://www.sqlite.org/opcode.html.
func vacuumTarget(c *sqlite.Conn, sql string) (vacuum bool, file string, err error) {
	s, _, err := c.Prepare("EXPLAIN " + sql)
	if err != nil {
		return false, "", err
	}
	for row := true; row && err == nil && !vacuum; {
		if row, err = s.Step(); !row {
			break
		}
		switch s.ColumnText(1) {
		case "Vacuum":
			vacuum = true
		case "String8":
			file = s.ColumnText(5)
		}
	}
	if e := s.Finalize(); err == nil {
		err = e
	}
	return vacuum, file, err
}

// splitStatement finds the end of the first statement of sql, a PRAGMA that
// was denied before the parser had read it to its end.
func splitStatement(sql string) (text, tail string) {
	for i := 0; i < len(sql); i++ {
		if sql[i] == ';' && sqlite.Complete(sql[:i+1]) {
			return sql[:i+1], sql[i+1:]
		}
	}
	return sql, ""
}

// isBlank tells whether nothing but white space and semicolons is left.
func isBlank(sql string) bool { return strings.Trim(sql, " \t\r\n\f;") == "" }
