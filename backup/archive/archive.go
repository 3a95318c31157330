// Package archive packs backups: a tar of manifest.json and database.db, compressed by
// zstd, and encrypted by age if there are recipients. Everybody's tools unpack it:
//
//	age -d -i key.txt app.db.tar.zst.age | zstd -d | tar x
//
// It is a module of its own, because a program that makes plain backups should not
// have to compile, review and patch a compressor and a cipher.
package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/klauspost/compress/zstd"
)

// Extensions of archives.
const (
	Compressed = ".tar.zst"
	Encrypted  = ".tar.zst.age"
)

// Format is a backup.Format. The zero value compresses and encrypts nothing. It
// is used for one backup at a time.
type Format struct {
	// Recipients are who can read what is packed; none: everybody.
	Recipients []age.Recipient
	// Identities are tried to read what is unpacked.
	Identities []age.Identity
	// Level is zstd's; 0 is its default (3).
	Level int

	encrypted bool
	proof     age.Identity // of what this Format has packed
}

// New returns a Format that compresses.
func New() *Format { return &Format{} }

// NewEncrypted returns a Format that also encrypts to recipients, which are keys
// like "age1...", and reads by the identities in text, the content of an identity
// file ("AGE-SECRET-KEY-1..."). Either may be empty: who has no identity can pack,
// and who has no recipient can unpack.
//
// So that a backup can be proven by one who can't read it, it is encrypted to a key
// besides that exists in this process's memory only, and is forgotten with the
// Format.
func NewEncrypted(recipients []string, identities string) (*Format, error) {
	f := &Format{encrypted: true}
	for _, r := range recipients {
		// The error of age would name what was given, which may be a secret key.
		parsed, err := age.ParseRecipients(strings.NewReader(r))
		if err != nil || len(parsed) != 1 {
			return nil, errors.New("a recipient is no public key of age: it must begin with age1 (age-keygen -y prints it)")
		}
		f.Recipients = append(f.Recipients, parsed...)
	}
	if identities != "" {
		parsed, err := age.ParseIdentities(strings.NewReader(identities))
		if err != nil {
			return nil, errors.New("the identities are none of age: each line must begin with AGE-SECRET-KEY-")
		}
		f.Identities = parsed
	}
	return f, nil
}

// Formats are both kinds for backup.Open and backup.List. identities is as for
// NewEncrypted.
func Formats(identities string) ([]backup.Format, error) {
	encrypted, err := NewEncrypted(nil, identities)
	if err != nil {
		return nil, err
	}
	return []backup.Format{New(), encrypted}, nil
}

// Extension is Compressed or Encrypted.
func (f *Format) Extension() string {
	if f.encrypted {
		return Encrypted
	}
	return Compressed
}

// Pack writes an archive.
func (f *Format) Pack(w io.Writer, manifest []byte, size int64, database io.Reader) error {
	if !f.encrypted {
		return f.compress(w, manifest, size, database)
	}
	if len(f.Recipients) == 0 {
		return errors.New("there is no recipient to encrypt to: name one")
	}
	recipients, err := f.withProof()
	if err != nil {
		return err
	}
	sealed, err := age.Encrypt(w, recipients...)
	if err != nil {
		return err
	}
	if err := f.compress(sealed, manifest, size, database); err != nil {
		return err
	}
	return sealed.Close()
}

// withProof adds a key of this process to the recipients. Keys that resist quantum
// computers refuse to be mixed with others.
func (f *Format) withProof() ([]age.Recipient, error) {
	all := append([]age.Recipient(nil), f.Recipients...)
	if _, ok := f.Recipients[0].(*age.HybridRecipient); ok {
		own, err := age.GenerateHybridIdentity()
		if err != nil {
			return nil, err
		}
		f.proof = own
		return append(all, own.Recipient()), nil
	}
	own, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	f.proof = own
	return append(all, own.Recipient()), nil
}

func (f *Format) compress(w io.Writer, manifest []byte, size int64, database io.Reader) error {
	hashed := &hashing{w: w, hash: sha256.New()}
	level := zstd.SpeedDefault
	if f.Level != 0 {
		level = zstd.EncoderLevelFromZstd(f.Level)
	}
	packed, err := zstd.NewWriter(hashed, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1)) // the database has the other cores
	if err != nil {
		return err
	}
	t := tar.NewWriter(packed)
	err = add(t, manifestName, int64(len(manifest)), bytes.NewReader(manifest))
	if err == nil {
		err = add(t, databaseName, size, database)
	}
	if err == nil {
		err = t.Close()
	}
	if e := packed.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	_, err = w.Write(trailer(hashed.hash))
	return err
}

