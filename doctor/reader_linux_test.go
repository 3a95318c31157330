package doctor

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/internal/control"
)

// A reader that tells what it does is named with it.
func TestReaderThatTells(t *testing.T) {
	t.Parallel()
	p := &patient{path: filepath.Join(t.TempDir(), "app.db")}
	if err := os.WriteFile(p.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	plain := process(os.Getpid())
	if got := p.reader(t.Context(), os.Getpid()); got != plain {
		t.Errorf("without a socket: %q", got)
	}
	s := control.Start(control.Config{
		Path:  p.path,
		Claim: func(int) (bool, error) { return true, nil },
		Locks: func(context.Context) (any, error) {
			return control.Locks{Holders: []control.Holder{
				{Lock: "WAL_WRITE", CallSite: "w.go:1", Statement: "DELETE FROM t"},
				{Lock: "WAL_READ", CallSite: "r.go:2", Statement: "SELECT a FROM t"},
				{Lock: "WAL_READ", CallSite: "r.go:3", Statement: "SELECT b FROM t"},
			}}, nil
		},
		Log: slog.New(slog.DiscardHandler),
	})
	defer s.Close()
	want := plain + " (r.go:2: SELECT a FROM t)"
	for deadline := time.Now().Add(10 * time.Second); p.reader(t.Context(), os.Getpid()) != want; {
		if time.Now().After(deadline) {
			t.Fatalf("%q", p.reader(t.Context(), os.Getpid()))
		}
		<-time.After(time.Millisecond)
	}
	if got := p.reader(t.Context(), 1); got != process(1) {
		t.Errorf("another's: %q", got)
	}
}
