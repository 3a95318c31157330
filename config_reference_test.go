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
	rows := 0
	for key := range eachSetting(&Config{}) {
		section, key, _ := strings.Cut(key, ".")
		_, after, found := strings.Cut(page, "\n## "+section+"\n")
		if !found {
			t.Errorf("no section %s", section)
			continue
		}
		table, _, _ := strings.Cut(after, "\n## ")
		if n := strings.Count(table, "\n| `"+key+"` |"); n != 1 {
			t.Errorf("%s.%s stands %d times in its table", section, key, n)
		}
		rows++
	}
	if got := strings.Count(page, "\n| `"); got != rows {
		t.Errorf("%d rows, want %d", got, rows)
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
