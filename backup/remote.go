package backup

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/maintain/manifest"
	"github.com/holdfastdb/holdfast/internal/sidelock"
)

// Remote is the Target of a store. A backup is made and proven in a directory of its
// own in scratch, as [Create] does it in a directory, and then put into the store under
// the same names; the store compares what has arrived before there is such a name. A
// plain copy's manifest goes first and is read back at the end. Until then the volume
// of scratch holds the copy, and the archive besides; "" is the directory of the
// database (of a database in memory: [os.TempDir]). The progress of an upload comes from
// several goroutines, one at a time.
//
// What a killed Create has left in the store has no name of a backup; the next one
// removes it, after a day at the earliest. So that it isn't mistaken for that, no
// upload may take a day.
func Remote(store Store, scratch string) Target { return &remote{store, scratch} }

type remote struct {
	store   Store
	scratch string
}

const (
	// swept is older than any upload that is still going on.
	swept = 24 * time.Hour
	// farewell is for what is cleared away once a context has ended.
	farewell = 10 * time.Second
	// manifestsAtOnce are read, because each costs a round trip.
	manifestsAtOnce = 8
	// maxManifest is far more than a manifest of ten thousand tables has.
	maxManifest = 16 << 20
)

func (r *remote) Create(ctx context.Context, db *holdfast.DB, format Format, progress func(Progress), options ...holdfast.BackupOption) (Info, error) {
	start := time.Now()
	if err := r.sweep(ctx); err != nil { // also: a store that isn't there is noticed before a copy is made
		return Info{}, err
	}
	scratch := r.scratch
	switch {
	case scratch != "":
	case db.Path() == "":
		scratch = os.TempDir()
	default:
		scratch = filepath.Dir(db.Path())
	}
	work, err := sidelock.NewDir(scratch, manifest.PartialDirs, manifest.Undo)
	if err != nil {
		return Info{}, fmt.Errorf("the backup can't be made in %s: %w; name another directory for it", scratch, err)
	}
	if progress != nil {
		options = append(options, holdfast.BackupOnProgress(func(p holdfast.BackupProgress) { progress(Progress(p)) }))
	}
	name := strings.ToValidUTF8(holdfast.BackupName(cmp.Or(db.Path(), db.Address()), start), "\ufffd") // names elsewhere are text
	if format != nil {
		name += format.Extension()
	}
	info, err := r.create(ctx, db, work, name, format, progress, options)
	if err = single(errors.Join(err, work.Remove())); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return Info{}, err
	}
	info.DurationSeconds = time.Since(start).Seconds()
	return info, nil
}

func (r *remote) create(ctx context.Context, db *holdfast.DB, work *sidelock.Dir, name string, format Format,
	progress func(Progress), options []holdfast.BackupOption,
) (info Info, err error) {
	file := work.Path(copyName)
	if format != nil {
		file, info, err = pack(ctx, db, work, r.store.Path(name), format, progress, options)
	} else if info.BackupInfo, err = db.Backup(ctx, file, options...); err == nil {
		info.Destination = r.store.Path(name)
	}
	if err != nil {
		return info, err
	}
	if format != nil {
		return info, r.put(ctx, name, file, progress)
	}
	return info, r.putCopy(ctx, name, file, manifest.Manifest(info.BackupInfo).Encode(), progress)
}

// putCopy puts a plain copy and its manifest. The manifest goes first, and only where
// none is, so that the copy never has another's.
func (r *remote) putCopy(ctx context.Context, name, file string, text []byte, progress func(Progress)) error {
	beside := name + manifest.Suffix
	if err := r.store.Put(ctx, beside, bytes.NewReader(text), int64(len(text))); err != nil {
		return err
	}
	err := r.put(ctx, name, file, progress)
	if err != nil {
		r.withdraw(ctx, name)
		return err
	}
	kept, err := r.read(ctx, beside)
	switch {
	case err == nil && bytes.Equal(kept, text):
		return nil
	case err == nil:
		err = fmt.Errorf("%w: it is another's now", ErrDamaged)
	}
	end, cancel := afterwards(ctx)
	defer cancel()
	return errors.Join(fmt.Errorf("the backup %s was uploaded, and its manifest can't be read back: %w", r.store.Path(name), err),
		r.store.Remove(end, name), r.store.Remove(end, beside))
}

// withdraw removes the manifest of a copy that has not arrived. Whether it has is not
// known if the answer was lost.
func (r *remote) withdraw(ctx context.Context, name string) {
	ctx, cancel := afterwards(ctx)
	defer cancel()
	content, _, err := r.store.Get(ctx, name)
	if err == nil {
		_ = content.Close()
	}
	if errors.Is(err, fs.ErrNotExist) {
		_ = r.store.Remove(ctx, name+manifest.Suffix) // or sweep does it
	}
}

// afterwards is a context for clearing away, also when the caller's has ended.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), farewell)
}

func (r *remote) put(ctx context.Context, name, file string, progress func(Progress)) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	return r.store.Put(ctx, name, &uploaded{f: f, total: fi.Size(), progress: progress}, fi.Size())
}

// uploaded tells how far it was read, by whatever goroutines.
type uploaded struct {
	f        *os.File
	total    int64
	progress func(Progress)

	mu   sync.Mutex
	done int64
}

