// Package daemon serves databases over HTTP: it opens them, keeps their schedules, answers
// requests, and ends without losing a write that was acknowledged.
package daemon

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/alerts"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/access"
)

// Config is the section "serve". Its tags are explained at holdfast.Config.
type Config struct {
	Listen         string          `json:"listen" default:"127.0.0.1:7391" doc:"The address and port to listen on. One that other machines reach needs tokens."`
	Database       string          `json:"database" doc:"Which of several databases /db/... is about. Empty: the first in the file."`
	TLSCert        string          `json:"tls_cert" doc:"A file with the certificate and its chain, in PEM, for HTTPS. It is read anew on SIGHUP. Empty: HTTP."`
	TLSKey         string          `json:"tls_key" doc:"A file with the certificate's private key, in PEM."`
	ReadTokens     string          `json:"read_tokens" doc:"A file of tokens, one a line, with which one may read. Each has 16 characters or more; lines that begin with # are comments. Read anew on SIGHUP."`
	WriteTokens    string          `json:"write_tokens" doc:"The same for tokens with which one may read and write. Without any token at all only this machine is served, and may do everything."`
	ReadTokenEnv   string          `json:"read_token_env" default:"HOLDFAST_READ_TOKEN" doc:"The environment variable that has a token to read with, if it is set."`
	WriteTokenEnv  string          `json:"write_token_env" default:"HOLDFAST_WRITE_TOKEN" doc:"The same for reading and writing."`
	Hosts          string          `json:"hosts" doc:"Names under which requests may come, separated by commas, besides localhost and any IP address. Others are refused, as a page in a browser may have made its own name point here."`
	MaxBody        int64           `json:"max_body" unit:"bytes" default:"16MiB" min:"1KiB" max:"1GiB" doc:"The most that a request may send."`
	MaxRows        int             `json:"max_rows" default:"100000" min:"1" doc:"The most rows of a result. One with more is an error, as half a result would be taken for the whole."`
	MaxResponse    int64           `json:"max_response" unit:"bytes" default:"16MiB" min:"1KiB" max:"1GiB" doc:"The most that an answer may be, likewise."`
	MaxRequests    int             `json:"max_requests" default:"256" min:"1" doc:"How many requests to databases are worked on at once. One more is answered 503 at once. As many bodies of requests may be on their way: for one more the one that has taken longest is ended."`
	RequestTimeout time.Duration   `json:"request_timeout" unit:"s" default:"30s" min:"10ms" max:"1h" doc:"How long the statements of a request may take together, with their waits."`
	HeaderTimeout  time.Duration   `json:"header_timeout" unit:"s" default:"5s" min:"10ms" max:"10m" doc:"How long the header of a request may take to arrive."`
	ReadTimeout    time.Duration   `json:"read_timeout" unit:"s" default:"30s" min:"10ms" max:"1h" doc:"How long a whole request may take to arrive, and an answer to be taken."`
	IdleTimeout    time.Duration   `json:"idle_timeout" unit:"s" default:"2m" min:"10ms" max:"1h" doc:"How long a connection may stay open without a request."`
	DrainTimeout   time.Duration   `json:"drain_timeout" unit:"s" default:"3s" min:"10ms" max:"10m" doc:"How long requests that are under way may go on when the daemon is told to stop."`
	Dash           holdfast.Switch `json:"dash" default:"true" doc:"Show the dashboard at /."`
	Actions        bool            `json:"actions" default:"false" doc:"Let the dashboard act, not only show: checkpoint, optimize, back up, end a holder. It needs a token to read and write with."`
}

// Settings are all that a daemon is configured with.
type Settings struct {
	Serve     Config
	Alerts    alerts.Config
	Top       holdfast.Config        // of the whole file
	Databases []holdfast.NamedConfig // never empty: without several, it is the one of the whole file
	Report    *holdfast.ConfigReport // where each setting comes from
}

// onlyName is the name of a database that is the only one.
const onlyName = "main"

