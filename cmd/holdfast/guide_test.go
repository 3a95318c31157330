package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestGuide runs the commands of the guide to backups as they stand there, each in
// a shell, in an empty directory.
func TestGuide(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there is no sh")
	}
	text, err := os.ReadFile("../../docs/guide/backup.md")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	commands, inside := 0, false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```sh"
		case inside:
			commands++
			script.WriteString("exec sh -ec '" + strings.ReplaceAll(line, "'", "''") + "'\n")
			for command, want := range map[string]string{
				`holdfast query empty-machine`: "sugar",
				`holdfast query shop.db`:       "2",
				`holdfast query drill`:         "2",
				`holdfast backup --check`:      "ok",
			} {
				if strings.HasPrefix(line, command) {
					script.WriteString("stdout '" + want + "'\n")
				}
			}
		}
	}
	if commands < 15 {
		t.Fatalf("the guide has %d commands: this test looks at nothing", commands)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "guide.txtar"), []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Dir: dir, RequireExplicitExec: true})
}
