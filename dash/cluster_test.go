package dash

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// machines is a cluster of which there is only what it says of itself.
type machines struct {
	mu         sync.Mutex
	leader     string // "" is nobody, "unreachable" an error
	replicated bool
	sent       int // but for Health
}

var errNothingThere = errors.New("nothing is there")

func (m *machines) sends() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent++
	return errNothingThere
}

func (m *machines) Connect(context.Context) (driver.Conn, error) { return nil, m.sends() }
func (m *machines) Driver() driver.Driver                        { return nil }
func (m *machines) Capabilities() holdfast.Capabilities {
	return holdfast.Capabilities{Backend: "machines", Replicated: m.replicated}
}
func (m *machines) Stats() holdfast.Stats { return holdfast.Stats{} }
func (m *machines) Close() error          { return nil }
func (m *machines) Batch(context.Context, []holdfast.Statement, holdfast.BatchSettings) (holdfast.BatchResult, error) {
	return holdfast.BatchResult{}, m.sends()
}
func (m *machines) Backup(context.Context, io.Writer) error         { return m.sends() }
func (m *machines) Restore(context.Context, io.Reader, int64) error { return m.sends() }

func (m *machines) lead(leader string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leader = leader
}

func (m *machines) Health(context.Context) (holdfast.Health, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := holdfast.Health{Status: "ok", Findings: []holdfast.Finding{}, Cluster: &holdfast.ClusterHealth{Leader: m.leader, Ready: m.leader != ""}}
	if m.leader == "unreachable" {
		return h, errNothingThere
	}
	for _, id := range []string{"n1", "n2", "n3"} {
		n := holdfast.ClusterNode{ID: id, Address: "http://" + id + ":4001", Voter: true, Reachable: id != "n3", Leader: id == m.leader, Version: "v10", Applied: 100, Seconds: 0.001}
		if id == "n3" {
			n.Applied, n.Error = 0, "connection <refused>"
		}
		if id == "n2" {
			n.Lag = 7
		}
		h.Cluster.Nodes = append(h.Cluster.Nodes, n)
	}
	h.Findings = append(h.Findings, holdfast.Finding{ID: "cluster-node-down", Severity: "warning", Summary: "A node can't be reached.", Evidence: "n3: connection <refused>", Fix: "start it, or remove it from the cluster"})
	return h, nil
}

var allMachines sync.Map // by address

func init() {
	holdfast.RegisterBackend("machines", func(_ context.Context, address string, _ holdfast.Config) (holdfast.Backend, error) {
		m, _ := allMachines.Load(address)
		return m.(*machines), nil
	})
}

func openMachines(t *testing.T, name string, replicated bool) (*holdfast.DB, *machines) {
	t.Helper()
	m, address := &machines{leader: "n1", replicated: replicated}, "machines://user:secret@"+t.Name()+name+":4001"
	allMachines.Store(address, m)
	t.Cleanup(func() { allMachines.Delete(address) })
	db, err := holdfast.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db, m
}

// later is a look after the one before has grown old.
func later(d *Dashboard) {
	for _, w := range d.watches {
		w.healthAt = time.Time{}
	}
	d.cache = cache{}
}

func asJSON(r *http.Request) { r.Header.Set("Accept", "application/json") }

