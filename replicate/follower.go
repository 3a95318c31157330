package replicate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"io/fs"
	"os"

	"github.com/benbjohnson/litestream"
	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/superfly/ltx"
)

// Follower keeps a copy of what a replica has, in a file that nobody opens, so that a
// restore needs only the last steps and a copy within the machine. The file is disposable: what is wrong
// with it is told when it is read, and Source has it all. A Follower is for one
// goroutine.
type Follower struct {
	address string
	name    string
	path    string
	client  *client
	file    *os.File // nil before the first Update
	at      Point
	last    ltx.TXID
	page    int
	sums    []uint64 // of each page as it was written: disks forget, too
}

var _ backup.Proven = (*Follower)(nil)

// Follow begins to follow the replica at target in a file at path, which is replaced. It does
// nothing before the first Update.
func Follow(target, path string) *Follower {
	f := &Follower{address: target, name: "the replica", path: path}
	if t, err := parseTarget(target); err == nil {
		f.name = t.name
	}
	return f
}

// Close removes the file.
func (f *Follower) Close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return errors.Join(err, os.Remove(f.path))
}

// Update brings the copy further by what was shipped last, and says how far it is. After an error
// it may be called again.
func (f *Follower) Update(ctx context.Context) (Point, error) {
	if f.file == nil {
		return f.at, f.begin(ctx)
	}
	files, err := f.list(ctx, 0, f.last+1)
	if err == nil {
		err = f.advance(ctx, files)
	}
	if n := len(files); errors.Is(err, fs.ErrNotExist) || err == nil && n > 0 && files[n-1].MaxTXID > f.last { // merged, and removed
		return f.Complete(ctx)
	}
	return f.at, err
}

// Complete brings the copy to the last state that the replica has, and fails if it can't. Nothing
// may be shipped there any more, or that is not in it.
func (f *Follower) Complete(ctx context.Context) (Point, error) {
	if f.file == nil {
		return f.at, f.begin(ctx)
	}
	for range 3 {
		var all []*ltx.FileInfo
		for level := range levels {
			files, err := f.list(ctx, level, 0)
			if err != nil {
				return f.at, err
			}
			all = append(all, files...)
		}
		if err := f.advance(ctx, all); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return f.at, err
		}
		for _, info := range all {
			if info.MaxTXID > f.last {
				return f.at, fmt.Errorf("%w: %s has nothing that leads on from transaction %s", ErrNoSuchTime, f.name, f.last)
			}
		}
		return f.at, nil
	}
	return f.at, fmt.Errorf("%w: the files at %s change all the time", ErrUnreachable, f.name)
}

func (f *Follower) list(ctx context.Context, level int, from ltx.TXID) (files []*ltx.FileInfo, err error) {
	itr, err := f.client.LTXFiles(ctx, level, from, false)
	if err != nil {
		return nil, err
	}
	for itr.Next() {
		files = append(files, itr.Item())
	}
	return files, nil
}

// rank prefers steps to a copy of everything, and among them those that lead further.
func rank(info *ltx.FileInfo) uint64 {
	if info.Level == litestream.SnapshotLevel {
		return 0
	}
	return uint64(info.MaxTXID)
}

// advance applies what leads on, the longest steps first.
func (f *Follower) advance(ctx context.Context, files []*ltx.FileInfo) error {
	for {
		var best *ltx.FileInfo
		for _, info := range files {
			if info.MinTXID <= f.last+1 && info.MaxTXID > f.last && (best == nil || rank(info) > rank(best)) {
				best = info
			}
		}
		if best == nil {
			return nil
		}
		if err := f.apply(ctx, best); err != nil {
			return err
		}
	}
}

// begin copies everything.
func (f *Follower) begin(ctx context.Context) (err error) {
	l, err := openTimeline(ctx, f.address)
	if err != nil {
		return err
	}
	p, when, err := l.find(ctx, At{})
	if err != nil {
		return err
	}
	hdr, err := l.header(ctx, p.file)
	if err != nil {
		return l.target.failed("read", err)
	}
	s := &states{timeline: l}
	defer s.close()
	readers, err := s.open(ctx, p)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		closeAll(readers)
		return err
	}
	f.page, f.sums = int(hdr.PageSize), nil
	if err = s.write(ctx, &pageWriter{f: f, file: file}, readers); err != nil {
		return errors.Join(err, file.Close(), os.Remove(f.path))
	}
	f.file, f.client, f.last = file, l.client, p.last
	f.at = Point{Transaction: p.last.String(), Time: when, Level: p.file.Level, Bytes: int64(len(f.sums)) * int64(f.page)}
	return nil
}

