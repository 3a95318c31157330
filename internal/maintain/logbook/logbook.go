// Package logbook keeps on record what became of the backups of a database, in a
// small file beside it: for every process that has the database, for those that
// look from outside, and for the time when none is left that makes backups.
package logbook

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Suffix is appended to the name of the database for that of its logbook.
const Suffix = "-holdfast.backups"

// schema is that of the file. Another one is left alone.
const schema = "holdfast.backups/v1"

// Book is the whole record.
type Book struct {
	Schema string  `json:"schema"`
	Places []Place `json:"places"`
}

// Place is what is known of the backups at one destination.
type Place struct {
	Destination string  `json:"destination"`
	Every       float64 `json:"every_seconds,omitempty"` // from one backup to the next; 0 if nobody has promised any
	DrillEvery  float64 `json:"drill_every_seconds,omitempty"`
	Backup      Deed    `json:"backup"`
	Drill       Deed    `json:"drill"`
}

// Deed is what was done, or failed, again and again.
type Deed struct {
	At       time.Time `json:"at,omitzero"`   // the last success; of a backup the time of its state
	Path     string    `json:"path,omitzero"` // of the backup
	Bytes    int64     `json:"bytes,omitempty"`
	Due      time.Time `json:"due,omitzero"` // from then on it is late; zero if nothing was promised
	Done     int64     `json:"done"`
	Failures int64     `json:"failures"`
	FailedAt time.Time `json:"failed_at,omitzero"` // the last try, if it failed
	Error    string    `json:"error,omitempty"`
}