func TestClusterPage(t *testing.T) {
	t.Parallel()
	db, m := openMachines(t, "", true)
	d := Handler(db)
	for lang, wants := range map[string][]string{
		"en": {"n1 leads.", "2 of 3 voters", "can&#39;t be reached:", "connection &lt;refused&gt;", "None was seen.", "follower, votes"},
		"de": {"n1 führt.", "2 von 3 Stimmberechtigten", "nicht erreichbar:", "Keiner wurde gesehen.", "Ein Knoten ist nicht erreichbar", "folgt, stimmt ab"},
	} {
		body := shown(t, d, "/?lang="+lang)
		for _, want := range append(wants, "<h1>Cluster</h1>", "http://n2:4001", "v10") {
			if !strings.Contains(body, want) {
				t.Errorf("%s: %q is not in %s", lang, want, body)
			}
		}
		for _, bad := range []string{"secret", "%!", "ZgotmplZ", "cluster.", ">NaN"} {
			if strings.Contains(strings.ReplaceAll(body, "cluster-", ""), bad) {
				t.Errorf("%s: %q is in %s", lang, bad, body)
			}
		}
		levels(t, "/", body)
	}
	for _, leader := range []string{"", "n2"} {
		m.lead(leader)
		later(d)
		shown(t, d, "/")
	}
	m.lead("unreachable")
	later(d)
	if w := get(t, d, "/"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), errNothingThere.Error()) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	m.lead("n2")
	later(d)
	var doc struct {
		Schema, Database string
		View             clusterView
	}
	if err := json.Unmarshal(get(t, d, "/", asJSON).Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	v := doc.View
	if doc.Schema != "holdfast.dash.cluster/v1" || doc.Database != db.Address() || v.Leader != "n2" || len(v.Nodes) != 3 || v.Nodes[0].ID != "n2" || v.SeenSince.IsZero() {
		t.Errorf("%+v", doc)
	}
	if e := v.Elections; len(e) != 2 || e[0].Before != "" || e[0].Leader != "n2" || e[1].Before != "n1" || e[1].Leader != "" || e[0].At.Before(e[1].At) {
		t.Errorf("%+v", e)
	}
	if body := shown(t, d, "/?lang=en"); strings.Count(body, "nobody known") != 2 || strings.Contains(body, "None was seen") {
		t.Error(body)
	}
	if v.Sentences[1].State != "warning" || v.Sentences[2].State != "warning" { // one is missing, and none may fail
		t.Errorf("%+v", v.Sentences)
	}
}

// Pages about files are not offered, and say so to who asks for them; nothing is sent for
// them, and nothing panics.
func TestPagesOfFilesAreNotOfACluster(t *testing.T) {
	t.Parallel()
	db, m := openMachines(t, "", true)
	other, _ := openMachines(t, "other", false)
	file := open(t)
	single := Handler(db, WithActions(true), WithOthers())
	several := Databases(func() map[string]*holdfast.DB { return map[string]*holdfast.DB{"c": db, "f": file, "o": other} }, WithActions(true))
	for base, d := range map[string]*Dashboard{"/": single, "/d/c/": several, "/d/o/": several} {
		for _, p := range d.pages {
			if p.address() == "" && base != "/d/o/" {
				continue
			}
			for _, address := range []string{p.address(), "live?page=" + p.address()} {
				w := get(t, d, base+address)
				if (p.address() != "" || base == "/d/o/") && (w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "is about a database that is a file")) {
					t.Errorf("%s%s: %d %s", base, address, w.Code, w.Body)
				}
			}
			if w := get(t, d, base+p.address(), asJSON); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "holdfast.dash.error/v1") {
				t.Errorf("%s%s as JSON: %d %s", base, p.address(), w.Code, w.Body)
			}
		}
		for _, action := range []string{"backup", "checkpoint", "optimize", "alert", "end", "none"} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost"+base+"act/"+action, nil)
			r.RemoteAddr = "127.0.0.1:40000"
			w := httptest.NewRecorder()
			d.ServeHTTP(w, r)
			if w.Code != http.StatusNotFound {
				t.Errorf("%s%s: %d %s", base, action, w.Code, w.Body)
			}
		}
		if body := shown(t, d, base+"share"); base != "/d/o/" && !strings.Contains(body, "n1 leads.") || strings.Contains(body, "secret") {
			t.Errorf("%sshare: %s", base, body)
		}
	}
	if body := shown(t, several, "/d/c/"); strings.Contains(body, `href="../../d/c/locks`) || !strings.Contains(body, "n1 leads.") {
		t.Error(body)
	}
	if body := shown(t, several, "/"); !strings.Contains(body, "A node can&#39;t be reached") {
		t.Error(body)
	}
	if body := shown(t, several, "/d/f/"); !strings.Contains(body, several.texts["en"].T("locks.title")) {
		t.Error("the pages of a file are gone")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sent != 0 {
		t.Errorf("%d requests besides Health", m.sent)
	}
}