// Sections are those of the configuration that the library does not know.
func (s *Settings) Sections() []holdfast.ConfigSection {
	list := []holdfast.ConfigSection{{
		Name: "serve", Into: &s.Serve,
		Doc: "How holdfast serve serves databases over HTTP. Listening, TLS being on or off, and what concerns connections (max_requests apart) take effect at the start; the rest also on SIGHUP.",
	}}
	rules := reflect.ValueOf(&s.Alerts).Elem()
	for i := range rules.NumField() {
		if tag := rules.Type().Field(i).Tag; tag.Get("json") != "-" {
			list = append(list, holdfast.ConfigSection{Name: tag.Get("json"), Doc: tag.Get("doc"), Into: rules.Field(i).Addr().Interface()})
		}
	}
	return list
}

// Load reads a configuration. Only what can't be right whatever is done with it is an
// error; see Check.
func Load(src holdfast.ConfigSource) (*Settings, *holdfast.ConfigReport, error) {
	s := &Settings{}
	src.Sections, src.Databases = s.Sections(), true
	top, report, err := holdfast.LoadConfig(src)
	if err != nil {
		return nil, nil, err
	}
	s.Top, s.Databases, s.Report = top, report.Databases, report
	if len(s.Databases) == 0 {
		s.Databases = []holdfast.NamedConfig{{Name: onlyName, Config: top}}
	} else if top.Database.Path != "" {
		report.Notes = append(report.Notes, "database.path is ignored: databases names the files")
	}
	return s, report, errors.Join(s.Serve.check(s.Databases), s.Alerts.Validate())
}

// For is the configuration of the database at path, as a verb opens it: its own, or that
// of the whole file.
func (s *Settings) For(path string) holdfast.Config {
	for _, d := range s.Databases {
		if d.Database.Path != "" && samePath(d.Database.Path, path) {
			return d.Config
		}
	}
	return s.Top
}

func wrong(key, format string, args ...any) error {
	return &holdfast.ConfigError{Key: key, Problem: key + fmt.Sprintf(format, args...)}
}

// check finds what contradicts itself.
func (c *Config) check(databases []holdfast.NamedConfig) error {
	var errs []error
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, wrong("serve.listen", ": expected an address and a port such as 127.0.0.1:7391"))
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		errs = append(errs, wrong("serve.tls_cert", " and serve.tls_key go together"))
	}
	named := func(d holdfast.NamedConfig) bool { return d.Name == c.Database }
	if c.Database != "" && !slices.ContainsFunc(databases, named) {
		errs = append(errs, wrong("serve.database", " = %s is the name of no database", c.Database))
	}
	for i, d := range databases {
		for _, other := range databases[:i] {
			if d.Database.Path != "" && samePath(d.Database.Path, other.Database.Path) {
				errs = append(errs, wrong("databases."+d.Name+".database.path", " is that of database %s, too", other.Name))
			}
		}
	}
	return errors.Join(errs...)
}

func samePath(a, b string) bool {
	absoluteA, errA := filepath.Abs(a)
	absoluteB, errB := filepath.Abs(b)
	return errA == nil && errB == nil && absoluteA == absoluteB
}

// runnable says what is missing for serving.
func (s *Settings) runnable(tokens access.Tokens) error {
	var errs []error
	for _, d := range s.Databases {
		key := "database.path"
		if len(s.Databases) > 1 || d.Name != onlyName {
			key = "databases." + d.Name + ".database.path"
		}
		if d.Database.Path == "" {
			errs = append(errs, wrong(key, " is not set: there is nothing to serve"))
		}
	}
	if tokens.None() && !access.IsLoopback(s.Serve.Listen) {
		errs = append(errs, wrong("serve.listen", " = %s can be reached from other machines, and there are no tokens: put some into a file (openssl rand -hex 32) and its name into serve.write_tokens, or set the variable %s, or listen on 127.0.0.1",
			s.Serve.Listen, s.Serve.WriteTokenEnv))
	}
	if s.Serve.Actions && tokens.None() {
		errs = append(errs, wrong("serve.actions", " needs tokens: set serve.write_tokens"))
	}
	return errors.Join(errs...)
}

// hosts are the names under which requests may come.
func (c *Config) hosts() []string {
	var list []string
	for name := range strings.SplitSeq(c.Hosts, ",") {
		if name = strings.TrimSpace(name); name != "" {
			list = append(list, name)
		}
	}
	if host, _, err := net.SplitHostPort(c.Listen); err == nil && host != "" {
		list = append(list, host)
	}
	return list
}
