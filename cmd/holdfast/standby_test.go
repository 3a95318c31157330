package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfastdb/holdfast/replicate/lease"
	"github.com/holdfastdb/holdfast/replicate/standby"
)

// A redirect that would turn the POST into a GET is no answer, and an error doesn't have the URL, which may be
// all the secret there is.
func TestPostHook(t *testing.T) {
	t.Parallel()
	told := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told <- r.Method
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/", http.StatusFound)
		}
	}))
	if err := postHook(t.Context(), server.URL+"/", standby.Promotion{}); err != nil || <-told != http.MethodPost {
		t.Error(err)
	}
	if err := postHook(t.Context(), server.URL+"/moved", standby.Promotion{}); err == nil || !strings.Contains(err.Error(), "302") {
		t.Errorf("a redirect was taken for an answer: %v", err)
	}
	server.Close()
	err := postHook(t.Context(), server.URL+"/hooks/SECRET?token=SECRET", standby.Promotion{})
	if err == nil || strings.Contains(err.Error(), "SECRET") || !strings.Contains(err.Error(), "refused") {
		t.Error(err)
	}
}

// Who takes over at once owns the database when demote looks again.
func TestDemoteSaysWhoOwnsIt(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no lease in a directory")
	}
	target := t.TempDir()
	open := func(node string) *lease.Place {
		p, err := lease.Open(t.Context(), target, lease.Options{Node: node, TTL: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
		return p
	}
	one, two := open("one"), open("two")
	owner, err := one.Take(t.Context(), lease.State{}, lease.NewSession())
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Abandon()
	out := new(bytes.Buffer)
	a := &app{out: bufio.NewWriter(out), errs: io.Discard, format: output.JSON}
	demoted := make(chan error, 1)
	go func() { demoted <- a.failoverDemote(t.Context(), one) }()
	from, err := two.Read(t.Context())
	for err == nil && !from.Leave {
		<-time.After(time.Millisecond)
		from, err = two.Read(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	next, err := two.Take(t.Context(), from, lease.NewSession())
	if err != nil {
		t.Fatal(err)
	}
	defer next.Abandon()
	if err := <-demoted; err != nil {
		t.Fatal(err)
	}
	_ = a.out.Flush()
	if text := out.String(); !strings.Contains(text, `"owned"`) || !strings.Contains(text, `"two"`) {
		t.Error(text)
	}
}
