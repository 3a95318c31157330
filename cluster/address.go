package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/locks/table"
)

// Scheme is what the addresses of clusters begin with.
const Scheme = "rqlite"

// address is what an address says.
type address struct {
	nodes          []string // "http://host:port", in its order
	user, password string
	tls            *tls.Config // nil without TLS
	level          holdfast.ReadLevel
	freshness      time.Duration
	strict         bool
	timeout        time.Duration // 0: that of the configuration
	limit          int64         // of an answer, in bytes
}

const (
	defaultPort  = "4001"
	defaultLimit = 256 << 20
)

// parameters are all that an address may have after the question mark.
var parameters = []string{"ca", "cert", "freshness", "freshness_strict", "key", "level", "password_file", "response_limit", "server_name", "timeout", "tls"}

// parseAddress reads an address. Its errors never quote it: it may hold a password, and
// what url.Parse complains about is the whole text.
func parseAddress(text string) (a address, err error) {
	rest, ok := strings.CutPrefix(text, Scheme+"://")
	if !ok {
		return a, errors.New("the address does not begin with " + Scheme + "://")
	}
	rest, query, _ := strings.Cut(rest, "?")
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		user, password, _ := strings.Cut(rest[:at], ":")
		if a.user, err = url.PathUnescape(user); err == nil {
			a.password, err = url.PathUnescape(password)
		}
		if err != nil {
			return a, errors.New("user or password of the address has a % that begins no escape; write %25")
		}
		rest = rest[at+1:]
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return a, errors.New("the parameters of the address can't be read")
	}
	for name, v := range values {
		if !slices.Contains(parameters, name) {
			return a, fmt.Errorf("the address has a parameter %q; there are %s", name, strings.Join(parameters, ", "))
		}
		if len(v) != 1 {
			return a, fmt.Errorf("the address has the parameter %s more than once", name)
		}
	}
	if err := a.security(values); err != nil {
		return a, err
	}
	if err := a.reading(values); err != nil {
		return a, err
	}
	return a, a.hosts(strings.TrimSuffix(rest, "/"))
}

func (a *address) hosts(list string) error {
	scheme := "http://"
	if a.tls != nil {
		scheme = "https://"
	}
	for _, host := range strings.Split(list, ",") {
		if host == "" || strings.HasPrefix(host, "[") && !strings.Contains(host, "]") {
			return errors.New("the address names no host, or half of one; write " + Scheme + "://host:4001,host:4001")
		}
		if _, port, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(strings.Trim(host, "[]"), defaultPort)
		} else if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return errors.New("the address has a port that is none")
		}
		node := scheme + strings.ToLower(host)
		u, err := url.Parse(node)
		if err != nil || u.Host == "" || u.Path != "" || u.User != nil {
			return errors.New("the address has a host that is none")
		}
		if !slices.Contains(a.nodes, node) {
			a.nodes = append(a.nodes, node)
		}
	}
	return nil
}

func (a *address) security(v url.Values) (err error) {
	mode := v.Get("tls")
	switch mode {
	case "", "off":
		for _, p := range []string{"ca", "cert", "key", "server_name"} {
			if v.Has(p) {
				return fmt.Errorf("the address has %s, but not tls=on", p)
			}
		}
	case "on", "insecure":
		a.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: v.Get("server_name"), InsecureSkipVerify: mode == "insecure"}
	default:
		return errors.New("tls is off, on, or insecure for certificates that nobody checks")
	}
	if ca := v.Get("ca"); ca != "" {
		pem, err := readSecret("ca", ca)
		if err != nil {
			return err
		}
		if a.tls.RootCAs = x509.NewCertPool(); !a.tls.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("ca: %s has no certificate in PEM", ca)
		}
	}
	if v.Has("cert") != v.Has("key") {
		return errors.New("a client's certificate needs both cert and key")
	}
	if v.Has("cert") {
		cert, err := readSecret("cert", v.Get("cert"))
		if err != nil {
			return err
		}
		key, err := readSecret("key", v.Get("key"))
		if err != nil {
			return err
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return errors.New("cert and key are no pair in PEM")
		}
		a.tls.Certificates = []tls.Certificate{pair}
	}
	if file := v.Get("password_file"); file != "" {
		text, err := readSecret("password_file", file)
		if err != nil {
			return err
		}
		a.password = strings.TrimSpace(string(text))
	}
	return nil
}

const mostSecret = 64 << 10

// readSecret reads a certificate, a key or a password.
func readSecret(parameter, path string) ([]byte, error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", parameter, err)
	case !info.Mode().IsRegular() || info.Size() > mostSecret || table.Own(path):
		return nil, fmt.Errorf("%s: %s is no such file", parameter, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", parameter, err)
	}
	return text, nil
}

func (a *address) reading(v url.Values) (err error) {
	a.level = holdfast.ReadLevel(v.Get("level"))
	switch a.level {
	case "":
		a.level = holdfast.ReadWeak
	case holdfast.ReadNone, holdfast.ReadWeak, holdfast.ReadLinearizable:
	default:
		return errors.New("level is none, weak or linearizable")
	}
	duration := func(name string) (d time.Duration) {
		if err == nil && v.Has(name) {
			if d, err = time.ParseDuration(v.Get(name)); err != nil || d <= 0 {
				err = fmt.Errorf("%s is a duration such as 5s", name)
			}
		}
		return d
	}
	a.freshness, a.timeout = duration("freshness"), duration("timeout")
	if err != nil {
		return err
	}
	if v.Has("freshness_strict") {
		if a.strict, err = strconv.ParseBool(v.Get("freshness_strict")); err != nil {
			return errors.New("freshness_strict is true or false")
		}
	}
	a.limit = defaultLimit
	if v.Has("response_limit") {
		if a.limit, err = strconv.ParseInt(v.Get("response_limit"), 10, 64); err != nil || a.limit < 1<<10 {
			return errors.New("response_limit is a number of bytes, at least 1024")
		}
	}
	return nil
}
