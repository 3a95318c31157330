package archive_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"filippo.io/age"
	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/backup/archive"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newDB(t *testing.T) *holdfast.DB {
	t.Helper()
	db, err := holdfast.Open(t.Context(), filepath.Join(t.TempDir(), "app.db"))
	must(t, err)
	t.Cleanup(func() {
		var ok string
		if err := db.QueryRow("PRAGMA integrity_check").Scan(&ok); ok != "ok" {
			t.Error(ok, err)
		}
		must(t, db.Close())
	})
	_, err = db.Exec(`CREATE TABLE t(id INTEGER PRIMARY KEY, pad);
		WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<300) INSERT INTO t(pad) SELECT hex(randomblob(100)) FROM r`)
	must(t, err)
	return db
}

type key struct{ public, secret string }

func newKey(t *testing.T) key {
	t.Helper()
	k, err := age.GenerateX25519Identity()
	must(t, err)
	return key{k.Recipient().String(), k.String()}
}

func encrypted(t *testing.T, recipients []string, identities string) *archive.Format {
	t.Helper()
	f, err := archive.NewEncrypted(recipients, identities)
	must(t, err)
	return f
}

// An archive is made, listed, verified and restored.
func TestArchive(t *testing.T) {
	t.Parallel()
	db, k := newDB(t), newKey(t)
	hybrid, err := age.GenerateHybridIdentity()
	must(t, err)
	for name, test := range map[string]struct{ pack, unpack *archive.Format }{
		"compressed": {archive.New(), archive.New()},
		"encrypted":  {encrypted(t, []string{newKey(t).public, k.public}, ""), encrypted(t, nil, "# a comment\n"+k.secret)},
		"hybrid":     {encrypted(t, []string{hybrid.Recipient().String()}, ""), encrypted(t, nil, hybrid.String())},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			phases := map[string]bool{}
			info, err := backup.Create(t.Context(), db, dir, test.pack, func(p backup.Progress) { phases[p.Phase] = true })
			must(t, err)
			if !info.Verified || info.ArchiveBytes <= 0 || info.ArchiveBytes >= info.Bytes || filepath.Dir(info.Destination) != dir {
				t.Errorf("%+v", info)
			}
			if !phases["pack"] || !phases["verify"] || !phases["copy"] {
				t.Errorf("phases %v", phases)
			}
			files, err := os.ReadDir(dir)
			must(t, err)
			if len(files) != 1 {
				t.Errorf("%v", files)
			}
			entries, err := backup.List(dir, test.unpack)
			must(t, err)
			if len(entries) != 1 || !entries[0].Verified || entries[0].Path != info.Destination {
				t.Errorf("%+v", entries)
			}
			got, err := backup.Verify(t.Context(), backup.Open(info.Destination, test.unpack), nil)
			if err != nil || got.SHA256 != info.SHA256 || got.Rows["t"] != 300 {
				t.Errorf("%+v, %v", got, err)
			}
			path := filepath.Join(t.TempDir(), "restored.db")
			r, err := backup.Restore(t.Context(), backup.Open(info.Destination, test.unpack), path, backup.RestoreOptions{})
			if err != nil || !r.Verified || !r.RestoredTo.Equal(info.TakenAt) {
				t.Errorf("%+v, %v", r, err)
			}
			restored, err := holdfast.Open(t.Context(), path)
			must(t, err)
			defer restored.Close()
			var n int
			must(t, restored.QueryRow("SELECT count(*) FROM t").Scan(&n))
			if n != 300 {
				t.Error(n)
			}
		})
	}
}

// Everybody's zstd and tar read an archive.
func TestArchiveIsOrdinary(t *testing.T) {
	t.Parallel()
	info, err := backup.Create(t.Context(), newDB(t), t.TempDir(), archive.New(), nil)
	must(t, err)
	text, err := os.ReadFile(info.Destination)
	must(t, err)
	z, err := zstd.NewReader(bytes.NewReader(text))
	must(t, err)
	defer z.Close()
	var names []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		names = append(names, h.Name)
	}
	if !slices.Equal(names, []string{"manifest.json", "database.db"}) {
		t.Errorf("%q", names)
	}
}

