package interop

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast"
	sqlite3 "github.com/mattn/go-sqlite3"
)

// The code of docs/guide/coming-from-*.md stands in the functions below, line by line:
// TestGuidesHaveThisCode. So it compiles, and it runs.

func beforeHoldfast(path string) error {
	before, err := sql.Open("sqlite3", "file:"+path+"?_journal_mode=WAL&_busy_timeout=5000&_foreign_keys=1&_txlock=immediate")
	if err != nil {
		return err
	}
	before.SetMaxOpenConns(1)
	return before.Close()
}

func afterMattn(ctx context.Context, path string, use func(*holdfast.DB, *sql.DB) error) error {
	db, err := holdfast.Open(ctx, path)
	if err != nil {
		return err
	}
	defer db.Close()
	handle := db.DB // a *sql.DB, for everything that takes one
	return use(db, handle)
}

func countUp(ctx context.Context, db *holdfast.DB) (err error) {
	err = db.Update(ctx, func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT n FROM counter").Scan(&n); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE counter SET n = ?", n+1)
		return err
	})
	return err
}

func meaning(err error) string {
	var old sqlite3.Error // of github.com/mattn/go-sqlite3
	switch {
	case errors.Is(err, holdfast.ErrBusy): // says who holds the lock, in this process or another
		return "busy"
	case errors.As(err, &old) && old.ExtendedCode == sqlite3.ErrConstraintUnique:
		return "taken"
	}
	return ""
}

func afterPython(ctx context.Context, file string, use func(*holdfast.DB) error) error {
	cfg, report, err := holdfast.LoadConfig(holdfast.ConfigSource{Path: file})
	if err != nil {
		return err
	}
	for _, note := range report.Notes {
		log.Println(note) // what two keys say differently, and which one counts
	}
	db, err := holdfast.OpenConfig(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(use(db), db.Close())
}

func transfer(ctx context.Context, db *holdfast.DB) (err error) {
	_, err = db.Batch(ctx, []holdfast.Statement{ // execute_transaction
		{SQL: "UPDATE account SET cents = cents - ? WHERE id = ?", Args: []any{100, 1}},
		{SQL: "UPDATE account SET cents = cents + ? WHERE id = ?", Args: []any{100, 2}},
	})
	if err != nil {
		return err
	}
	health, err := db.Health(ctx) // get_health_status
	if err != nil {
		return err
	}
	fmt.Println(health.Status, health.WALModeEnabled, db.Stats().SuccessfulOperations)
	return nil
}

func TestComingFromMattn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	t.Cleanup(func() { checkFile(t, path) })
	if err := beforeHoldfast(path); err != nil {
		t.Fatal(err)
	}
	err := afterMattn(t.Context(), path, func(db *holdfast.DB, handle *sql.DB) error {
		if _, err := handle.ExecContext(t.Context(), "CREATE TABLE counter(n UNIQUE); INSERT INTO counter VALUES (1)"); err != nil {
			return err
		}
		if err := countUp(t.Context(), db); err != nil {
			return err
		}
		_, err := handle.ExecContext(t.Context(), "INSERT INTO counter VALUES (2)")
		if got := meaning(err); got != "taken" {
			t.Errorf("%v means %q", err, got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestComingFromThePythonDesign(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "veritas.db")
	t.Cleanup(func() { checkFile(t, path) })
	_, text, _ := strings.Cut(guide(t, "coming-from-the-python-design.md"), "```json\n")
	text, _, _ = strings.Cut(text, "```")
	file := filepath.Join(dir, "holdfast.json")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "data/veritas.db", filepath.ToSlash(path))), 0o600); err != nil {
		t.Fatal(err)
	}
	err := afterPython(t.Context(), file, func(db *holdfast.DB) error {
		_, err := db.ExecContext(t.Context(), "CREATE TABLE account(id INTEGER PRIMARY KEY, cents); INSERT INTO account VALUES (1, 500), (2, 0)")
		if err != nil {
			return err
		}
		return transfer(t.Context(), db)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestGuidesHaveThisCode(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("coming_test.go")
	if err != nil {
		t.Fatal(err)
	}
	here := trimmed(string(source))
	for name, blocks := range map[string]int{"coming-from-mattn.md": 4, "coming-from-the-python-design.md": 2} {
		found := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(guide(t, name), -1)
		if len(found) != blocks {
			t.Errorf("%s has %d blocks of code", name, len(found))
		}
		for _, block := range found {
			if !strings.Contains(here, trimmed(block[1])) {
				t.Errorf("%s: this is not in coming_test.go, so nothing compiles it:\n%s", name, block[1])
			}
		}
	}
}

// trimmed is a text without the indentation of its lines.
func trimmed(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}

// Each key of mattn's that the guide lists is refused, with what to write instead.
func TestKeysOfDataSourceNames(t *testing.T) {
	t.Parallel()
	_, table, _ := strings.Cut(guide(t, "coming-from-mattn.md"), "| mattn | Holdfast |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	keys := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 2 {
			continue
		}
		for _, key := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[1], -1) {
			keys++
			db, err := holdfast.Open(t.Context(), "file:"+filepath.ToSlash(filepath.Join(t.TempDir(), "app.db"))+"?"+key[1]+"=1")
			if err == nil {
				t.Error(db.Close())
			}
			if !errors.Is(err, holdfast.ErrRefused) || !strings.Contains(err.Error(), "is not taken: ") {
				t.Errorf("%s: %v", key[1], err)
			}
		}
	}
	if keys < 30 {
		t.Errorf("%d keys: this test looks at nothing", keys)
	}
}

// Each setting that the guides name exists.
func TestSettingsInGuides(t *testing.T) {
	t.Parallel()
	_, report, err := holdfast.LoadConfig(holdfast.ConfigSource{})
	if err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, s := range report.Values {
		known = append(known, s.Key)
	}
	for _, name := range []string{"coming-from-mattn.md", "coming-from-the-python-design.md"} {
		found := regexp.MustCompile("`((?:database|connection_pool|retry_logic|maintenance|writer)\\.[a-z_]+)`").FindAllStringSubmatch(guide(t, name), -1)
		if len(found) < 8 {
			t.Errorf("%s names %d settings: this test looks at nothing", name, len(found))
		}
		for _, key := range found {
			if !slices.Contains(known, key[1]) {
				t.Errorf("%s: there is no %s", name, key[1])
			}
		}
	}
}

func guide(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/guide/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}
