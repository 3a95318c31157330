package source

import (
	"go/ast"
	"go/token"
	"go/types"
	"regexp"
	"slices"

	"golang.org/x/tools/go/analysis"
)

func errorTextAnalyzer() *analysis.Analyzer {
	return newAnalyzer("source-error-text", "an error is told by its text", runErrorText)
}

// coded are texts of SQLite that have a result code of their own, which
// "no such table" has not.
var coded = regexp.MustCompile(`(?i)\blocked\b|\bbusy\b|constraint|sqlite_(busy|locked|constraint|full|readonly|corrupt|ioerr)|` +
	`disk image is malformed|readonly database|disk is full|disk I/O error|unable to open database file`)

var matchers = []string{"strings.Contains", "strings.HasPrefix", "strings.HasSuffix", "strings.EqualFold", "strings.Index"}

func runErrorText(pass *analysis.Pass) (any, error) {
	if !usesSQL(pass) { // an account may be locked, too
		return nil, nil
	}
	info := pass.TypesInfo
	said := textsOfErrors(pass)
	isText := func(e ast.Expr) bool {
		if errorText(info, e) {
			return true
		}
		id, ok := ast.Unparen(e).(*ast.Ident)
		return ok && said[variable(info, id)]
	}
	isCoded := func(e ast.Expr) bool {
		s, ok := constantString(info, e)
		return ok && coded.MatchString(s)
	}
	for _, file := range pass.Files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if slices.Contains(matchers, callee(info, n)) && len(n.Args) == 2 && isText(n.Args[0]) && isCoded(n.Args[1]) {
					report(pass, n, types.ExprString(n))
				}
			case *ast.BinaryExpr:
				if (n.Op == token.EQL || n.Op == token.NEQ) && (isText(n.X) && isCoded(n.Y) || isCoded(n.X) && isText(n.Y)) {
					report(pass, n, types.ExprString(n))
				}
			}
			return true
		})
	}
	return nil, nil
}

// errorText tells whether e is err.Error(), perhaps in other letters.
func errorText(info *types.Info, e ast.Expr) bool {
	call, ok := ast.Unparen(e).(*ast.CallExpr)
	if !ok {
		return false
	}
	switch callee(info, call) {
	case "strings.ToLower", "strings.ToUpper", "strings.TrimSpace":
		return errorText(info, call.Args[0])
	}
	sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "Error" || len(call.Args) > 0 {
		return false
	}
	t := info.TypeOf(sel.X)
	failure := types.Universe.Lookup("error").Type().Underlying().(*types.Interface)
	return t != nil && (types.Implements(t, failure) || types.Implements(types.NewPointer(t), failure))
}

// textsOfErrors are the variables that get the text of an error.
func textsOfErrors(pass *analysis.Pass) map[*types.Var]bool {
	said := map[*types.Var]bool{}
	for _, file := range pass.Files {
		ast.Inspect(file, func(n ast.Node) bool {
			assign, ok := n.(*ast.AssignStmt)
			if ok && assign.Tok == token.DEFINE && len(assign.Lhs) == 1 && errorText(pass.TypesInfo, assign.Rhs[0]) {
				if v := variable(pass.TypesInfo, assign.Lhs[0]); v != nil {
					said[v] = true
				}
			}
			return true
		})
	}
	return said
}
