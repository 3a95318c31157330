// Package manifest makes copies of databases that are proven before anybody is
// told of them, and writes down what they are, so that the proof can be repeated
// wherever a copy has been carried.
package manifest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/internal/maintain/copy"
	"github.com/holdfastdb/holdfast/internal/maintain/pace"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Manifest is what is known of one copy. Its JSON lies beside the copy, or in the
// archive with it.
type Manifest struct {
	Schema          string           `json:"schema"`
	Destination     string           `json:"destination"`
	Source          string           `json:"source"`
	SourceID        string           `json:"source_id"`
	TakenAt         time.Time        `json:"taken_at"`
	Method          string           `json:"method"`
	Bytes           int64            `json:"bytes"`
	Pages           int64            `json:"pages"`
	PageSize        int64            `json:"page_size_bytes"`
	SHA256          string           `json:"sha256"`
	SchemaSHA256    string           `json:"schema_sha256"`
	Rows            map[string]int64 `json:"rows"`
	SQLite          string           `json:"sqlite_version"`
	Verified        bool             `json:"verified"`
	Check           string           `json:"check"`
	DurationSeconds float64          `json:"duration_seconds"`
}

// Schema is the version of the manifest's JSON.
const Schema = "holdfast.backup/v1"

// Suffix is appended to the name of a copy for the name of its manifest.
const Suffix = ".manifest.json"

// Methods of making a copy, and names of checks.
const (
	Pages  = "pages"
	Vacuum = "vacuum"
	Stream = "stream" // what a back end that is no file has sent

	Integrity  = "integrity_check"
	References = "integrity_check, foreign_key_check"
)

// DamagedError lists what is wrong with a copy.
type DamagedError struct {
	Path     string
	Problems []string
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s is damaged: %s", e.Path, strings.Join(e.Problems[:min(3, len(e.Problems))], "; "))
}

// Config is how a copy is made and proven.
type Config struct {
	copy.Config
	Vacuum     bool // by VACUUM INTO
	References bool // foreign keys are checked too
	// Phase is told, on the caller's goroutine, what is being done and how far it
	// is: pages or bytes of a total, which is 0 if it is not known. May be nil.
	Phase func(phase string, done, total int64)
}

// Names of phases.
const (
	PhaseCopy  = "copy"
	PhaseCheck = "check"
	PhaseHash  = "hash"
)

func (cfg Config) phase(name string) func(done, total int) {
	if cfg.Phase == nil {
		return nil
	}
	return func(done, total int) { cfg.Phase(name, int64(done), int64(total)) }
}

// Take copies the main database of src to a new file at path and proves it. The
// file is on the disk when Take returns, under a name that should be nobody's
// yet. When Take fails there may be a file, which the caller removes with the
// directory that is around it. copied is called when src is not needed any more.
//
// The manifest has no Source, SourceID and Destination: the caller knows them.
func Take(ctx context.Context, src *sqlite.Conn, path string, cfg Config, copied func()) (Manifest, error) {
	start := time.Now()
	m := Manifest{Schema: Schema, TakenAt: start.UTC().Round(time.Millisecond), Method: Pages}
	take := takePages
	if cfg.Vacuum {
		m.Method, take = Vacuum, takeVacuum
	}
	err := take(ctx, src, path, cfg)
	copied()
	if err != nil {
		return m, err
	}
	if err := Describe(ctx, path, &m, cfg); err != nil {
		return m, err
	}
	m.Verified, m.DurationSeconds = true, time.Since(start).Seconds()
	return m, nil
}

func takePages(ctx context.Context, src *sqlite.Conn, path string, cfg Config) error {
	cfg.Progress = cfg.phase(PhaseCopy)
	_, err := copy.To(ctx, src, path, cfg.Config)
	return err
}