func (u *uploaded) ReadAt(p []byte, off int64) (int, error) {
	n, err := u.f.ReadAt(p, off)
	u.mu.Lock()
	defer u.mu.Unlock()
	if end := off + int64(n); u.progress != nil && end > u.done {
		u.done = end
		u.progress(Progress{"upload", end, u.total})
	}
	return n, err
}

// sweep removes what killed Creates have left.
func (r *remote) sweep(ctx context.Context) error {
	files, err := r.store.List(ctx)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, f := range files {
		there[f.Name] = true
	}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name, manifest.Suffix)
		if _, plain, named := parseName(name, nil); !ok || !plain || !named || there[name] || time.Since(f.Modified) < swept {
			continue
		}
		if err := r.store.Remove(ctx, f.Name); err != nil {
			return err
		}
	}
	return r.store.Sweep(ctx, swept, isBackup)
}

// isBackup tells whether a file's name is that of a backup, in whatever format, or of its
// manifest.
func isBackup(name string) bool {
	end := strings.LastIndex(name, ".db")
	if end < 0 {
		return false
	}
	_, _, ok := parseName(name[:end+len(".db")], nil)
	return ok
}

func (r *remote) List(ctx context.Context, formats ...Format) ([]Entry, error) {
	files, err := r.store.List(ctx)
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, f := range files {
		there[f.Name] = true
	}
	entries := []Entry{}
	var copies []int
	for _, f := range files {
		e, plain, ok := parseName(f.Name, formats)
		if !ok {
			continue
		}
		e.Path, e.Bytes, e.Verified, e.name = r.store.Path(f.Name), f.Bytes, !plain, f.Name
		if plain && there[f.Name+manifest.Suffix] {
			copies = append(copies, len(entries))
		}
		entries = append(entries, e)
	}
	if err := r.describe(ctx, entries, copies); err != nil {
		return nil, err
	}
	newestFirst(entries)
	return entries, nil
}

// describe reads the manifests of the entries at these places.
func (r *remote) describe(ctx context.Context, entries []Entry, places []int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(places))
	var wg sync.WaitGroup
	free := make(chan struct{}, manifestsAtOnce)
	for i, place := range places {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			e := &entries[place]
			text, err := r.read(ctx, e.name+manifest.Suffix)
			switch {
			case errors.Is(err, fs.ErrNotExist): // removed meanwhile
			case err != nil: // to call it unverified would hide the newest backup from a restore
				errs[i] = err
				cancel()
			default:
				if info, err := decode(e.Path, text); err == nil {
					e.Source, e.Verified = info.Source, info.Verified && info.Bytes == e.Bytes
				}
			}
		})
	}
	wg.Wait()
	// The first that failed has ended the others.
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil && !errors.Is(err, context.Canceled) }); i >= 0 {
		return errs[i]
	}
	return single(errors.Join(errs...))
}

func (r *remote) read(ctx context.Context, name string) ([]byte, error) {
	return readAll(ctx, r.store, name)
}

func readAll(ctx context.Context, store Store, name string) ([]byte, error) {
	content, size, err := store.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	if size > maxManifest {
		return nil, fmt.Errorf("%w: %s has %d bytes: it is no manifest", ErrDamaged, store.Path(name), size)
	}
	return io.ReadAll(content)
}

func (r *remote) Prune(ctx context.Context, path string, ret Retention, formats ...Format) (removed []Entry, err error) {
	entries, err := r.List(ctx, formats...)
	if err != nil {
		return nil, err
	}
	for _, e := range expired(entries, path, ret) {
		// The copy goes first: without its manifest it would look like somebody's own.
		if err := r.store.Remove(ctx, e.name); err != nil {
			return removed, err
		}
		removed = append(removed, e)
		if err := r.store.Remove(ctx, e.name+manifest.Suffix); err != nil {
			return removed, err
		}
	}
	return removed, nil
}

func (r *remote) Open(e Entry, formats ...Format) Source { return Stored(r.store, e.name, formats...) }

// Stored is the Source of the file of that name in a store: an archive in one of the
// formats, by the end of its name, or a plain copy with its manifest beside it. Whether
// it is there is seen when it is read.
func Stored(store Store, name string, formats ...Format) Source {
	return stored{store, name, formatOf(name, formats)}
}

type stored struct {
	store  Store
	name   string
	format Format // nil: a plain copy
}

func (s stored) Name() string { return s.store.Path(s.name) }

func (s stored) Unpack(ctx context.Context, into func(holdfast.BackupInfo) (io.Writer, error)) error {
	var info holdfast.BackupInfo
	if s.format == nil {
		text, err := readAll(ctx, s.store, s.name+manifest.Suffix)
		if err == nil {
			info, err = decode(s.Name(), text)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	content, size, err := s.store.Get(ctx, s.name)
	if err != nil {
		return err
	}
	defer content.Close()
	if s.format != nil {
		return unpack(&reader{ctx, content, nil}, s.Name(), s.format, into)
	}
	if info.Schema == "" {
		info.Bytes = size
	}
	w, err := into(info)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, &reader{ctx, content, nil})
	return err
}
