// Package faults is a cluster of rqlite as far as its clients can tell, for tests: machines that
// share one database, follow a leader, and give every wrong answer that was seen of the real one,
// or that a network in between can make of a right one.
package faults

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Cluster is the machines. Its methods are for several goroutines at once.
type Cluster struct {
	tb    testing.TB
	nodes []*httptest.Server

	mu       sync.Mutex // guards what follows
	db       *engine
	leader   int // -1: nobody
	script   []Fault
	pick     func() *Fault // instead of a script
	requests int           // of writes, with those that were not taken
	password string
	cutShort bool // backups end in the middle, with the error behind
	busy     int  // requests, and what is applied after its client has gone
	idle     *sync.Cond
}

// New starts a cluster of n machines, the first of which leads. At the end of the test it is
// stopped, and its database checked.
func New(tb testing.TB, n int) *Cluster {
	tb.Helper()
	return start(tb, n, (*httptest.Server).Start)
}

// NewTLS is New with TLS, where clients need a certificate, any. ca is that of the machines, and
// cert and key are a client's, all in PEM.
func NewTLS(tb testing.TB, n int) (c *Cluster, ca, cert, key []byte) {
	tb.Helper()
	c = start(tb, n, func(s *httptest.Server) {
		s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
		s.StartTLS()
	})
	of := c.nodes[0].TLS.Certificates[0]
	private, err := x509.MarshalPKCS8PrivateKey(of.PrivateKey)
	if err != nil {
		tb.Fatal(err)
	}
	ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: of.Certificate[0]})
	return c, ca, ca, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

func start(tb testing.TB, n int, begin func(*httptest.Server)) *Cluster {
	tb.Helper()
	db, err := newEngine()
	if err != nil {
		tb.Fatal(err)
	}
	c := &Cluster{tb: tb, db: db}
	c.idle = sync.NewCond(&c.mu)
	for i := range n {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.serve(i, w, r) }))
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // handshakes that are meant to fail
		begin(s)
		c.nodes = append(c.nodes, s)
	}
	tb.Cleanup(func() {
		c.Settle()
		for _, s := range c.nodes {
			s.CloseClientConnections()
			s.Close()
		}
		if text, err := c.db.conn.QueryText("PRAGMA integrity_check"); err != nil || text != "ok" {
			tb.Errorf("integrity_check: %s, %v", text, err)
		}
		if !c.db.conn.Autocommit() {
			tb.Error("a transaction was left open in the cluster")
		}
		if err := c.db.conn.Close(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

// Address is for holdfast.Open.
func (c *Cluster) Address(parameters string) string {
	var hosts []string
	for _, n := range c.nodes {
		hosts = append(hosts, hostOf(n.URL))
	}
	if parameters != "" {
		parameters = "?" + parameters
	}
	user := ""
	if c.password != "" {
		user = "alice:" + c.password + "@"
	}
	return "rqlite://" + user + strings.Join(hosts, ",") + parameters
}

func hostOf(url string) string {
	_, host, _ := strings.Cut(url, "://")
	return host
}

// RequirePassword makes the cluster ask for user "alice" with a password.
func (c *Cluster) RequirePassword(p string) { c.password = p }

// Script lets the next writes that the leader gets meet these faults, one after the other.
func (c *Cluster) Script(faults ...Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.script = append(c.script, faults...)
}

// Pick has a function choose the fault of each write; nil is none.
func (c *Cluster) Pick(f func() *Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pick = f
}

// Lead makes node i the leader; -1 is nobody.
func (c *Cluster) Lead(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leader = i
}

// Requests is how many writes have reached the leader, and Entries how many of them were applied.
func (c *Cluster) Requests() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

// Entries is how many requests were applied or rolled back by the database.
func (c *Cluster) Entries() int {
	c.db.mu.Lock()
	defer c.db.mu.Unlock()
	return c.db.entries
}

// Settle waits for what is under way, or applied late. Nobody may write meanwhile.
func (c *Cluster) Settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.busy > 0 {
		c.idle.Wait()
	}
}

func (c *Cluster) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy++
}

func (c *Cluster) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy--
	c.idle.Broadcast()
}

// CutBackupsShort lets a backup fail in the middle as the server does: with status 200, and the
// error behind what it has written.
func (c *Cluster) CutBackupsShort() { c.cutShort = true }

// Ledger is the truth: the answer of the database itself, one integer a row.
func (c *Cluster) Ledger(query string) []int64 {
	c.tb.Helper()
	c.db.mu.Lock()
	defer c.db.mu.Unlock()
	s, _, err := c.db.conn.Prepare(query)
	if err != nil {
		c.tb.Fatal(err)
	}
	defer s.Finalize()
	var out []int64
	for {
		more, err := s.Step()
		if err != nil {
			c.tb.Fatal(err)
		}
		if !more {
			return out
		}
		out = append(out, s.ColumnInt64(0))
	}
}

// Exchange is one write, for a Fault to answer.
type Exchange struct {
	c     *Cluster
	w     http.ResponseWriter
	r     *http.Request
	stmts []stmt
}

// Apply applies the statements and returns the right answer.
func (x *Exchange) Apply() []byte {
	b, err := json.Marshal(x.c.db.execute(x.stmts))
	if err != nil {
		panic(err)
	}
	return b
}

