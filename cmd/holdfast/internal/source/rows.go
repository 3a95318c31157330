package source

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"

	"golang.org/x/tools/go/analysis"
)

func rowsAnalyzer() *analysis.Analyzer {
	return newAnalyzer("source-rows", "rows are never closed", runRows)
}

// reads are the methods of *sql.Rows that don't end it.
var reads = []string{"Next", "Scan", "Err", "Columns", "ColumnTypes"}

// rowsTypes have methods that return rows.
var rowsTypes = []string{pool, "(*database/sql.Tx)", "(*database/sql.Conn)", "(*database/sql.Stmt)"}

func returnsRows(pass *analysis.Pass, e ast.Expr) bool {
	call, ok := ast.Unparen(e).(*ast.CallExpr)
	if !ok {
		return false
	}
	receiver, name := method(callee(pass.TypesInfo, call))
	return slices.Contains(rowsTypes, receiver) && (name == "Query" || name == "QueryContext")
}

func runRows(pass *analysis.Pass) (any, error) {
	opened := map[*types.Var][]ast.Node{} // where rows are put into a variable
	kept := map[*types.Var]bool{}         // closed, read to the end, or out of sight
	for _, file := range pass.Files {
		ast.PreorderStack(file, nil, func(n ast.Node, above []ast.Node) bool {
			switch n := n.(type) {
			case *ast.ExprStmt:
				if returnsRows(pass, n.X) { // nobody will ever close them
					report(pass, n, types.ExprString(n.X))
				}
			case *ast.AssignStmt:
				if len(n.Rhs) != 1 || !returnsRows(pass, n.Rhs[0]) {
					break
				}
				id, ok := n.Lhs[0].(*ast.Ident)
				if !ok {
					break
				}
				if id.Name == "_" {
					report(pass, n, "_ = "+types.ExprString(n.Rhs[0]))
				} else if v := variable(pass.TypesInfo, id); v != nil && v.Kind() == types.LocalVar {
					opened[v] = append(opened[v], n)
				}
			case *ast.Ident:
				if v, ok := pass.TypesInfo.Uses[n].(*types.Var); ok && !onlyReads(n, above) {
					kept[v] = true
				}
			case *ast.ForStmt:
				if v := readToTheEnd(pass.TypesInfo, n); v != nil {
					kept[v] = true
				}
			}
			return true
		})
	}
	for v, places := range opened {
		if kept[v] {
			continue
		}
		for _, n := range places {
			report(pass, n, v.Name()+" := "+types.ExprString(n.(*ast.AssignStmt).Rhs[0]))
		}
	}
	return nil, nil
}

// onlyReads tells whether a use of rows leaves them open and where they are: a
// method that reads, a new value, a comparison.
func onlyReads(id *ast.Ident, above []ast.Node) bool {
	if len(above) < 2 {
		return false
	}
	switch parent := above[len(above)-1].(type) {
	case *ast.SelectorExpr:
		call, ok := above[len(above)-2].(*ast.CallExpr)
		return ok && call.Fun == parent && slices.Contains(reads, parent.Sel.Name)
	case *ast.AssignStmt:
		return slices.Contains(parent.Lhs, ast.Expr(id))
	case *ast.BinaryExpr:
		return parent.Op == token.EQL || parent.Op == token.NEQ
	}
	return false
}

// readToTheEnd returns the rows of a loop that nothing leaves before Next says
// false, which closes them.
func readToTheEnd(info *types.Info, loop *ast.ForStmt) *types.Var {
	call, ok := loop.Cond.(*ast.CallExpr)
	if !ok || callee(info, call) != "(*database/sql.Rows).Next" {
		return nil
	}
	if leaves(loop.Body, false) {
		return nil
	}
	return variable(info, receiverOf(call))
}

// leaves tells whether n has a way out of the loop around it. In an inner loop
// or switch a break without a label stays inside.
func leaves(n ast.Node, inner bool) (out bool) {
	ast.Inspect(n, func(m ast.Node) bool {
		switch m := m.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ReturnStmt:
			out = true
		case *ast.BranchStmt:
			out = out || m.Label != nil || m.Tok == token.GOTO || m.Tok == token.BREAK && !inner
		case *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
			if m != n {
				out = out || leaves(m, true)
				return false
			}
		}
		return true
	})
	return out
}
