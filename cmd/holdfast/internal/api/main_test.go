package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is an API over one database.
type server struct {
	t      *testing.T
	db     *Database
	mux    *http.ServeMux
	limits atomic.Pointer[Limits]
	full   atomic.Bool // too many requests are under way
}

func serve(t *testing.T) *server {
	t.Helper()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "app.db")
	db, err := holdfast.OpenConfig(ctx, holdfast.Config{Database: holdfast.DatabaseConfig{Path: path}, Limits: holdfast.LimitsConfig{Defensive: true}})
	if err != nil {
		t.Fatal(err)
	}
	reader, err := holdfast.Open(ctx, path, holdfast.WithUntrustedSQL())
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, db: &Database{Name: "main", DB: db, Reader: reader}, mux: http.NewServeMux()}
	s.limits.Store(&Limits{Body: 1 << 20, Rows: 1000, Response: 1 << 20, Time: 10 * time.Second})
	a := New(Config{
		Find: func(name string) (*Database, func(), bool) {
			return s.db, func() {}, name == "" || name == "main"
		},
		Limits: func() Limits { return *s.limits.Load() },
		Enter:  func() (func(), bool) { return func() {}, !s.full.Load() }, Version: "test", Logger: slog.New(slog.DiscardHandler),
	})
	for _, r := range a.Routes() {
		s.mux.Handle(r.Method+" "+r.Path, r.Handler)
	}
	t.Cleanup(func() {
		var check string
		if err := db.QueryRow("PRAGMA integrity_check").Scan(&check); err != nil || check != "ok" {
			t.Errorf("integrity_check: %s, %v", check, err)
		}
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// send sends a body to a path, or gets it if there is none.
func (s *server) send(path, body string, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	method, in := http.MethodPost, io.Reader(strings.NewReader(body))
	if body == "" {
		method, in = http.MethodGet, nil
	}
	r := httptest.NewRequest(method, path, in)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	return w
}

// want sends a body and compares the answer, which must be JSON.
func (s *server) want(path, body, want string, header ...string) {
	s.t.Helper()
	w := s.send(path, body, header...)
	if got := strings.TrimSpace(w.Body.String()); w.Code != http.StatusOK || got != want {
		s.t.Errorf("%s %s:\n got %d %s\nwant 200 %s", path, body, w.Code, got, want)
	}
	if !json.Valid(w.Body.Bytes()) {
		s.t.Errorf("%s %s: the answer is no JSON", path, body)
	}
}

// write runs statements that must succeed.
func (s *server) write(statements ...string) {
	s.t.Helper()
	body, err := json.Marshal(statements)
	if err != nil {
		s.t.Fatal(err)
	}
	if w := s.send("/db/execute", string(body)); w.Code != http.StatusOK || bytes.Contains(w.Body.Bytes(), []byte(`"error"`)) {
		s.t.Fatalf("%q: %d %s", statements, w.Code, w.Body)
	}
}

func (s *server) count(query string) (n int64) {
	s.t.Helper()
	if err := s.db.DB.QueryRow(query).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}
