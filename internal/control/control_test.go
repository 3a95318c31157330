//go:build linux || darwin

package control_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/internal/control"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// database is a path short enough for a socket beside it.
func database(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "app.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// config is a Server's that is alone, so every place is free to it. up is closed
// when there is a socket or won't be one.
func config(path string) (cfg control.Config) {
	return control.Config{
		Path:  path,
		Claim: func(int) (bool, error) { return true, nil },
		Locks: func(context.Context) (any, error) {
			return map[string]any{"holders": []map[string]any{{"lock": "WAL_WRITE", "call_site": "a.go:1"}}, "queued": 3}, nil
		},
		Stats:      func(context.Context) (any, error) { return nil, errors.New("no stats today") },
		Statements: func(context.Context) (any, error) { return []control.Statement{{Text: "SELECT ?"}}, nil },
		Health:     func(context.Context) (any, error) { return map[string]string{"status": "ok"}, nil },
		Log:        slog.New(slog.DiscardHandler),
	}
}

// start starts a Server and waits for its socket. end may be called again.
func start(t *testing.T, cfg control.Config) (end func()) {
	t.Helper()
	s := control.Start(cfg)
	end = sync.OnceFunc(s.Close)
	t.Cleanup(end)
	await(t, func() bool {
		answers, _ := control.Ask(t.Context(), cfg.Path, control.RequestStatements)
		return len(answers) > 0
	})
	return end
}

// await polls for what nothing reports.
func await(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen")
		}
		<-time.After(time.Millisecond)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	path := database(t)
	end := start(t, config(path))
	info, err := os.Lstat(control.Name(path, 0))
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	answers, silent := control.Ask(t.Context(), path, control.RequestLocks)
	if len(answers) != 1 || len(silent) != 0 {
		t.Fatalf("%+v, %+v", answers, silent)
	}
	a := answers[0]
	if a.PID != os.Getpid() || a.Program == "" || a.Locks == nil || a.Locks.Queued != 3 || a.Locks.Holders[0].CallSite != "a.go:1" {
		t.Errorf("%+v", a)
	}
	if _, silent = control.Ask(t.Context(), path, control.RequestStats); len(silent) != 1 || silent[0].Err.Error() != "no stats today" {
		t.Errorf("%+v", silent)
	}
	end()
	if exists(control.Name(path, 0)) {
		t.Error("the socket is left after Close")
	}
	if answers, silent := control.Ask(t.Context(), path, control.RequestLocks); len(answers)+len(silent) != 0 {
		t.Errorf("%+v, %+v", answers, silent)
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	t.Parallel()
	path := database(t)
	start(t, config(path))
	for request, want := range map[string]string{
		"drop table\n":                     `"error":"unknown request; ask for locks, stats, statements, health or queries"}`,
		"\n":                               `"error":"unknown request`,
		strings.Repeat("x", 64):            "",
		strings.Repeat("x", 63) + "\n":     `"error":"unknown request`,
		"locks " + strings.Repeat(" ", 60): "",
	} {
		c, err := net.Dial("unix", control.Name(path, 0))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(c) // reset when the request was not read to its end
		if got := string(answer); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q is answered %q", request, got)
		}
		c.Close()
	}
}

// dialer connects to the socket of a test, until its end.
func dialer(t *testing.T, path string) func(request string) net.Conn {
	return func(request string) net.Conn {
		t.Helper()
		c, err := net.Dial("unix", control.Name(path, 0))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		return c
	}
}

// Peers that say nothing, or don't take their answer, lose their conversation
// after a second and keep nobody longer.
func TestPeersThatDoNothing(t *testing.T) {
	t.Parallel()
	path := database(t)
	cfg := config(path)
	big := strings.Repeat("x", 2<<20) // more than a socket's buffer
	cfg.Stats = func(context.Context) (any, error) { return big, nil }
	start(t, cfg)
	dial := dialer(t, path)
	for range 4 {
		dial("")
		dial("stats\n")
	}
	var ninth struct{ Schema string }
	if err := json.NewDecoder(dial("statements\n")).Decode(&ninth); err != nil || ninth.Schema != control.Schema {
		t.Errorf("the ninth got %+v, %v", ninth, err)
	}
}

// Close waits for no peer, and for no answer longer than that one wants.
func TestCloseEndsConversations(t *testing.T) {
	t.Parallel()
	quick := false
	for range 5 {
		path := database(t)
		cfg := config(path)
		entered, ended := make(chan struct{}), make(chan error, 1)
		cfg.Stats = func(ctx context.Context) (any, error) {
			close(entered)
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, nil
		}
		end := start(t, cfg)
		dial := dialer(t, path)
		dial("stats\n")
		for range 20 {
			dial("")
		}
		<-entered
		before := time.Now()
		end()
		// A Close that waited for the deadlines of its peers would never be
		// quick, and a busy machine is at times.
		took := time.Since(before)
		quick = quick || <-ended == context.Canceled && took < 300*time.Millisecond
	}
	if !quick {
		t.Error("Close waits")
	}
}

func TestCloseBeforeThereIsASocket(t *testing.T) {
	t.Parallel()
	path := database(t)
	cfg := config(path)
	cfg.Delay = time.Hour
	control.Start(cfg).Close()
	cfg.Delay = 0
	for range 50 {
		control.Start(cfg).Close() // anywhere in its making
	}
	if exists(control.Name(path, 0)) {
		t.Error("a socket is left")
	}
}

