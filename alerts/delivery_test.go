package alerts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// called is a receiver that is a function.
type called func(ctx context.Context, n *Notification) error

func (called) Name() string { return "called" }

func (f called) Deliver(ctx context.Context, n *Notification) error { return f(ctx, n) }

// A receiver that is away for a day holds up nobody, is reported, and then gets what is
// true and what has ended, in one notification.
func TestDeliveryOutlivesItsReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		away := &inbox{fail: errors.New("no route to host")}
		b.outlets = append(b.outlets, newOutlet(away, time.Second))
		b.running.Go(func() { b.outlets[1].run(b.ctx) })
		f := healthy("orders")
		b.watch("orders", f)
		f.hold(6)
		b.after(time.Second)
		b.wantTold("firing warning write_lock_held_long orders")
		f.hold(0)
		f.o.health.ConnectionStats.Damaged = true
		for range 24 * 6 {
			b.after(10 * time.Minute)
		}
		b.wantActive("firing critical integrity_failed", "firing critical monitoring_blind")
		told := b.in.told()
		if !slices.Contains(told, "firing critical monitoring_blind inbox") || !slices.Contains(told, "firing critical integrity_failed orders") ||
			!slices.Contains(told, "firing critical integrity_failed orders, resolved warning write_lock_held_long orders") {
			t.Errorf("the others were told %q", told)
		}
		if s := b.Status().Receivers[1]; s.Pending != 2 || s.Failed < 24*12 || s.FailingSince.IsZero() || s.LastError != "no route to host" {
			t.Errorf("%+v", s)
		}

		away.breaks(nil)
		b.after(longestPause)
		got := away.told()
		slices.Sort(got)
		want := []string{
			"firing critical integrity_failed orders, resolved warning write_lock_held_long orders",
			"firing critical monitoring_blind inbox",
		}
		if !slices.Equal(got, want) {
			t.Errorf("told when it came back: %q", got)
		}
		b.after(time.Minute)
		b.wantActive("firing critical integrity_failed")
		if got := away.told(); got[len(got)-1] != "resolved critical monitoring_blind inbox" {
			t.Errorf("%q", got)
		}
	})
}

func TestSlowAndPanickingReceivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		for _, r := range []called{
			func(ctx context.Context, _ *Notification) error { <-ctx.Done(); return ctx.Err() },
			func(_ context.Context, n *Notification) error { n.Alerts[7].Labels["x"] = "y"; return nil },
			func(_ context.Context, n *Notification) error { n.Alerts[0].Labels["rule"] = "mine"; return nil },
		} {
			o := newOutlet(r, time.Second)
			b.outlets = append(b.outlets, o)
			b.running.Go(func() { o.run(b.ctx) })
		}
		f := healthy("orders")
		b.watch("orders", f)
		f.hold(6)
		b.after(0)
		b.wantTold("firing warning write_lock_held_long orders") // while the slow one still waits
		b.after(time.Second)
		s := b.Status().Receivers
		if s[1].LastError != "it did not answer in time" || !strings.Contains(s[2].LastError, "panicked") || s[3].Delivered != 1 {
			t.Errorf("%+v", s)
		}
		results, err := b.Test(t.Context())
		if err != nil || len(results) != 4 || results[0].Error != "" || results[1].Error == "" || results[2].Error == "" || results[3].Error != "" {
			t.Errorf("%+v, %v", results, err)
		}
		if told := b.in.told(); told[len(told)-1] != "firing warning test" {
			t.Errorf("%q", told)
		}
	})
}

