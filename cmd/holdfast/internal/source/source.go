package source

import (
	"cmp"
	"context"
	"fmt"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/holdfastdb/holdfast/doctor"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"
)

// Report is what was found in the packages, by place, and which of them could
// not be examined.
type Report struct {
	Findings []doctor.Finding
	Blind    []string
}

// analyzers returns one analyzer an id. What a diagnostic says is a piece of the
// source, so it needs no translation.
func analyzers() []*analysis.Analyzer {
	return []*analysis.Analyzer{pragmaAnalyzer(), rowsAnalyzer(), transactionAnalyzer(), errorTextAnalyzer(), openFileAnalyzer()}
}

// severity of a finding: what destroys data is critical.
func severity(id string) doctor.Severity {
	if id == "source-open-file" {
		return doctor.Critical
	}
	return doctor.Warning
}

// Examine examines the packages that the patterns name, as go build takes them,
// in the current directory, without their tests. It runs the go command. The
// texts are in the language of locale, a value as in LANG.
func Examine(ctx context.Context, patterns []string, locale string) (*Report, error) {
	// A pattern could be read as a flag of the go command.
	for _, p := range patterns {
		if p == "" || strings.HasPrefix(p, "-") {
			return nil, fmt.Errorf("%q is no package pattern; ./... names all packages below the current directory", p)
		}
	}
	all, err := packages.Load(&packages.Config{Context: ctx, Mode: packages.LoadSyntax | packages.NeedModule}, patterns...)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("the packages can't be listed: %s", oneLine(err.Error()))
	case len(all) == 0:
		return nil, fmt.Errorf("no package matches %s", strings.Join(patterns, " "))
	}
	r := &Report{}
	var sound []*packages.Package
	for _, p := range all {
		if len(p.Errors) > 0 {
			r.Blind = append(r.Blind, fill(blindText.in(locale), p.PkgPath, oneLine(p.Errors[0].Error())))
			continue
		}
		sound = append(sound, p)
	}
	graph, err := checker.Analyze(analyzers(), sound, nil)
	if err != nil {
		return nil, err
	}
	var found []diagnosed
	for _, a := range graph.Roots {
		if a.Err != nil {
			return nil, fmt.Errorf("%s: %w", a, a.Err)
		}
		for _, d := range a.Diagnostics {
			found = append(found, diagnosed{a.Package.Fset.Position(d.Pos), d})
		}
	}
	slices.SortStableFunc(found, func(a, b diagnosed) int {
		return cmp.Or(cmp.Compare(a.at.Filename, b.at.Filename), cmp.Compare(a.at.Offset, b.at.Offset), cmp.Compare(a.Category, b.Category))
	})
	for _, d := range found {
		r.Findings = append(r.Findings, d.finding(locale))
	}
	return r, nil
}

// diagnosed is a diagnostic and where it is.
type diagnosed struct {
	at token.Position
	analysis.Diagnostic
}

func (d diagnosed) finding(locale string) doctor.Finding {
	t := texts[d.Category].in(locale)
	return doctor.Finding{
		ID: d.Category, Severity: severity(d.Category), Summary: t.summary,
		Evidence: fmt.Sprintf("%s:%d: %s", fromHere(d.at.Filename), d.at.Line, d.Message), Fix: t.fix,
	}
}

// fromHere is the path as one would type it.
func fromHere(path string) string {
	if dir, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return path
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