// takeVacuum leaves unused pages out and puts the rest in order. It works with
// src's own settings, in one statement, so src must be allowed to write.
func takeVacuum(ctx context.Context, src *sqlite.Conn, path string, cfg Config) (err error) {
	pages, err := src.QueryInt64("PRAGMA page_count")
	if err != nil {
		return err
	}
	size, err := src.QueryInt64("PRAGMA page_size")
	if err != nil {
		return err
	}
	if err := cfg.Enough(filepath.Dir(path), pages*size); err != nil {
		return err
	}
	if cfg.Phase != nil {
		cfg.Phase(PhaseCopy, 0, 0)
	}
	// SQLite accepts an empty file; it would create one that others may read.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	over := src.InterruptAfter(ctx)
	err = src.Exec("VACUUM main INTO '" + strings.ReplaceAll(path, "'", "''") + "'")
	over()
	if ctxErr := ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), cfg.SyncDir(filepath.Dir(path)))
}

// Describe proves the database at path, which nobody has open, and fills in what
// can be learned from it. It returns a *DamagedError if it is damaged.
func Describe(ctx context.Context, path string, m *Manifest, cfg Config) (err error) {
	level := copy.Integrity
	m.Check = Integrity
	if cfg.References {
		level, m.Check = copy.Full, References
	}
	c, err := copy.OpenFile(path)
	if err != nil {
		return damaged(path, err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	problems, err := copy.Check(ctx, c, level, cfg.phase(PhaseCheck))
	switch {
	case err != nil:
		return err
	case len(problems) > 0:
		return &DamagedError{path, problems}
	}
	over := c.InterruptAfter(ctx)
	err = m.read(ctx, c)
	over()
	if ctxErr := ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	if err != nil {
		return err
	}
	m.SHA256, m.Bytes, err = Sum(ctx, path, m.Pages*m.PageSize, cfg.Phase)
	if err == nil && m.Bytes != m.Pages*m.PageSize {
		return &DamagedError{path, []string{fmt.Sprintf("it has %d bytes and not those of %d pages of %d", m.Bytes, m.Pages, m.PageSize)}}
	}
	return err
}

func damaged(path string, err error) error {
	switch sqlite.Code(err).Primary() {
	case sqlite.ResultCorrupt, sqlite.ResultNotADB:
		return &DamagedError{path, []string{err.Error()}}
	}
	return err
}

// read fills in what SQL tells.
func (m *Manifest) read(ctx context.Context, c *sqlite.Conn) (err error) {
	work := pace.Of(ctx)
	if work != nil {
		c.SetProgressHandler(20, func() bool { work.Pause(ctx); return false })
		defer c.SetProgressHandler(0, nil)
	}
	if m.Pages, err = c.QueryInt64("PRAGMA page_count"); err != nil {
		return err
	}
	if m.PageSize, err = c.QueryInt64("PRAGMA page_size"); err != nil {
		return err
	}
	m.SQLite = sqlite.Version()
	s, _, err := c.Prepare("SELECT type, name, tbl_name, coalesce(sql, ''), rootpage FROM sqlite_schema ORDER BY type, name")
	if err != nil {
		return err
	}
	defer s.Finalize()
	hash := sha256.New()
	m.Rows = map[string]int64{}
	for {
		row, err := s.Step()
		if err != nil {
			return err
		}
		if !row {
			m.SchemaSHA256 = hex.EncodeToString(hash.Sum(nil))
			return nil
		}
		for i := range 4 {
			text := s.ColumnText(i)
			_, _ = fmt.Fprintf(hash, "%d:%s", len(text), text) // a hash takes all
		}
		// A virtual table has no page, and its rows are no part of this file.
		if name := s.ColumnText(1); s.ColumnText(0) == "table" && s.ColumnInt64(4) > 0 {
			count := "count(*)"
			if work.Busy() {
				count = "count(1)" // counts row by row, and so can rest
			}
			n, err := c.QueryInt64("SELECT " + count + ` FROM main."` + strings.ReplaceAll(name, `"`, `""`) + `"`)
			if err != nil {
				return err
			}
			m.Rows[valid(name)] += n
		}
	}
}

// Sum reads the file at path, which no connection has open, to its end. total is
// for the progress.
func Sum(ctx context.Context, path string, total int64, phase func(string, int64, int64)) (sum string, n int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	work, hash, buf := pace.Of(ctx), sha256.New(), make([]byte, 1<<20)
	for {
		work.Pause(ctx)
		part := buf
		if work.Busy() {
			part = buf[:32<<10] // some 50 us
		}
		if err := ctx.Err(); err != nil {
			return "", n, err
		}
		k, err := f.Read(part)
		hash.Write(buf[:k])
		n += int64(k)
		switch {
		case errors.Is(err, io.EOF):
			return hex.EncodeToString(hash.Sum(nil)), n, nil
		case err != nil:
			return "", n, err
		case phase != nil:
			phase(PhaseHash, n, total)
		}
	}
}

// WithoutLog reads a proven copy as one whose journal mode is DELETE. What was in WAL
// mode says so in its header, where others look for a log.
func WithoutLog(copied io.Reader) (io.Reader, error) {
	const modes, legacy = 18, "\x01\x01" // https://www.sqlite.org/fileformat2.html, section 1.3.3
	header := make([]byte, modes+len(legacy))
	n, err := io.ReadFull(copied, header)
	switch {
	case n == len(header):
		header = append(header[:modes], legacy...)
	case !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF): // an empty file is a database without tables
		return nil, err
	}
	return io.MultiReader(bytes.NewReader(header[:n]), copied), nil
}

// sealed is a manifest as it is written. The seal is the sha256 of the same JSON
// with an empty seal, so that a letter of the manifest can't change unnoticed
// either.
type sealed struct {
	Manifest
	Seal string `json:"seal"`
}

func (s sealed) encode() []byte {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // it has strings and numbers only
	}
	return append(text, '\n')
}