// What waits has a bound, and what is dropped for it is counted.
func TestAbsorbIsBounded(t *testing.T) {
	o := newOutlet(&inbox{}, time.Second)
	at := time.Unix(1, 0)
	for i := range mostEnded + 10 {
		n := &Notification{GroupKey: "g", Alerts: []Notice{
			{Status: "firing", Fingerprint: "f", StartsAt: at},
			{Status: "resolved", Fingerprint: fmt.Sprint(i), StartsAt: at},
		}}
		o.put(n)
	}
	n := o.take()
	if len(n.Alerts) != mostEnded+1 || n.TruncatedAlerts != 10 || n.Alerts[0].Status != "firing" || n.Alerts[1].Fingerprint != fmt.Sprint(mostEnded+9) || n.Status != "firing" {
		t.Errorf("%d alerts, %d truncated, %+v", len(n.Alerts), n.TruncatedAlerts, n.Alerts[:2])
	}
	o.put(&Notification{GroupKey: "g", Alerts: []Notice{{Status: "resolved", Fingerprint: "f", StartsAt: at}}})
	o.back(n)
	if n = o.take(); n.Status != "resolved" || n.Alerts[0].Fingerprint != "f" || o.take() != nil {
		t.Errorf("what is not true any more is told: %+v", n.Alerts[0])
	}
}

// server is one that can be told what to answer.
func server(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(answer))
	t.Cleanup(s.Close)
	return s
}

func TestWebhook(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan Notification, 1)
	status := http.StatusOK
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		var n Notification
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Authorization") != "Bearer hunter2" || json.NewDecoder(r.Body).Decode(&n) != nil {
			t.Errorf("%s %v", r.Method, r.Header)
		}
		if status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
		got <- n
	})
	w := &webhook{address: s.URL + "/services/T0P/s3cr3t", tokenFile: secret, client: newClient()}
	defer w.close()
	n := notify([]Alert{{Name: "WALTooBig", State: Firing}}, "orders", &Config{}, "host")
	if err := w.Deliver(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if n := <-got; n.Alerts[0].Labels["alertname"] != "HoldfastWALTooBig" {
		t.Errorf("%+v", n)
	}
	for _, status = range []int{http.StatusInternalServerError, http.StatusFound, http.StatusUnauthorized} {
		err := w.Deliver(t.Context(), n)
		if <-got; err == nil || !strings.Contains(err.Error(), http.StatusText(status)) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%d: %v", status, err)
		}
	}
	s.Close()
	err := w.Deliver(t.Context(), n)
	if err == nil || strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "hunter2") || strings.Contains(w.Name(), "s3cr3t") {
		t.Errorf("the receiver is gone: %v", err)
	}
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	if err := w.Deliver(t.Context(), n); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the token is gone: %v", err)
	}
}

// A whole engine, by the clock, and a receiver that answers 500, not at all, and then well.
func TestWebhookThatComesBack(t *testing.T) {
	answers := make(chan int, 4)
	for _, a := range []int{http.StatusInternalServerError, 0, http.StatusServiceUnavailable, http.StatusOK} {
		answers <- a
	}
	got := make(chan Notification, 1)
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		var n Notification
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			t.Error(err)
		}
		switch a := <-answers; a {
		case 0:
			<-r.Context().Done() // the client gives up
		case http.StatusOK:
			got <- n
		default:
			w.WriteHeader(a)
		}
	})
	e, err := newEngine(Config{Alerts: Settings{Webhook: s.URL, Timeout: 50 * time.Millisecond}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	e.stop() // and anew, with pauses for a test
	e.running.Wait()
	e.ctx, e.stop = context.WithCancel(t.Context())
	e.outlets[0].pause = time.Millisecond
	e.running.Go(func() { e.outlets[0].run(e.ctx) })
	f := healthy("orders")
	e.watch("orders", f)
	f.hold(6)
	e.round(time.Now())
	if n := <-got; n.Alerts[0].Labels["rule"] != "write_lock_held_long" {
		t.Errorf("%+v", n)
	}
}

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	for text, good := range map[string]bool{"a": true, " a b \r\n": true, "": false, " \n": false, "a\nb": false, strings.Repeat("a", mostSecret+1): false} {
		path := filepath.Join(dir, "secret")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		secret, err := Secret(path)
		if (err == nil) != good || good && secret != strings.TrimSpace(text) {
			t.Errorf("%.10q: %q, %v", text, secret, err)
		}
	}
	if _, err := Secret(dir); err == nil {
		t.Error("a directory was taken")
	}
}