const (
	manifestName = "manifest.json"
	databaseName = "database.db"
)

func add(t *tar.Writer, name string, size int64, r io.Reader) error {
	// Without times and owners, so that a backup made twice is the same twice.
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}); err != nil {
		return err
	}
	n, err := io.Copy(t, r)
	if err == nil && n != size {
		err = fmt.Errorf("%s has %d bytes instead of %d", name, n, size)
	}
	return err
}

// The end of an archive is a frame that zstd skips, with the sha256 of all before
// it. The checksums of zstd and tar leave bytes out: the size of a window, a name.
const (
	skippable   = 0x184D2A5E
	trailerSize = 8 + sha256.Size
)

func trailer(h hash.Hash) []byte {
	b := binary.LittleEndian.AppendUint32(nil, skippable)
	b = binary.LittleEndian.AppendUint32(b, sha256.Size)
	return h.Sum(b)
}

type hashing struct {
	w    io.Writer
	hash hash.Hash
}

func (h *hashing) Write(p []byte) (int, error) {
	n, err := h.w.Write(p)
	h.hash.Write(p[:n])
	return n, err
}

// Unpack reads an archive.
func (f *Format) Unpack(r io.Reader, into func(manifest []byte) (io.Writer, error)) error {
	if f.encrypted {
		identities := append([]age.Identity(nil), f.Identities...)
		if f.proof != nil {
			identities = append(identities, f.proof)
		}
		if len(identities) == 0 {
			return ErrNoIdentity
		}
		plain, err := age.Decrypt(r, identities...)
		var none *age.NoIdentityMatchError
		if errors.As(err, &none) {
			return fmt.Errorf("%w (%d were tried)", ErrNoIdentity, len(identities))
		}
		if err != nil {
			return err
		}
		r = plain
	}
	end := &ending{r: r, hash: sha256.New()}
	unpacked, err := zstd.NewReader(end, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer unpacked.Close()
	t := tar.NewReader(unpacked)
	manifest, err := entry(t, manifestName, maxManifest)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(manifest)
	if err != nil {
		return err
	}
	database, err := entry(t, databaseName, 0)
	if err != nil {
		return err
	}
	w, err := into(text)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, database); err != nil {
		return err
	}
	if _, err := t.Next(); !errors.Is(err, io.EOF) {
		return errors.New("there is something behind the database")
	}
	if _, err := io.Copy(io.Discard, unpacked); err != nil {
		return err
	}
	return end.proven()
}

// ErrNoIdentity is a backup.ErrEncrypted.
var ErrNoIdentity = fmt.Errorf("%w and no identity opens it; give the identity file of one of its recipients", backup.ErrEncrypted)

// maxManifest is far more than a manifest of ten thousand tables has.
const maxManifest = 16 << 20

func entry(t *tar.Reader, name string, most int64) (io.Reader, error) {
	h, err := t.Next()
	switch {
	case err != nil:
		return nil, err
	case h.Name != name || h.Typeflag != tar.TypeReg:
		return nil, fmt.Errorf("%q is where %s should be: it is no archive of a backup", h.Name, name)
	case most > 0 && h.Size > most:
		return nil, fmt.Errorf("%s has %d bytes: it is no archive of a backup", name, h.Size)
	}
	return t, nil
}

// ending passes on all but the trailer, and hashes it.
type ending struct {
	r    io.Reader
	hash hash.Hash
	held []byte // what may be the trailer
	err  error  // of r, when nothing but the trailer is left
}

func (e *ending) Read(p []byte) (int, error) {
	for len(e.held) <= trailerSize && e.err == nil {
		buf := make([]byte, 64<<10)
		var n int
		n, e.err = e.r.Read(buf)
		e.held = append(e.held, buf[:n]...)
	}
	n := copy(p, e.held[:max(len(e.held)-trailerSize, 0)])
	if n == 0 {
		return 0, e.err
	}
	e.hash.Write(p[:n])
	e.held = e.held[n:]
	return n, nil
}

// proven tells whether the stream has ended with its trailer.
func (e *ending) proven() error {
	if n, err := e.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		return errors.New("there is something behind the archive")
	}
	if !bytes.Equal(e.held, trailer(e.hash)) {
		return errors.New("it was changed or cut off since it was written: its sha256 is another")
	}
	return nil
}
