package sqlite

import (
	"fmt"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Value is an argument of a function or a value of a change. It is valid until
// the function returns, or until the iterator goes on; its texts and blobs are
// copies and stay.
type Value struct {
	tls *libc.TLS
	p   uintptr // 0 stands for NULL
}

// Type returns the type of the value. Ask before reading it as another type,
// which can convert it.
func (v Value) Type() Type {
	if v.p == 0 {
		return TypeNull
	}
	return Type(sqlite3.Xsqlite3_value_type(v.tls, v.p))
}

// Int64 returns the value as an integer.
func (v Value) Int64() int64 {
	if v.p == 0 {
		return 0
	}
	return sqlite3.Xsqlite3_value_int64(v.tls, v.p)
}

// Float returns the value as a floating point number.
func (v Value) Float() float64 {
	if v.p == 0 {
		return 0
	}
	return sqlite3.Xsqlite3_value_double(v.tls, v.p)
}

// Text returns the value as text.
func (v Value) Text() string {
	if v.p == 0 {
		return ""
	}
	p := sqlite3.Xsqlite3_value_text(v.tls, v.p)
	if p == 0 {
		return ""
	}
	return string(view(p, int(sqlite3.Xsqlite3_value_bytes(v.tls, v.p))))
}

// Blob returns the value as a blob: nil for NULL.
func (v Value) Blob() []byte {
	if v.Type() == TypeNull {
		return nil
	}
	b := []byte{}
	if p := sqlite3.Xsqlite3_value_blob(v.tls, v.p); p != 0 {
		b = append(b, view(p, int(sqlite3.Xsqlite3_value_bytes(v.tls, v.p)))...)
	}
	return b
}

// function is a Go function that SQL can call.
type function struct {
	conn *Conn
	id   uintptr
	fn   func(args []Value) (any, error)
}

// CreateFunction makes fn callable in SQL as name with nArg arguments, any number
// if it is -1. fn returns nil, an int64, int, float64, bool, string or []byte. A
// deterministic function returns the same for the same arguments, always, and may
// stand in indexes. The function is gone when the connection closes, and it is
// replaced by another one of this name and number of arguments; a nil fn removes
// it. See https://www.sqlite.org/c3ref/create_function.html.
func (c *Conn) CreateFunction(name string, nArg int, deterministic bool, fn func(args []Value) (any, error)) error {
	if c.db == 0 {
		return closedError("create_function")
	}
	z, err := pushName(c.tls, name)
	if err != nil {
		return err
	}
	defer z.pop()
	flags := int32(sqlite3.SQLITE_UTF8)
	if deterministic {
		flags |= sqlite3.SQLITE_DETERMINISTIC
	}
	var id, call, destroy uintptr
	if fn != nil {
		f := &function{conn: c, fn: fn}
		f.id = handles.add(f)
		id, call, destroy = f.id, cFunc(functionTrampoline), cFunc(functionDestroy)
	}
	// SQLite calls destroy when the function goes, also if this call fails.
	rc := sqlite3.Xsqlite3_create_function_v2(c.tls, c.db, z.p, clampInt32(nArg), flags, id, call, 0, 0, destroy)
	return c.result("create_function", rc)
}

func functionDestroy(_ *libc.TLS, id uintptr) { handles.remove(id) }

func functionTrampoline(tls *libc.TLS, ctx uintptr, argc int32, argv uintptr) {
	f := handles.get(sqlite3.Xsqlite3_user_data(tls, ctx)).(*function)
	args := make([]Value, argc)
	for i := range args {
		args[i] = Value{tls, load[uintptr](argv + uintptr(i)*unsafe.Sizeof(argv))}
	}
	out, err, ok := f.call(args)
	switch {
	case !ok:
		setError(tls, ctx, "a function has panicked")
	case err != nil:
		setError(tls, ctx, err.Error())
		if code := Code(err); code != ResultError {
			sqlite3.Xsqlite3_result_error_code(tls, ctx, int32(code))
		}
	default:
		setResult(tls, ctx, out)
	}
}

// call runs the Go function; !ok means that it panicked, now or before.
func (f *function) call(args []Value) (out any, err error, ok bool) {
	if f.conn.panicked != nil {
		return nil, nil, false
	}
	done, rc := false, int32(0)
	defer f.conn.caught(&done, &rc, 0)
	out, err = f.fn(args)
	done = true
	return out, err, true
}

func setError(tls *libc.TLS, ctx uintptr, msg string) {
	p, err := mallocString(tls, msg)
	if err != nil {
		sqlite3.Xsqlite3_result_error_nomem(tls, ctx)
		return
	}
	defer free(tls, p)
	sqlite3.Xsqlite3_result_error(tls, ctx, p, clampInt32(len(msg)))
}

func setResult(tls *libc.TLS, ctx uintptr, v any) {
	switch v := v.(type) {
	case nil:
		sqlite3.Xsqlite3_result_null(tls, ctx)
	case int64:
		sqlite3.Xsqlite3_result_int64(tls, ctx, v)
	case int:
		sqlite3.Xsqlite3_result_int64(tls, ctx, int64(v))
	case bool:
		sqlite3.Xsqlite3_result_int64(tls, ctx, int64(libc.Bool32(v)))
	case float64:
		sqlite3.Xsqlite3_result_double(tls, ctx, v)
	case string:
		p, err := mallocString(tls, v)
		if err != nil {
			sqlite3.Xsqlite3_result_error_nomem(tls, ctx)
			return
		}
		sqlite3.Xsqlite3_result_text64(tls, ctx, p, uint64(len(v)), cFunc(sqlite3.Xsqlite3_free), sqlite3.SQLITE_UTF8)
	case []byte:
		p, err := mallocBytes(tls, v)
		if err != nil {
			sqlite3.Xsqlite3_result_error_nomem(tls, ctx)
			return
		}
		sqlite3.Xsqlite3_result_blob64(tls, ctx, p, uint64(len(v)), cFunc(sqlite3.Xsqlite3_free))
	default:
		setError(tls, ctx, fmt.Sprintf("a function has returned a %T", v))
	}
}
