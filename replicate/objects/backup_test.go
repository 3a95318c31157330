package objects

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/backup/archive"
)

// Backups of each kind are made, listed, verified, drilled, restored and pruned, and
// one byte that changed, or is missing, is never ok.
func TestBackups(t *testing.T) {
	t.Parallel()
	key, err := age.GenerateX25519Identity()
	must(t, err)
	formats, err := archive.Formats(key.String())
	must(t, err)
	encrypted, err := archive.NewEncrypted([]string{key.Recipient().String()}, "")
	must(t, err)
	both(t, func(t *testing.T, place string, files files) {
		store, _ := open(t, place)
		scratch := t.TempDir()
		target := backup.Remote(store, scratch)
		db := newDatabase(t, filepath.Join(t.TempDir(), "my app+ü.db"))
		for name, format := range map[string]backup.Format{"plain": nil, "compressed": archive.New(), "encrypted": encrypted} {
			var last backup.Info
			for range 3 {
				var err error
				last, err = target.Create(t.Context(), db, format, nil)
				must(t, err)
			}
			entries, err := target.List(t.Context(), formats...)
			must(t, err)
			if entries[0].Path != last.Destination || !entries[0].Verified {
				t.Fatalf("%s: %+v", name, entries[0])
			}
			again, file := open(t, last.Destination)
			src := backup.Stored(again, file, formats...)
			info, err := backup.Verify(t.Context(), src, nil)
			if err != nil || info.SHA256 != last.SHA256 {
				t.Fatalf("%s: %v", name, err)
			}
			_, err = backup.Drill(t.Context(), target.Open(entries[0], formats...), scratch, nil)
			must(t, err)
			restored(t, src)
			changed(t, src, file, files)
			removed, err := target.Prune(t.Context(), db.Path(), backup.Retention{Last: 1}, formats...)
			if err != nil || len(removed) < 2 {
				t.Errorf("%s: %+v, %v", name, removed, err)
			}
			for _, e := range removed {
				if _, err := backup.Verify(t.Context(), target.Open(e, formats...), nil); !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
				}
			}
			if slices.ContainsFunc(removed, func(e backup.Entry) bool { return e.Path == last.Destination }) {
				t.Error("the newest is gone")
			}
		}
		if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
			t.Errorf("%v, %v", left, err)
		}
	})
}

func restored(t *testing.T, src backup.Source) {
	t.Helper()
	if os.PathSeparator != '/' {
		return // Restore is refused on Windows
	}
	path := filepath.Join(t.TempDir(), "back.db")
	_, err := backup.Restore(t.Context(), src, path, backup.RestoreOptions{})
	must(t, err)
	db, err := holdfast.Open(t.Context(), path)
	must(t, err)
	defer db.Close()
	var n int
	if err := db.QueryRow("SELECT count(*) FROM t").Scan(&n); n != 2000 {
		t.Error(n, err)
	}
}

func changed(t *testing.T, src backup.Source, file string, files files) {
	t.Helper()
	whole := files.read(file)
	for i := range 120 {
		at := i * len(whole) / 120
		one := slices.Clone(whole)
		one[at] ^= 1 << (i % 8)
		files.write(file, one)
		if _, err := backup.Verify(t.Context(), src, nil); !errors.Is(err, backup.ErrDamaged) && !errors.Is(err, backup.ErrEncrypted) {
			t.Fatalf("a bit of byte %d of %s: %v", at, path.Ext(file), err)
		}
		if i%10 == 0 {
			files.write(file, whole[:at+1])
			if _, err := backup.Verify(t.Context(), src, nil); !errors.Is(err, backup.ErrDamaged) && !errors.Is(err, backup.ErrEncrypted) {
				t.Fatalf("%d bytes of %s: %v", at, path.Ext(file), err)
			}
		}
	}
	files.write(file, whole)
}

// Without credentials nothing is tried, and wrong ones are refused before a copy is made.
func TestCredentials(t *testing.T) {
	s := newS3(t)
	db := newDatabase(t, filepath.Join(t.TempDir(), "app.db"))
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDOFANOTHER")
	store, _, err := Open(t.Context(), s.place("/x"))
	must(t, err)
	defer store.Close()
	start := time.Now()
	info, err := backup.Remote(store, filepath.Join(t.TempDir(), "not there")).Create(t.Context(), db, nil, nil)
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%+v, %v, %s", info, err, time.Since(start))
	}
	tellsNothing(t, err)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if _, _, err := Open(t.Context(), s.place("/x")); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Open(ctx, s.place("/x")); err == nil {
		t.Error("opened")
	}
	if n := s.calls["Create"]; n > 0 {
		t.Error(n)
	}
}
