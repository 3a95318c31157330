package source

import (
	"go/ast"
	"go/constant"
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/types/typeutil"
)

const (
	holdfastPath = "github.com/holdfastdb/holdfast"
	pool         = "(*database/sql.DB)"
	holdfastDB   = "(*" + holdfastPath + ".DB)"
)

// statementMethods run SQL. Those with a context have it as their first argument.
var statementMethods = []string{"Exec", "ExecContext", "Query", "QueryContext", "QueryRow", "QueryRowContext"}

// callee is the full name of what a call calls, such as "(*database/sql.DB).Exec"
// or "os.Open"; "" if that isn't known until it runs. A method that was promoted
// has the name of the type that declares it.
func callee(info *types.Info, call *ast.CallExpr) string {
	if f := typeutil.StaticCallee(info, call); f != nil {
		return f.FullName()
	}
	return ""
}

// method splits the full name of a method.
func method(fullName string) (receiver, name string) {
	n := strings.LastIndexByte(fullName, '.')
	if n < 0 || !strings.HasPrefix(fullName, "(") {
		return "", fullName
	}
	return fullName[:n], fullName[n+1:]
}

// query returns the SQL argument of a call of one of the statementMethods.
func query(name string, call *ast.CallExpr) ast.Expr {
	n := 0
	if strings.HasSuffix(name, "Context") {
		n = 1
	}
	if len(call.Args) <= n {
		return nil
	}
	return call.Args[n]
}

// receiverOf returns the expression before the dot of a method call.
func receiverOf(call *ast.CallExpr) ast.Expr {
	if sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok {
		return sel.X
	}
	return nil
}

// constantString returns the value of a string that the compiler knows.
func constantString(info *types.Info, e ast.Expr) (string, bool) {
	if e == nil {
		return "", false
	}
	v := info.Types[e].Value
	if v == nil || v.Kind() != constant.String {
		return "", false
	}
	return constant.StringVal(v), true
}

// variable returns the variable or field that an expression names.
func variable(info *types.Info, e ast.Expr) *types.Var {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		v, _ := info.ObjectOf(e).(*types.Var)
		return v
	case *ast.SelectorExpr:
		v, _ := info.ObjectOf(e.Sel).(*types.Var)
		return v
	}
	return nil
}

// samePlace tells whether two expressions, such as s.db, name the same variable.
// The *sql.DB inside of another type, as in db.DB, is the same database.
func samePlace(info *types.Info, a, b ast.Expr) bool {
	a, b = outer(info, a), outer(info, b)
	va, vb := variable(info, a), variable(info, b)
	if va == nil || va != vb {
		return false
	}
	sa, oka := a.(*ast.SelectorExpr)
	sb, okb := b.(*ast.SelectorExpr)
	if oka != okb || !oka {
		return oka == okb
	}
	return isPackage(info, sa.X) || samePlace(info, sa.X, sb.X)
}

// outer strips an embedded *sql.DB from the end.
func outer(info *types.Info, e ast.Expr) ast.Expr {
	for {
		e = ast.Unparen(e)
		sel, ok := e.(*ast.SelectorExpr)
		if !ok {
			return e
		}
		if v := variable(info, sel); v == nil || !v.Embedded() || v.Type().String() != "*database/sql.DB" {
			return e
		}
		e = sel.X
	}
}

func isPackage(info *types.Info, e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	if !ok {
		return false
	}
	_, ok = info.ObjectOf(id).(*types.PkgName)
	return ok
}

// eachCall calls f for every call in the package.
func eachCall(pass *analysis.Pass, f func(*ast.CallExpr)) {
	for _, file := range pass.Files {
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				f(call)
			}
			return true
		})
	}
}

// report adds a diagnostic that shows the source of n.
func report(pass *analysis.Pass, n ast.Node, source string) {
	const longest = 80
	source = oneLine(source)
	if runes := []rune(source); len(runes) > longest {
		source = string(runes[:longest]) + "..."
	}
	pass.Report(analysis.Diagnostic{Pos: n.Pos(), End: n.End(), Category: idOf(pass.Analyzer), Message: source})
}

// usesSQL tells whether the package imports database/sql, Holdfast or a driver
// of SQLite itself.
func usesSQL(pass *analysis.Pass) bool {
	return slices.ContainsFunc(pass.Pkg.Imports(), func(p *types.Package) bool {
		return p.Path() == "database/sql" || p.Path() == holdfastPath || strings.Contains(p.Path(), "sqlite")
	})
}
