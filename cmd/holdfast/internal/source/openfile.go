package source

import (
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
)

func openFileAnalyzer() *analysis.Analyzer {
	return newAnalyzer("source-open-file", "a database file is opened beside SQLite", runOpenFile)
}

// openers open the file that their first argument names. What io.Copy copies
// was opened by one of them.
var openers = []string{"os.Open", "os.OpenFile", "os.Create", "os.ReadFile", "os.WriteFile", "os.Truncate", "io/ioutil.ReadFile", "io/ioutil.WriteFile"}

// drivers are the names under which SQLite's drivers register.
var drivers = []string{"sqlite", "sqlite3"}

// place is a file as the source names it: by a text or by a variable.
type place struct {
	text string
	v    *types.Var
}

func runOpenFile(pass *analysis.Pass) (any, error) {
	changed := reassigned(pass)
	databases := map[place]bool{}
	eachCall(pass, func(call *ast.CallExpr) {
		var name ast.Expr
		switch f := callee(pass.TypesInfo, call); {
		case f == "database/sql.Open" && len(call.Args) == 2:
			if driver, _ := constantString(pass.TypesInfo, call.Args[0]); !slices.Contains(drivers, driver) {
				return
			}
			name = call.Args[1]
		case f == holdfastPath+".Open" && len(call.Args) >= 2:
			name = call.Args[1]
		default:
			return
		}
		if p := fileOf(pass.TypesInfo, name); p != (place{}) && !changed[p.v] {
			databases[p] = true
		}
	})
	eachCall(pass, func(call *ast.CallExpr) {
		if !slices.Contains(openers, callee(pass.TypesInfo, call)) {
			return
		}
		if databases[fileOf(pass.TypesInfo, call.Args[0])] {
			report(pass, call, types.ExprString(call.Fun)+"("+types.ExprString(call.Args[0])+")")
		}
	})
	return nil, nil
}

// fileOf returns the file that a path or data source name names. A sidecar
// counts as its database; the locks of WAL mode are on the -shm.
func fileOf(info *types.Info, e ast.Expr) place {
	if s, ok := constantString(info, e); ok {
		s, _, _ = strings.Cut(strings.TrimPrefix(s, "file:"), "?")
		s = strings.TrimSuffix(s, "-shm")
		if s == "" || strings.HasPrefix(s, ":memory:") {
			return place{}
		}
		return place{text: filepath.ToSlash(filepath.Clean(s))}
	}
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident, *ast.SelectorExpr:
		if v := variable(info, e); v != nil {
			return place{v: v}
		}
	case *ast.BinaryExpr:
		// "file:" + path + "?...": only what leaves the path as it is.
		if s, ok := constantString(info, e.Y); ok && (strings.HasPrefix(s, "?") || s == "-shm") {
			return fileOf(info, e.X)
		}
		if s, ok := constantString(info, e.X); ok && s == "file:" {
			return fileOf(info, e.Y)
		}
	case *ast.CallExpr:
		if callee(info, e) == "fmt.Sprintf" && len(e.Args) >= 2 {
			format, _ := constantString(info, e.Args[0])
			format = strings.TrimPrefix(format, "file:")
			if format == "%s" || strings.HasPrefix(format, "%s?") {
				return fileOf(info, e.Args[1])
			}
		}
	}
	return place{}
}

// reassigned are variables that name one file now and another one later.
func reassigned(pass *analysis.Pass) map[*types.Var]bool {
	changed := map[*types.Var]bool{}
	for _, file := range pass.Files {
		ast.Inspect(file, func(n ast.Node) bool {
			assign, ok := n.(*ast.AssignStmt)
			if !ok || assign.Tok == token.DEFINE {
				return true
			}
			for _, l := range assign.Lhs {
				if v := variable(pass.TypesInfo, l); v != nil && (v.Kind() == types.LocalVar || v.Kind() == types.ParamVar) {
					changed[v] = true
				}
			}
			return true
		})
	}
	return changed
}
