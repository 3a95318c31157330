package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cluster/internal/statement"
)

// Obstacles are what the database of file has and the cluster of db can't keep, each as a
// sentence: virtual tables of modules, and views, triggers, indexes and constraints that use
// functions or collations, which the machines don't have. It only reads.
//
// What a program does, and a file doesn't show, is not found: ATTACH, interactive
// transactions, functions and extensions that its own statements use.
func Obstacles(ctx context.Context, db, file *holdfast.DB) (out []string, err error) {
	objects, err := schemaOf(ctx, file)
	if err != nil {
		return nil, err
	}
	modules, err := names(ctx, db, "SELECT lower(name) FROM pragma_module_list")
	if err != nil {
		return nil, err
	}
	there, err := names(ctx, db, "SELECT DISTINCT lower(name) FROM pragma_function_list")
	if err != nil {
		return nil, err
	}
	here, err := names(ctx, file, "SELECT DISTINCT lower(name) FROM pragma_function_list")
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		if module := statement.Module(o.sql); o.virtual() && !slices.Contains(modules, module) {
			out = append(out, fmt.Sprintf("virtual table %s: the machines have no module %s", o.name, module))
			continue
		}
		for _, name := range statement.Calls(o.sql) {
			missing := !slices.Contains(there, name) && slices.Contains(here, name)
			if !missing && !slices.Contains(there, name) && (o.kind == "table" || o.kind == "index") {
				missing = isNoFunction(ctx, file, name)
			}
			if missing {
				out = append(out, fmt.Sprintf("%s %s: the machines have no function %s", o.kind, o.name, name))
			}
		}
		missing, err := o.compile(ctx, file)
		if err != nil {
			return nil, err
		}
		out = append(out, missing...)
	}
	return slices.Compact(out), nil
}

// object is one of a schema.
type object struct{ kind, name, sql string }

func (o *object) virtual() bool {
	return o.kind == "table" && strings.HasPrefix(strings.ToUpper(o.sql), "CREATE VIRTUAL")
}

func schemaOf(ctx context.Context, db *holdfast.DB) (list []object, err error) {
	rows, err := db.QueryContext(ctx, "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND substr(name, 1, 7) <> 'sqlite_' ORDER BY rowid")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var o object
		if err := rows.Scan(&o.kind, &o.name, &o.sql); err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, rows.Err()
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func names(ctx context.Context, db *holdfast.DB, query string, args ...any) (list []string, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		list = append(list, name)
	}
	return list, rows.Err()
}

// compile has SQLite say what an object calls that no SQLite has by itself: what a program has
// registered. Reading and writing a table compiles its triggers, and its collations. Other
// errors are those of a schema that was wrong before.
func (o *object) compile(ctx context.Context, file *holdfast.DB) (missing []string, err error) {
	if o.kind != "table" && o.kind != "view" || o.virtual() {
		return nil, nil
	}
	columns, err := names(ctx, file, "SELECT name FROM pragma_table_info(?)", o.name) // but for generated ones
	if err != nil && !unknownToSQLite(err) {                                          // of a view that is found below
		return nil, err
	}
	for i, c := range columns {
		columns[i] = quoted(c) + " = NULL"
	}
	name := quoted(o.name)
	statements := []string{"SELECT * FROM " + name, "DELETE FROM " + name, "INSERT INTO " + name + " DEFAULT VALUES"}
	if len(columns) > 0 {
		statements = append(statements, "UPDATE "+name+" SET "+strings.Join(columns, ", "))
	}
	for _, sql := range statements {
		compiled, err := file.PrepareContext(ctx, sql) // EXPLAIN takes functions that there aren't
		if err == nil {
			err = compiled.Close()
		}
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case unknownToSQLite(err):
			missing = append(missing, fmt.Sprintf("%s %s: %s", o.kind, o.name, strings.SplitN(err.Error(), ";", 2)[0]))
		}
	}
	return slices.Compact(missing), nil
}

// isNoFunction tells a function that SQLite doesn't know from a keyword. What compiles a table
// takes such a function, in a CHECK or an index, until a row is written.
func isNoFunction(ctx context.Context, file *holdfast.DB, name string) bool {
	compiled, err := file.PrepareContext(ctx, "SELECT "+name+"(1)")
	if err == nil {
		_ = compiled.Close()
	}
	return err != nil && unknownToSQLite(err)
}

// unknownToSQLite reads an error's text, since SQLite has one code for all that doesn't compile.
func unknownToSQLite(err error) bool {
	for _, text := range []string{"no such function", "no such collation sequence", "no such module"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}
