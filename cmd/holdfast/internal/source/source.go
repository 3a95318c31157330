package source

import (
	"context"
	"fmt"
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

// severities by id. What destroys data is critical.
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
	if err != nil {
		return nil, fmt.Errorf("the packages can't be listed: %s", oneLine(err.Error()))
	}
	if len(all) == 0 {
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
	for _, a := range graph.Roots {
		if a.Err != nil {
			return nil, fmt.Errorf("%s: %w", a, a.Err)
		}
		for _, d := range a.Diagnostics {
			r.Findings = append(r.Findings, finding(a, d, locale))
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b doctor.Finding) int { return strings.Compare(a.Evidence, b.Evidence) })
	return r, nil
}

func finding(a *checker.Action, d analysis.Diagnostic, locale string) doctor.Finding {
	t := texts[d.Category].in(locale)
	at := a.Package.Fset.Position(d.Pos)
	place := fmt.Sprintf("%s:%d", fromHere(at.Filename), at.Line)
	return doctor.Finding{
		ID: d.Category, Severity: severity(d.Category), Summary: t.summary,
		Evidence: place + ": " + d.Message, Fix: t.fix,
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
