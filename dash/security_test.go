package dash

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestWhoIsAnswered(t *testing.T) {
	t.Parallel()
	db := open(t)
	denied := WithAuth(func(r *http.Request) error {
		if r.Header.Get("Authorization") != "let me in" {
			return errors.New("who are you?")
		}
		return nil
	})
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	peer := func(addr string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = addr } }
	for _, c := range []struct {
		name   string
		opts   []Option
		change []func(*http.Request)
		want   int
	}{
		{"from here", nil, nil, 200},
		{"by IPv6", nil, []func(*http.Request){peer("[::1]:5"), host("[::1]:7391")}, 200},
		{"by a mapped address", nil, []func(*http.Request){peer("[::ffff:127.0.0.1]:5")}, 200},
		{"by a name of this machine", nil, []func(*http.Request){host("app.localhost:80")}, 200},
		{"from elsewhere", nil, []func(*http.Request){peer("192.0.2.1:5")}, 403},
		{"from elsewhere by a proxy here", nil, []func(*http.Request){header("X-Forwarded-For", "192.0.2.1")}, 403},
		{"from nowhere", nil, []func(*http.Request){peer("")}, 403},
		{"a name that was bound to this machine", nil, []func(*http.Request){host("evil.example")}, 421},
		{"a name that looks like it", nil, []func(*http.Request){host("localhost.evil.example")}, 421},
		{"another site's script", nil, []func(*http.Request){header("Origin", "https://evil.example")}, 403},
		{"a sandbox", nil, []func(*http.Request){header("Origin", "null")}, 403},
		{"another port's script", nil, []func(*http.Request){header("Origin", "http://localhost:81")}, 403},
		{"its own script", nil, []func(*http.Request){header("Origin", "http://localhost"), header("Sec-Fetch-Site", "same-origin")}, 200},
		{"an image of another site", nil, []func(*http.Request){header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Mode", "no-cors")}, 403},
		{"a link of another site", nil, []func(*http.Request){header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Mode", "navigate")}, 200},
		{"public", []Option{WithPublic()}, []func(*http.Request){peer("192.0.2.1:5"), host("db.example")}, 200},
		{"public, under one name", []Option{WithPublic(), WithHosts("db.example")}, []func(*http.Request){peer("192.0.2.1:5"), host("DB.example:8080")}, 200},
		{"public, under another name", []Option{WithPublic(), WithHosts("db.example")}, []func(*http.Request){peer("192.0.2.1:5"), host("evil.example")}, 421},
		{"public, for another site", []Option{WithPublic()}, []func(*http.Request){header("Origin", "https://evil.example")}, 403},
		{"nobody", []Option{denied}, nil, 401},
		{"somebody", []Option{denied}, []func(*http.Request){peer("192.0.2.1:5"), header("Authorization", "let me in")}, 200},
	} {
		for _, target := range []string{"/", "/?format=json", "/assets/dash.css", "/live?page=none"} {
			w := get(t, Handler(db, c.opts...), target, c.change...)
			want := c.want
			if target == "/live?page=none" && want == 200 {
				want = 404
			}
			if w.Code != want {
				t.Errorf("%s, %s: %d, want %d", c.name, target, w.Code, want)
			}
			if c.want != 200 && strings.Contains(w.Body.String(), "shop.db") {
				t.Errorf("%s, %s: %s", c.name, target, w.Body)
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	d := Handler(open(t))
	for _, target := range []string{"/", "/nothing", "/assets/dash.js", "/?format=json"} {
		h := get(t, d, target).Header()
		csp := h.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none';") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: %s", target, csp)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "same-origin" || h.Get("X-Frame-Options") != "DENY" || h.Get("Cache-Control") == "" {
			t.Errorf("%s: %v", target, h)
		}
	}
}

func TestOnlyReads(t *testing.T) {
	t.Parallel()
	d := Handler(open(t))
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, "TRACE"} {
		w := get(t, d, "/", func(r *http.Request) { r.Method = method })
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d %v", method, w.Code, w.Header())
		}
	}
}

// A server on a Unix socket has no addresses of peers.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	d := Handler(open(t))
	listener, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Skip("no Unix sockets here: ", err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: d, ReadHeaderTimeout: pageTime}}
	server.Start()
	defer server.Close()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", listener.Addr().String())
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	answer, err := client.Get("http://localhost/")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("%d", answer.StatusCode)
	}
}
