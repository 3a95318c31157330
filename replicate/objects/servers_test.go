package objects

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/backup"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/pkg/sftp"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

const (
	keyID  = "AKIDOFTHETESTS"
	secret = "the-secret-of-the-tests"
)

func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": keyID, "AWS_SECRET_ACCESS_KEY": secret, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_CA_BUNDLE": "", "AWS_PROFILE": "", "AWS_REGION": "", "AWS_MAX_ATTEMPTS": "2", "SSH_AUTH_SOCK": "",
	} {
		if value == "" {
			_ = os.Unsetenv(name)
		} else {
			_ = os.Setenv(name, value)
		}
	}
	if place := os.Getenv(childVariable); place != "" {
		os.Exit(child(place))
	}
	goleak.VerifyTestMain(m)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// s3Server is gofakes3 with what it lacks: credentials, If-None-Match at the end of an
// upload, ETags that are no MD5; and with failures.
type s3Server struct {
	backend *s3mem.Backend
	handler http.Handler
	url     string

	mu    sync.Mutex
	fails func(w http.ResponseWriter, r *http.Request) bool // true: it has answered
	calls map[string]int
	ends  sync.Mutex // of uploads, one after the other
	// encrypts: with keys of its own, so that the ETags of parts are no MD5s.
	encrypts bool
}

func newS3(t testing.TB) *s3Server {
	t.Helper()
	return newS3At(t, gofakes3.DefaultTimeSource())
}

// newS3At is a server with another clock.
func newS3At(t testing.TB, clock gofakes3.TimeSource) *s3Server {
	t.Helper()
	s := &s3Server{backend: s3mem.New(s3mem.WithTimeSource(clock)), calls: map[string]int{}}
	s.handler = gofakes3.New(s.backend, gofakes3.WithTimeSource(clock), gofakes3.WithTimeSkewLimit(0)).Server()
	must(t, s.backend.CreateBucket("bucket"))
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // of requests that were broken off
	server.Start()
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *s3Server) failing(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = f
}

// kind is what a request is for, as the permission for it is called.
func kind(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodPost && q.Has("uploads"):
		return "Create"
	case r.Method == http.MethodPost && q.Has("uploadId"):
		return "Complete"
	case r.Method == http.MethodPut:
		return "Part"
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		return "Abort"
	case r.Method == http.MethodGet && q.Has("uploads"):
		return "Uploads"
	case r.Method == http.MethodGet && q.Has("list-type"):
		return "List"
	}
	return map[string]string{http.MethodGet: "Get", http.MethodHead: "Head", http.MethodDelete: "Delete"}[r.Method]
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s said with %s</Message></Error>", code, keyID, secret) // whatever it says, nobody repeats it
}

const encryption = "0123"

func (s *s3Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	fails, encrypts := s.fails, s.encrypts
	s.calls[kind(r)]++
	s.mu.Unlock()
	if fails != nil && fails(w, r) {
		return
	}
	if !strings.Contains(r.Header.Get("Authorization"), "Credential="+keyID+"/") {
		refuse(w, http.StatusForbidden, "InvalidAccessKeyId")
		return
	}
	if kind(r) == "Complete" {
		s.ends.Lock()
		defer s.ends.Unlock()
		bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if o, err := s.backend.HeadObject(bucket, key); err == nil && r.Header.Get("If-None-Match") == "*" {
			_ = o.Contents.Close()
			refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return
		}
		body, _ := io.ReadAll(r.Body)
		body = bytes.ReplaceAll(body, []byte(encryption), nil)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	s.handler.ServeHTTP(w, r)
	if etag := w.Header().Get("ETag"); encrypts && kind(r) == "Part" { // nothing was written yet
		w.Header().Set("ETag", strings.Replace(etag, `"`, `"`+encryption, 1))
	}
}

func (s *s3Server) place(prefix string) string {
	return "s3://bucket" + (&url.URL{Path: prefix}).EscapedPath() + "?endpoint=" + url.QueryEscape(s.url)
}

func (s *s3Server) text(t testing.TB, key string) []byte {
	t.Helper()
	o, err := s.backend.GetObject("bucket", key, nil)
	must(t, err)
	defer o.Contents.Close()
	text, err := io.ReadAll(o.Contents)
	must(t, err)
	return text
}

func (s *s3Server) put(t testing.TB, key string, text []byte) {
	t.Helper()
	_, err := s.backend.PutObject("bucket", key, map[string]string{"Last-Modified": time.Now().UTC().Format(http.TimeFormat)}, bytes.NewReader(text), int64(len(text)), nil)
	must(t, err)
}

// pending is how many uploads have begun and not ended.
func (s *s3Server) pending(t testing.TB) int {
	t.Helper()
	w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/bucket?uploads", nil)
	s.handler.ServeHTTP(w, r)
	return strings.Count(w.Body.String(), "<UploadId>")
}

// open is Open with small parts.
func open(t testing.TB, place string) (Store, string) {
	t.Helper()
	store, file, err := Open(t.Context(), place)
	must(t, err)
	if b, ok := store.(*bucket); ok {
		b.partSize = 64 << 10
	}
	t.Cleanup(func() { must(t, store.Close()) })
	return store, file
}

// sshServer is a server of SFTP for the files of a directory, or for handlers.
type sshServer struct {
	dir, key, known string // files
	addr            string
	config          *ssh.ServerConfig
	handlers        *sftp.Handlers

	mu    sync.Mutex
	conns []net.Conn
	wrap  func(net.Conn) net.Conn
	done  sync.WaitGroup
}

func newKey(t testing.TB) (ssh.Signer, []byte) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	must(t, err)
	signer, err := ssh.NewSignerFromKey(private)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(private, "")
	must(t, err)
	return signer, pem.EncodeToMemory(block)
}

func newSSH(t testing.TB, handlers *sftp.Handlers) *sshServer {
	t.Helper()
	s := &sshServer{dir: t.TempDir(), handlers: handlers}
	files := t.TempDir()
	s.key, s.known = filepath.Join(files, "key"), filepath.Join(files, "known hosts")
	host, _ := newKey(t)
	user, text := newKey(t)
	must(t, os.WriteFile(s.key, text, 0o600))
	s.config = &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if c.User() != "me" || !bytes.Equal(key.Marshal(), user.PublicKey().Marshal()) {
			return nil, errors.New("not you")
		}
		return nil, nil
	}}
	s.config.AddHostKey(host)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	s.addr = l.Addr().String()
	must(t, os.WriteFile(s.known, []byte(knownhosts.Line([]string{s.addr}, host.PublicKey())+"\n"), 0o600))
	s.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			if s.wrap != nil {
				c = s.wrap(c)
			}
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			s.done.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.cut()
		s.done.Wait()
	})
	return s
}

// cut ends all connections.
func (s *sshServer) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
}

func (s *sshServer) serve(c net.Conn) {
	defer c.Close()
	conn, channels, requests, err := ssh.NewServerConn(c, s.config)
	if err != nil {
		return
	}
	s.done.Go(func() { ssh.DiscardRequests(requests) })
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		s.done.Go(func() {
			for r := range requests {
				_ = r.Reply(r.Type == "subsystem", nil)
			}
		})
		s.done.Go(func() {
			defer channel.Close()
			if s.handlers != nil {
				_ = sftp.NewRequestServer(channel, *s.handlers).Serve()
				return
			}
			if server, err := sftp.NewServer(channel); err == nil {
				_ = server.Serve()
			}
		})
	}
	_ = conn.Wait()
}

func (s *sshServer) place(dir string) string {
	if s.handlers == nil {
		dir = filepath.ToSlash(filepath.Join(s.dir, dir))
		if dir[0] != '/' {
			dir = "/" + dir
		}
	}
	u := url.URL{Scheme: "sftp", User: url.User("me"), Host: s.addr, Path: dir, RawQuery: url.Values{"key": {s.key}, "known-hosts": {s.known}}.Encode()}
	return u.String()
}

// both runs a test against a bucket and against a directory of another machine.
func both(t *testing.T, f func(t *testing.T, place string, files files)) {
	t.Helper()
	t.Run("s3", func(t *testing.T) {
		t.Parallel()
		s := newS3(t)
		f(t, s.place("/a prefix/of?this #1%"), files{
			func(name string) []byte { return s.text(t, "a prefix/of?this #1%/"+name) },
			func(name string, text []byte) { s.put(t, "a prefix/of?this #1%/"+name, text) },
		})
	})
	t.Run("sftp", func(t *testing.T) {
		t.Parallel()
		s := newSSH(t, nil)
		dir := "a dir #1%"
		if os.PathSeparator == '/' {
			dir = "a dir?#1%"
		}
		must(t, os.Mkdir(filepath.Join(s.dir, dir), 0o700))
		f(t, s.place(dir), files{
			func(name string) []byte {
				text, err := os.ReadFile(filepath.Join(s.dir, dir, name))
				must(t, err)
				return text
			},
			func(name string, text []byte) { must(t, os.WriteFile(filepath.Join(s.dir, dir, name), text, 0o600)) },
		})
	})
}

// files are those of a store, from behind.
type files struct {
	read  func(name string) []byte
	write func(name string, text []byte)
}

func names(t testing.TB, s backup.Store) []string {
	t.Helper()
	list, err := s.List(t.Context())
	must(t, err)
	var names []string
	for _, o := range list {
		names = append(names, o.Name)
	}
	return names
}

func put(ctx context.Context, s backup.Store, name string, text []byte) error {
	return s.Put(ctx, name, bytes.NewReader(text), int64(len(text)))
}

func get(ctx context.Context, s backup.Store, name string) ([]byte, error) {
	content, size, err := s.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	text, err := io.ReadAll(content)
	if err == nil && int64(len(text)) != size {
		err = fmt.Errorf("%d bytes of %d", len(text), size)
	}
	return text, err
}

// tellsNothing fails if an error holds a secret.
func tellsNothing(t testing.TB, err error) {
	t.Helper()
	for _, s := range []string{secret, keyID, "Signature=", "PRIVATE KEY"} {
		if err != nil && strings.Contains(err.Error(), s) {
			t.Errorf("%q is in: %v", s, err)
		}
	}
}
