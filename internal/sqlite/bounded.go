package sqlite

import (
	"strings"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// bounded is a built-in function that a confined connection looks after.
type bounded struct {
	call func(tls *libc.TLS, ctx uintptr, argc int32, argv uintptr) // the engine's own
	// product: the engine compares each position, or key, of the first argument
	// with the second one, so the time grows with the product of their lengths.
	product int // weight; 0 for others
}

const (
	ptrSize = unsafe.Sizeof(uintptr(0))

	// Straight code, such as a thousand result columns, runs without a look at
	// the progress handler, and so does each call. 2 ns a byte is usual and 20 ns
	// the worst (JSON), so this is a quarter of a second in the common case; it
	// bounds the memory of a row as well.
	maxWork = 64 << 20
	// Half of maxProduct took 150 ms in LIKE, a quarter of it 190 ms in trim.
	maxProduct = 1 << 28
)

// boundedFunctions are the built-in functions whose time grows with their
// arguments or result, and their numbers of arguments, with -1 for any.
var boundedFunctions = map[string][]int{
	"char": {-1}, "concat": {-1}, "concat_ws": {-1}, "format": {-1}, "glob": {2}, "hex": {1}, "instr": {2},
	"like": {2, 3}, "lower": {1}, "ltrim": {1, 2}, "printf": {-1}, "quote": {1}, "randomblob": {1}, "replace": {3},
	"rtrim": {1, 2}, "soundex": {1}, "strftime": {-1}, "substr": {2, 3}, "substring": {2, 3}, "trim": {1, 2},
	"unhex": {1, 2}, "unistr": {1}, "unistr_quote": {1}, "upper": {1},
	"json": {1}, "json_array": {-1}, "json_array_insert": {-1}, "json_array_length": {1, 2}, "json_error_position": {1},
	"json_extract": {-1}, "json_insert": {-1}, "json_object": {-1}, "json_patch": {2},
	"json_quote": {1}, "json_remove": {-1}, "json_replace": {-1}, "json_set": {-1}, "json_type": {1, 2},
	"json_valid": {1, 2}, "jsonb": {1}, "jsonb_array": {-1}, "jsonb_array_insert": {-1}, "jsonb_extract": {-1},
	"jsonb_insert": {-1}, "jsonb_object": {-1}, "jsonb_patch": {2}, "jsonb_remove": {-1}, "jsonb_replace": {-1},
	"jsonb_set": {-1}, "->": {2}, "->>": {2},
}

// productFunctions have a weight besides. The trims compare each position with each
// character of a set: 3.5 ns, where the others are done at the first difference.
var productFunctions = map[string]int{
	"glob": 1, "instr": 1, "json_patch": 1, "jsonb_patch": 1, "like": 1, "replace": 1, "ltrim": 4, "rtrim": 4, "trim": 4,
}

// boundFunctions puts boundedTrampoline before each of boundedFunctions. The
// definitions are the engine's in all but the function that is called, so the
// planner treats them as before: LIKE still uses an index.
func (c *Conn) boundFunctions() (map[uintptr]bounded, error) {
	all := make(map[uintptr]bounded)
	for name, counts := range boundedFunctions {
		for _, n := range counts {
			def, b, err := c.boundFunction(name, n)
			if err != nil {
				return nil, err
			}
			all[def] = b
		}
	}
	return all, nil
}

func (c *Conn) boundFunction(name string, nArg int) (def uintptr, b bounded, err error) {
	engine, err := c.definition(name, nArg)
	if err != nil {
		return 0, b, err
	}
	own := (*sqlite3.TFuncDef)(pointer(engine))
	b.product = productFunctions[name]
	*(*uintptr)(unsafe.Pointer(&b.call)) = own.FxSFunc
	z, err := pushName(c.tls, name)
	if err != nil {
		return 0, b, err
	}
	defer z.pop()
	rc := sqlite3.Xsqlite3_create_function_v2(c.tls, c.db, z.p, clampInt32(nArg), sqlite3.SQLITE_UTF8,
		own.FpUserData, cFunc(boundedTrampoline), 0, 0, 0)
	if err := c.result("create_function", rc); err != nil {
		return 0, b, err
	}
	if def, err = c.definition(name, nArg); err != nil {
		return 0, b, err
	}
	(*sqlite3.TFuncDef)(pointer(def)).FfuncFlags = own.FfuncFlags &^ sqlite3.SQLITE_FUNC_BUILTIN
	return def, b, nil
}

// definition returns what the engine calls for name with nArg arguments: the
// statement that calls it points there. No function of the C API does. The field
// names are checked by the compiler and the effect by a test.
func (c *Conn) definition(name string, nArg int) (uintptr, error) {
	sql := `SELECT "` + name + `"(` + strings.TrimSuffix(strings.Repeat("?,", max(nArg, 1)), ",") + ")"
	if nArg < 0 {
		sql = `SELECT "` + name + `"(?,?,?,?,?)` // json_set wants an odd number, json_object an even one
		if strings.HasSuffix(name, "_object") {
			sql = `SELECT "` + name + `"(?,?,?,?)`
		}
	}
	s, _, err := c.Prepare(sql)
	if err != nil {
		return 0, err
	}
	defer s.Finalize()
	vdbe := (*sqlite3.TVdbe)(pointer(s.handle))
	for i := range uintptr(vdbe.FnOp) {
		op := (*sqlite3.TVdbeOp)(pointer(vdbe.FaOp + i*unsafe.Sizeof(sqlite3.TVdbeOp{})))
		if op.Fp4type == sqlite3.P4_FUNCCTX {
			ctx := (*sqlite3.Tsqlite3_context)(pointer(*(*uintptr)(unsafe.Pointer(&op.Fp4))))
			return ctx.FpFunc, nil
		}
	}
	return 0, misuse("confine", "the engine does not call "+name)
}

// boundedTrampoline calls the engine's own function if there is time.
func boundedTrampoline(tls *libc.TLS, ctx uintptr, argc int32, argv uintptr) {
	db := (*sqlite3.Tsqlite3)(pointer(sqlite3.Xsqlite3_context_db_handle(tls, ctx)))
	c := connOf(db.FpAuthArg) // Open has put it there
	context := (*sqlite3.Tsqlite3_context)(pointer(ctx))
	f := c.confined
	b := f.bounded[context.FpFunc]
	if c.progress() != 0 {
		sqlite3.Xsqlite3_result_error_code(tls, ctx, sqlite3.SQLITE_INTERRUPT)
		return
	}
	length := func(v uintptr) int {
		if t := Type(sqlite3.Xsqlite3_value_type(tls, v)); t != TypeText && t != TypeBlob {
			return 0 // asking for its bytes would make text of it
		}
		return int(sqlite3.Xsqlite3_value_bytes(tls, v))
	}
	arg := func(i int32) uintptr { return load[uintptr](argv + uintptr(i)*ptrSize) }
	for i := range argc {
		f.work += length(arg(i))
	}
	if f.work > maxWork || argc > 1 && int64(b.product)*int64(length(arg(0)))*int64(length(arg(1))) > maxProduct {
		sqlite3.Xsqlite3_result_error_toobig(tls, ctx)
		return
	}
	b.call(tls, ctx, argc, argv)
	f.work += length(context.FpOut)
}
