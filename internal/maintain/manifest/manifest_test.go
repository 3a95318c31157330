package manifest

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/holdfastdb/holdfast/internal/maintain/copy"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var cfg = Config{Config: copy.Config{SyncDir: func(string) error { return nil }}}

// taken is a copy of a small database, and its manifest.
func taken(t *testing.T, cfg Config) (path string, m Manifest) {
	t.Helper()
	c, err := sqlite.Open(filepath.Join(t.TempDir(), "original.db"), sqlite.OpenReadWrite|sqlite.OpenCreate)
	must(t, err)
	t.Cleanup(func() {
		if s, err := c.QueryText("PRAGMA integrity_check"); s != "ok" || err != nil {
			t.Error(s, err)
		}
		must(t, c.Close())
	})
	must(t, c.Exec(`PRAGMA journal_mode=WAL; CREATE TABLE "a ""quoted"" name"(a); INSERT INTO "a ""quoted"" name" VALUES (1), (2);
		CREATE VIRTUAL TABLE found USING fts5(text); INSERT INTO found VALUES ('needle');
		CREATE TABLE w(a PRIMARY KEY) WITHOUT ROWID; CREATE VIEW v AS SELECT * FROM nowhere`))
	path = filepath.Join(t.TempDir(), "copy.db")
	released := 0
	m, err = Take(t.Context(), c, path, cfg, func() { released++ })
	must(t, err)
	if released != 1 || c.TxnState("main") != sqlite.TxnNone {
		t.Errorf("the source was released %d times", released)
	}
	return path, m
}

func TestTake(t *testing.T) {
	for _, vacuum := range []bool{false, true} {
		cfg := cfg
		cfg.Vacuum = vacuum
		path, m := taken(t, cfg)
		if !m.Verified || m.Rows[`a "quoted" name`] != 2 || m.Rows["w"] != 0 || m.Rows["found_content"] != 1 {
			t.Errorf("%+v", m)
		}
		if _, ok := m.Rows["found"]; ok {
			t.Error("a virtual table was counted")
		}
		var again Manifest
		must(t, Describe(t.Context(), path, &again, cfg))
		if d := m.Differs(again); d != "" {
			t.Error(d)
		}
	}
}

