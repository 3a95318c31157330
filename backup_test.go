package holdfast_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

func shopWithOrders(t *testing.T) (*holdfast.DB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shop.db")
	db := openAt(t, path)
	must(t, db, "CREATE TABLE customer(id INTEGER PRIMARY KEY); CREATE TABLE orders(id INTEGER PRIMARY KEY, customer REFERENCES customer, pad)")
	must(t, db, "INSERT INTO customer VALUES (1)")
	must(t, db, "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<2000) INSERT INTO orders SELECT i, 1, hex(zeroblob(500)) FROM r")
	return db, path
}

func TestBackup(t *testing.T) {
	t.Parallel()
	db, path := shopWithOrders(t)
	for name, opts := range map[string][]holdfast.BackupOption{
		"pages":      nil,
		"vacuum":     {holdfast.BackupVacuumed()},
		"references": {holdfast.BackupReferences()},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var phases []string
			info, err := db.Backup(t.Context(), dir, append(opts, holdfast.BackupOnProgress(func(p holdfast.BackupProgress) {
				if len(phases) == 0 || phases[len(phases)-1] != p.Phase {
					phases = append(phases, p.Phase)
				}
			}))...)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(phases, []string{"copy", "check", "hash"}) {
				t.Errorf("phases %q", phases)
			}
			if !info.Verified || info.Rows["orders"] != 2000 || info.Rows["customer"] != 1 || len(info.Rows) != 2 || info.Source != db.Path() ||
				info.Bytes != info.Pages*info.PageSize || len(info.SHA256) != 64 || info.Schema != "holdfast.backup/v1" || info.DurationSeconds <= 0 {
				t.Errorf("%+v", info)
			}
			if filepath.Dir(info.Destination) != dir || !strings.HasPrefix(filepath.Base(info.Destination), "shop-2") {
				t.Errorf("it is called %s", info.Destination)
			}
			wantPrivate(t, info.Destination, info.Destination+".manifest.json")
			wantOnly(t, dir, info.Destination, info.Destination+".manifest.json")
			text, err := os.ReadFile(info.Destination + ".manifest.json")
			if err != nil {
				t.Fatal(err)
			}
			var written holdfast.BackupInfo
			if err := json.Unmarshal(text, &written); err != nil || !reflect.DeepEqual(written, info) {
				t.Errorf("%v\n%s\n%+v", err, text, info)
			}
			copied := openAt(t, info.Destination) // checked at the end
			if n := number(t, copied, "SELECT count(*) FROM orders"); n != 2000 {
				t.Errorf("%d rows", n)
			}
		})
	}
	// The reader that wrote a file may write no more, and the pool has them all back.
	if _, err := db.Query("SELECT 1; DELETE FROM orders"); err == nil {
		t.Error("a reader has written")
	}
	if s := db.Stats(); s.Readers.InUse != 0 || s.ConnectionsDiscarded != 0 {
		t.Errorf("%+v", s)
	}
	wantSame(t, path, db.Path())
}

func wantSame(t *testing.T, a, b string) {
	t.Helper()
	if a, _ := filepath.EvalSymlinks(a); a != b {
		t.Errorf("%s and %s", a, b)
	}
}

func wantPrivate(t *testing.T, files ...string) {
	t.Helper()
	for _, f := range files {
		if fi, err := os.Stat(f); err != nil || runtime.GOOS != "windows" && fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, fi, err)
		}
	}
}

func wantOnly(t *testing.T, dir string, files ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, filepath.Join(dir, e.Name()))
	}
	slices.Sort(files)
	if !slices.Equal(names, files) {
		t.Errorf("in the directory are %q, want %q", names, files)
	}
}

// What a backup refuses leaves nothing, and says what kind of thing it was.
func TestBackupRefused(t *testing.T) {
	t.Parallel()
	db, _ := shopWithOrders(t)
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"PRAGMA foreign_keys=0", "INSERT INTO orders VALUES (5000, 77, '')"} {
		if _, err := conn.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for name, test := range map[string]struct {
		ctx   context.Context
		files []string // that are there before
		opts  []holdfast.BackupOption
		want  error
	}{
		"a file that is there":     {t.Context(), []string{"x.db"}, nil, fs.ErrExist},
		"a log that is there":      {t.Context(), []string{"x.db-wal"}, nil, fs.ErrExist},
		"a manifest that is there": {t.Context(), []string{"x.db.manifest.json"}, nil, fs.ErrExist},
		"a reference that dangles": {t.Context(), nil, []holdfast.BackupOption{holdfast.BackupReferences()}, holdfast.ErrCorrupt},
		"cancelled":                {ended, nil, nil, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var there []string
			for _, f := range test.files {
				there = append(there, filepath.Join(dir, f))
				if err := os.WriteFile(filepath.Join(dir, f), []byte("mine"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			info, err := db.Backup(test.ctx, filepath.Join(dir, "x.db"), test.opts...)
			if !errors.Is(err, test.want) || info.Verified {
				t.Errorf("%+v, %v, want %v", info, err, test.want)
			}
			wantOnly(t, dir, there...)
		})
	}
	for _, ending := range []string{"-shm", "-journal", "-holdfast.lock"} { // also of another database
		other := filepath.Join(t.TempDir(), "other")
		if err := os.WriteFile(other, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if info, err := db.Backup(t.Context(), other+ending); !errors.Is(err, holdfast.ErrRefused) {
			t.Errorf("%s: %+v, %v", ending, info, err)
		}
	}
	if name := holdfast.BackupName("/home/.app", time.Unix(0, 0)); name != ".app-19700101T000000.000Z.db" {
		t.Error(name)
	}
	reading := openAt(t, db.Path()+".copy")
	must(t, reading, "CREATE TABLE t(a)")
	if err := reading.Close(); err != nil {
		t.Fatal(err)
	}
	untrusted, err := holdfast.Open(t.Context(), db.Path()+".copy", holdfast.WithUntrustedSQL())
	if err != nil {
		t.Fatal(err)
	}
	defer untrusted.Close()
	dir := t.TempDir()
	if _, err := untrusted.Backup(t.Context(), dir); !errors.Is(err, holdfast.ErrRefused) {
		t.Error(err)
	}
	wantOnly(t, dir)
	if _, err := db.Backup(t.Context(), filepath.Join(t.TempDir(), "no", "x.db")); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, holdfast.ErrCannotOpen) {
		t.Error(err)
	}
}

// Close ends a backup that is under way; nothing of it is left.
func TestBackupEndsWithClose(t *testing.T) {
	t.Parallel()
	db, _ := shopWithOrders(t)
	dir := t.TempDir()
	begun, closed := make(chan struct{}), make(chan error, 1)
	go func() {
		<-begun
		closed <- db.Close()
	}()
	first := true
	_, err := db.Backup(t.Context(), dir, holdfast.BackupOnProgress(func(holdfast.BackupProgress) {
		if first {
			first = false
			report, err := db.Locks(t.Context())
			if err != nil || report.OldestReader == nil || report.OldestReader.Kind != "backup" || !strings.Contains(report.OldestReader.CallSite, "backup_test.go") {
				t.Errorf("%+v, %v", report.OldestReader, err)
			}
			close(begun)
			for db.Ping() == nil { // until Close has begun
				runtime.Gosched()
			}
		}
	}))
	if !errors.Is(err, holdfast.ErrClosed) {
		t.Error(err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	wantOnly(t, dir)
}

// A database that is damaged has no backup that is called one.
func TestBackupOfADamagedDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "damaged.db")
	c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Exec("CREATE TABLE t(a); WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<2000) INSERT INTO t SELECT hex(zeroblob(500)) FROM r")
	if err := errors.Join(err, c.Close()); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(make([]byte, 4096), 100*4096)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	db, err := holdfast.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	dir := t.TempDir()
	if info, err := db.Backup(t.Context(), dir); !errors.Is(err, holdfast.ErrCorrupt) || info.Verified {
		t.Errorf("%+v, %v", info, err)
	}
	wantOnly(t, dir)
}

func TestBackupFromMemory(t *testing.T) {
	t.Parallel()
	db := openAt(t, ":memory:")
	must(t, db, "CREATE TABLE t(a)")
	must(t, db, "INSERT INTO t VALUES (1)")
	dst := filepath.Join(t.TempDir(), "copy.db")
	info, err := db.Backup(t.Context(), dst)
	if err != nil || info.Source != "" || info.Rows["t"] != 1 {
		t.Fatalf("%+v, %v", info, err)
	}
	if n := number(t, openAt(t, dst), "SELECT count(*) FROM t"); n != 1 {
		t.Error(n)
	}
}
