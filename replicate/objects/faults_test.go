package objects

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/pkg/sftp"
)

// What a server refuses says what to do, and repeats nothing of what the server said.
func TestS3Refuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status int
		code   string
		want   error
	}{
		{403, "AccessDenied", fs.ErrPermission},
		{403, "SignatureDoesNotMatch", fs.ErrPermission},
		{403, "WhateverElse", fs.ErrPermission},
		{404, "NoSuchBucket", fs.ErrNotExist},
		{400, "ExpiredToken", fs.ErrPermission},
		{301, "PermanentRedirect", ErrURL},
		{507, "XMinioStorageFull", holdfast.ErrDiskFull},
		{507, "WhateverElse", holdfast.ErrDiskFull},
		{412, "PreconditionFailed", fs.ErrExist},
		{500, "InternalError", ErrUnreachable},
		{503, "SlowDown", ErrUnreachable},
		{400, "Unheard", ErrUnreachable},
	} {
		t.Run(test.code, func(t *testing.T) {
			t.Parallel()
			for _, call := range []string{"List", "Head", "Create", "Part", "Complete"} {
				if call == "Head" && test.status < 403 {
					continue // its answer has no text that says what is the matter
				}
				s := newS3(t)
				s.failing(func(w http.ResponseWriter, r *http.Request) bool {
					if kind(r) != call {
						return false
					}
					refuse(w, test.status, test.code)
					return true
				})
				store, _ := open(t, s.place("/x"))
				var err error
				if call == "List" {
					_, err = store.List(t.Context())
				} else {
					err = put(t.Context(), store, "name", noise(100_000))
				}
				if call == "Head" && test.status == 404 {
					must(t, err)
					continue
				}
				if !errors.Is(err, test.want) {
					t.Errorf("%s: %v", call, err)
				}
				tellsNothing(t, err)
				if n := s.pending(t); n > 0 {
					t.Errorf("%s: %d uploads are left", call, n)
				}
				s.failing(nil)
				if left := names(t, store); len(left) > 0 {
					t.Errorf("%s: %q", call, left)
				}
			}
		})
	}
}

func TestMissingBucket(t *testing.T) {
	t.Parallel()
	s := newS3(t)
	store, _ := open(t, strings.Replace(s.place("/x"), "bucket", "elsewhere", 1))
	_, err := store.List(t.Context())
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "bucket") {
		t.Error(err)
	}
}

// A connection that breaks once costs a repetition; one that stays broken is an error,
// and nothing is there.
func TestOutage(t *testing.T) {
	t.Parallel()
	s := newS3(t)
	store, _ := open(t, s.place("/x"))
	text := noise(1 << 20)
	var parts atomic.Int64
	breaking := func(which func(n int64) bool) {
		parts.Store(0)
		s.failing(func(_ http.ResponseWriter, r *http.Request) bool {
			if k := kind(r); k != "Part" && k != "Abort" || k == "Part" && !which(parts.Add(1)) || k == "Abort" && !which(1<<30) {
				return false
			}
			panic(http.ErrAbortHandler)
		})
	}
	breaking(func(n int64) bool { return n == 5 })
	must(t, put(t.Context(), store, "one", text))
	if got, err := get(t.Context(), store, "one"); err != nil || !bytes.Equal(got, text) {
		t.Error(err)
	}
	breaking(func(n int64) bool { return n >= 5 })
	err := put(t.Context(), store, "two", text)
	if !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
	tellsNothing(t, err)
	if s.pending(t) != 1 { // nobody could take it back
		t.Error(s.pending(t))
	}
	s.failing(nil)
	if left := names(t, store); len(left) != 1 {
		t.Errorf("%q", left)
	}
	must(t, store.Sweep(t.Context(), time.Hour, func(string) bool { return true }))
	must(t, store.Sweep(t.Context(), -time.Hour, func(name string) bool { return name != "two" }))
	if s.pending(t) != 1 {
		t.Error(s.pending(t))
	}
	must(t, store.Sweep(t.Context(), -time.Hour, func(name string) bool { return name == "two" }))
	if s.pending(t) != 0 {
		t.Error(s.pending(t))
	}
	must(t, put(t.Context(), store, "two", text))
}

// An answer that is lost is asked for again, and is not mistaken for somebody else's file.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	s := newS3(t)
	store, _ := open(t, s.place("/x"))
	lost := false
	s.failing(func(_ http.ResponseWriter, r *http.Request) bool {
		if kind(r) != "Complete" || lost {
			return false
		}
		lost = true
		s.ServeHTTP(discard{http.Header{}}, r)
		panic(http.ErrAbortHandler)
	})
	must(t, put(t.Context(), store, "name", noise(300_000)))
	if got, err := get(t.Context(), store, "name"); !lost || err != nil || !bytes.Equal(got, noise(300_000)) {
		t.Error(lost, err)
	}
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// flip changes a bit of what passes.
type flip struct {
	io.Reader
	at int
}

