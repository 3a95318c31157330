package salvage_test

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/holdfastdb/holdfast/backup/salvage"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// live copies database and log while a connection has them.
func live(t *testing.T, setup, script string) (path string) {
	t.Helper()
	src := filepath.Join(t.TempDir(), "live.db")
	c, err := sqlite.Open(src, sqlite.OpenReadWrite|sqlite.OpenCreate)
	must(t, err)
	must(t, c.Exec("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;"+setup+"; PRAGMA wal_checkpoint(TRUNCATE);"+script))
	path = filepath.Join(t.TempDir(), "app.db")
	for _, e := range []string{"", "-wal"} {
		b, err := os.ReadFile(src + e)
		must(t, err)
		must(t, os.WriteFile(path+e, b, 0o600))
	}
	must(t, c.Close())
	return path
}

// A log lies beside the file, and not beside a link to it.
func TestLink(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("links need a privilege")
	}
	path := live(t, tableT+rows(100), "INSERT INTO t VALUES(1000,'new',1,x'')")
	link := filepath.Join(t.TempDir(), "link.db")
	must(t, os.Symlink(path, link))
	dst, r := run(t, link, salvage.Options{})
	if number(t, dst, "SELECT count(*) FROM t") != 101 {
		t.Errorf("%+v", r)
	}
}

// The new database would take a log that lies there for its own.
func TestForeignLogAtTheDestination(t *testing.T) {
	t.Parallel()
	dst := live(t, tableT+rows(100), "CREATE TABLE more(a)")
	must(t, os.Rename(dst, dst+".moved"))
	path := makeDB(t, tableT+rows(50))
	if _, err := salvage.Run(t.Context(), path, dst, salvage.Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("beside the log of another: %v", err)
	}
	if _, err := os.Lstat(dst); err == nil {
		t.Error("it is there all the same")
	}
}

// The number of pages in the header of a journal has no checksum. Memory is not taken for it.
func TestJournalSaysTooMuch(t *testing.T) {
	path := makeDB(t, tableT+rows(100))
	b, err := os.ReadFile(path)
	must(t, err)
	j := make([]byte, 512+4096+8)
	copy(j, "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7")
	binary.BigEndian.PutUint32(j[8:], 1)
	binary.BigEndian.PutUint32(j[16:], 1<<28)
	binary.BigEndian.PutUint32(j[20:], 512)
	binary.BigEndian.PutUint32(j[24:], 4096)
	binary.BigEndian.PutUint32(j[512:], 2)
	copy(j[516:], b[4096:8192])
	sum := uint32(0)
	for i := 4096 - 200; i > 0; i -= 200 {
		sum += uint32(j[516+i])
	}
	binary.BigEndian.PutUint32(j[516+4096:], sum)
	must(t, os.WriteFile(path+"-journal", j, 0o600))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	dst, r := run(t, path, salvage.Options{})
	runtime.ReadMemStats(&after)
	if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 500 {
		t.Errorf("%d MiB", mb)
	}
	if r.JournalPages != 1 || number(t, dst, "SELECT count(*) FROM t") != 100 {
		t.Errorf("%+v", r)
	}
}

// Overflow pages that come back to themselves are no row, however long it says that it is.
func TestOverflowCycle(t *testing.T) {
	t.Parallel()
	path := makeDB(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20) INSERT INTO t SELECT i, randomblob(40000) FROM n")
	b, err := os.ReadFile(path)
	must(t, err)
	over := pages(t, path, "t", "overflow") // ten of each row, in their order
	for _, c := range []struct{ row, from, to int }{{1, 0, 0}, {5, 5, 4}} {
		binary.BigEndian.PutUint32(b[(over[10*c.row+c.from]-1)*4096:], uint32(over[10*c.row+c.to]))
	}
	must(t, os.WriteFile(path, b, 0o600))
	dst, r := run(t, path, salvage.Options{})
	if n := number(t, dst, "SELECT count(*) FROM t"); n != 18 || r.Aside != 2 {
		t.Errorf("%d rows, %d aside: %+v", n, r.Aside, r)
	}
}
