package doctor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/internal/sqlite"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patientWithLog makes a database whose writer has died.
func patientWithLog(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.db")
	c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.DBConfig(sqlite.DBConfigNoCkptOnClose, true); err != nil {
		t.Fatal(err)
	}
	if err := c.Exec("PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// listing is all that can be seen of a directory but access times.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	seen := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		seen[entry.Name()] = info.ModTime().String() + info.Mode().String() + string(b)
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	seen["."] = info.ModTime().String()
	return seen
}

func TestFirstStageChangesNothing(t *testing.T) {
	t.Parallel()
	path := patientWithLog(t)
	for _, prepare := range []func() error{
		func() error { return nil },
		func() error { return os.Remove(path + "-shm") }, // as after a restart of the machine
		func() error {
			return os.WriteFile(path+"-journal", append(journalMagic[:], make([]byte, 504)...), 0o600)
		},
	} {
		if err := prepare(); err != nil {
			t.Fatal(err)
		}
		before := listing(t, filepath.Dir(path))
		if before["a.db-wal"] == "" {
			t.Fatal("there is no log")
		}
		r, err := Examine(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Findings) == 0 && runtime.GOOS == "linux" { // elsewhere the log may be in use
			t.Error("nothing was found")
		}
		if after := listing(t, filepath.Dir(path)); len(after) != len(before) {
			t.Errorf("%d files are %d now", len(before), len(after))
		} else {
			for name, was := range before {
				if after[name] != was {
					t.Errorf("%s has changed", name)
				}
			}
		}
	}
}

// The second stage reads the log, and leaves it and the database alone.
func TestSecondStageKeepsTheLog(t *testing.T) {
	t.Parallel()
	path := patientWithLog(t)
	before := listing(t, filepath.Dir(path))
	if _, err := Examine(t.Context(), path, Options{Open: true}); err != nil {
		t.Fatal(err)
	}
	after := listing(t, filepath.Dir(path))
	for _, name := range []string{"a.db", "a.db-wal"} {
		if after[name] != before[name] {
			t.Errorf("%s has changed", name)
		}
	}
}

func TestOwnConnectionIsNoticed(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	path := filepath.Join(t.TempDir(), "a.db")
	c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Exec("CREATE TABLE t(a)"); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "a.mod")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		o    Options
	}{{path: path}, {o: Options{Binary: path}}, {o: Options{GoMod: link}}} {
		if _, err := Examine(t.Context(), c.path, c.o); !errors.Is(err, ErrOpenHere) {
			t.Errorf("%s, %+v: %v", c.path, c.o, err)
		}
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	if _, err := Examine(t.Context(), filepath.Join(t.TempDir(), "none.db"), Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for want, r := range map[int]Report{
		0: {Findings: []Finding{{Severity: Info}}},
		1: {Findings: []Finding{{Severity: Info}, {Severity: Warning}}, Unknown: true},
		2: {Findings: []Finding{{Severity: Critical}, {Severity: Warning}}},
		3: {Unknown: true},
	} {
		if got := r.ExitCode(); got != want {
			t.Errorf("%+v: %d, want %d", r, got, want)
		}
	}
}

var placeholder = regexp.MustCompile(`\{\w+\}`)

// Each text exists in both languages and names the same things.
func TestTextsAreComplete(t *testing.T) {
	t.Parallel()
	for id, b := range texts {
		for what, pair := range map[string][2]string{
			"summary": {b.en.summary, b.de.summary}, "evidence": {b.en.evidence, b.de.evidence}, "fix": {b.en.fix, b.de.fix},
		} {
			var names [2][]string
			for n, s := range pair {
				if s == "" || strings.Contains(s, "\n") {
					t.Errorf("%s: the %s is not one line: %q", id, what, s)
				}
				names[n] = placeholder.FindAllString(s, -1)
				slices.Sort(names[n])
			}
			if !slices.Equal(slices.Compact(names[0]), slices.Compact(names[1])) {
				t.Errorf("%s: the %s names %q in English and %q in German", id, what, names[0], names[1])
			}
		}
	}
	for id, p := range blindTexts {
		if p.en == "" || p.de == "" {
			t.Errorf("%s: a language is missing", id)
		}
	}
	for id, p := range phrases {
		if p.en == "" || p.de == "" {
			t.Errorf("%s: a language is missing", id)
		}
	}
}

// The operator's pages explain every finding, and no other. Those in source code
// are made and tested by the command.
func TestPagesNameEachFinding(t *testing.T) {
	t.Parallel()
	heading := regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|")
	for _, page := range []string{"doctor.md", "doctor.de.md"} {
		text, err := os.ReadFile(filepath.Join("..", "docs", "operator", page))
		if err != nil {
			t.Fatal(err)
		}
		var named []string
		for _, m := range heading.FindAllStringSubmatch(string(text), -1) {
			if !strings.HasPrefix(m[1], "source-") {
				named = append(named, m[1])
			}
		}
		for _, id := range IDs() {
			if !slices.Contains(named, id) {
				t.Errorf("%s lacks %s", page, id)
			}
		}
		for _, id := range named {
			if _, ok := texts[id]; !ok {
				t.Errorf("%s explains %s, which no check finds", page, id)
			}
		}
	}
}

func TestLanguage(t *testing.T) {
	t.Parallel()
	for locale, want := range map[string]language{
		"": english, "C": english, "C.UTF-8": english, "en_US.UTF-8": english, "de": german, "de_AT.UTF-8": german, "DE": german, "den": english,
	} {
		if got := languageOf(locale); got != want {
			t.Errorf("%s: %s", locale, got)
		}
	}
	if got := byteSize(1536).in(german); got != "1,5 KiB" {
		t.Error(got)
	}
}