// ApplyLate applies them when the client has gone.
func (x *Exchange) ApplyLate() {
	x.c.begin()
	go func() {
		defer x.c.end()
		x.Apply()
	}()
}

// Answer writes an answer.
func (x *Exchange) Answer(status int, body string) {
	x.w.WriteHeader(status)
	_, _ = io.WriteString(x.w, body)
}

// Redirect sends the client somewhere else.
func (x *Exchange) Redirect(base string) {
	x.w.Header().Set("Location", base+x.r.URL.RequestURI())
	x.w.WriteHeader(http.StatusMovedPermanently)
}

// Hang answers nothing as long as the client waits.
func (x *Exchange) Hang() { <-x.r.Context().Done() }

// Reset ends the connection without an answer, or in the middle of one.
func (x *Exchange) Reset(promised int, sent string) {
	conn, buf, err := x.w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	if promised > 0 {
		_, _ = fmt.Fprintf(buf, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", promised, sent)
		_ = buf.Flush()
	}
	if tcp, ok := conn.(*net.TCPConn); ok && promised == 0 {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func (c *Cluster) serve(i int, w http.ResponseWriter, r *http.Request) {
	c.begin()
	defer c.end()
	if user, password, ok := r.BasicAuth(); c.password != "" && (!ok || user != "alice" || password != c.password) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	c.mu.Lock()
	leader := c.leader
	c.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	w.Header().Set("X-Rqlite-Version", "v0.faults")
	switch r.URL.Path {
	case "/db/execute", "/db/load", "/db/backup":
		if !c.lead(i, leader, w, r) {
			return
		}
	case "/db/query":
		if r.URL.Query().Get("level") != "none" && !c.lead(i, leader, w, r) {
			return
		}
	}
	switch r.URL.Path {
	case "/db/execute":
		c.execute(w, r, body)
	case "/db/query":
		c.query(w, r, body)
	case "/db/load":
		c.load(w, body)
	case "/db/backup":
		c.backup(w)
	case "/nodes":
		c.members(w, leader)
	case "/status":
		c.status(w, i, leader)
	case "/readyz":
		_, _ = io.WriteString(w, "[+]node ok")
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// lead sends whoever asks a follower to the leader.
func (c *Cluster) lead(i, leader int, w http.ResponseWriter, r *http.Request) bool {
	switch {
	case i == leader:
		return true
	case leader < 0:
		http.Error(w, "leader not found", http.StatusServiceUnavailable)
	case r.URL.Query().Has("redirect"):
		w.Header().Set("Location", c.nodes[leader].URL+r.URL.RequestURI())
		w.WriteHeader(http.StatusMovedPermanently)
	default:
		c.tb.Errorf("%s was asked of a follower without redirect: it would send a write a second time if the first got no answer", r.URL.Path)
	}
	return false
}

func (c *Cluster) execute(w http.ResponseWriter, r *http.Request, body []byte) {
	q := r.URL.Query()
	if !q.Has("transaction") || q.Has("queue") || q.Has("db_timeout") {
		c.tb.Errorf("a write with ?%s", r.URL.RawQuery)
	}
	stmts, err := parse(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	c.requests++
	var f *Fault
	switch {
	case c.pick != nil:
		f = c.pick()
	case len(c.script) > 0:
		f, c.script = &c.script[0], c.script[1:]
	}
	c.mu.Unlock()
	x := &Exchange{c, w, r, stmts}
	if f != nil {
		f.Answer(x)
		return
	}
	x.Answer(http.StatusOK, string(x.Apply()))
}

func (c *Cluster) query(w http.ResponseWriter, r *http.Request, body []byte) {
	stmts, err := parse(body)
	if r.Method == http.MethodGet {
		stmts, err = []stmt{{sql: r.URL.Query().Get("q")}}, nil
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, c.db.query(stmts))
}

func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(b)
}

func (c *Cluster) load(w http.ResponseWriter, body []byte) {
	c.db.mu.Lock()
	defer c.db.mu.Unlock()
	fresh, err := new(sqlite.Probe).Open(":memory:", sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err == nil {
		err = fresh.Deserialize("main", body, false)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = c.db.conn.Close()
	c.db.conn = fresh
	writeJSON(w, object{"results": []any{}})
}

func (c *Cluster) backup(w http.ResponseWriter) {
	c.db.mu.Lock()
	defer c.db.mu.Unlock()
	b, err := c.db.conn.Serialize("main")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if c.cutShort {
		b = append(b[:len(b)/2], "disk I/O error\n"...)
	}
	_, _ = w.Write(b)
}

func (c *Cluster) members(w http.ResponseWriter, leader int) {
	list := []any{}
	for i, n := range c.nodes {
		list = append(list, object{"id": fmt.Sprintf("n%d", i+1), "api_addr": n.URL, "voter": true, "reachable": true, "leader": i == leader, "version": "v0.faults"})
	}
	writeJSON(w, object{"nodes": list})
}

func (c *Cluster) status(w http.ResponseWriter, i, leader int) {
	state := "Follower"
	if i == leader {
		state = "Leader"
	}
	index := c.Entries()
	writeJSON(w, object{"store": object{
		"node_id": fmt.Sprintf("n%d", i+1), "ready": true, "fsm_index": index, "raft": object{"commit_index": index, "state": state, "voter": true},
		"sqlite3": object{"pragmas": object{"rw": object{"foreign_keys": "1", "journal_mode": "wal"}}},
	}})
}
