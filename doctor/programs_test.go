package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// found returns the ids of a report with the severities worse than info.
func ids(r *Report) []string {
	var list []string
	for _, f := range r.Findings {
		list = append(list, f.ID+" "+f.Severity.String())
	}
	slices.Sort(list)
	return list
}

func TestGoMod(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		mod  string
		want []string
	}{
		"old modernc":        {"require modernc.org/sqlite v1.46.1", []string{"driver-engine-bug critical"}},
		"fixed modernc":      {"require modernc.org/sqlite v1.46.2 // indirect", nil},
		"block":              {"require (\n\tmodernc.org/sqlite v1.9.0 // indirect\n\tgithub.com/x/y v1.0.0\n)\n", []string{"driver-engine-bug critical"}},
		"replaced":           {"require modernc.org/sqlite v1.61.1\nreplace modernc.org/sqlite => modernc.org/sqlite v1.37.1", []string{"driver-engine-bug critical"}},
		"old mattn":          {"require github.com/mattn/go-sqlite3 v1.14.22", []string{"driver-engine-bug critical"}},
		"mattn between":      {"require github.com/mattn/go-sqlite3 v1.14.32", []string{"driver-unknown info"}},
		"new mattn":          {"require github.com/mattn/go-sqlite3 v1.14.53", nil},
		"ncruces":            {"require github.com/ncruces/go-sqlite3 v0.36.0", nil},
		"old ncruces":        {"require github.com/ncruces/go-sqlite3 v0.20.0", []string{"driver-unknown info"}},
		"zombiezen alone":    {"require zombiezen.com/go/sqlite v1.4.2", []string{"driver-engine-bug critical"}},
		"zombiezen, raised":  {"require (\nzombiezen.com/go/sqlite v1.4.2\nmodernc.org/sqlite v1.61.1\n)", nil},
		"glebarez":           {"require github.com/glebarez/sqlite v1.11.0", []string{"driver-engine-bug critical"}},
		"gorm, not raised":   {"require gorm.io/driver/sqlite v1.6.0", []string{"driver-engine-bug critical"}},
		"gorm, raised":       {"require gorm.io/driver/sqlite v1.6.0\nrequire github.com/mattn/go-sqlite3 v1.14.53", nil},
		"none":               {"module x\n\ngo 1.26\n", []string{"driver-none info"}},
		"commented, pre-rel": {"// require modernc.org/sqlite v1.1.0\nrequire modernc.org/sqlite v1.46.2-rc.1", []string{"driver-unknown info"}},
	} {
		file := filepath.Join(t.TempDir(), "go.mod")
		if err := os.WriteFile(file, []byte(test.mod), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Examine(t.Context(), "", Options{GoMod: file})
		if err != nil {
			t.Fatal(err)
		}
		if got := ids(r); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	if _, err := Examine(t.Context(), "", Options{GoMod: "app.db"}); err == nil {
		t.Error("a database was taken for a go.mod")
	}
}

func TestTwoEngines(t *testing.T) {
	t.Parallel()
	e := &examination{report: &Report{}}
	e.engines("app", map[string]string{"modernc.org/sqlite": "v1.61.1", "zombiezen.com/go/sqlite": "v1.4.2"})
	if len(e.report.Findings) > 0 {
		t.Errorf("one engine behind two drivers: %v", e.report.Findings)
	}
	e.engines("app", map[string]string{"modernc.org/sqlite": "v1.61.1", "github.com/mattn/go-sqlite3": "v1.14.53"})
	if !e.has("two-engines") {
		t.Error("two engines were not found")
	}
}

func TestBinary(t *testing.T) {
	t.Parallel()
	if _, err := Examine(t.Context(), "", Options{Binary: os.Args[0]}); err != nil {
		t.Error(err)
	}
	if _, err := Examine(t.Context(), "", Options{Binary: "doctor_test.go"}); err == nil {
		t.Error("a text was taken for a program")
	}
}

func TestDSN(t *testing.T) {
	t.Parallel()
	const ignored, unsafe = "dsn-ignored warning", "dsn-unsafe warning"
	for _, test := range []struct {
		dsn, driver string
		want        []string
	}{
		{"file:a.db?_journal_mode=WAL&_fk=1", "mattn", nil},
		{"file:a.db?_pragma=foreign_keys(1)", "mattn", []string{ignored}},
		{"a.db?_pragma=foreign_keys(1)&_txlock=immediate", "modernc", nil},
		{"a.db?_journal_mode=WAL", "modernc@v1.54.0", []string{ignored}},
		{"a.db?_journal_mode=WAL", "modernc", []string{ignored}},
		{"a.db?_journal_mode=WAL", "modernc@v1.55.0", nil},
		{"file:a.db?_journal_mode=WAL&_pragma=busy_timeout(5)", "ncruces", []string{ignored}},
		{"a.db?mode=ro", "modernc", []string{"dsn-no-uri warning"}},
		{"file:a.db?mode=ro", "modernc", nil},
		{"file:a.db?cache=shared", "mattn", []string{"dsn-shared-cache warning"}},
		{"file:a.db?_sync=0", "mattn", []string{unsafe}},
		{"file:a.db?_pragma=synchronous(OFF)&_pragma=journal_mode = memory", "ncruces", []string{unsafe, unsafe}},
		{"file:a.db?_key=secret-word", "mattn", []string{ignored}},
	} {
		r, err := Examine(t.Context(), "", Options{DSN: test.dsn, Driver: test.driver})
		if err != nil {
			t.Fatal(err)
		}
		if got := ids(r); !slices.Equal(got, test.want) {
			t.Errorf("%s with %s: %q, want %q", test.dsn, test.driver, got, test.want)
		}
		for _, f := range r.Findings {
			if strings.Contains(f.Evidence+f.Fix, "secret-word") {
				t.Errorf("a value is shown: %+v", f)
			}
		}
	}
	if _, err := Examine(t.Context(), "", Options{DSN: "a.db", Driver: "oracle"}); err == nil {
		t.Error("an unknown driver was accepted")
	}
}