// valid is what JSON keeps as it is: names of files and tables may be any bytes.
func valid(name string) string { return strings.ToValidUTF8(name, "\ufffd") }

// Encode returns the sealed JSON of a manifest.
func (m Manifest) Encode() []byte {
	m.Source, m.Destination = valid(m.Source), valid(m.Destination)
	s := sealed{Manifest: m}
	sum := sha256.Sum256(s.encode())
	s.Seal = hex.EncodeToString(sum[:])
	return s.encode()
}

// ErrManifest says that a manifest can't be read.
var ErrManifest = errors.New("no manifest of a backup, or one that was changed")

// Decode reads what Encode has written, to the letter.
func Decode(text []byte) (Manifest, error) {
	var s sealed
	if err := json.Unmarshal(text, &s); err != nil {
		return s.Manifest, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if s.Schema != Schema {
		return s.Manifest, fmt.Errorf("%w: it is of another kind than %s", ErrManifest, Schema)
	}
	if !bytes.Equal(s.Encode(), text) {
		return s.Manifest, fmt.Errorf("%w: its seal is broken", ErrManifest)
	}
	return s.Manifest, nil
}

// Differs says in what the proven copy got differs from what was written down,
// or "".
func (m Manifest) Differs(got Manifest) string {
	for _, d := range []struct {
		what      string
		want, got any
	}{
		{"bytes", m.Bytes, got.Bytes},
		{"the sha256", m.SHA256, got.SHA256},
		{"pages", m.Pages, got.Pages},
		{"the page size", m.PageSize, got.PageSize},
		{"the hash of the schema", m.SchemaSHA256, got.SchemaSHA256},
		{"tables", len(m.Rows), len(got.Rows)},
	} {
		if d.want != d.got {
			return fmt.Sprintf("%s: %v was written down, and it is %v", d.what, d.want, d.got)
		}
	}
	for table, n := range m.Rows {
		if k, ok := got.Rows[table]; !ok || k != n {
			return fmt.Sprintf("rows of %q: %d were written down, and there are %d", table, n, k)
		}
	}
	return ""
}
