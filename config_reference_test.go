package holdfast

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the files that tests compare with")

func TestConfigReference(t *testing.T) {
	path := filepath.Join("docs", "reference", "configuration.md")
	want := ConfigReference()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ReplaceAll(string(got), "\r\n", "\n") != want {
		t.Errorf("%s is stale: go test -run TestConfigReference -update .", path)
	}
}

func TestConfigReferenceHasEverySettingOnce(t *testing.T) {
	page := ConfigReference()
	for _, section := range sections() {
		_, after, found := strings.Cut(page, "\n## "+section.name+"\n")
		if !found {
			t.Errorf("no section %s", section.name)
			continue
		}
		table, _, _ := strings.Cut(after, "\n## ")
		for _, s := range settings() {
			if row := "\n| `" + s.key + "` |"; s.section == section.name && strings.Count(table, row) != 1 {
				t.Errorf("%s stands %d times in its table", s.name, strings.Count(table, row))
			}
		}
	}
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "| ") && strings.Count(line, "|") > 5 {
			t.Errorf("a row has more than four cells: %s", line)
		}
	}
}

func TestExampleConfigIsTheDefaults(t *testing.T) {
	c, report, err := LoadConfig(ConfigSource{Reader: strings.NewReader(string(ExampleConfig()))})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Notes) > 0 {
		t.Errorf("notes: %q", report.Notes)
	}
	want := DefaultConfig()
	want.ConnectionPool.MaxConnections = 10
	want.Database.MaxConnections = 10
	if keys := c.conflicts(want); keys != nil {
		t.Errorf("differs from the defaults in %q", keys)
	}
}
