package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/locks/table"
	"github.com/holdfastdb/holdfast/internal/maintain/manifest"
)

// Source is where a database can be restored from.
type Source interface {
	// Name is what an operator calls it: a path.
	Name() string
	// Unpack gives into what was written down when the backup was made, and then
	// writes the bytes of the database to what into returns. It fails if ctx ends,
	// and if what it reads is not to the letter what was written; that it succeeds
	// says nothing about the bytes of the database, which the caller compares. info
	// has no Schema, and at most Bytes, if nothing was written down. An error of into's is
	// returned as it is.
	Unpack(ctx context.Context, into func(info holdfast.BackupInfo) (io.Writer, error)) error
}

// Proven is what a [Source] is besides that has no manifest and needs none, as what it
// reads carries checksums of its own. It must notice every byte that was changed. It
// fills in Bytes and TakenAt of the info.
type Proven interface {
	Source
	Proven() bool
}

func proven(src Source) bool {
	p, ok := src.(Proven)
	return ok && p.Proven()
}

// Format packs a copy and its manifest into one stream, and back.
type Format interface {
	// Extension is what the name of such a file ends in: ".tar.zst".
	Extension() string
	// Pack writes the manifest and size bytes of database to w.
	Pack(w io.Writer, manifest []byte, size int64, database io.Reader) error
	// Unpack gives into the manifest and writes the database to what that returns.
	// It must notice every byte that was changed, added or cut off.
	Unpack(r io.Reader, into func(manifest []byte) (io.Writer, error)) error
}

// Why a backup can't be used. The first two answer to holdfast.ErrCorrupt too.
var (
	// ErrDamaged: the backup isn't what it was when it was made.
	ErrDamaged = fmt.Errorf("the backup is damaged (%w)", holdfast.ErrCorrupt)
	// ErrNoManifest: nothing tells what the backup was when it was made.
	ErrNoManifest = fmt.Errorf("the backup has no manifest (%w)", holdfast.ErrCorrupt)
	// ErrEncrypted: nothing that was given opens the backup, which may well be whole.
	ErrEncrypted = errors.New("the backup is encrypted")
	// ErrOpenHere: this process has the file open as a database. Reading it beside
	// SQLite would drop the locks.
	ErrOpenHere = errors.New("the file is open in this process")
)

// ManifestSuffix is appended to the name of a plain copy for that of its manifest.
const ManifestSuffix = manifest.Suffix

// File is the plain copy at path, with its manifest beside it. A file without one
// is accepted by a [Restore] that is told so.
func File(path string) Source { return plain{path} }

type plain struct{ path string }

func (p plain) Name() string { return p.path }

func (p plain) Unpack(ctx context.Context, into func(holdfast.BackupInfo) (io.Writer, error)) error {
	wal, shm, journal, _, _ := dbfile.Sidecars(p.path)
	if err := notOpenHere(p.path, wal, shm, journal); err != nil {
		return err
	}
	for _, sidecar := range []string{wal, journal} {
		if fi, err := os.Stat(sidecar); err == nil && fi.Size() > 0 {
			return fmt.Errorf("%w: %s lies beside it, so somebody has used it as a database; if it is in use, back it up instead", ErrDamaged, sidecar)
		}
	}
	info, err := readManifest(p.path + manifest.Suffix)
	if errors.Is(err, fs.ErrNotExist) {
		info, err = holdfast.BackupInfo{}, nil
	}
	if err != nil {
		return err
	}
	f, err := os.Open(p.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if info.Schema == "" {
		fi, err := f.Stat()
		if err != nil {
			return err
		}
		info.Bytes = fi.Size()
	}
	w, err := into(info)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, &reader{ctx, f, nil})
	return err
}

// notOpenHere fails if this process has one of the files open, by whatever name:
// opening and closing it beside SQLite would drop the locks that it has on it.
func notOpenHere(path string, sidecars ...string) error {
	if table.Own(append(sidecars, path)...) {
		return fmt.Errorf("%s: %w; close it there", path, ErrOpenHere)
	}
	return nil
}

func readManifest(path string) (holdfast.BackupInfo, error) {
	if err := notOpenHere(path); err != nil {
		return holdfast.BackupInfo{}, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return holdfast.BackupInfo{}, err
	}
	return decode(path, text)
}

