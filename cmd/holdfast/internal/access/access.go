// Package access decides who may do what over HTTP: by tokens with roles, by where a
// request comes from, and by the name under which it was sent.
package access

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
)

// A Role is what a request may do. Each may do what the ones before it may.
type Role int

// The roles.
const (
	Public Role = iota // probes
	Read
	Write
)

func (r Role) String() string {
	return [...]string{"public", "read-only", "read-write"}[r]
}

// Tokens are those of each role, as digests: what is compared has one length, and what
// stays in memory is no token.
type Tokens struct {
	read, write [][sha256.Size]byte
}

// NewTokens takes the tokens of the two roles.
func NewTokens(read, write []string) Tokens {
	digests := func(tokens []string) (list [][sha256.Size]byte) {
		for _, t := range tokens {
			list = append(list, sha256.Sum256([]byte(t)))
		}
		return list
	}
	return Tokens{digests(read), digests(write)}
}

// None tells whether there is no token at all.
func (t Tokens) None() bool { return len(t.read) == 0 && len(t.write) == 0 }

// role of a token. All tokens are looked at, whichever matches.
func (t Tokens) role(token string) (role Role, ok bool) {
	digest := sha256.Sum256([]byte(token))
	matches := func(list [][sha256.Size]byte) (found int) {
		for i := range list {
			found |= subtle.ConstantTimeCompare(list[i][:], digest[:])
		}
		return found
	}
	read, write := matches(t.read), matches(t.write)
	switch {
	case write == 1:
		return Write, true
	case read == 1:
		return Read, true
	}
	return Public, false
}

// Rules say whom a Guard lets in.
type Rules struct {
	Tokens Tokens   // none: whoever is on this machine may do everything
	Hosts  []string // names, besides this machine's own, under which requests may come
}

// Guard stands before handlers. It is safe for concurrent use.
type Guard struct {
	rules atomic.Pointer[Rules]
}

// New returns a Guard.
func New(r Rules) *Guard {
	g := &Guard{}
	g.Set(r)
	return g
}

// Set replaces the rules, for requests that come from now on.
func (g *Guard) Set(r Rules) { g.rules.Store(&r) }

// Require lets through who has a role, and refuses everybody else with 401 or 403. A
// request to another host name than the daemon's is refused first, since a page of
// somebody else's may have made its own name point here, and so is one that a page of
// another origin has sent.
func (g *Guard) Require(role Role, next http.Handler) http.Handler {
	return g.require(role, next, (*Rules).isOurs)
}

// Probe is Require for what is asked by programs that name no host, as HTTP/1.0 allows: such
// a request is let through from this machine. No page of a browser can have sent it, as
// browsers always name the host; what this keeps out are names that point here.
func (g *Guard) Probe(role Role, next http.Handler) http.Handler {
	return g.require(role, next, func(rules *Rules, r *http.Request) bool {
		return r.Host == "" && IsLoopback(r.RemoteAddr) && !passedOn(r) || rules.isOurs(r)
	})
}

func (g *Guard) require(role Role, next http.Handler, isOurs func(*Rules, *http.Request) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rules := g.rules.Load()
		if !isOurs(rules, r) {
			Refuse(w, http.StatusForbidden, errHost)
			return
		}
		if err := sameOrigin(r); err != nil {
			Refuse(w, http.StatusForbidden, err)
			return
		}
		has, err := rules.roleOf(r)
		switch {
		case role == Public:
		case err != nil:
			w.Header().Set("WWW-Authenticate", `Bearer realm="holdfast", Basic realm="holdfast"`)
			Refuse(w, http.StatusUnauthorized, err)
			return
		case has < role:
			Refuse(w, http.StatusForbidden, errors.New("this needs a token of the "+role.String()+" role"))
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, has)))
	})
}

type key struct{}

// Of is the role of a request that a Guard let through.
func Of(ctx context.Context) Role {
	r, _ := ctx.Value(key{}).(Role)
	return r
}

// Refuse answers with an error, in the form that clients of the API read.
func Refuse(w http.ResponseWriter, status int, err error) {
	body, _ := json.Marshal(struct {
		Error string `json:"error"`
	}{err.Error()})
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

var (
	errHost   = errors.New("the request names a host that is not this daemon's: add the name to serve.hosts if it is right")
	errOrigin = errors.New("a page of another origin may not use this daemon")
	errToken  = errors.New("a token is needed: send \"Authorization: Bearer TOKEN\", or it as the password of basic authentication")
	errWrong  = errors.New("the token is wrong")
	errPeer   = errors.New("without tokens only this machine is served, and no proxy on it: set serve.write_tokens or serve.read_tokens")
)

// sameOrigin refuses what a page of another origin has sent.
func sameOrigin(req *http.Request) error {
	if site := req.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		if req.Method != http.MethodGet && req.Method != http.MethodHead || req.Header.Get("Sec-Fetch-Mode") != "navigate" {
			return errOrigin
		}
	}
	origin := req.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || !strings.EqualFold(u.Host, req.Host) {
		return errOrigin
	}
	return nil
}

// isOurs tells whether a request to that host means this daemon: by an address, which no
// page can make its own, by the name of this machine's loopback, or by a name that was
// configured.
func (r *Rules) isOurs(req *http.Request) bool {
	host := req.Host
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.Trim(name, "[]"), ".")
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return strings.EqualFold(name, "localhost") ||
		slices.ContainsFunc(r.Hosts, func(h string) bool { return strings.EqualFold(h, name) || strings.EqualFold(h, host) })
}

func (r *Rules) roleOf(req *http.Request) (Role, error) {
	if r.Tokens.None() {
		if !IsLoopback(req.RemoteAddr) || passedOn(req) {
			return Public, errPeer
		}
		return Write, nil
	}
	token := tokenOf(req)
	if token == "" {
		return Public, errToken
	}
	role, ok := r.Tokens.role(token)
	if !ok {
		return Public, errWrong
	}
	return role, nil
}

// passedOn tells whether a proxy on this machine has sent a request for somebody else.
func passedOn(req *http.Request) bool {
	for _, name := range []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via"} {
		if req.Header.Get(name) != "" {
			return true
		}
	}
	return false
}

func tokenOf(req *http.Request) string {
	if scheme, token, ok := strings.Cut(req.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	_, password, _ := req.BasicAuth()
	return password
}

// IsLoopback tells whether an address, with its port, is this machine's own.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
