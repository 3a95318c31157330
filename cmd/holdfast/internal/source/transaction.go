package source

import (
	"go/ast"
	"go/token"
	"go/types"
	"regexp"
	"slices"

	"golang.org/x/tools/go/analysis"
)

func transactionAnalyzer() *analysis.Analyzer {
	return newAnalyzer("source-transaction", "the pool is used while a transaction is open", runTransaction)
}

// poolUses are the methods that take a connection of the pool, and wait for it.
var poolUses = append([]string{"Begin", "BeginTx", "Update", "Batch"}, statementMethods...)

func runTransaction(pass *analysis.Pass) (any, error) {
	t := &transactions{pass: pass, info: pass.TypesInfo, seen: map[*ast.CallExpr]bool{}}
	for _, file := range pass.Files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				t.update(n)
			case *ast.BlockStmt:
				t.begin(n.List)
			case *ast.CaseClause:
				t.begin(n.Body)
			case *ast.CommClause:
				t.begin(n.Body)
			}
			return true
		})
	}
	return nil, nil
}

type transactions struct {
	pass *analysis.Pass
	info *types.Info
	seen map[*ast.CallExpr]bool // reported: a transaction may stand in another
}

// update looks into the function given to Update. What is deferred there runs
// before the commit.
func (t *transactions) update(call *ast.CallExpr) {
	if callee(t.info, call) != holdfastDB+".Update" || len(call.Args) < 2 {
		return
	}
	if f, ok := ast.Unparen(call.Args[1]).(*ast.FuncLit); ok {
		t.inside(f.Body, receiverOf(call), true)
	}
}

// begin looks at what follows a Begin in a list of statements.
func (t *transactions) begin(list []ast.Stmt) {
	for n, s := range list {
		assign, ok := s.(*ast.AssignStmt)
		if !ok || len(assign.Rhs) != 1 {
			continue
		}
		call, ok := ast.Unparen(assign.Rhs[0]).(*ast.CallExpr)
		if !ok {
			continue
		}
		receiver, name := method(callee(t.info, call))
		if receiver == pool && (name == "Begin" || name == "BeginTx") && !readOnly(call) {
			t.follow(begun(list[n+1:], assign), receiverOf(call))
		}
	}
}

// begun skips the answer to a Begin that failed: no transaction is open in it.
func begun(rest []ast.Stmt, begin *ast.AssignStmt) []ast.Stmt {
	if len(rest) == 0 || len(begin.Lhs) != 2 {
		return rest
	}
	check, ok := rest[0].(*ast.IfStmt)
	if !ok || check.Init != nil {
		return rest
	}
	cond, ok := check.Cond.(*ast.BinaryExpr)
	if !ok || cond.Op != token.NEQ || types.ExprString(cond.X) != types.ExprString(begin.Lhs[1]) {
		return rest
	}
	if check.Else != nil {
		return append([]ast.Stmt{check.Else}, rest[1:]...)
	}
	return rest[1:]
}

// readOnly tells whether the options of BeginTx may say so.
func readOnly(call *ast.CallExpr) bool {
	if len(call.Args) < 2 {
		return false
	}
	if id, ok := call.Args[1].(*ast.Ident); ok {
		return id.Name != "nil"
	}
	found := false
	ast.Inspect(call.Args[1], func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		found = found || ok && id.Name == "ReadOnly"
		return true
	})
	return found
}

// follow goes through statements in order until the transaction ends, and tells
// whether it has ended.
func (t *transactions) follow(list []ast.Stmt, db ast.Expr) (ended bool) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.DeferStmt, *ast.GoStmt: // run after the end, or beside it
			continue
		case *ast.BlockStmt:
			ended = t.follow(s.List, db)
		case *ast.IfStmt:
			ended = t.followIf(s, db)
		case *ast.ForStmt:
			ended = t.follow(s.Body.List, db)
		case *ast.RangeStmt:
			t.inside(s.X, db, false)
			ended = t.follow(s.Body.List, db)
		default:
			if ended = ends(s); !ended {
				t.inside(s, db, false)
			}
		}
		if ended {
			return true
		}
	}
	return false
}

// followIf takes a branch that ends the transaction and returns for no end of
// it: the usual answer to an error.
func (t *transactions) followIf(s *ast.IfStmt, db ast.Expr) (ended bool) {
	for _, n := range []ast.Node{s.Init, s.Cond} {
		if n == nil {
			continue
		}
		if ends(n) {
			return true
		}
		t.inside(n, db, false)
	}
	if t.follow(s.Body.List, db) && !returns(s.Body.List) {
		ended = true
	}
	switch other := s.Else.(type) {
	case *ast.BlockStmt:
		ended = t.follow(other.List, db) && !returns(other.List) || ended
	case *ast.IfStmt:
		ended = t.followIf(other, db) || ended
	}
	return ended
}

func returns(list []ast.Stmt) bool {
	if len(list) == 0 {
		return false
	}
	switch list[len(list)-1].(type) {
	case *ast.ReturnStmt, *ast.BranchStmt:
		return true
	}
	return false
}

// ending is the name of a function that may end a transaction.
var ending = regexp.MustCompile(`(?i)commit|rollback|finish|abort|^(end|done)$`)

func ends(n ast.Node) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch f := ast.Unparen(call.Fun).(type) {
		case *ast.Ident:
			found = found || ending.MatchString(f.Name)
		case *ast.SelectorExpr:
			found = found || ending.MatchString(f.Sel.Name)
		}
		return true
	})
	return found
}

// inside reports each use of db in n. A function literal counts if it is called
// on the spot: nobody knows when others run.
func (t *transactions) inside(n ast.Node, db ast.Expr, deferred bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit, *ast.GoStmt:
			return false
		case *ast.DeferStmt:
			return deferred
		case *ast.CallExpr:
			if f, ok := ast.Unparen(n.Fun).(*ast.FuncLit); ok {
				t.inside(f.Body, db, deferred)
			}
			receiver, name := method(callee(t.info, n))
			if (receiver == pool || receiver == holdfastDB) && slices.Contains(poolUses, name) && samePlace(t.info, receiverOf(n), db) && !t.seen[n] {
				t.seen[n] = true
				report(t.pass, n, types.ExprString(n))
			}
		}
		return true
	})
}
