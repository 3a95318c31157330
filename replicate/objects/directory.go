package objects

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/pkg/sftp"
)

// directory is a directory of another machine.
type directory struct {
	dial func(ctx context.Context) (*session, error)
	dir  string
	url  url.URL

	mu   sync.Mutex
	idle *session // the one that was used last
}

// partial is how the name of a file begins that isn't there yet.
const partial = ".holdfast-partial-"

// readAhead hides the way to the server: SFTP reads 32 KiB at a time, and asks for as
// many of them at once as are in one Read.
const readAhead = 2 << 20

func openDirectory(u *url.URL) (*directory, error) {
	dial, err := dialer(u)
	if err != nil {
		return nil, err
	}
	d := &directory{dial: dial, dir: u.Path, url: *u}
	switch home, inHome := strings.CutPrefix(u.Path, "/~"); {
	case inHome && (home == "" || home[0] == '/'):
		d.dir = "." + home
	case u.Path == "":
		d.dir = "/"
	}
	return d, nil
}

func (d *directory) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.idle != nil {
		d.idle.close()
		d.idle = nil
	}
	return nil
}

func (d *directory) Path(name string) string { return pathOf(d.url, name) }

// take returns a session: the idle one, if the server can still be there.
func (d *directory) take(ctx context.Context) (s *session, used bool, err error) {
	d.mu.Lock()
	s, d.idle = d.idle, nil
	d.mu.Unlock()
	if s != nil && time.Since(s.used) < silence/2 {
		return s, true, nil
	}
	if s != nil {
		s.close()
	}
	s, err = d.dial(ctx)
	return s, false, err
}

func (d *directory) give(s *session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.used = time.Now()
	if d.idle != nil {
		d.idle.close()
	}
	d.idle = s
}

// hold calls f with a session, and returns that if f has succeeded. The end of the context
// closes it until stop is called: SFTP can't take back a request. If one that was used before
// is broken, another is tried, since the server may have ended it meanwhile.
func (d *directory) hold(ctx context.Context, what, name string, f func(*sftp.Client) error) (s *session, stop func() bool, err error) {
	for {
		s, used, err := d.take(ctx)
		if err != nil {
			return nil, nil, d.failed(ctx, what, name, err)
		}
		stop := context.AfterFunc(ctx, s.close)
		if err = f(s.client); err == nil {
			return s, stop, nil
		}
		if stop() && !broken(err) {
			d.give(s)
			return nil, nil, d.failed(ctx, what, name, err)
		}
		s.close()
		if !used || ctx.Err() != nil {
			return nil, nil, d.failed(ctx, what, name, err)
		}
	}
}

func (d *directory) do(ctx context.Context, what, name string, f func(*sftp.Client) error) error {
	s, stop, err := d.hold(ctx, what, name, f)
	if err != nil {
		return err
	}
	if !stop() {
		return ctx.Err()
	}
	d.give(s)
	return nil
}

// said is an error that says all there is to say.
type said struct{ error }

func (s said) Unwrap() error { return s.error }

// broken tells whether the server didn't answer: it may be that it is gone.
func broken(err error) bool {
	var status *sftp.StatusError
	return err != nil && !errors.As(err, &status) && !errors.As(err, new(said)) &&
		!errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrExist)
}

// Put writes to a name that is no backup's, asks the server to flush it, reads all of it
// back and compares the sha256, and gives it its name by a second link, which fails if
// there is such a name, or by a rename, which by SFTP's rules does too. 0600, where the
// server lets us.
func (d *directory) Put(ctx context.Context, name string, content io.ReaderAt, size int64) error {
	final, working := path.Join(d.dir, name), path.Join(d.dir, partial+rand.Text())
	err := d.do(ctx, "upload", name, func(c *sftp.Client) error {
		if _, err := c.Lstat(final); err == nil {
			return said{taken(d.Path(name))}
		}
		sent, err := write(c, working, io.NewSectionReader(content, 0, size))
		if err != nil {
			return err
		}
		got, err := readBack(ctx, c, working)
		if err != nil {
			return err
		}
		if err := compared(d.Path(name), got, sent); err != nil {
			return said{err}
		}
		err = link(c, working, final)
		if err == nil || broken(err) {
			return err
		}
		if _, e := c.Lstat(final); e == nil {
			return said{taken(d.Path(name))}
		}
		return err
	})
	if err != nil {
		d.forget(ctx, working)
	}
	return err
}