func (f *flip) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if f.at >= 0 && f.at < n {
		p[f.at] ^= 1
	}
	f.at -= n
	return n, err
}

// A bit that changes on the way, or on the server before it counts, is noticed, also
// where the server's ETags prove nothing.
func TestChangedOnTheWay(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name           string
		deaf, encrypts bool
		changes        bool
		want           error
		gets           int
	}{
		{"refused by Content-MD5", false, false, true, holdfast.ErrIO, 0},
		{"a server that doesn't check", true, false, true, holdfast.ErrIO, 1},
		{"one that encrypts and doesn't check", true, true, true, holdfast.ErrIO, 1},
		{"one that encrypts", false, true, false, nil, 1},
		{"one that says its MD5", false, false, false, nil, 0},
	} {
		s := newS3(t)
		s.encrypts = test.encrypts
		store, _ := open(t, s.place("/x"))
		s.failing(func(_ http.ResponseWriter, r *http.Request) bool {
			if kind(r) == "Part" {
				if test.deaf {
					r.Header.Del("Content-MD5")
				}
				if test.changes && r.URL.Query().Get("partNumber") == "2" {
					r.Body = io.NopCloser(&flip{r.Body, 1000})
				}
			}
			return false
		})
		err := put(t.Context(), store, "name", noise(300_000))
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		if left := names(t, store); test.want != nil && len(left) > 0 || s.calls["Get"] != test.gets {
			t.Errorf("%s: %q, %v", test.name, left, s.calls)
		}
	}
}

// A download that breaks goes on where it was; one that can't go on is no shorter file.
func TestDownloadGoesOn(t *testing.T) {
	t.Parallel()
	s := newS3(t)
	store, _ := open(t, s.place("/x"))
	text := noise(1 << 20)
	must(t, put(t.Context(), store, "name", text))
	var ranged atomic.Int64
	breaking := func(ranges bool) {
		s.failing(func(w http.ResponseWriter, r *http.Request) bool {
			if kind(r) != "Get" || r.Header.Get("Range") != "" && ranges && ranged.Add(1) > 2 {
				return false
			}
			from, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-"))
			if !ranges {
				from = 0
			}
			w.Header().Set("Content-Length", strconv.Itoa(len(text)-from))
			w.Header().Set("ETag", `"x"`)
			_, _ = w.Write(text[from : from+(len(text)-from)/3])
			panic(http.ErrAbortHandler)
		})
	}
	breaking(true)
	// The last answer comes from gofakes3, which would compare the ETag.
	s.mu.Lock()
	broken := s.fails
	s.fails = func(w http.ResponseWriter, r *http.Request) bool {
		done := broken(w, r)
		r.Header.Del("If-Match")
		return done
	}
	s.mu.Unlock()
	got, err := get(t.Context(), store, "name")
	if err != nil || !bytes.Equal(got, text) || ranged.Load() != 3 {
		t.Errorf("%d bytes, %v, %d", len(got), err, ranged.Load())
	}
	breaking(false)
	if got, err := get(t.Context(), store, "name"); !errors.Is(err, ErrUnreachable) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// A server that says nothing is given up.
func TestSilence(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	defer there.Close()
	c := conn{here, time.Millisecond}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	addr := l.Addr().String()
	must(t, l.Close())
	ssh := newSSH(t, nil)
	for _, place := range []string{"s3://bucket/x?endpoint=" + url.QueryEscape("http://"+addr), strings.Replace(ssh.place(""), ssh.addr, addr, 1)} {
		s, _ := open(t, place)
		if _, err := s.List(t.Context()); !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: %v", place, err)
		}
	}
}

// cutting ends a connection after so many bytes.
type cutting struct {
	net.Conn
	left *atomic.Int64
}

