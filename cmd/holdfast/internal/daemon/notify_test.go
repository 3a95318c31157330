package daemon

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// systemd listens where a notifier tells.
type systemd struct {
	t    *testing.T
	conn *net.UnixConn
	path string
}

func newSystemd(t *testing.T) *systemd {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no sockets for datagrams")
	}
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &systemd{t, conn, path}
}

// hears waits for a message that begins so.
func (s *systemd) hears(first string) string {
	s.t.Helper()
	_ = s.conn.SetReadDeadline(time.Now().Add(time.Minute))
	message := make([]byte, 4096)
	for {
		n, err := s.conn.Read(message)
		if err != nil {
			s.t.Fatalf("waiting for %s: %v", first, err)
		}
		if text := string(message[:n]); strings.HasPrefix(text, first) {
			return text
		}
	}
}

func TestSystemdIsTold(t *testing.T) {
	s := newSystemd(t)
	dir := t.TempDir()
	path := configure(t, dir, one)
	log := &logged{}
	d, err := Start(t.Context(), options(path, nil, log))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"NOTIFY_SOCKET": s.path, "WATCHDOG_USEC": "60000", "WATCHDOG_PID": "42"}
	ctx, cancel := context.WithCancel(t.Context())
	hangups, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- d.Run(ctx, NewNotifier(func(name string) string { return env[name] }, 42), hangups) }()
	if text := s.hears("READY=1"); !strings.Contains(text, "STATUS=serving at http://127.0.0.1:") {
		t.Errorf("%q", text)
	}
	s.hears("WATCHDOG=1")
	hangups <- struct{}{}
	if text := s.hears("RELOADING=1"); runtime.GOOS == "linux" && !strings.Contains(text, "\nMONOTONIC_USEC=") {
		t.Errorf("%q", text)
	}
	s.hears("READY=1\nSTATUS=serving")
	configure(t, dir, `{"serve": {"listen": 5}}`)
	hangups <- struct{}{}
	s.hears("READY=1\nSTATUS=the new configuration is wrong")
	s.hears("WATCHDOG=1") // the old one serves on
	cancel()
	s.hears("STOPPING=1")
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "expected a string, got a number") {
		t.Errorf("the log does not say what was wrong: %s", log)
	}
	whole(t, dir)
}

// A reload that waits for a request leaves the watchdog fed.
func TestReloadLeavesTheWatchdogAlone(t *testing.T) {
	s := newSystemd(t)
	dir := t.TempDir()
	const serve = `"serve": {"listen": "127.0.0.1:0", "request_timeout": "1h"}`
	path := configure(t, dir, `{"databases": {"a": {"database": {"path": "DIR/a.db"}}, "b": {"database": {"path": "DIR/b.db"}}}, `+serve+`}`)
	d, err := Start(t.Context(), options(path, nil, &logged{}))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"NOTIFY_SOCKET": s.path, "WATCHDOG_USEC": "60000"}
	ctx, cancel := context.WithCancel(t.Context())
	hangups, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- d.Run(ctx, NewNotifier(func(name string) string { return env[name] }, 42), hangups) }()
	s.hears("READY=1")
	_, release, ok := d.find("b") // a request is under way
	if !ok {
		t.Fatal("there is no b")
	}
	configure(t, dir, `{"databases": {"a": {"database": {"path": "DIR/a.db"}}}, `+serve+`}`)
	hangups <- struct{}{}
	s.hears("RELOADING=1")
	for range 3 {
		s.hears("WATCHDOG=1")
	}
	release()
	s.hears("READY=1\nSTATUS=serving")
	if d.DB("b") != nil {
		t.Error("b is still served")
	}
	cancel()
	s.hears("STOPPING=1")
	if err := <-ended; err != nil {
		t.Error(err)
	}
	whole(t, dir)
}

func TestNotifierReadsItsEnvironment(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want Notifier
	}{
		{map[string]string{}, Notifier{}},
		{map[string]string{"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "30000000"}, Notifier{"/x", 30 * time.Second}},
		{map[string]string{"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, Notifier{"@x", 0}},
		{map[string]string{"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "-1"}, Notifier{"/x", 0}},
		{map[string]string{"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"}, Notifier{"/x", 0}},
	} {
		if got := NewNotifier(func(name string) string { return c.env[name] }, 42); got != c.want {
			t.Errorf("%v: %+v, want %+v", c.env, got, c.want)
		}
	}
	if err := (Notifier{}).send(t.Context(), "READY=1"); err != nil {
		t.Errorf("without systemd: %v", err)
	}
	if err := (Notifier{socket: "relative"}).send(t.Context(), "READY=1"); err == nil {
		t.Error("a socket without a place")
	}
	if err := (Notifier{socket: filepath.Join(t.TempDir(), "nobody")}).send(t.Context(), "READY=1"); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("nobody listens: %v", err)
	}
}

// The unit is one that systemd takes.
func TestUnitIsVerified(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze here")
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "packaging", "systemd", "holdfast.service"))
	if err != nil {
		t.Fatal(err)
	}
	// What it starts has to be there to be verified.
	unit := filepath.Join(t.TempDir(), "holdfast.service")
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	here := strings.ReplaceAll(string(text), "/usr/bin/holdfast", program)
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(here, "man:holdfast-serve(1) ", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", unit).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "holdfast.service") { // others' units are not ours to mend
			t.Error(line)
		}
	}
	if err != nil && strings.Contains(string(out), "holdfast.service") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, setting := range []string{"Type=notify", "NoNewPrivileges=yes", "ProtectSystem=strict", "StateDirectory=holdfast", "WatchdogSec=", "CapabilityBoundingSet=\n"} {
		if !strings.Contains(string(text), "\n"+setting) {
			t.Errorf("the unit has no %s", setting)
		}
	}
}
