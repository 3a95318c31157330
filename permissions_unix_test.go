//go:build unix

package holdfast_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/holdfastdb/holdfast"
)

// Whatever the umask, what is created is the owner's alone. The umask is the
// process's, so the test is not parallel.
func TestEveryFileIsPrivate(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	dir := t.TempDir()
	path := filepath.Join(dir, "app.db")
	name := func(n string) string { return filepath.Join(dir, n) }
	db, err := holdfast.Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	must(t, db, "CREATE TABLE t(a)")
	must(t, db, "VACUUM INTO '"+name("literal.copy")+"'")
	must(t, db, "VACUUM INTO ?", name("parameter.copy"))
	if err := os.WriteFile(name("shared.db"), nil, 0o660); err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for i, sql := range []string{"ATTACH '" + name("literal.db") + "' AS a0", "ATTACH ? AS a1", "ATTACH '" + name("shared.db") + "' AS a2"} {
		if i == 1 {
			must(t, conn, sql, name("parameter.db"))
		} else {
			must(t, conn, sql)
		}
	}
	for _, schema := range []string{"a0", "a1", "a2"} {
		must(t, conn, "CREATE TABLE "+schema+".t(a)")
		must(t, conn, "INSERT INTO "+schema+".t VALUES ('canary')")
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		seen++
		want := os.FileMode(0o600)
		if f.Name() == "shared.db" {
			want = 0o660 // it was there before
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s is %o, want %o", f.Name(), got, want)
		}
	}
	if seen < 8 {
		t.Errorf("only %d files: %v", seen, files)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
