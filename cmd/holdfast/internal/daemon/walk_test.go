package daemon

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A walk around the house: every door that should be locked is.
func TestSecurityWalk(t *testing.T) {
	d := start(t, `{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0", "max_body": "4KiB"}}`,
		map[string]string{"HOLDFAST_WRITE_TOKEN": "0123456789abcdef-write"})
	token := "0123456789abcdef-write"
	d.token = token
	d.write("/db/execute", "CREATE TABLE t(a)")
	insert := `["INSERT INTO t VALUES(1)"]`
	for _, door := range []struct {
		what         string
		code         int
		method, path string
		body         string
		header       []string
	}{
		{"a foreign host", 403, "POST", "/db/execute", insert, []string{"Host", "evil.example"}},
		{"a foreign host with a port", 403, "POST", "/db/execute", insert, []string{"Host", "evil.example:7391"}},
		{"a foreign origin", 403, "POST", "/db/execute", insert, []string{"Origin", "http://evil.example"}},
		{"an opaque origin", 403, "POST", "/db/execute", insert, []string{"Origin", "null"}},
		{"a form of another page", 403, "POST", "/db/execute", insert, []string{"Sec-Fetch-Site", "cross-site", "Content-Type", "text/plain"}},
		{"a wrong token", 401, "POST", "/db/execute", insert, []string{"Authorization", "Bearer " + token + "0"}},
		{"no token", 401, "POST", "/db/execute", insert, []string{"Authorization", ""}},
		{"a token in the address", 401, "POST", "/db/execute?token=" + token, insert, []string{"Authorization", ""}},
		{"a body that is too large", 413, "POST", "/db/execute", `["` + strings.Repeat("x", 5000) + `"]`, nil},
		{"another method", 405, "PUT", "/db/execute", insert, nil},
		{"a write by GET", 405, "GET", "/db/execute?q=DROP+TABLE+t", "", nil},
		{"a database by its path", 404, "POST", "/databases/..%2fapp.db/db/query", `["SELECT 1"]`, nil},
		{"a database by its path, absolute", 404, "POST", "/databases/%2fetc%2fpasswd/db/query", `["SELECT 1"]`, nil},
		{"an encoded way out", 404, "GET", "/%2e%2e/%2e%2e/etc/passwd", "", nil},
		{"a NUL in a name", 404, "POST", "/databases/main%00/db/query", `["SELECT 1"]`, nil},
		{"an empty name", 404, "POST", "/databases/%20/db/query", `["SELECT 1"]`, nil},
		{"profiles", 404, "GET", "/debug/pprof/", "", nil},
		{"variables", 404, "GET", "/debug/vars", "", nil},
	} {
		if code, text := d.do(door.method, door.path, door.body, door.header...); code != door.code || strings.Contains(text, token) {
			t.Errorf("%s: %d %.200s, want %d", door.what, code, text, door.code)
		}
	}
	d.want(200, "[[0]]", "POST", "/db/query", `["SELECT count(*) FROM t"]`)
	resp, err := d.client.Get(d.URL() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Access-Control-Allow-Origin": "", "Server": "",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// Requests that are no HTTP end their connection and nothing else.
func TestMalformedRequests(t *testing.T) {
	d := start(t, one, nil)
	for _, text := range []string{
		"GET / HTTP/1.1\r\n\r\n", // no host
		"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
		"POST /db/execute HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
		"POST /db/execute HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
		"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + strings.Repeat("x", 2*headerBytes) + "\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is TLS\r\n\r\n",
		strings.Repeat("\x00", 100) + "\r\n\r\n",
	} {
		conn := must(net.Dial("tcp", d.Addr().String()))
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = conn.Write([]byte(text)) // the other side may have hung up by now
		line, _ := bufio.NewReader(conn).ReadString('\n')
		if strings.Contains(line, " 200 ") {
			t.Errorf("%.60q: %s", text, line)
		}
		conn.Close()
	}
	d.want(200, "ok", "GET", "/healthz", "")
}

// Probes of HTTP/1.0 name no host. They are answered on this machine; nothing else is.
func TestProbesWithoutAHost(t *testing.T) {
	env := map[string]string{"HOLDFAST_READ_TOKEN": "0123456789abcdef-read"}
	open, closed := start(t, one, nil), start(t, one, env)
	for _, c := range []struct {
		d      *running
		path   string
		header string
		want   string
	}{
		{open, "/healthz", "", "200 OK"},
		{open, "/readyz", "", "200 OK"},
		{open, "/metrics", "", "200 OK"},
		{open, "/metrics", "X-Forwarded-For: 192.0.2.1\r\n", "403 Forbidden"},
		{open, "/healthz", "Host: evil.example\r\n", "403 Forbidden"},
		{open, "/healthz", "Origin: http://evil.example\r\n", "403 Forbidden"},
		{open, "/db/query?q=SELECT+1", "", "403 Forbidden"},
		{open, "/databases", "", "403 Forbidden"},
		{open, "/openapi.json", "", "403 Forbidden"},
		{open, "/", "", "403 Forbidden"},
		{closed, "/healthz", "", "200 OK"},
		{closed, "/readyz", "", "200 OK"},
		{closed, "/metrics", "", "401 Unauthorized"},
		{closed, "/metrics", "Authorization: Bearer 0123456789abcdef-read\r\n", "200 OK"},
	} {
		conn := must(net.Dial("tcp", c.d.Addr().String()))
		if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.0\r\n%s\r\n", c.path, c.header); err != nil {
			t.Fatal(err)
		}
		if line, _ := bufio.NewReader(conn).ReadString('\n'); strings.TrimSpace(line) != "HTTP/1.0 "+c.want {
			t.Errorf("%s, %q: %q, want %s", c.path, c.header, line, c.want)
		}
		conn.Close()
	}
}

// Slow clients take each other's places, and those of nobody else. TestSlowClientFlood has all kinds of them.
func TestSlowClients(t *testing.T) {
	d := start(t, `{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0", "max_requests": 4, "header_timeout": "1m"}}`, nil)
	d.write("/db/execute", "CREATE TABLE t(a)")
	most := mostConnections(4)
	slow := make([]net.Conn, most+50)
	for i := range slow {
		slow[i] = must(net.Dial("tcp", d.Addr().String()))
		text := "POST /db/execute HTTP/1.1\r\nHost: 127.0.0.1\r\n" // the header does not end
		if _, err := slow[i].Write([]byte(text)); err != nil && i < most {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		// Each on a connection of its own, as newcomers.
		d.client.CloseIdleConnections()
		d.write("/db/execute", fmt.Sprintf("INSERT INTO t VALUES(%d)", i))
	}
	// Those who wait longest without having sent a whole header are the ones who went.
	_ = slow[1].SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := slow[1].Read(make([]byte, 1)); n > 0 || err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("the oldest slow client is still there: %d, %v", n, err)
	}
	for _, conn := range slow {
		conn.Close()
	}
	d.want(200, "[[20]]", "POST", "/db/query", `["SELECT count(*) FROM t"]`)
}

func TestHeaderTimeout(t *testing.T) {
	d := start(t, `{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0", "header_timeout": "50ms", "read_timeout": "100ms"}}`, nil)
	for _, text := range []string{"GET /healthz HTTP/1.1\r\n", "POST /db/execute HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n["} {
		conn := must(net.Dial("tcp", d.Addr().String()))
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		reader := bufio.NewReader(conn)
		for {
			line, err := reader.ReadString('\n')
			if err != nil {
				if strings.Contains(err.Error(), "timeout") {
					t.Errorf("%q: the connection is still open", text)
				}
				break
			}
			if strings.Contains(line, " 200 ") {
				t.Errorf("%q: %s", text, line)
			}
		}
		conn.Close()
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certificate, pool := selfSigned(t, dir, 1)
	config := strings.NewReplacer("CERT", filepath.ToSlash(dir)).Replace(`{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0", "tls_cert": "CERT/cert.pem", "tls_key": "CERT/key.pem"}}`)
	d := start(t, config, nil)
	serial := func(pool *x509.CertPool) (int64, error) {
		conn, err := tls.Dial("tcp", d.Addr().String(), &tls.Config{RootCAs: pool})
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
	}
	if n, err := serial(pool); n != certificate || err != nil {
		t.Errorf("certificate %d, %v", n, err)
	}
	d.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	d.write("/db/execute", "CREATE TABLE t(a)")
	d.want(200, `"api_addr":"https://`, "GET", "/nodes", "")
	if _, err := tls.Dial("tcp", d.Addr().String(), &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	renewed, pool := selfSigned(t, dir, 2)
	if err := d.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := serial(pool); n != renewed || err != nil {
		t.Errorf("after its renewal: certificate %d, %v", n, err)
	}
	// A reload that fails changes nothing.
	selfSigned(t, dir, 3)
	bad := `"databases": {"main": {"database": {"path": "DIR/app.db"}}, "other": {"database": {"path": "DIR/nowhere/other.db"}}}`
	configure(t, d.dir, strings.Replace(config, `"database": {"path": "DIR/app.db"}`, bad, 1))
	if err := d.Reload(t.Context()); err == nil {
		t.Error("a database was opened in a directory that is not there")
	}
	if n, err := serial(pool); n != renewed || err != nil {
		t.Errorf("after a reload that failed: certificate %d, %v", n, err)
	}
}

func selfSigned(t *testing.T, dir string, serial int64) (int64, *x509.CertPool) {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AddCert(must(x509.ParseCertificate(der)))
	return serial, pool
}

// Of connections on which nothing is under way the oldest goes, but none at once; one that
// has had an answer is spared while newcomers are many.
func TestWhoMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := 0
		c := &connections{most: 4, ended: func() { ended++ }}
		comes := func() net.Conn {
			a, b := net.Pipe()
			t.Cleanup(func() { a.Close(); b.Close() })
			c.changed(a, http.StateNew)
			time.Sleep(time.Millisecond)
			return a
		}
		gone := func(conn net.Conn) bool {
			_ = conn.SetReadDeadline(time.Now().Add(-1))
			_, err := conn.Read(make([]byte, 1))
			return errors.Is(err, io.ErrClosedPipe)
		}
		working, answered, slow, slower := comes(), comes(), comes(), comes()
		if ended > 0 {
			t.Fatal("somebody had to go although there was room")
		}
		c.changed(working, http.StateActive)
		c.changed(answered, http.StateActive)
		c.changed(answered, http.StateIdle)
		for i, want := range []net.Conn{slow, slower} {
			comes()
			if !gone(want) || ended != i+1 {
				t.Errorf("newcomer %d: somebody else had to go", i)
			}
		}
		if gone(working) || gone(answered) {
			t.Error("somebody had to go who was not in the way")
		}
		c.changed(working, http.StateClosed)
		if comes(); ended != 2 {
			t.Error("somebody had to go although one had left")
		}
		begin := time.Now()
		for range 2 * c.most {
			comes()
		}
		if took := time.Since(begin); took < least || took > 2*time.Duration(c.most)*least {
			t.Errorf("connections that are new had to go within %v", took)
		}
	})
}

// Who takes no answer makes room as well, if others have to; who is worked for does not.
func TestWhoTakesNoAnswerMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &connections{most: 2, ended: func() {}}
		comes := func() (*watched, net.Conn) {
			a, b := net.Pipe()
			t.Cleanup(func() { a.Close(); b.Close() })
			w := &watched{Conn: a}
			c.changed(w, http.StateNew)
			return w, b
		}
		working, _ := comes()
		lazy, _ := comes()
		c.changed(working, http.StateActive)
		c.changed(lazy, http.StateActive)
		written := make(chan error)
		go func() {
			_, err := lazy.Write([]byte("an answer"))
			written <- err
		}()
		time.Sleep(grace + least)
		comes()
		if err := <-written; !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the answer that nobody took: %v", err)
		}
		newest, _ := comes() // nobody else is in the way
		if _, err := newest.Write(nil); err == nil && len(c.open) > 2 {
			t.Error("there are more than there may be")
		}
	})
}