// Name is what a destination, or a backup there, is called on record: an absolute
// path, or a URL without whatever may be secret in it. Of its parameters the endpoint
// stays, because two servers may have buckets of one name, and of SFTP the user, whose
// home it may be. It is text, as what is read from JSON is.
func Name(destination string) string {
	scheme, _, isURL := strings.Cut(destination, "://")
	if !isURL || strings.ContainsAny(scheme, `/\`) {
		if abs, err := filepath.Abs(destination); err == nil {
			destination = abs
		}
		return strings.ToValidUTF8(destination, "\ufffd")
	}
	u, err := url.Parse(destination)
	if err != nil {
		return strings.ToValidUTF8(scheme, "\ufffd") + "://"
	}
	query, user := u.Query(), u.User.Username()
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), ""
	u.User, u.RawQuery, u.ForceQuery, u.Fragment = nil, "", false, ""
	if u.Scheme == "sftp" && user != "" {
		u.User = url.User(user)
	}
	endpoint := query.Get("endpoint")
	if endpoint != "" && !strings.Contains(endpoint, "://") {
		endpoint = "https://" + endpoint
	}
	if e, err := url.Parse(endpoint); err == nil && e.Host != "" {
		e.User, e.RawQuery, e.Fragment = nil, "", ""
		u.RawQuery = "endpoint=" + strings.ReplaceAll(e.String(), "&", "%26")
	}
	return strings.ToValidUTF8(u.String(), "\ufffd")
}

// Succeed notes a success.
func (d *Deed) Succeed(at time.Time, path string, bytes int64) {
	d.At, d.Path, d.Bytes = at.UTC().Truncate(time.Millisecond), Name(path), bytes
	d.Done++
	d.FailedAt, d.Error = time.Time{}, ""
}

// Late tells whether a promise was broken.
func (d Deed) Late(now time.Time) bool { return !d.Due.IsZero() && now.After(d.Due) }

// longestError bounds what a file system or a network has to say.
const longestError = 1000

// Fail notes a failure.
func (d *Deed) Fail(at time.Time, err error) {
	d.Failures++
	d.FailedAt, d.Error = at.UTC().Truncate(time.Millisecond), err.Error()
	d.Error = d.Error[:min(len(d.Error), longestError)]
}

// At returns the place of a destination, or a new one.
func (b *Book) At(destination string) *Place {
	i := slices.IndexFunc(b.Places, func(p Place) bool { return p.Destination == destination })
	if i < 0 {
		b.Places = append(b.Places, Place{Destination: destination})
		i = len(b.Places) - 1
	}
	return &b.Places[i]
}

// Find returns the place of a destination; the zero Place if there is none.
func (b Book) Find(destination string) Place {
	for _, p := range b.Places {
		if p.Destination == destination {
			return p
		}
	}
	return Place{}
}

// Last are the newest successes at any place.
func (b Book) Last() (backup, drill time.Time) {
	for _, p := range b.Places {
		if p.Backup.At.After(backup) {
			backup = p.Backup.At
		}
		if p.Drill.At.After(drill) {
			drill = p.Drill.At
		}
	}
	return backup, drill
}

// largest is what a logbook may have: nobody's is a thousandth of it.
const largest = 1 << 20

// File is the logbook of one database. It is safe for concurrent use: whoever reads
// sees one state, and nothing is ever torn. Of two processes that change it in
// the same milliseconds one may undo the other's line; schedules have a claim that
// keeps them apart.
type File struct {
	Path string
	// Alive tells whether this process has the file of that name open as (part of) a
	// database: then it is not touched.
	Alive func(path string) bool
	// Like gives a new file mode and owner of the database. May be nil.
	Like func(f *os.File) error

	mu   sync.Mutex // guards the rest, and changes by this process
	seen fs.FileInfo
	book Book
}

// Read returns the record, an empty one if there is no file. It costs a stat as
// long as nothing has changed.
func (f *File) Read() (Book, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.refresh()
	return Book{Schema: f.book.Schema, Places: slices.Clone(f.book.Places)}, err
}

func (f *File) refresh() error {
	info, err := os.Lstat(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.seen, f.book = nil, Book{}
		return nil
	case err != nil:
		return err
	case f.seen != nil && os.SameFile(f.seen, info) && f.seen.Size() == info.Size() && f.seen.ModTime().Equal(info.ModTime()):
		return nil
	case !info.Mode().IsRegular() || info.Size() > largest || f.Alive(f.Path):
		return fmt.Errorf("%s is no logbook of backups; remove it", f.Path)
	}
	var text []byte
	if err := patiently(func() (err error) { text, err = os.ReadFile(f.Path); return err }); err != nil {
		return err
	}
	b := Book{Schema: schema}
	if err := json.Unmarshal(text, &b); err != nil || b.Schema != schema {
		return fmt.Errorf("%s is no logbook of backups that this version reads; remove it, the next backup begins a new one", f.Path)
	}
	f.seen, f.book = info, b
	return nil
}

// Change has change alter the record and puts it in the place of the old one.
func (f *File) Change(change func(*Book)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refresh(); err != nil {
		return err
	}
	b := Book{Schema: schema, Places: slices.Clone(f.book.Places)}
	change(&b)
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	fresh := f.Path + ".new-" + rand.Text()[:8]
	if err := f.write(fresh, append(text, '\n')); err != nil {
		_ = os.Remove(fresh)
		return err
	}
	if err := replace(fresh, f.Path); err != nil {
		_ = os.Remove(fresh)
		return err
	}
	return nil
}

func (f *File) write(path string, text []byte) (err error) {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if f.Like != nil {
		err = f.Like(out)
	}
	if err == nil {
		_, err = out.Write(text)
	}
	if err == nil { // or a power cut may leave the new name without its text
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// replace renames. Windows refuses that for as long as somebody reads the old file.
func replace(fresh, path string) error {
	return patiently(func() error { return os.Rename(fresh, path) })
}

// patiently does what Windows refuses while another process replaces or reads the file.
func patiently(do func() error) (err error) {
	for range 200 {
		if err = do(); err == nil || runtime.GOOS != "windows" || errors.Is(err, fs.ErrNotExist) {
			return err
		}
		<-time.After(5 * time.Millisecond)
	}
	return err
}