// asProgram has this test be the program that receives alerts.
const asProgram = "HOLDFAST_TEST_ALERTS_PROGRAM"

// beProgram copies its input to a file, fails, or never ends.
func beProgram() int {
	verb, path, _ := strings.Cut(os.Getenv(asProgram), " ")
	switch verb {
	case "fail":
		return 3
	case "hang":
		<-time.After(time.Hour) // it is killed before
	}
	text, err := io.ReadAll(os.Stdin)
	if verb == "environment" {
		text = []byte(strings.Join(os.Environ(), "\n"))
	}
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return 1
	}
	return 0
}

func TestProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := program{self, []string{asProgram}}
	path := filepath.Join(t.TempDir(), "got.json")
	n := notify([]Alert{{Name: "WALTooBig", State: Firing}}, "orders", &Config{}, "host")
	t.Setenv(asProgram, "copy "+path)
	if err := p.Deliver(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	var got Notification
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &got) != nil || got.Alerts[0].Labels["alertname"] != "HoldfastWALTooBig" {
		t.Errorf("%s, %v", text, err)
	}
	t.Setenv(asProgram, "environment "+path)
	t.Setenv("HOLDFAST_WRITE_TOKEN", "secret-token")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret-key")
	if err := p.Deliver(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || strings.Contains(string(text), "secret-") || !strings.Contains(string(text), "PATH=") {
		t.Errorf("the program's environment: %s, %v", text, err)
	}
	t.Setenv(asProgram, "fail")
	if err := p.Deliver(t.Context(), n); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("%v", err)
	}
	t.Setenv(asProgram, "hang")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Deliver(ctx, n); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if err := (program{path: filepath.Join(t.TempDir(), "none")}).Deliver(t.Context(), n); !errors.Is(err, os.ErrNotExist) && !errors.Is(err, exec.ErrNotFound) { // Windows looks in %PATH%
		t.Errorf("%v", err)
	}
}

// The heart beats while rounds are made and somebody can be told, and what is wrong with
// it is told like everything else.
func TestHeartbeat(t *testing.T) {
	beats := make(chan bool, 1)
	status := make(chan int, 1)
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(<-status)
		beats <- r.Method == http.MethodGet && r.URL.Path == "/ping/s3cr3t"
	})
	in := &inbox{}
	e, err := newEngine(Config{Alerts: Settings{Heartbeat: s.URL + "/ping/s3cr3t"}}, []Receiver{in})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	now := time.Now()
	beat := func(code int) {
		t.Helper()
		status <- code
		e.round(now)
		if !<-beats {
			t.Error("no ping")
		}
	}
	beat(http.StatusOK)
	now = now.Add(59 * time.Second)
	e.round(now) // too early: a beat would wait for its status, and spoil the next
	now = now.Add(time.Second)
	beat(http.StatusBadGateway)
	poll(t, "the failure is known", func() bool { return !e.beat.status().FailingSince.IsZero() })
	now = time.Now().Add(time.Hour)
	beat(http.StatusBadGateway)
	e.round(now.Add(time.Second))
	now = now.Add(time.Minute)
	beat(http.StatusOK)
	if a := e.Active(); len(a) != 1 || a[0].Rule != blindRule || a[0].Subject != "heartbeat" || a[0].State != Firing || strings.Contains(a[0].Summary.EN, "s3cr3t") {
		t.Errorf("%+v", a)
	}
	poll(t, "the success is known", func() bool { return e.Status().Heartbeat.FailingSince.IsZero() })
	e.round(now.Add(time.Second))
	e.round(now.Add(70 * time.Second)) // it is another beat's time
	status <- http.StatusOK
	if <-beats; len(e.Active()) != 0 {
		t.Errorf("%+v", e.Active())
	}

	// Nobody can be told: the silence tells.
	in.breaks(errors.New("away"))
	if _, err := e.Test(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.round(now.Add(time.Hour))
	if last := e.beat.last; !last.Equal(now.Add(70 * time.Second)) {
		t.Errorf("it beats at %s", last)
	}
}

// poll waits for what another goroutine does after its last sign.
func poll(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