func TestWhoMayRead(t *testing.T) {
	t.Parallel()
	db, k := newDB(t), newKey(t)
	pack := encrypted(t, []string{k.public}, "")
	info, err := backup.Create(t.Context(), db, t.TempDir(), pack, nil)
	must(t, err)
	for _, identities := range []string{"", newKey(t).secret} {
		if _, err := backup.Verify(t.Context(), backup.Packed(info.Destination, encrypted(t, nil, identities)), nil); !errors.Is(err, archive.ErrNoIdentity) || errors.Is(err, backup.ErrDamaged) {
			t.Error(err)
		}
	}
	if _, err := backup.Verify(t.Context(), backup.Packed(info.Destination, archive.New()), nil); !errors.Is(err, backup.ErrDamaged) {
		t.Error(err)
	}
	text, err := os.ReadFile(info.Destination)
	must(t, err)
	if bytes.Contains(text, []byte("CREATE TABLE")) || bytes.Contains(text, []byte("manifest")) {
		t.Error("it can be read")
	}
	for _, wrong := range [][]string{{"age1"}, {k.secret}, {"ssh-ed25519 AAAA"}} {
		_, err := archive.NewEncrypted(wrong, "")
		if err == nil || strings.Contains(err.Error(), k.secret) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if _, err := archive.NewEncrypted(nil, k.public); err == nil {
		t.Error("a recipient is an identity")
	}
	if _, err := backup.Create(t.Context(), db, t.TempDir(), encrypted(t, nil, k.secret), nil); err == nil {
		t.Error("encrypted to nobody")
	}
}

// TestOneByte: whatever byte is changed, wherever a backup is cut, it is never "ok":
// each byte of a small archive, and 500 changes at random of each kind.
func TestOneByte(t *testing.T) {
	t.Parallel()
	db, k := newDB(t), newKey(t)
	for name, format := range map[string]*archive.Format{
		"plain": nil, "compressed": archive.New(), "encrypted": encrypted(t, []string{k.public}, k.secret),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var f backup.Format
			if format != nil {
				f = format
			}
			info, err := backup.Create(t.Context(), db, t.TempDir(), f, nil)
			must(t, err)
			whole, err := os.ReadFile(info.Destination)
			must(t, err)
			source := backup.Open(info.Destination)
			if f != nil {
				source = backup.Packed(info.Destination, f)
			}
			wrong := func(text []byte, what string, at int) {
				must(t, os.WriteFile(info.Destination, text, 0o600))
				if _, err := backup.Verify(t.Context(), source, nil); !errors.Is(err, backup.ErrDamaged) {
					t.Errorf("%s %d of %d: %v", what, at, len(whole), err)
				}
			}
			r := rand.New(rand.NewPCG(1, 2))
			for range 500 {
				at := r.IntN(len(whole))
				flipped := bytes.Clone(whole)
				switch r.IntN(3) {
				case 0: // a bit
					flipped[at] ^= 1 << r.IntN(8)
					wrong(flipped, "bit flipped in byte", at)
				case 1: // a byte
					flipped[at] += byte(1 + r.IntN(255))
					wrong(flipped, "changed byte", at)
				case 2:
					wrong(whole[:at], "cut at", at)
				}
			}
			// The ends are where formats are careless.
			for at := range whole {
				if at >= 200 && at < len(whole)-200 {
					continue
				}
				flipped := bytes.Clone(whole)
				flipped[at] ^= 1
				wrong(flipped, "bit flipped in byte", at)
			}
			wrong(append(bytes.Clone(whole), 0), "a byte more than", len(whole))
			must(t, os.WriteFile(info.Destination, whole, 0o600))
			if _, err := backup.Verify(t.Context(), source, nil); err != nil {
				t.Errorf("as it was: %v", err)
			}
		})
	}
}

// An archive that is none is refused, whatever else it is.
func TestNoArchive(t *testing.T) {
	t.Parallel()
	packed := func(names ...string) []byte {
		var b bytes.Buffer
		z, err := zstd.NewWriter(&b)
		must(t, err)
		w := tar.NewWriter(z)
		for _, name := range names {
			must(t, w.WriteHeader(&tar.Header{Name: name, Size: 4, Mode: 0o600}))
			_, err := w.Write([]byte("text"))
			must(t, err)
		}
		must(t, w.Close())
		must(t, z.Close())
		return b.Bytes()
	}
	for i, text := range [][]byte{nil, []byte("text"), packed(), packed("../../etc/passwd"), packed("manifest.json"), packed("manifest.json", "database.db")} {
		path := filepath.Join(t.TempDir(), fmt.Sprint(i, archive.Compressed))
		must(t, os.WriteFile(path, text, 0o600))
		if _, err := backup.Verify(t.Context(), backup.Open(path, archive.New()), nil); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// A disk that is full while an archive is unpacked says nothing about the archive.
func TestUnpackToAFullDisk(t *testing.T) {
	t.Parallel()
	info, err := backup.Create(t.Context(), newDB(t), t.TempDir(), archive.New(), nil)
	must(t, err)
	err = backup.Open(info.Destination, archive.New()).Unpack(t.Context(), func(holdfast.BackupInfo) (io.Writer, error) { return full{}, nil })
	if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, backup.ErrDamaged) {
		t.Error(err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }
