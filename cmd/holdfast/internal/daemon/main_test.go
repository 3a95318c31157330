package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("HOLDFAST_TEST_DAEMON"); path != "" {
		child(path)
		return
	}
	goleak.VerifyTestMain(m)
}

// running is a daemon of a test, with its configuration in a file.
type running struct {
	*Daemon
	t      *testing.T
	dir    string
	config string // the file
	log    *logged
	client *http.Client
	token  string
	stop   func() error // once
}

// logged is a log that is read while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// configure writes a configuration, in which DIR is the test's directory.
func configure(t *testing.T, dir, config string) string {
	t.Helper()
	path := filepath.Join(dir, "holdfast.json")
	quoted, _ := json.Marshal(dir)
	text := strings.ReplaceAll(config, "DIR", strings.Trim(string(quoted), `"`))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func options(path string, env map[string]string, log io.Writer) Options {
	return Options{
		Load: func() (*Settings, error) {
			s, _, err := Load(holdfast.ConfigSource{Path: path})
			return s, err
		},
		Getenv: func(name string) string { return env[name] }, Logger: slog.New(slog.NewTextHandler(log, nil)), Version: "test",
	}
}

// start runs a daemon until the end of the test.
func start(t *testing.T, config string, env map[string]string) *running {
	t.Helper()
	r := &running{t: t, dir: t.TempDir(), log: &logged{}, client: &http.Client{Timeout: time.Minute}}
	r.config = configure(t, r.dir, config)
	d, err := Start(t.Context(), options(r.config, env, r.log))
	if err != nil {
		t.Fatal(err)
	}
	r.Daemon = d
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- d.Serve(ctx) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		defer r.client.CloseIdleConnections()
		return <-served
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		whole(t, r.dir)
	})
	return r
}

// whole checks each database of a directory once nobody serves it.
func whole(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.db"))
	if err != nil || len(files) == 0 {
		t.Errorf("no database in %s: %v", dir, err)
	}
	for _, file := range files {
		db, err := holdfast.Open(context.Background(), file)
		if err != nil {
			t.Fatal(err)
		}
		var check string
		if err := db.QueryRow("PRAGMA integrity_check").Scan(&check); err != nil || check != "ok" {
			t.Errorf("%s: integrity_check: %s, %v", file, check, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// one is a configuration of one database, on a port of the system's choice.
const one = `{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0"}}`

// do sends a request and returns status and body.
func (r *running) do(method, path, body string, header ...string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, r.URL()+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (r *running) get(path string, header ...string) (int, string) {
	r.t.Helper()
	return r.do(http.MethodGet, path, "", header...)
}

// write runs a statement that must succeed.
func (r *running) write(path, sql string) {
	r.t.Helper()
	body, _ := json.Marshal([]string{sql})
	if code, text := r.do(http.MethodPost, path, string(body)); code != http.StatusOK || strings.Contains(text, `"error"`) {
		r.t.Fatalf("%s: %d %s", sql, code, text)
	}
}

// want is an answer with some text in it.
func (r *running) want(code int, says, method, path, body string, header ...string) {
	r.t.Helper()
	if got, text := r.do(method, path, body, header...); got != code || !strings.Contains(text, says) {
		r.t.Errorf("%s %s: %d %.300s; want %d and %q", method, path, got, text, code, says)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprint(err))
	}
	return v
}