// pageWriter writes a database from its beginning. It is given whole pages: 256 KiB at a time,
// and the rest.
type pageWriter struct {
	f    *Follower
	file *os.File
}

func (w *pageWriter) Write(p []byte) (int, error) {
	for at := 0; at < len(p); at += w.f.page {
		w.f.sums = append(w.f.sums, sum(p[at:min(at+w.f.page, len(p))]))
	}
	return w.file.Write(p)
}

var table = crc64.MakeTable(crc64.ECMA)

func sum(page []byte) uint64 { return crc64.Checksum(page, table) }

// apply writes the pages of a file of the replica. Each file has whole pages, so that one which was broken
// off is made good by the same one again.
func (f *Follower) apply(ctx context.Context, info *ltx.FileInfo) error {
	r, err := newSteady(ctx, f.client, info)
	if err != nil {
		return err
	}
	defer r.Close()
	dec := ltx.NewDecoder(bufio.NewReaderSize(r, 256<<10))
	damaged := func(err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %s: %w", errDamaged, f.name, err)
	}
	if err := dec.DecodeHeader(); err != nil {
		return damaged(err)
	}
	hdr := dec.Header()
	if int(hdr.PageSize) != f.page {
		return damaged(fmt.Errorf("its pages have %d bytes now", hdr.PageSize))
	}
	data := make([]byte, f.page)
	for {
		var page ltx.PageHeader
		if err := dec.DecodePage(&page, data); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return damaged(err)
		}
		f.grow(int(page.Pgno))
		f.sums[page.Pgno-1] = sum(data)
		if _, err := f.file.WriteAt(data, int64(page.Pgno-1)*int64(f.page)); err != nil {
			return err
		}
	}
	if err := dec.Close(); err != nil {
		return damaged(err)
	}
	f.grow(int(hdr.Commit))
	f.sums = f.sums[:hdr.Commit]
	size := int64(hdr.Commit) * int64(f.page)
	if err := f.file.Truncate(size); err != nil {
		return err
	}
	f.last = info.MaxTXID
	f.at = Point{Transaction: f.last.String(), Time: hdrTime(hdr), Level: info.Level, Bytes: size}
	return nil
}

// grow makes room for pages. What is not written reads as zeros: SQLite's page for locks is never shipped.
func (f *Follower) grow(pages int) {
	if pages <= len(f.sums) {
		return
	}
	zero := sum(make([]byte, f.page))
	for len(f.sums) < pages {
		f.sums = append(f.sums, zero)
	}
}

// Name is the target, without anything secret.
func (f *Follower) Name() string { return f.name }

// Proven: what was read from the replica carries checksums, and each page is compared with
// what was written.
func (f *Follower) Proven() bool { return true }

// Unpack writes the database as it was at the last Update.
func (f *Follower) Unpack(ctx context.Context, into func(holdfast.BackupInfo) (io.Writer, error)) error {
	if f.file == nil {
		return fmt.Errorf("%w: nothing was followed yet", ErrNoSuchTime)
	}
	w, err := into(holdfast.BackupInfo{Source: f.name, TakenAt: f.at.Time, Bytes: f.at.Bytes})
	if err != nil {
		return err
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f.file, 0, f.at.Bytes), 1<<20)
	out := bufio.NewWriterSize(w, 1<<20)
	page := make([]byte, f.page)
	for i, want := range f.sums {
		if i%1000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := io.ReadFull(r, page); err != nil {
			return fmt.Errorf("%w: %s: %w", errDamaged, f.path, err)
		}
		if sum(page) != want {
			return fmt.Errorf("%w: page %d of %s is not what was written", errDamaged, i+1, f.path)
		}
		if _, err := out.Write(page); err != nil {
			return err
		}
	}
	return out.Flush()
}
