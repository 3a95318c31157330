package source

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/doctor"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/analysistest"
)

// Each package of testdata has what its analyzer finds, marked by "want", and
// what looks like it and is right.
func TestAnalyzers(t *testing.T) {
	t.Parallel()
	for analyzer, dirs := range map[*analysis.Analyzer][]string{
		pragmaAnalyzer():      {"pragma", "single"},
		rowsAnalyzer():        {"rows"},
		transactionAnalyzer(): {"transaction"},
		errorTextAnalyzer():   {"errortext", "account"},
		openFileAnalyzer():    {"openfile"},
	} {
		t.Run(analyzer.Name, func(t *testing.T) {
			t.Parallel()
			analysistest.Run(t, analysistest.TestData(), analyzer, dirs...)
		})
	}
}

// Each analyzer has its text, in both languages.
func TestAnalyzersAreComplete(t *testing.T) {
	t.Parallel()
	all := analyzers()
	if err := analysis.Validate(all); err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if _, ok := texts[idOf(a)]; !ok {
			t.Errorf("%s has no text", idOf(a))
		}
	}
	if len(all) != len(texts) {
		t.Errorf("%d analyzers, %d texts", len(all), len(texts))
	}
	for id, b := range texts {
		for _, s := range []string{b.en.summary, b.en.fix, b.de.summary, b.de.fix} {
			if s == "" || strings.ContainsAny(s, "\n|") {
				t.Errorf("%s: not one line: %q", id, s)
			}
		}
	}
}

// The operator's pages explain every finding, and no other. Those of package
// doctor have a test there.
func TestPagesNameEachFinding(t *testing.T) {
	t.Parallel()
	heading := regexp.MustCompile("(?m)^\\| `(source-[a-z-]+)` \\|")
	for _, page := range []string{"doctor.md", "doctor.de.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", "operator", page))
		if err != nil {
			t.Fatal(err)
		}
		var named []string
		for _, m := range heading.FindAllStringSubmatch(string(text), -1) {
			named = append(named, m[1])
		}
		for id := range texts {
			if !slices.Contains(named, id) {
				t.Errorf("%s lacks %s", page, id)
			}
		}
		if len(named) != len(texts) {
			t.Errorf("%s explains %q", page, named)
		}
	}
}

func TestLanguage(t *testing.T) {
	t.Parallel()
	b := bilingual[string]{"en", "de"}
	for locale, want := range map[string]string{"": "en", "C.UTF-8": "en", "de": "de", "de_AT.UTF-8": "de", "DE-de": "de", "den": "en"} {
		if got := b.in(locale); got != want {
			t.Errorf("%s: %s", locale, got)
		}
	}
}

// The code of this repository passes its own checks, but for what does wrong on
// purpose, to processes that are others.
func TestOwnSource(t *testing.T) {
	t.Parallel()
	r, err := Examine(t.Context(), []string{"github.com/holdfastdb/holdfast/..."}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		if !strings.Contains(f.Evidence, "/internal/torture/") {
			t.Errorf("%s: %s", f.ID, f.Evidence)
		}
	}
	for _, b := range r.Blind {
		t.Error(b)
	}
}

func TestPatternsAreNoFlags(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"", "-toolexec=true"} {
		if _, err := Examine(t.Context(), []string{p}, ""); err == nil {
			t.Errorf("%q was taken", p)
		}
	}
	if severity("source-open-file") != doctor.Critical || severity("source-rows") != doctor.Warning {
		t.Error("severities")
	}
}