func write(c *sftp.Client, name string, content *io.SectionReader) (sum []byte, err error) {
	f, err := c.OpenFile(name, writeNew)
	if err != nil {
		return nil, err
	}
	_ = f.Chmod(0o600)
	sent := sha256.New()
	_, err = f.ReadFromWithConcurrency(io.TeeReader(content, sent), 0)
	if _, can := c.HasExtension("fsync@openssh.com"); err == nil && can {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return sent.Sum(nil), err
}

func readBack(ctx context.Context, c *sftp.Client, name string) ([]byte, error) {
	f, err := c.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, reading{ctx, bufio.NewReaderSize(f, readAhead)})
	return sum.Sum(nil), err
}

// reading ends with its context.
type reading struct {
	ctx context.Context
	io.Reader
}

func (r reading) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// link gives a file another name where there is none, and takes the old one.
func link(c *sftp.Client, from, to string) error {
	if _, can := c.HasExtension("hardlink@openssh.com"); can {
		err := c.Link(from, to)
		if err == nil {
			_ = c.Remove(from) // or Sweep does it
		}
		if err == nil || broken(err) {
			return err
		}
		// Some file systems have no second names.
	}
	if _, err := c.Lstat(to); err == nil { // not every server's rename refuses
		return fs.ErrExist
	}
	return c.Rename(from, to)
}

// forget removes what a Put that failed has left.
func (d *directory) forget(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	_ = d.do(ctx, "remove", "", func(c *sftp.Client) error { return c.Remove(name) }) // or Sweep does it
}

func (d *directory) Get(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	got := &remoteFile{d: d, ctx: ctx, name: name}
	var err error
	got.session, got.stop, err = d.hold(ctx, "read", name, func(c *sftp.Client) error {
		f, err := c.Open(path.Join(d.dir, name))
		if err != nil {
			return err
		}
		fi, err := f.Stat()
		if err == nil && !fi.Mode().IsRegular() {
			err = fmt.Errorf("it is no file: %w", fs.ErrNotExist)
		}
		if err != nil {
			_ = f.Close()
			return err
		}
		got.f, got.r, got.size = f, bufio.NewReaderSize(f, readAhead), fi.Size()
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	return got, got.size, nil
}

func (d *directory) List(ctx context.Context) ([]backup.Object, error) {
	var objects []backup.Object
	err := d.do(ctx, "list", "", func(c *sftp.Client) error {
		files, err := c.ReadDir(d.dir)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no such directory: create it first (%w)", err)
		}
		for _, f := range files {
			if f.Mode().IsRegular() {
				objects = append(objects, backup.Object{Name: f.Name(), Bytes: f.Size(), Modified: f.ModTime()})
			}
		}
		return err
	})
	return objects, err
}

func (d *directory) Remove(ctx context.Context, name string) error {
	return d.do(ctx, "remove", name, func(c *sftp.Client) error {
		if err := c.Remove(path.Join(d.dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// Sweep removes files by the names that Put gives what isn't there yet.
func (d *directory) Sweep(ctx context.Context, age time.Duration, _ func(name string) bool) error {
	files, err := d.List(ctx)
	if err != nil {
		return err
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name, partial) && time.Since(f.Modified) >= age {
			if err := d.Remove(ctx, f.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// failed gives an error its kind, and says what it is about.
func (d *directory) failed(ctx context.Context, what, name string, err error) error {
	var status *sftp.StatusError
	var all said
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &all):
		return all.error
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s: %s: %w", d.Path(name), what, err)
	case errors.As(err, &status):
		// SFTP has one code for a full disk, a quota and all else.
		return fmt.Errorf("%w: %s: %s: the server has failed (%q): is it full?", holdfast.ErrIO, d.Path(name), what, status.Error())
	}
	return fmt.Errorf("%w: %s: %s: %w; look at the network and at the server", ErrUnreachable, d.Path(name), what, err)
}
