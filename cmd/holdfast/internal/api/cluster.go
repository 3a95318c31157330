package api

import (
	"encoding/json"
	"net/http"
	"runtime"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/access"
)

// What clients of a cluster ask before they begin: who leads. One node does.

// nodeID is the name of the only node.
const nodeID = "1"

// node is the only one, as /nodes describes it.
type node struct {
	ID        string  `json:"id,omitempty"`
	APIAddr   string  `json:"api_addr"`
	Addr      string  `json:"addr"`
	Version   string  `json:"version"`
	Voter     bool    `json:"voter"`
	Reachable bool    `json:"reachable"`
	Leader    bool    `json:"leader"`
	Time      float64 `json:"time"`
}

// nodes answers with the address under which the request came: it is the one that this
// client can reach.
func (a *API) nodes(w http.ResponseWriter, r *http.Request) {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	n := node{APIAddr: scheme + r.Host, Addr: r.Host, Version: a.Version, Voter: true, Reachable: true, Leader: true}
	if r.URL.Query().Get("ver") == "2" {
		n.ID = nodeID
		writeJSON(w, r, map[string][]node{"nodes": {n}})
		return
	}
	writeJSON(w, r, map[string]node{nodeID: n})
}

type statusAnswer struct {
	Build   map[string]string `json:"build"`
	Runtime map[string]any    `json:"runtime"`
	Node    map[string]any    `json:"node"`
	HTTP    map[string]any    `json:"http"`
	Store   map[string]any    `json:"store"`
}

func (a *API) status(w http.ResponseWriter, r *http.Request) {
	leader := map[string]string{"node_id": nodeID, "addr": r.Host}
	store := map[string]any{
		"leader": leader, "node_id": nodeID, "addr": r.Host, "ready": true,
		"raft":        map[string]any{"state": "Leader", "voter": true},
		"nodes":       []map[string]string{{"id": nodeID, "addr": r.Host, "suffrage": "Voter"}},
		"sqlite3":     map[string]any{"version": holdfast.Engine().Version},
		"consistency": "a single node: every level is that of the newest commit",
	}
	if db, release, ok := a.Find(""); ok {
		defer release()
		store["database"] = db.Name
	}
	writeJSON(w, r, statusAnswer{
		Build:   map[string]string{"version": a.Version, "compiler": runtime.Compiler},
		Runtime: map[string]any{"GOOS": runtime.GOOS, "GOARCH": runtime.GOARCH, "version": runtime.Version(), "num_cpu": runtime.NumCPU(), "num_goroutine": runtime.NumGoroutine()},
		Node:    map[string]any{"start_time": a.began.UTC(), "uptime": time.Since(a.began).Round(time.Millisecond).String()},
		HTTP:    map[string]any{"bind_addr": r.Host, "auth": "by tokens, if there are any", "queue": map[string]int64{"sequence_number": a.sequence.Load()}},
		Store:   store,
	})
}

// writeJSON answers with v, which must not fail to encode.
func writeJSON(w http.ResponseWriter, r *http.Request, v any) {
	e := json.NewEncoder(w)
	if r.URL.Query().Has("pretty") {
		e.SetIndent("", "    ")
	}
	w.Header()["Content-Type"] = jsonType
	if err := e.Encode(v); err != nil {
		access.Refuse(w, http.StatusInternalServerError, err)
	}
}
