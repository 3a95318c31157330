package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/plan"
	"golang.org/x/tools/txtar"
)

// What was counted of a statement that did not run to its end is told, and that it did
// not. The command can't be made to show it: beside load all of --timeout may be over before
// the statement begins.
func TestExplainedUntilTheEndOfTheTime(t *testing.T) {
	t.Parallel()
	s := explainedStatement{Measured: &holdfast.Measurement{Rows: 3, Steps: 700}}
	for l, want := range map[plan.Language]string{plan.English: "Not run to its end; until then:", plan.German: "Nicht zu Ende gelaufen; bis dahin:"} {
		text := strings.Join(s.notes(l), "\n")
		if !strings.Contains(text, want) || !strings.Contains(text, "700") {
			t.Errorf("%v: %s", l, text)
		}
		ended := *s.Measured
		ended.Complete = true
		if text := strings.Join((&explainedStatement{Measured: &ended}).notes(l), "\n"); strings.Contains(text, want) {
			t.Errorf("%v, run to its end: %s", l, text)
		}
	}
}

// The pages for the operator show what the command prints.
func TestPagesShowThePlan(t *testing.T) {
	t.Parallel()
	script, err := txtar.ParseFile("testdata/script/explain.txtar")
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, f := range script.Files {
		page := map[string]string{"plan.txt": "explain.md", "german.txt": "explain.de.md"}[f.Name]
		if page == "" {
			continue
		}
		text, err := os.ReadFile("../../docs/operator/" + page)
		if err != nil {
			t.Fatal(err)
		}
		if shown++; len(f.Data) == 0 || !bytes.Contains(text, f.Data) {
			t.Errorf("%s shows another plan than %s", page, f.Name)
		}
	}
	if shown != 2 {
		t.Errorf("%d pages were looked at", shown)
	}
}
