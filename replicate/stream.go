package replicate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/superfly/ltx"
)

// fanIn is how many files are merged at once: each is open for as long. A database
// that is shipped after every commit has thousands in half a minute.
const fanIn = 128

// states is one state of a database, being read from its files.
type states struct {
	timeline *timeline
	dir      string // for what is merged meanwhile; made when it is needed
}

// open prepares the state for reading. The files stay open from here on, so that none
// of them can be removed by the replication that goes on meanwhile.
func (s *states) open(ctx context.Context, p point) (_ []io.ReadCloser, err error) {
	for range 3 {
		var files []*ltx.FileInfo
		if files, err = s.timeline.plan(ctx, p); err != nil {
			return nil, err
		}
		var readers []io.ReadCloser
		readers, err = s.merged(ctx, files)
		if err == nil {
			return readers, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		// It was merged with others just now: there is another way to the same state.
	}
	return nil, s.timeline.target.failed("read", err)
}

// merged opens files, and merges them to fewer while there are too many.
func (s *states) merged(ctx context.Context, files []*ltx.FileInfo) (readers []io.ReadCloser, err error) {
	defer func() {
		if err != nil {
			closeAll(readers)
			readers = nil
		}
	}()
	base := min(1, len(files)) // the snapshot is large, and is merged once
	for at := 0; at < len(files); {
		if rest := len(files) - at; at < base || rest+len(readers) <= fanIn {
			r, err := newSteady(ctx, s.timeline.client, files[at])
			if err != nil {
				return readers, err
			}
			readers = append(readers, r)
			at++
			continue
		}
		n := min(fanIn, len(files)-at)
		spool, err := s.spool(ctx, files[at:at+n])
		if err != nil {
			return readers, err
		}
		readers = append(readers, spool)
		at += n
	}
	return readers, nil
}

// spool merges files to one beside.
func (s *states) spool(ctx context.Context, files []*ltx.FileInfo) (_ io.ReadCloser, err error) {
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "holdfast-restore-*"); err != nil {
			return nil, err
		}
	}
	var readers []io.ReadCloser
	defer func() { closeAll(readers) }()
	for _, info := range files {
		r, err := newSteady(ctx, s.timeline.client, info)
		if err != nil {
			return nil, err
		}
		readers = append(readers, r)
	}
	f, err := os.Create(filepath.Join(s.dir, ltx.FormatFilename(files[0].MinTXID, files[len(files)-1].MaxTXID)))
	if err != nil {
		return nil, err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	if err = compact(ctx, w, readers); err == nil {
		err = w.Flush()
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func compact(ctx context.Context, w io.Writer, readers []io.ReadCloser) (err error) {
	defer func() {
		if r := recover(); r != nil { // of a file that was cut off within its checksum
			err = fmt.Errorf("a file of it can't be read: %v", r)
		}
	}()
	in := make([]io.Reader, len(readers))
	for i, r := range readers {
		in[i] = bufio.NewReaderSize(r, 64<<10)
	}
	c, err := ltx.NewCompactor(w, in)
	if err != nil {
		return err
	}
	c.HeaderFlags = ltx.HeaderFlagNoChecksum
	return c.Compact(ctx)
}

func closeAll(readers []io.ReadCloser) {
	for _, r := range readers {
		_ = r.Close()
	}
}

// write writes the database to w. Each file that is read ends with a checksum of all of
// it, which is compared.
func (s *states) write(ctx context.Context, w io.Writer, readers []io.ReadCloser) error {
	defer closeAll(readers)
	pr, pw := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		out := bufio.NewWriterSize(pw, 256<<10)
		err := compact(ctx, out, readers)
		if err == nil {
			err = out.Flush()
		}
		_ = pw.CloseWithError(err)
	}()
	out := &keepsError{w: w}
	buffered := bufio.NewWriterSize(out, 256<<10)
	err := ltx.NewDecoder(bufio.NewReaderSize(pr, 256<<10)).DecodeDatabaseTo(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	_ = pr.CloseWithError(errors.New("the reader has left"))
	<-done
	switch {
	case out.err != nil:
		return out.err // as it is
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%w: %s: %w", errDamaged, s.timeline.target.name, err)
	}
	return nil
}

// keepsError remembers what writing failed by.
type keepsError struct {
	w   io.Writer
	err error
}

func (k *keepsError) Write(p []byte) (n int, err error) {
	n, err = k.w.Write(p)
	if err != nil {
		k.err = err
	}
	return n, err
}

func (s *states) close() {
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// steady reads a file of a target, and goes on where it was when the connection is lost.
type steady struct {
	ctx    context.Context //nolint:containedctx // a reader has none
	client *client
	info   *ltx.FileInfo
	at     int64
	r      io.ReadCloser
	failed int // times in a row
}

// triesToRead bounds how often a reader asks for the same bytes.
const triesToRead = 4

func newSteady(ctx context.Context, c *client, info *ltx.FileInfo) (*steady, error) {
	s := &steady{ctx: ctx, client: c, info: info}
	return s, s.open()
}

func (s *steady) open() (err error) {
	s.r, err = s.client.OpenLTXFile(s.ctx, s.info.Level, s.info.MinTXID, s.info.MaxTXID, s.at, 0)
	return err
}

func (s *steady) Read(p []byte) (int, error) {
	for {
		if s.r == nil {
			if err := s.open(); err != nil {
				return 0, err
			}
		}
		n, err := s.r.Read(p)
		s.at += int64(n)
		short := errors.Is(err, io.EOF) && s.at < s.info.Size
		switch {
		case n > 0:
			s.failed = 0
			if short || err != nil && !errors.Is(err, io.EOF) {
				s.drop()
				err = nil
			}
			return n, err
		case err == nil:
			continue
		case !short && errors.Is(err, io.EOF):
			return 0, err
		}
		s.drop()
		if s.failed++; s.failed >= triesToRead || s.ctx.Err() != nil {
			if short {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
	}
}

func (s *steady) drop() {
	_ = s.r.Close()
	s.r = nil
}

func (s *steady) Close() error {
	if s.r == nil {
		return nil
	}
	return s.r.Close()
}