// Whatever letter of a manifest is changed, it is none any more.
func TestEveryLetterOfAManifestCounts(t *testing.T) {
	_, m := taken(t, cfg)
	text := m.Encode()
	got, err := Decode(text)
	must(t, err)
	if !reflect.DeepEqual(got, m) {
		t.Errorf("%+v, want %+v", got, m)
	}
	for i := range text {
		for _, bit := range []byte{1, 4, 32} {
			flipped := append([]byte(nil), text...)
			flipped[i] ^= bit
			if _, err := Decode(flipped); !errors.Is(err, ErrManifest) {
				t.Errorf("byte %d: %v", i, err)
			}
		}
		if _, err := Decode(text[:i]); !errors.Is(err, ErrManifest) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

func TestDiffers(t *testing.T) {
	_, m := taken(t, cfg)
	for name, change := range map[string]func(*Manifest){
		"bytes": func(m *Manifest) { m.Bytes++ }, "sha256": func(m *Manifest) { m.SHA256 = "x" }, "pages": func(m *Manifest) { m.Pages++ },
		"page size": func(m *Manifest) { m.PageSize++ }, "schema": func(m *Manifest) { m.SchemaSHA256 = "" },
		"a table more": func(m *Manifest) { m.Rows["more"] = 0 }, "a row more": func(m *Manifest) { m.Rows["w"]++ },
		"another table": func(m *Manifest) { delete(m.Rows, "w"); m.Rows["x"] = 0 },
	} {
		other := m
		other.Rows = maps.Clone(m.Rows)
		change(&other)
		if m.Differs(other) == "" {
			t.Errorf("%s: no difference", name)
		}
	}
}

// A damage is a *DamagedError, whatever it is that is damaged.
func TestDamage(t *testing.T) {
	path, m := taken(t, cfg)
	whole, err := os.ReadFile(path)
	must(t, err)
	for name, damage := range map[string]func(b []byte) []byte{
		"no database": func(b []byte) []byte { return append([]byte("text"), b[4:]...) },
		"a page":      func(b []byte) []byte { clear(b[4096:8192]); return b },
		"cut":         func(b []byte) []byte { return b[:len(b)-4096] },
		"longer":      func(b []byte) []byte { return append(b, make([]byte, 4096)...) },
		"empty":       func([]byte) []byte { return nil },
	} {
		must(t, os.WriteFile(path, damage(append([]byte(nil), whole...)), 0o600))
		var got Manifest
		var d *DamagedError
		if err := Describe(t.Context(), path, &got, cfg); !errors.As(err, &d) && m.Differs(got) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTakeEndsWithItsContext(t *testing.T) {
	path, _ := taken(t, cfg)
	c, err := sqlite.Open(path, sqlite.OpenReadWrite)
	must(t, err)
	defer c.Close()
	for _, phase := range []string{PhaseCopy, PhaseCheck, PhaseHash} {
		ctx, cancel := context.WithCancel(t.Context())
		cfg := cfg
		cfg.Phase = func(p string, _, _ int64) {
			if p == phase {
				cancel()
			}
		}
		m, err := Take(ctx, c, filepath.Join(t.TempDir(), "copy.db"), cfg, func() {})
		// The last step may have been done when the context ended.
		if !errors.Is(err, context.Canceled) && !(phase == PhaseHash && err == nil) || err != nil && m.Verified {
			t.Errorf("%s: %+v, %v", phase, m, err)
		}
	}
}

// A kill between the manifest and the copy leaves a manifest, and that is undone;
// one of a copy that has its name stays.
func TestPublishAndUndo(t *testing.T) {
	_, m := taken(t, cfg)
	noSync := func(string) error { return nil }
	for _, done := range []bool{false, true} {
		dir, out := t.TempDir(), t.TempDir()
		m.Destination = filepath.Join(out, "app.db")
		must(t, os.WriteFile(filepath.Join(dir, CopyName), nil, 0o600))
		must(t, Publish(dir, m, noSync))
		if !done {
			must(t, os.Rename(m.Destination, filepath.Join(dir, CopyName)))
		}
		Undo(dir)
		if _, err := os.Stat(m.Destination + Suffix); (err == nil) != done {
			t.Errorf("done %v: %v", done, err)
		}
	}
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, CopyName), nil, 0o600))
	m.Destination = filepath.Join(t.TempDir(), "app.db")
	must(t, os.WriteFile(m.Destination+Suffix, []byte("another's"), 0o600))
	if err := Publish(dir, m, noSync); !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	Undo(dir)
	if text, err := os.ReadFile(m.Destination + Suffix); string(text) != "another's" {
		t.Errorf("%s, %v", text, err)
	}
}

// Names of files and tables are any bytes, and JSON has none but UTF-8.
func TestNamesThatAreNoText(t *testing.T) {
	c, err := sqlite.Open(filepath.Join(t.TempDir(), "app.db"), sqlite.OpenReadWrite|sqlite.OpenCreate)
	must(t, err)
	defer c.Close()
	must(t, c.Exec("CREATE TABLE \"a\xff\"(x); INSERT INTO \"a\xff\" VALUES (1); CREATE TABLE \"a\xfe\"(x)"))
	path := filepath.Join(t.TempDir(), "copy.db")
	m, err := Take(t.Context(), c, path, cfg, func() {})
	must(t, err)
	m.Source, m.Destination = "/home/M\xfcller.db", "/backups/M\xfcller.db"
	read, err := Decode(m.Encode())
	must(t, err)
	var got Manifest
	must(t, Describe(t.Context(), path, &got, cfg))
	if d := read.Differs(got); d != "" {
		t.Error(d)
	}
}
