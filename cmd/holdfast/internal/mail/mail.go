// Package mail delivers alerts by SMTP.
package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/holdfastdb/holdfast/alerts"
	gomail "github.com/wneessen/go-mail"
)

// Receiver sends a mail for each notification. It is an alerts.Receiver.
type Receiver struct {
	config   alerts.MailSettings // complete
	language string
	host     string
	port     int // 0: the usual one of config.TLS
}

// New returns a receiver for a configuration with a server. It connects to nothing.
func New(c alerts.Config) (*Receiver, error) {
	r := &Receiver{config: c.Mail, language: c.Alerts.Language, host: c.Mail.Server}
	if host, port, err := net.SplitHostPort(c.Mail.Server); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("alert_mail.server: %s is no port", port)
		}
		r.host, r.port = host, int(n)
	}
	_, err := r.message(&alerts.Notification{})
	return r, err
}

// Name tells the server.
func (r *Receiver) Name() string { return "mail " + r.host }

// Deliver sends one mail.
func (r *Receiver) Deliver(ctx context.Context, n *alerts.Notification) error {
	m, err := r.message(n)
	if err != nil {
		return err
	}
	options := []gomail.Option{}
	switch r.config.TLS {
	case "TLS":
		options = append(options, gomail.WithSSLPort(false))
	case "NONE":
		options = append(options, gomail.WithTLSPortPolicy(gomail.NoTLS))
	default:
		options = append(options, gomail.WithTLSPortPolicy(gomail.TLSMandatory))
	}
	if r.port != 0 {
		options = append(options, gomail.WithPort(r.port))
	}
	if r.config.User != "" {
		password, err := alerts.Secret(r.config.PasswordFile)
		if err != nil {
			return err
		}
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(r.config.User), gomail.WithPassword(password))
	}
	// After an error the client leaves its connection open, and to a server that says
	// nothing it listens past the end of ctx: so the connection is ours to close.
	var dialed net.Conn
	options = append(options, gomail.WithDialContextFunc(func(_ context.Context, network, address string) (net.Conn, error) { // its own ends with the dialing
		c, err := r.dial(ctx, network, address)
		dialed = c
		return c, err
	}))
	defer func() {
		if dialed != nil {
			_ = dialed.Close()
		}
	}()
	client, err := gomail.NewClient(r.host, options...)
	if err == nil {
		err = client.DialAndSendWithContext(ctx, m)
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// dial connects for as long as ctx lasts.
func (r *Receiver) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	b := &bounded{Conn: c}
	b.stop = context.AfterFunc(ctx, func() { _ = c.Close() })
	if r.config.TLS != "TLS" {
		return b, nil
	}
	encrypted := tls.Client(b, &tls.Config{ServerName: r.host, MinVersion: tls.VersionTLS12})
	if err := encrypted.HandshakeContext(ctx); err != nil {
		_ = b.Close()
		return nil, err
	}
	return encrypted, nil
}

// bounded is a connection that ends with a context.
type bounded struct {
	net.Conn
	stop func() bool
}

func (b *bounded) Close() error {
	b.stop()
	return b.Conn.Close()
}

// message is the mail of a notification. Its subject has the worst alert.
func (r *Receiver) message(n *alerts.Notification) (*gomail.Msg, error) {
	m := gomail.NewMsg()
	if err := m.From(r.config.From); err != nil {
		return nil, fmt.Errorf("alert_mail.from: %w", err)
	}
	if err := m.ToFromString(r.config.To); err != nil {
		return nil, fmt.Errorf("alert_mail.to: %w", err)
	}
	m.SetDate()
	m.SetMessageID()
	m.SetGenHeader("Auto-Submitted", "auto-generated") // so that no holiday notice answers
	m.Subject(subject(n, r.language))
	m.SetBodyString(gomail.TypeTextPlain, body(n, r.language))
	return m, nil
}

// words are what a mail says besides the alerts.
var words = map[string]map[string]string{
	"en": {"firing": "FIRING", "resolved": "RESOLVED", "since": "since", "until": "until", "do": "What to do: "},
	"de": {"firing": "ALARM", "resolved": "BEENDET", "since": "seit", "until": "bis", "do": "Zu tun: "},
}

func in(language, word string) string {
	if language != "de" {
		language = "en"
	}
	return words[language][word]
}

func subject(n *alerts.Notification, language string) string {
	if len(n.Alerts) == 0 {
		return "Holdfast"
	}
	a := &n.Alerts[0]
	text := fmt.Sprintf("[%s] %s", in(language, n.Status), strings.TrimPrefix(a.Labels["alertname"], "Holdfast"))
	if name := a.Labels["database"]; name != "" {
		text += " " + name
	}
	if more := len(n.Alerts) - 1; more > 0 {
		text += fmt.Sprintf(" (+%d)", more)
	}
	return text
}

func body(n *alerts.Notification, language string) string {
	var b strings.Builder
	for i := range n.Alerts {
		a := &n.Alerts[i]
		fmt.Fprintf(&b, "[%s, %s] %s\n", in(language, a.Status), a.Labels["severity"], a.Annotations["summary"])
		fmt.Fprintf(&b, "%s %s", in(language, "since"), a.StartsAt.UTC().Format("2006-01-02 15:04:05 UTC"))
		if a.Status == "resolved" {
			fmt.Fprintf(&b, " %s %s", in(language, "until"), a.EndsAt.UTC().Format("2006-01-02 15:04:05 UTC"))
		}
		fmt.Fprintf(&b, ", %s\n", a.Labels["instance"])
		if a.Status != "resolved" {
			fmt.Fprintf(&b, "%s%s\n", in(language, "do"), a.Annotations["description"])
		}
		fmt.Fprintf(&b, "%s\n\n", a.Annotations["runbook_url"])
	}
	if n.ExternalURL != "" {
		fmt.Fprintf(&b, "%s\n", n.ExternalURL)
	}
	return b.String()
}

// Receivers are those that a configuration asks for.
func Receivers(c alerts.Config) ([]alerts.Receiver, error) {
	switch {
	case c.Mail.Server == "":
		return nil, nil
	case c.Mail.User != "" && c.Mail.PasswordFile == "":
		return nil, errors.New("alert_mail.user needs alert_mail.password_file")
	}
	r, err := New(c)
	if err != nil {
		return nil, err
	}
	return []alerts.Receiver{r}, nil
}
