package alerts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks/table"
)

// receivers are those that c configures.
func (c *Config) receivers(log *slog.Logger) (out []Receiver) {
	if c.Alerts.Log.Enabled() && c.Logger != nil {
		out = append(out, logReceiver{log})
	}
	for _, address := range strings.Fields(c.Alerts.Webhook) {
		out = append(out, &webhook{address: address, tokenFile: c.Alerts.WebhookTokenFile, client: newClient()})
	}
	if c.Alerts.Exec != "" {
		out = append(out, program{c.Alerts.Exec, strings.Fields(c.Alerts.ExecEnvironment)})
	}
	return out
}

// logReceiver writes a line for each alert.
type logReceiver struct{ log *slog.Logger }

func (logReceiver) Name() string { return "log" }

func (l logReceiver) Deliver(ctx context.Context, n *Notification) error {
	for i := range n.Alerts {
		a := &n.Alerts[i]
		level := slog.LevelWarn
		switch {
		case a.Status == string(Resolved):
			level = slog.LevelInfo
		case a.Labels["severity"] == string(Critical):
			level = slog.LevelError
		}
		l.log.Log(ctx, level, "holdfast: alert "+a.Status, "alert", a.Labels["alertname"], "database", a.Labels["database"], "severity", a.Labels["severity"],
			"summary", a.Annotations["summary"], "next", a.Annotations["description"], "runbook", a.Annotations["runbook_url"])
	}
	return nil
}

// newClient follows no redirect: what is told is told to whom it is meant for.
func newClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConns: 2, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// call makes one request. The error has nothing of the URL but its host: paths of
// webhooks are secrets.
func call(client *http.Client, r *http.Request) error {
	r.Header.Set("User-Agent", "holdfast")
	answer, err := client.Do(r)
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if err != nil {
		return fmt.Errorf("%s: %w", r.URL.Host, err)
	}
	defer answer.Body.Close()
	_, _ = io.ReadAll(io.LimitReader(answer.Body, 64<<10)) // so that the connection can be used again
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("%s answers %s", r.URL.Host, answer.Status)
	}
	return nil
}

// webhook posts the JSON.
type webhook struct {
	address, tokenFile string
	client             *http.Client
}

func (w *webhook) Name() string {
	u, err := url.Parse(w.address)
	if err != nil {
		return "webhook"
	}
	return "webhook " + u.Host
}

func (w *webhook) close() { w.client.CloseIdleConnections() }

func (w *webhook) Deliver(ctx context.Context, n *Notification) error {
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.address, bytes.NewReader(text))
	if err != nil {
		return errors.New("alerts.webhook is no URL")
	}
	r.Header.Set("Content-Type", "application/json")
	if w.tokenFile != "" {
		token, err := Secret(w.tokenFile)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return call(w.client, r)
}

// mostSecret is the largest secret that is read.
const mostSecret = 16 << 10

// Secret reads a token or a password from a file, without white space around it. It is
// never part of an error. A database that this process has open is refused: closing it
// here would drop the process's locks.
func Secret(path string) (string, error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("read a secret: %w", err)
	case !info.Mode().IsRegular() || info.Size() > mostSecret || table.Own(path):
		return "", fmt.Errorf("read a secret: %s is no file with a secret in it", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read a secret: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" || strings.ContainsAny(secret, "\r\n\x00") {
		return "", fmt.Errorf("read a secret: %s has not one line", path)
	}
	return secret, nil
}

// program runs a program with the JSON on its standard input.
type program struct {
	path string
	more []string // variables of the environment that it gets, too
}

// harmless are the variables that a program finds its way with. Any other may be a secret
// of this process, and a program that sends alerts elsewhere would have it.
var harmless = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LC_TIME", "TZ", "TMPDIR", "XDG_RUNTIME_DIR",
	"SystemRoot", "SystemDrive", "windir", "ComSpec", "PATHEXT", "TEMP", "TMP", "USERPROFILE", "USERNAME", "APPDATA", "LOCALAPPDATA", "ProgramData", "ProgramFiles",
}

// environment is never nil: that would be all of this process's.
func (p program) environment() []string {
	env := []string{}
	for _, name := range slices.Concat(p.more, harmless) {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func (p program) Name() string { return "exec " + filepath.Base(p.path) }

func (p program) Deliver(ctx context.Context, n *Notification) error {
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, p.path)
	cmd.Env = p.environment()
	cmd.Stdin = bytes.NewReader(text)
	cmd.WaitDelay = time.Second // for what it has begun and that holds its input
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%s: %w", filepath.Base(p.path), err)
	}
	return nil
}

// heartbeat fetches a URL, so that somebody else notices when that ends.
type heartbeat struct {
	address string
	timeout time.Duration
	client  *http.Client
	due     chan struct{}
	last    time.Time // due was told; the engine's rounds have it
	end     func()    // ends run, and waits for it

	mu   sync.Mutex // guards told
	told ReceiverStatus
}

func newHeartbeat(address string, timeout time.Duration) *heartbeat {
	return &heartbeat{address: address, timeout: timeout, client: newClient(), due: make(chan struct{}, 1), told: ReceiverStatus{Name: "heartbeat"}}
}

// tick beats if it is time.
func (h *heartbeat) tick(now time.Time, every time.Duration) {
	if !h.last.IsZero() && now.Sub(h.last) < every {
		return
	}
	h.last = now
	select {
	case h.due <- struct{}{}:
	default: // the last one is still under way
	}
}

func (h *heartbeat) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.due:
		}
		err := h.beat(ctx)
		h.mu.Lock()
		h.told.note(time.Now(), err)
		h.mu.Unlock()
	}
}

func (h *heartbeat) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, h.address, nil)
	if err != nil {
		return errors.New("alerts.heartbeat is no URL")
	}
	return call(h.client, r)
}

func (h *heartbeat) status() ReceiverStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.told
}