// What stands at the place is removed only if it is a socket that nobody
// listens to.
func TestPlacesThatAreTaken(t *testing.T) {
	t.Parallel()
	path := database(t)
	if err := os.WriteFile(control.Name(path, 0), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	alive, err := net.Listen("unix", control.Name(path, 1)) // its owner's lock file was deleted
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	dead, err := net.Listen("unix", control.Name(path, 2))
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	end := start(t, config(path))
	if _, err := net.Dial("unix", control.Name(path, 2)); err != nil {
		t.Errorf("the left-over is not replaced: %v", err)
	}
	end()
	for place, want := range []bool{true, true, false} {
		if got := exists(control.Name(path, place)); got != want {
			t.Errorf("place %d is there: %v, want %v", place, got, want)
		}
	}
	if text, err := os.ReadFile(control.Name(path, 0)); string(text) != "mine" {
		t.Errorf("%q, %v", text, err)
	}
}

// A socket that has another's name by now is not removed.
func TestCloseLeavesAnothersSocket(t *testing.T) {
	t.Parallel()
	path := database(t)
	end := start(t, config(path))
	if err := os.Remove(control.Name(path, 0)); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("unix", control.Name(path, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	end()
	if !exists(control.Name(path, 0)) {
		t.Error("the socket of another was removed")
	}
}

func TestNoSocketIsNoHarm(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(cfg *control.Config){
		"no place":     func(cfg *control.Config) { cfg.Claim = func(int) (bool, error) { return false, nil } },
		"no lock":      func(cfg *control.Config) { cfg.Claim = func(int) (bool, error) { return false, errors.New("gone") } },
		"no directory": func(cfg *control.Config) { cfg.Path = filepath.Join(filepath.Dir(cfg.Path), "none", "app.db") },
		"long name":    func(cfg *control.Config) { cfg.Path += strings.Repeat("x", 150) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(database(t))
			prepare(&cfg)
			said := make(chan string, 1)
			cfg.Log = slog.New(slog.NewTextHandler(lines(said), &slog.HandlerOptions{Level: slog.LevelDebug}))
			s := control.Start(cfg)
			if line := <-said; !strings.Contains(line, "level=DEBUG") || !strings.Contains(line, "no control socket") {
				t.Errorf("it says %q", line)
			}
			s.Close()
		})
	}
}

type lines chan<- string

func (l lines) Write(p []byte) (int, error) { l <- string(p); return len(p), nil }

// What is said in another's name is not believed, and who says nothing is named.
func TestAnswersThatDontCount(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"another's":  `{"schema":"holdfast.control/v1","pid":1,"program":"init","locks":{}}` + "\n",
		"no schema":  `{"pid":1}` + "\n",
		"no JSON":    "hello\n",
		"half":       `{"schema":"holdfast.control/v1",`,
		"nothing":    "",
		"long item":  fmt.Sprintf(`{"schema":"holdfast.control/v1","pid":%d,"locks":{"waiters":[{"statement":%q}]}}`, os.Getpid(), strings.Repeat("x", 100<<10)),
		"for ever  ": "-",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := database(t)
			l, err := net.Listen("unix", control.Name(path, 4))
			if err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			all.Go(func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				_, _ = bufio.NewReader(c).ReadString('\n')
				if answer == "-" {
					_, _ = io.Copy(io.Discard, c) // until the other end is tired of it
					return
				}
				_, _ = io.WriteString(c, answer)
			})
			answers, silent := control.Ask(t.Context(), path, control.RequestLocks)
			l.Close()
			all.Wait()
			if len(answers) != 0 || len(silent) != 1 || silent[0].Path != control.Name(path, 4) {
				t.Errorf("%+v, %+v", answers, silent)
			}
			if late := errors.Is(silent[0].Err, os.ErrDeadlineExceeded); late != (answer == "-") {
				t.Errorf("%v", silent[0].Err)
			}
			if name == "another's" && !errors.Is(silent[0].Err, control.ErrImpostor) {
				t.Errorf("%v", silent[0].Err)
			}
		})
	}
}

// Of a list without end, which fits into a small answer if its items are empty,
// the beginning is kept.
func TestAnswerWithoutEnd(t *testing.T) {
	t.Parallel()
	var a control.Answer
	items := "[{}" + strings.Repeat(",{}", 100_000) + "]"
	text := fmt.Sprintf(`{"locks":{"holders":%s,"waiters":%[1]s,"queued":100001},"statements":%[1]s}`, items)
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatal(err)
	}
	if len(a.Locks.Holders) != 1000 || len(a.Locks.Waiters) != 1000 || len(a.Statements) != 1000 || a.Locks.Queued != 100001 {
		t.Errorf("%d holders, %d waiters, %d statements", len(a.Locks.Holders), len(a.Locks.Waiters), len(a.Statements))
	}
	for _, text := range []string{`{"locks":{"waiters":null},"statements":[]}`, `{"statements":7}`, `{"statements":{}}`} {
		if err := json.Unmarshal([]byte(text), &a); len(a.Statements) != 0 {
			t.Errorf("%s: %v, %v", text, a.Statements, err)
		}
	}
}
