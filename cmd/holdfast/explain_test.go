package main

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/tools/txtar"
)

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
