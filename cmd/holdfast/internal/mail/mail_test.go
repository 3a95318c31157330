package mail

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/alerts"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// post is a server for mail that takes everything.
type post struct {
	net.Listener
	startTLS *tls.Config // nil: it offers none
	users    bool        // it offers to log in
	silent   bool        // it says nothing

	serving sync.WaitGroup
	mu      sync.Mutex // guards the rest
	got     []string   // letters
	logins  []string
}

func newPost(t *testing.T, set func(*post)) *post {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &post{Listener: l}
	set(p)
	p.serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.serving.Go(func() { p.converse(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.serving.Wait()
	})
	return p
}

func (p *post) converse(c net.Conn) {
	defer c.Close()
	if p.silent {
		_, _ = c.Read(make([]byte, 1)) // until the other side gives up
		return
	}
	in := bufio.NewReader(c)
	say := func(text string) { _, _ = fmt.Fprintf(c, "%s\r\n", text) } // to nobody, if they have gone
	say("220 test")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			_, encrypted := c.(*tls.Conn)
			if p.startTLS != nil && !encrypted {
				say("250-STARTTLS")
			}
			if p.users {
				say("250-AUTH PLAIN")
			}
			say("250 OK")
		case "STARTTLS":
			say("220 go")
			c = tls.Server(c, p.startTLS)
			in = bufio.NewReader(c)
		case "AUTH":
			_, token, _ := strings.Cut(rest, " ")
			plain, _ := base64.StdEncoding.DecodeString(token)
			p.mu.Lock()
			p.logins = append(p.logins, strings.ReplaceAll(string(plain), "\x00", "|"))
			p.mu.Unlock()
			say("235 in")
		case "DATA":
			say("354 go on")
			var letter strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				letter.WriteString(line)
			}
			p.mu.Lock()
			p.got = append(p.got, letter.String())
			p.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 OK")
		}
	}
}

func notification() *alerts.Notification {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return &alerts.Notification{Status: "firing", ExternalURL: "https://db.example/", Alerts: []alerts.Notice{
		{
			Status: "firing", StartsAt: at,
			Labels:      map[string]string{"alertname": "HoldfastWALTooBig", "database": "orders", "severity": "critical", "instance": "host"},
			Annotations: map[string]string{"summary": "The log of orders has 1 GiB", "description": "End the reader", "runbook_url": "https://x.example/#wal_too_big"},
		},
		{
			Status: "resolved", StartsAt: at, EndsAt: at.Add(time.Minute),
			Labels:      map[string]string{"alertname": "HoldfastPoolStarved", "database": "orders", "severity": "warning", "instance": "host"},
			Annotations: map[string]string{"summary": "Reads wait", "description": "Close rows", "runbook_url": "https://x.example/#pool_starved"},
		},
	}}
}

func receiver(t *testing.T, p *post, set func(*alerts.Config)) *Receiver {
	t.Helper()
	c := alerts.Config{Mail: alerts.MailSettings{Server: p.Addr().String(), From: "holdfast@db.example", To: "ops@db.example, Anna <anna@db.example>", TLS: "NONE"}}
	if set != nil {
		set(&c)
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestMail(t *testing.T) {
	t.Parallel()
	p := newPost(t, func(*post) {})
	if err := receiver(t, p, nil).Deliver(t.Context(), notification()); err != nil {
		t.Fatal(err)
	}
	letter := p.got[0]
	for _, want := range []string{
		"Subject: [FIRING] WALTooBig orders (+1)", "From: <holdfast@db.example>", "anna@db.example", "Auto-Submitted: auto-generated",
		"[FIRING, critical] The log of orders has 1 GiB", "since 2026-01-02 03:04:05 UTC, host", "What to do: End the reader", "[RESOLVED, warning] Reads wait",
		"until 2026-01-02 03:05:05 UTC", "https://db.example/",
	} {
		if !strings.Contains(strings.ReplaceAll(letter, "=\r\n", ""), want) {
			t.Errorf("%q is missing in\n%s", want, letter)
		}
	}
	german := receiver(t, p, func(c *alerts.Config) { c.Alerts.Language = "de" })
	if err := german.Deliver(t.Context(), notification()); err != nil || !strings.Contains(p.got[1], "Subject: [ALARM] WALTooBig orders (+1)") || !strings.Contains(p.got[1], "Zu tun:") {
		t.Errorf("%v\n%s", err, p.got)
	}
}

// certificate is one for 127.0.0.1 that nobody trusts.
func certificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}

// A password goes nowhere that is not encrypted to whom it is meant for, nor into an error.
func TestMailIsNotSentInTheClear(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	login := func(tls string) func(*alerts.Config) {
		return func(c *alerts.Config) { c.Mail.TLS, c.Mail.User, c.Mail.PasswordFile = tls, "anna", secret }
	}
	for name, c := range map[string]struct {
		server func(*post)
		tls    string
	}{
		"no TLS is offered":             {func(p *post) { p.users = true }, "STARTTLS"},
		"a certificate of somebody":     {func(p *post) { p.users, p.startTLS = true, certificate(t) }, "STARTTLS"},
		"TLS is spoken to who does not": {func(p *post) { p.users = true }, "TLS"},
	} {
		p := newPost(t, c.server)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := receiver(t, p, login(c.tls)).Deliver(ctx, notification())
		cancel()
		if err == nil || strings.Contains(err.Error(), "hunter2") || len(p.got)+len(p.logins) > 0 {
			t.Errorf("%s: %v, %q", name, err, p.logins)
		}
	}
}

func TestMailServerThatIsSilentOrGone(t *testing.T) {
	t.Parallel()
	p := newPost(t, func(p *post) { p.silent = true })
	r := receiver(t, p, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := r.Deliver(ctx, notification()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Deliver(t.Context(), notification()); err == nil {
		t.Error("delivered to nobody")
	}
}

func TestReceivers(t *testing.T) {
	t.Parallel()
	good := alerts.MailSettings{Server: "mail.example", From: "a@db.example", To: "b@db.example"}
	if list, err := Receivers(alerts.Config{Mail: good}); err != nil || len(list) != 1 || list[0].Name() != "mail mail.example" {
		t.Errorf("%v, %v", list, err)
	}
	if list, err := Receivers(alerts.Config{}); err != nil || list != nil {
		t.Errorf("%v, %v", list, err)
	}
	for _, change := range []func(*alerts.MailSettings){
		func(m *alerts.MailSettings) { m.Server = "mail.example:smtp" },
		func(m *alerts.MailSettings) { m.From = "nobody" },
		func(m *alerts.MailSettings) { m.To = "b@db.example\nBcc: c@db.example" },
		func(m *alerts.MailSettings) { m.User = "anna" },
	} {
		m := good
		change(&m)
		if _, err := Receivers(alerts.Config{Mail: m}); err == nil {
			t.Errorf("%+v was taken", m)
		}
	}
}