func decode(path string, text []byte) (holdfast.BackupInfo, error) {
	m, err := manifest.Decode(text)
	if err != nil {
		return holdfast.BackupInfo{}, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	return holdfast.BackupInfo(m), nil
}

// Packed is the archive at path. Whether it is there is seen when it is read.
func Packed(path string, f Format) Source { return packed{path, f} }

type packed struct {
	path   string
	format Format
}

func (p packed) Name() string { return p.path }

func (p packed) Unpack(ctx context.Context, into func(holdfast.BackupInfo) (io.Writer, error)) error {
	if err := notOpenHere(p.path); err != nil {
		return err
	}
	f, err := os.Open(p.path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unpack(&reader{ctx, f, nil}, p.path, p.format, into)
}

// unpack reads an archive of that name.
func unpack(in *reader, name string, format Format, into func(holdfast.BackupInfo) (io.Writer, error)) error {
	out := new(writer)
	err := format.Unpack(in, func(text []byte) (io.Writer, error) {
		info, err := decode(name, text)
		if err == nil {
			out.w, out.err = into(info)
			err = out.err
		}
		return out, err
	})
	switch {
	case err == nil, errors.Is(err, ErrDamaged), errors.Is(err, ErrEncrypted):
		return err
	case in.err != nil:
		return in.err
	case out.err != nil:
		return out.err
	}
	return fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
}

// Open is the Source at path: an archive in one of the formats, by the end of its
// name, or a plain copy.
func Open(path string, formats ...Format) Source {
	if f := formatOf(filepath.Base(path), formats); f != nil {
		return Packed(path, f)
	}
	return File(path)
}

// formatOf is the format that a name ends in, or nil.
func formatOf(name string, formats []Format) Format {
	for _, f := range formats {
		if strings.HasSuffix(name, f.Extension()) {
			return f
		}
	}
	return nil
}

// reader ends with its context, and remembers what it failed by: a Format can't be
// asked whether it was the file or what is in it.
type reader struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (r *reader) Read(p []byte) (int, error) {
	if r.err = r.ctx.Err(); r.err != nil {
		return 0, r.err
	}
	n, err := r.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// writer remembers likewise.
type writer struct {
	w   io.Writer
	err error
}

func (w *writer) Write(p []byte) (n int, err error) {
	n, err = w.w.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

// Progress is how far something is. Total is 0 if it is not known.
type Progress struct {
	Phase       string // "copy", "check", "hash", "pack", "unpack", "verify" or "upload"
	Done, Total int64  // bytes; pages of "copy" and "check"
}

// Verify reads a backup to its end and compares it with its manifest. What it
// returns without an error is, to the byte, what passed the check when it was made.
// It needs no space and writes nothing. progress may be nil.
func Verify(ctx context.Context, src Source, progress func(Progress)) (holdfast.BackupInfo, error) {
	s := sum{phase: "verify", progress: progress}
	err := src.Unpack(ctx, func(info holdfast.BackupInfo) (io.Writer, error) {
		s.begin(info)
		return &s, nil
	})
	if err == nil {
		err = s.compare(src.Name())
	}
	if err != nil {
		return holdfast.BackupInfo{}, err
	}
	return s.info, nil
}

// sum counts and hashes what is unpacked.
type sum struct {
	phase    string
	progress func(Progress)
	info     holdfast.BackupInfo
	hash     hash.Hash
	n        int64
}

func (s *sum) begin(info holdfast.BackupInfo) { s.info, s.hash, s.n = info, sha256.New(), 0 }

func (s *sum) Write(p []byte) (int, error) {
	s.n += int64(len(p))
	if s.info.Schema != "" && s.n > s.info.Bytes { // before it fills the disk
		return 0, fmt.Errorf("%w: it has more than the %d bytes that were written", ErrDamaged, s.info.Bytes)
	}
	if s.progress != nil {
		s.progress(Progress{s.phase, s.n, s.info.Bytes})
	}
	return s.hash.Write(p)
}

func (s *sum) compare(name string) error {
	switch got := hex.EncodeToString(s.hash.Sum(nil)); {
	case s.info.Schema == "":
		return fmt.Errorf("%w: the %s of %s is missing, so nobody can tell whether it is whole", ErrNoManifest, manifest.Suffix, name)
	case s.n != s.info.Bytes:
		return fmt.Errorf("%w: %s has %d bytes of the database, and %d were written; take another backup", ErrDamaged, name, s.n, s.info.Bytes)
	case got != s.info.SHA256:
		return fmt.Errorf("%w: %s has the sha256 %s, and %s was written down; take another backup", ErrDamaged, name, got, s.info.SHA256)
	}
	return nil
}
