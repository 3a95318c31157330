package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
)

// shelf is a Store in memory.
type shelf struct {
	mu    sync.Mutex
	files map[string][]byte
	times map[string]time.Time
	swept int
	// fail is asked before each call: with an error nothing is done, and with errLost
	// it is done and fails all the same.
	fail func(call, name string) error
}

var (
	errOut  = errors.New("the store is out of reach")
	errLost = errors.New("the answer was lost")
)

func newShelf() *shelf { return &shelf{files: map[string][]byte{}, times: map[string]time.Time{}} }

func (s *shelf) Path(name string) string { return "shelf://" + name }

func (s *shelf) enter(ctx context.Context, call, name string) error {
	s.mu.Lock()
	if s.fail != nil {
		if err := s.fail(call, name); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (s *shelf) Put(ctx context.Context, name string, content io.ReaderAt, size int64) error {
	defer s.mu.Unlock()
	failed := s.enter(ctx, "put", name)
	if failed != nil && failed != errLost {
		return failed
	}
	if s.files[name] != nil {
		return fs.ErrExist
	}
	text, err := io.ReadAll(io.NewSectionReader(content, 0, size))
	if err != nil {
		return err
	}
	s.files[name], s.times[name] = text, time.Now()
	return failed
}

func (s *shelf) Get(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	defer s.mu.Unlock()
	if err := s.enter(ctx, "get", name); err != nil {
		return nil, 0, err
	}
	text, ok := s.files[name]
	if !ok {
		return nil, 0, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(text)), int64(len(text)), nil
}

func (s *shelf) List(ctx context.Context) (list []backup.Object, err error) {
	defer s.mu.Unlock()
	if err := s.enter(ctx, "list", ""); err != nil {
		return nil, err
	}
	for name, text := range s.files {
		list = append(list, backup.Object{Name: name, Bytes: int64(len(text)), Modified: s.times[name]})
	}
	return list, nil
}

func (s *shelf) Remove(ctx context.Context, name string) error {
	defer s.mu.Unlock()
	if err := s.enter(ctx, "remove", name); err != nil {
		return err
	}
	delete(s.files, name)
	return nil
}

func (s *shelf) Sweep(ctx context.Context, age time.Duration, ours func(string) bool) error {
	defer s.mu.Unlock()
	if err := s.enter(ctx, "sweep", ""); err != nil {
		return err
	}
	s.swept++
	for name, want := range map[string]bool{
		"app-20261127T172548.123Z.db": true, "a.db-20261127T172548.123Z.db.tar.zst.age": true, "app-20261127T172548.123Z.db.manifest.json": true,
		"app.db": false, "app-20261127T172548.123Z.tar": false, "photo.jpg": false, "": false,
	} {
		if ours(name) != want {
			return fmt.Errorf("%q is ours: %v", name, !want)
		}
	}
	if age < time.Hour {
		return fmt.Errorf("it would take what is being made: %s", age)
	}
	return nil
}

func (s *shelf) names() []string { return slices.Sorted(maps.Keys(s.files)) }

// A backup in a store is made, listed, verified, drilled, restored and pruned as one in
// a directory.
func TestRemote(t *testing.T) {
	t.Parallel()
	store, scratch := newShelf(), t.TempDir()
	target := backup.Remote(store, scratch)
	db := newDatabase(t, "my-app.sqlite")
	phases := map[string]bool{}
	var made []backup.Info
	for range 3 {
		info, err := target.Create(t.Context(), db, nil, func(p backup.Progress) { phases[p.Phase] = true })
		must(t, err)
		made = append(made, info)
	}
	if !phases["copy"] || !phases["upload"] {
		t.Errorf("phases %v", phases)
	}
	if made[0].Destination == "" || made[0].Source != db.Path() || !made[0].Verified || len(store.files) != 6 || store.swept != 3 {
		t.Errorf("%+v, %q", made[0], store.names())
	}
	if files, err := os.ReadDir(scratch); err != nil || len(files) > 0 {
		t.Errorf("%v, %v", files, err)
	}
	store.files["other.txt"], store.files["my-app-20261127T172548.123Z.txt"] = nil, nil
	entries, err := target.List(t.Context())
	must(t, err)
	if len(entries) != 3 || entries[0].Path != made[2].Destination || !entries[0].Verified || entries[0].Source != db.Path() || entries[0].Database != "my-app" {
		t.Fatalf("%+v", entries)
	}
	src := target.Open(entries[0])
	info, err := backup.Verify(t.Context(), src, nil)
	if err != nil || info.SHA256 != made[2].SHA256 || info.Destination != made[2].Destination {
		t.Errorf("%+v, %v", info, err)
	}
	_, err = backup.Drill(t.Context(), src, scratch, nil)
	must(t, err)
	path := filepath.Join(t.TempDir(), "back.db")
	report, err := backup.Restore(t.Context(), src, path, backup.RestoreOptions{DryRun: true})
	if err != nil || report.Bytes != info.Bytes || len(report.Plan) == 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if os.PathSeparator == '/' {
		_, err = backup.Restore(t.Context(), src, path, backup.RestoreOptions{})
		must(t, err)
		if got := holds(t, path); got != "700 new" {
			t.Error(got)
		}
	}
	if removed, err := target.Prune(t.Context(), filepath.Join(scratch, "my-app.db"), backup.Retention{Last: 1}); len(removed) > 0 || err != nil {
		t.Errorf("of another database of that name: %+v, %v", removed, err)
	}
	removed, err := target.Prune(t.Context(), db.Path(), backup.Retention{Last: 1})
	if err != nil || len(removed) != 2 || len(store.files) != 2+2 {
		t.Errorf("%+v, %v, %q", removed, err, store.names())
	}
}

// One byte that changed, or is missing, is never ok; nor is a copy without its
// manifest, which a restore takes only if it is told to.
func TestRemoteDamage(t *testing.T) {
	t.Parallel()
	store := newShelf()
	target := backup.Remote(store, t.TempDir())
	info, err := target.Create(t.Context(), newDatabase(t, "app.db"), nil, nil)
	must(t, err)
	name := strings.TrimPrefix(info.Destination, "shelf://")
	whole, text := store.files[name], store.files[name+backup.ManifestSuffix]
	for i := range 200 {
		at := i * len(whole) / 200
		store.files[name] = slices.Clone(whole)
		store.files[name][at] ^= 1 << (i % 8)
		if _, err := backup.Verify(t.Context(), backup.Stored(store, name), nil); !errors.Is(err, backup.ErrDamaged) {
			t.Fatalf("a bit of byte %d: %v", at, err)
		}
		store.files[name] = whole[:at]
		if _, err := backup.Verify(t.Context(), backup.Stored(store, name), nil); !errors.Is(err, backup.ErrDamaged) {
			t.Fatalf("%d bytes: %v", at, err)
		}
	}
	if entries, err := target.List(t.Context()); err != nil || entries[0].Verified {
		t.Errorf("of another size: %+v, %v", entries, err)
	}
	store.files[name] = whole
	for at := range text {
		store.files[name+backup.ManifestSuffix] = slices.Clone(text)
		store.files[name+backup.ManifestSuffix][at] ^= 1
		if _, err := backup.Verify(t.Context(), backup.Stored(store, name), nil); !errors.Is(err, backup.ErrDamaged) {
			t.Fatalf("byte %d of the manifest: %v", at, err)
		}
	}
	delete(store.files, name+backup.ManifestSuffix)
	if entries, err := target.List(t.Context()); err != nil || len(entries) != 1 || entries[0].Verified {
		t.Errorf("%+v, %v", entries, err)
	}
	if _, err := backup.Verify(t.Context(), backup.Stored(store, name), nil); !errors.Is(err, backup.ErrNoManifest) {
		t.Error(err)
	}
	path := filepath.Join(t.TempDir(), "back.db")
	var o backup.RestoreOptions
	if _, err := backup.Restore(t.Context(), backup.Stored(store, name), path, backup.RestoreOptions{DryRun: true}); !errors.Is(err, backup.ErrNoManifest) {
		t.Error(err)
	}
	o.WithoutManifest, o.DryRun = true, true
	if report, err := backup.Restore(t.Context(), backup.Stored(store, name), path, o); err != nil || report.Bytes != int64(len(whole)) {
		t.Errorf("%+v, %v", report, err)
	}
	o.Room(64 << 20)
	if _, err := backup.Restore(t.Context(), backup.Stored(store, name), path, o); !errors.Is(err, holdfast.ErrDiskFull) {
		t.Error(err)
	}
}

// Whatever call fails, and whether its answer is lost or it is not done: no file has the
// name of a backup and isn't one, and the scratch directory is empty.
func TestRemoteFailures(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "app.db")
	for _, cause := range []error{errOut, errLost} {
		for n := 1; ; n++ {
			store, scratch, calls := newShelf(), t.TempDir(), 0
			store.fail = func(string, string) error {
				if calls++; calls == n {
					return cause
				}
				return nil
			}
			target := backup.Remote(store, scratch)
			_, err := target.Create(t.Context(), db, nil, nil)
			if calls < n {
				must(t, err)
				if n != 6 { // list, sweep, put, put, get
					t.Errorf("%d calls", n-1)
				}
				break
			}
			if !errors.Is(err, cause) {
				t.Fatalf("call %d: %v", n, err)
			}
			if files, err := os.ReadDir(scratch); err != nil || len(files) > 0 {
				t.Errorf("%v, %v", files, err)
			}
			entries, err := target.List(t.Context())
			must(t, err)
			for _, e := range entries {
				if _, err := backup.Verify(t.Context(), target.Open(e), nil); err != nil || !e.Verified {
					t.Errorf("call %d, %v: %+v, %v", n, cause, e, err)
				}
			}
			if cause == errOut && n > 3 && len(store.files) > 0 {
				t.Errorf("call %d: %q", n, store.names())
			}
		}
	}
}

// The manifest that a killed backup has left goes with the next one, a day later.
func TestRemoteSweepsManifests(t *testing.T) {
	t.Parallel()
	store := newShelf()
	for name, age := range map[string]time.Duration{
		"app-20260101T000000.000Z.db" + backup.ManifestSuffix: 25 * time.Hour,
		"app-20260101T000001.000Z.db" + backup.ManifestSuffix: 23 * time.Hour,
		"app-20260101T000002.000Z.db" + backup.ManifestSuffix: 25 * time.Hour,
		"app-20260101T000002.000Z.db":                         25 * time.Hour,
		"other.db" + backup.ManifestSuffix:                    25 * time.Hour,
		"app-20260101T000003.000Z.db.tar.zst":                 25 * time.Hour,
	} {
		store.files[name], store.times[name] = []byte("{}"), time.Now().Add(-age)
	}
	_, err := backup.Remote(store, t.TempDir()).Create(t.Context(), newDatabase(t, "app.db"), nil, nil)
	must(t, err)
	if _, there := store.files["app-20260101T000000.000Z.db"+backup.ManifestSuffix]; there || len(store.files) != 5+2 {
		t.Errorf("%q", store.names())
	}
}

// A store that fails while manifests are read is an error: an unverified entry would
// make a restore take an older backup without a word.
func TestRemoteListFails(t *testing.T) {
	t.Parallel()
	store := newShelf()
	target := backup.Remote(store, "")
	db := newDatabase(t, "app.db")
	for range 12 {
		_, err := target.Create(t.Context(), db, nil, nil)
		must(t, err)
	}
	gets := 0
	store.fail = func(call, _ string) error {
		if call == "get" {
			if gets++; gets == 5 {
				return errOut
			}
		}
		return nil
	}
	if entries, err := target.List(t.Context()); !errors.Is(err, errOut) {
		t.Errorf("%+v, %v", entries, err)
	}
	store.fail = nil
	entries, err := target.List(t.Context())
	if err != nil || len(entries) != 12 || !slices.IsSortedFunc(entries, func(a, b backup.Entry) int { return b.TakenAt.Compare(a.TakenAt) }) {
		t.Errorf("%+v, %v", entries, err)
	}
	if files, err := os.ReadDir(filepath.Dir(db.Path())); err != nil || slices.ContainsFunc(files, func(f fs.DirEntry) bool { return f.IsDir() }) {
		t.Errorf("%v, %v", files, err)
	}
}

// The names of files and databases are whatever the file system takes.
func TestRemoteNames(t *testing.T) {
	t.Parallel()
	if os.PathSeparator != '/' {
		t.Skip("the file system takes less")
	}
	store := newShelf()
	target := backup.Remote(store, t.TempDir())
	names := []string{"a b?c#d%41&e=f.db", "über-20260101T000000.000Z.sqlite", "x\xffy.db", ".db", "a\nb.db"}
	for _, name := range names {
		db := newDatabase(t, name)
		for range 2 {
			_, err := target.Create(t.Context(), db, nil, nil)
			must(t, err)
		}
		removed, err := target.Prune(t.Context(), db.Path(), backup.Retention{Last: 1})
		if err != nil || len(removed) != 1 {
			t.Errorf("%q: %+v, %v; %q", name, removed, err, store.names())
		}
	}
	if len(store.files) != 2*len(names) {
		t.Errorf("%q", store.names())
	}
}

// newDatabase has 700 rows "new".
func newDatabase(t *testing.T, name string) *holdfast.DB {
	t.Helper()
	db, err := holdfast.Open(t.Context(), filepath.Join(t.TempDir(), name))
	must(t, err)
	t.Cleanup(func() {
		var ok string
		if err := db.QueryRow("PRAGMA integrity_check").Scan(&ok); ok != "ok" {
			t.Error(ok, err)
		}
		must(t, db.Close())
	})
	_, err = db.Exec(`CREATE TABLE t(id INTEGER PRIMARY KEY, word, pad);
		WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<700) INSERT INTO t(word, pad) SELECT 'new', hex(zeroblob(200)) FROM r`)
	must(t, err)
	return db
}
