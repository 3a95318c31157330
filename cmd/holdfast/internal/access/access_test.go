package access

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// ask sends a request through a Guard and returns the status.
func ask(g *Guard, role Role, change func(*http.Request)) (code int, body string) {
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:7391/db/execute", nil)
	r.RemoteAddr = "127.0.0.1:40000"
	change(r)
	w := httptest.NewRecorder()
	g.Require(role, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(Of(r.Context()).String()))
	})).ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

const (
	readToken  = "a token to read with"
	writeToken = "a token to write with"
)

func TestTokens(t *testing.T) {
	g := New(Rules{Tokens: NewTokens([]string{"another token", readToken}, []string{writeToken})})
	basic := func(password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth("anybody", password) }
	}
	for _, c := range []struct {
		what        string
		change      func(*http.Request)
		read, write int
	}{
		{"none", func(*http.Request) {}, 401, 401},
		{"wrong", header("Authorization", "Bearer "+readToken+"x"), 401, 401},
		{"a part", header("Authorization", "Bearer "+readToken[:10]), 401, 401},
		{"empty", header("Authorization", "Bearer "), 401, 401},
		{"another scheme", header("Authorization", "Digest "+readToken), 401, 401},
		{"read", header("Authorization", "Bearer "+readToken), 200, 403},
		{"read, in lower case", header("Authorization", "bearer "+readToken), 200, 403},
		{"write", header("Authorization", "Bearer "+writeToken), 200, 200},
		{"read, basic", basic(readToken), 200, 403},
		{"write, basic", basic(writeToken), 200, 200},
		{"wrong, basic", basic("x"), 401, 401},
		{"as a user", func(r *http.Request) { r.SetBasicAuth(writeToken, "") }, 401, 401},
	} {
		if code, body := ask(g, Read, c.change); code != c.read || strings.Contains(body, "a token to") {
			t.Errorf("%s, to read: %d %s, want %d", c.what, code, body, c.read)
		}
		if code, body := ask(g, Write, c.change); code != c.write || strings.Contains(body, "a token to") {
			t.Errorf("%s, to write: %d %s, want %d", c.what, code, body, c.write)
		}
		if code, _ := ask(g, Public, c.change); code != http.StatusOK {
			t.Errorf("%s, a probe: %d", c.what, code)
		}
	}
	g.Set(Rules{Tokens: NewTokens(nil, []string{readToken})})
	if code, _ := ask(g, Write, header("Authorization", "Bearer "+readToken)); code != http.StatusOK {
		t.Errorf("after the rules have changed: %d", code)
	}
	if code, _ := ask(g, Read, header("Authorization", "Bearer "+writeToken)); code != http.StatusUnauthorized {
		t.Errorf("a token that was withdrawn: %d", code)
	}
}

func TestWithoutTokensOnlyThisMachine(t *testing.T) {
	g := New(Rules{})
	for peer, want := range map[string]int{
		"127.0.0.1:1": 200, "127.8.9.10:1": 200, "[::1]:1": 200, "[::ffff:127.0.0.1]:1": 200,
		"192.168.1.5:1": 401, "10.0.0.1:1": 401, "[2001:db8::1]:1": 401, "@": 401, "": 401,
	} {
		if code, _ := ask(g, Write, func(r *http.Request) { r.RemoteAddr = peer }); code != want {
			t.Errorf("%s: %d, want %d", peer, code, want)
		}
	}
}

func TestWithoutTokensNoProxy(t *testing.T) {
	for _, name := range []string{"X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"} {
		if code, _ := ask(New(Rules{}), Read, header(name, "127.0.0.1")); code != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, code)
		}
	}
}

func TestForeignNamesAndPages(t *testing.T) {
	g := New(Rules{Hosts: []string{"db.example.com"}})
	for host, want := range map[string]int{
		"127.0.0.1:7391": 200, "127.0.0.1": 200, "localhost:7391": 200, "LOCALHOST": 200, "localhost.": 200, "[::1]:7391": 200, "192.168.1.5": 200,
		"db.example.com": 200, "DB.example.com:7391": 200,
		"evil.example": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "xdb.example.com": 403, "": 403,
	} {
		if code, _ := ask(g, Write, func(r *http.Request) { r.Host = host }); code != want {
			t.Errorf("Host %q: %d, want %d", host, code, want)
		}
	}
	if code, _ := ask(g, Public, func(r *http.Request) { r.Host = "evil.example" }); code != http.StatusForbidden {
		t.Errorf("a probe by a foreign name: %d", code)
	}
	for origin, want := range map[string]int{
		"http://127.0.0.1:7391": 200, "https://127.0.0.1:7391": 200,
		"http://127.0.0.1:3000": 403, "http://evil.example": 403, "null": 403, "http://localhost:7391": 403, "://": 403,
	} {
		if code, _ := ask(g, Write, header("Origin", origin)); code != want {
			t.Errorf("Origin %s: %d, want %d", origin, code, want)
		}
	}
	for site, want := range map[string]int{"none": 200, "same-origin": 200, "same-site": 403, "cross-site": 403} {
		if code, _ := ask(g, Write, header("Sec-Fetch-Site", site)); code != want {
			t.Errorf("Sec-Fetch-Site %s: %d, want %d", site, code, want)
		}
	}
	follow := func(r *http.Request) {
		r.Method = http.MethodGet
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
	}
	if code, _ := ask(g, Read, follow); code != http.StatusOK {
		t.Errorf("a link that somebody follows: %d", code)
	}
}
