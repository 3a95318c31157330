package source

import (
	"go/ast"
	"go/types"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
)

func pragmaAnalyzer() *analysis.Analyzer {
	return newAnalyzer("source-pragma", "a PRAGMA that sets is run on a pool", runPragma)
}

// connectionPragmas belong to a connection and are gone with it. What is stored
// in the file (WAL mode, user_version, auto_vacuum) may be set anywhere.
const connectionPragmas = "analysis_limit automatic_index busy_timeout cache_size cache_spill case_sensitive_like cell_size_check " +
	"checkpoint_fullfsync count_changes defer_foreign_keys empty_result_callbacks foreign_keys full_column_names fullfsync " +
	"ignore_check_constraints journal_size_limit legacy_alter_table locking_mode max_page_count mmap_size query_only " +
	"read_uncommitted recursive_triggers reverse_unordered_selects secure_delete short_column_names synchronous temp_store " +
	"threads trusted_schema wal_autocheckpoint writable_schema"

var settingPragma = regexp.MustCompile(`(?i)(?:^|;)\s*PRAGMA\s+(?:\w+\s*\.\s*)?(\w+)\s*[=(]`)

func runPragma(pass *analysis.Pass) (any, error) {
	single := singleConnections(pass)
	eachCall(pass, func(call *ast.CallExpr) {
		receiver, name := method(callee(pass.TypesInfo, call))
		if receiver != pool || !slices.Contains(statementMethods, name) {
			return
		}
		db := receiverOf(call)
		v := variable(pass.TypesInfo, outer(pass.TypesInfo, db))
		if single[v] || len(single) > 0 && (v == nil || v.Kind() != types.LocalVar) { // it may be one of them
			return
		}
		sql, _ := constantString(pass.TypesInfo, query(name, call))
		for _, m := range settingPragma.FindAllStringSubmatch(sql, -1) {
			if slices.Contains(strings.Fields(connectionPragmas), strings.ToLower(m[1])) {
				report(pass, call, types.ExprString(db)+"."+name+": PRAGMA "+m[1])
				return
			}
		}
	})
	return nil, nil
}

// singleConnections are the pools that the package keeps to one connection,
// where a PRAGMA reaches everybody.
func singleConnections(pass *analysis.Pass) map[*types.Var]bool {
	single := map[*types.Var]bool{}
	eachCall(pass, func(call *ast.CallExpr) {
		if callee(pass.TypesInfo, call) != pool+".SetMaxOpenConns" {
			return
		}
		if n := pass.TypesInfo.Types[call.Args[0]].Value; n != nil && n.ExactString() == "1" {
			if v := variable(pass.TypesInfo, outer(pass.TypesInfo, receiverOf(call))); v != nil {
				single[v] = true
			}
		}
	})
	return single
}
