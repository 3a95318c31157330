package source

import (
	"strings"

	"golang.org/x/tools/go/analysis"
)

// newAnalyzer makes the analyzer of a finding. An analyzer's name has to be an
// identifier; idOf turns it back.
func newAnalyzer(id, doc string, run func(*analysis.Pass) (any, error)) *analysis.Analyzer {
	return &analysis.Analyzer{Name: strings.ReplaceAll(id, "-", "_"), Doc: doc, Run: run}
}

// idOf returns the id of the finding that an analyzer makes.
func idOf(a *analysis.Analyzer) string { return strings.ReplaceAll(a.Name, "_", "-") }