func (c cutting) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.left.Add(-int64(n)) < 0 {
		_ = c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

func TestSFTPOutage(t *testing.T) {
	t.Parallel()
	s := newSSH(t, nil)
	store, _ := open(t, s.place(""))
	text := noise(3 << 20)
	var left atomic.Int64
	s.mu.Lock()
	s.wrap = func(c net.Conn) net.Conn { return cutting{c, &left} }
	s.mu.Unlock()
	left.Store(1 << 20)
	if err := put(t.Context(), store, "name", text); !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
	left.Store(1 << 40)
	if all := names(t, store); len(all) > 1 || len(all) == 1 && !strings.HasPrefix(all[0], partial) {
		t.Errorf("%q", all)
	}
	must(t, put(t.Context(), store, "name", text))
	s.cut() // as a server does with those that are idle
	if got, err := get(t.Context(), store, "name"); err != nil || !bytes.Equal(got, text) {
		t.Error(err)
	}
	content, _, err := store.Get(t.Context(), "name")
	must(t, err)
	_, err = io.ReadFull(content, make([]byte, 1000))
	must(t, err)
	s.cut()
	if _, err := io.Copy(io.Discard, content); !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
	must(t, content.Close())
}

// What a killed Put has left goes later.
func TestSFTPSweep(t *testing.T) {
	t.Parallel()
	s := newSSH(t, nil)
	store, _ := open(t, s.place(""))
	for name, age := range map[string]time.Duration{partial + "OLD": 25 * time.Hour, partial + "NEW": time.Hour, "other": 25 * time.Hour} {
		path := filepath.Join(s.dir, name)
		must(t, os.WriteFile(path, nil, 0o600))
		must(t, os.Chtimes(path, time.Now().Add(-age), time.Now().Add(-age)))
	}
	must(t, store.Sweep(t.Context(), 24*time.Hour, func(string) bool { return false }))
	if left := names(t, store); len(left) != 2 {
		t.Errorf("%q", left)
	}
}

// full is a disk with room for so many bytes.
type full struct {
	sftp.FileWriter
	room *atomic.Int64
}

func (f full) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	w, err := f.FileWriter.Filewrite(r)
	return fullFile{w, f.room}, err
}

type fullFile struct {
	io.WriterAt
	room *atomic.Int64
}

func (f fullFile) WriteAt(p []byte, off int64) (int, error) {
	if f.room.Add(-int64(len(p))) < 0 {
		return 0, syscall.ENOSPC
	}
	return f.WriterAt.WriteAt(p, off)
}

// A server without second names for files, and with little room.
func TestSFTPFull(t *testing.T) {
	t.Parallel()
	handlers := sftp.InMemHandler()
	var room atomic.Int64
	handlers.FilePut = full{handlers.FilePut, &room}
	s := newSSH(t, &handlers)
	store, _ := open(t, s.place("/"))
	room.Store(500_000)
	err := put(t.Context(), store, "name", noise(1<<20))
	if !errors.Is(err, holdfast.ErrIO) || !strings.Contains(err.Error(), "full") {
		t.Error(err)
	}
	if left := names(t, store); len(left) > 0 {
		t.Errorf("%q", left)
	}
	room.Store(10 << 20)
	must(t, put(t.Context(), store, "name", noise(1<<20)))
	if err := put(t.Context(), store, "name", noise(10)); !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	if got, err := get(t.Context(), store, "name"); err != nil || !bytes.Equal(got, noise(1<<20)) {
		t.Error(err)
	}
}

// Only the server that is known is spoken to, only with a key, and no error has a word
// of it.
func TestSFTPTrust(t *testing.T) {
	t.Parallel()
	s := newSSH(t, nil)
	list := func(place string) error {
		t.Helper()
		store, _ := open(t, place)
		_, err := store.List(t.Context())
		tellsNothing(t, err)
		return err
	}
	must(t, list(s.place("")))
	if err := list(s.place("missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := list(strings.Replace(s.place(""), "me@", "you@", 1)); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
	good := s.known
	other := newSSH(t, nil)
	for name, text := range map[string]string{"unknown": "", "changed": ""} {
		s.known = filepath.Join(t.TempDir(), "known")
		if name == "changed" {
			known, err := os.ReadFile(other.known)
			must(t, err)
			text = strings.ReplaceAll(string(known), other.addr[strings.LastIndex(other.addr, ":")+1:], s.addr[strings.LastIndex(s.addr, ":")+1:])
		}
		must(t, os.WriteFile(s.known, []byte(text), 0o600))
		if err := list(s.place("")); !errors.Is(err, ErrHostKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.known = filepath.Join(t.TempDir(), "none")
	if err := list(s.place("")); !errors.Is(err, ErrHostKey) {
		t.Error(err)
	}
	s.known, s.key = good, other.key
	if err := list(s.place("")); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
	s.key = filepath.Join(t.TempDir(), "key")
	must(t, os.WriteFile(s.key, []byte("-----BEGIN OPENSSH PRIVATE KEY-----\nvery secret\n"), 0o600))
	if err := list(s.place("")); !errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "very secret") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	store, _ := open(t, s.place(""))
	if _, err := store.List(ctx); err != ctx.Err() {
		t.Error(err)
	}
}
