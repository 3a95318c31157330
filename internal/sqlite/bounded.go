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
	// texts: the engine asks for the length of a blob and then for its text, which is
	// shorter in a database of UTF-16, and what it returns ends with foreign memory.
	texts bool
}

const (
	ptrSize = unsafe.Sizeof(uintptr(0))

	// What all arguments of one call may have together: it runs without a look at
	// the progress handler. 2 ns a byte is usual and 20 ns the worst (JSON), so
	// this is a quarter of a second in the common case.
	maxWork = 64 << 20
	// What full-text search is asked for: it opens each term before it asks anybody,
	// and its parser's time grows with the square. 600 kB took 30 s, a phrase of
	// 20 kB 0.6 s.
	maxQuery = 8 << 10
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
	"date": {-1}, "datetime": {-1}, "julianday": {-1}, "time": {-1}, "timediff": {2}, "unixepoch": {-1},
	"geopoly_area": {1}, "geopoly_bbox": {1}, "geopoly_blob": {1}, "geopoly_ccw": {1}, "geopoly_contains_point": {3},
	"geopoly_json": {1}, "geopoly_overlap": {2}, "geopoly_svg": {-1}, "geopoly_within": {2}, "geopoly_xform": {7},
}

// productFunctions have a weight besides. The trims compare each position with each
// character of a set: 3.5 ns, where the others are done at the first difference.
// Those of geopoly compare each edge with all that begin left of it and end right.
var productFunctions = map[string]int{
	"geopoly_overlap": 1, "geopoly_within": 1, "glob": 1, "instr": 1, "json_patch": 1, "jsonb_patch": 1, "like": 1, "replace": 1, "ltrim": 4, "rtrim": 4, "trim": 4,
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
	// A copy: the definition of what an extension has registered, as geopoly has, is
	// overwritten in its place.
	own := *(*sqlite3.TFuncDef)(pointer(engine))
	b.product = productFunctions[name]
	b.texts = strings.HasPrefix(name, "concat")
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
	bounded := (*sqlite3.TFuncDef)(pointer(def))
	bounded.FfuncFlags = own.FfuncFlags &^ sqlite3.SQLITE_FUNC_BUILTIN
	// Below -1 it says how many are the fewest, which create_function does not take:
	// concat_ws without an argument reads from address 0.
	bounded.FnArg = own.FnArg
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
	if c.progress() != 0 || f.exhausted(tls) {
		sqlite3.Xsqlite3_result_error_code(tls, ctx, sqlite3.SQLITE_INTERRUPT)
		return
	}
	arg := func(i int32) int { return valueLength(tls, load[uintptr](argv+uintptr(i)*ptrSize)) }
	work := 0
	for i := range argc {
		work += arg(i)
	}
	// No result has more than maxLength, so what is given four times that is waste:
	// json_array of 60 texts of 1 MB took 0.7 s to find out.
	if work > min(maxWork, 4*min(c.maxLength, maxWork)) || argc > 1 && int64(b.product)*int64(arg(0))*int64(arg(1)) > maxProduct {
		sqlite3.Xsqlite3_result_error_toobig(tls, ctx)
		return
	}
	if b.texts {
		for i := range argc {
			sqlite3.Xsqlite3_value_text(tls, load[uintptr](argv+uintptr(i)*ptrSize))
		}
	}
	b.call(tls, ctx, argc, argv)
}

// valueLength is the length of a text or blob, and leaves the value as it is: the
// bytes of a number are asked for as text, and those of UTF-16 as UTF-8, and
// each makes that of the value. The function, and the engine, expect what was there.
func valueLength(tls *libc.TLS, v uintptr) int {
	switch t := Type(sqlite3.Xsqlite3_value_type(tls, v)); {
	case t != TypeText && t != TypeBlob:
		return 0
	case t == TypeText && sqlite3.Xsqlite3_value_encoding(tls, v) != sqlite3.SQLITE_UTF8:
		return int(sqlite3.Xsqlite3_value_bytes16(tls, v))
	}
	return int(sqlite3.Xsqlite3_value_bytes(tls, v))
}

// boundedModule is a module of virtual tables with boundedFilter before its own.
type boundedModule struct {
	sqlite3.Tsqlite3_module
	filter func(tls *libc.TLS, cursor uintptr, idxNum int32, idxStr uintptr, argc int32, argv uintptr) int32
}

// boundModule has the connection's tables of a module filter by boundedFilter. The
// engine keeps what else belongs to the module, so it is not registered again.
func (c *Conn) boundModule(name string) (uintptr, error) {
	for at := (*sqlite3.Tsqlite3)(pointer(c.db)).FaModule.Ffirst; at != 0; {
		e := (*sqlite3.THashElem)(pointer(at))
		if goString(e.FpKey) == name {
			m := (*sqlite3.TModule)(pointer(e.Fdata))
			own := boundedModule{Tsqlite3_module: load[sqlite3.Tsqlite3_module](m.FpModule)}
			*(*uintptr)(unsafe.Pointer(&own.filter)) = own.FxFilter
			own.FxFilter = cFunc(boundedFilter)
			p, err := malloc(c.tls, int(unsafe.Sizeof(own)))
			if err != nil {
				return 0, err
			}
			store(p, own)
			m.FpModule = p
			return p, nil
		}
		at = e.Fnext
	}
	return 0, misuse("confine", "the engine has no module "+name)
}

// boundedFilter looks for rows if that is not too much to look for.
func boundedFilter(tls *libc.TLS, cursor uintptr, idxNum int32, idxStr uintptr, argc int32, argv uintptr) int32 {
	for i := range argc {
		if valueLength(tls, load[uintptr](argv+uintptr(i)*ptrSize)) > maxQuery {
			return sqlite3.SQLITE_TOOBIG
		}
	}
	table := (*sqlite3.Tsqlite3_vtab)(pointer((*sqlite3.Tsqlite3_vtab_cursor)(pointer(cursor)).FpVtab))
	own := (*boundedModule)(pointer(table.FpModule))
	return own.filter(tls, cursor, idxNum, idxStr, argc, argv)
}
