package dash

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// refusal is why a request gets no answer.
type refusal struct {
	status int
	why    string
}

// policy lets a page load nothing but this handler's files, and nobody put it into a
// frame. There is no inline script and no inline style to be excused.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func (d *Dashboard) secure(h http.Header) {
	for name, value := range map[string]string{
		"Content-Security-Policy": policy,
		"X-Content-Type-Options":  "nosniff",
		"X-Frame-Options":         "DENY",
		// No-referrer would have browsers send our own forms with "Origin: null".
		"Referrer-Policy":              "same-origin",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Permissions-Policy":           "camera=(), geolocation=(), microphone=()",
		"Cache-Control":                "no-store",
	} {
		h.Set(name, value)
	}
}

// refusal says why a request is not answered; nil if it is.
func (d *Dashboard) refusal(r *http.Request) *refusal {
	open := d.auth != nil || d.public
	switch {
	case !open && !fromHere(r):
		return &refusal{http.StatusForbidden, "this dashboard answers its own machine only; the program that serves it can change that by dash.WithAuth or dash.WithPublic"}
	case !d.knows(r.Host, open):
		return &refusal{http.StatusMisdirectedRequest, "this dashboard does not answer under that name; the program that serves it can change that by dash.WithHosts"}
	case foreign(r):
		return &refusal{http.StatusForbidden, "this dashboard does not answer other sites"}
	}
	if d.auth != nil {
		if err := d.auth(r); err != nil {
			return &refusal{http.StatusUnauthorized, err.Error()}
		}
	}
	return nil
}

// fromHere reports whether a request comes from this machine. One that a proxy on
// this machine has passed on comes from elsewhere.
func fromHere(r *http.Request) bool {
	if r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" || r.Header.Get("X-Real-Ip") != "" {
		return false
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && local.Network() == "unix" {
		return true
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}

// knows reports whether the handler may be asked under a name. A page elsewhere can
// have its own name point to this machine and then read what is answered; under
// that name nothing is.
func (d *Dashboard) knows(host string, open bool) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	switch {
	case len(d.hosts) > 0:
		return slices.ContainsFunc(d.hosts, func(h string) bool { return strings.EqualFold(h, name) })
	case open:
		return true
	case name == "localhost" || strings.HasSuffix(name, ".localhost"):
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.Unmap().IsLoopback()
}

// foreign reports whether another site asks: its script, or its page for a part of
// itself. Following a link from elsewhere to a page is no such thing.
func foreign(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || !strings.EqualFold(u.Host, r.Host) {
			return true
		}
	}
	site := r.Header.Get("Sec-Fetch-Site")
	return (site == "cross-site" || site == "same-site") && r.Header.Get("Sec-Fetch-Mode") != "navigate"
}
