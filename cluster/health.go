package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
)

// healthFor is how long Health waits for a machine.
const healthFor = 2 * time.Second

// Health asks every node at once, each for at most two seconds: who leads, who can be reached, how
// far behind the leader each of them is.
func (c *client) Health(ctx context.Context) (holdfast.Health, error) {
	start := time.Now()
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, healthFor)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	h := holdfast.Health{
		Status: "ok", IntegrityCheck: "unknown", ThreadingInfo: holdfast.Engine(), ConnectionStats: c.Stats(), Findings: []holdfast.Finding{},
		Look: holdfast.Look{LastCheck: start.UTC()}, Reliability: holdfast.Reliability{SuccessRate: 1, LockConflictResolution: 1, PoolEfficiency: 1, HealthCheckAvailability: 1},
		Volume: holdfast.VolumeHealth{FreeBytes: -1, TotalBytes: -1},
	}
	states := c.look(ctx)
	if err := outer.Err(); err != nil {
		return h, err
	}
	h.Cluster = &holdfast.ClusterHealth{Nodes: []holdfast.ClusterNode{}}
	for _, s := range states {
		h.Cluster.Nodes = append(h.Cluster.Nodes, s.ClusterNode)
		if s.Leader && s.Reachable {
			h.Cluster.Leader = s.ID
		}
	}
	judgeHealth(&h, states)
	if f := c.counts.failed.Load(); f > 0 {
		h.Reliability.SuccessRate = float64(c.counts.succeeded.Load()) / float64(f+c.counts.succeeded.Load())
	}
	h.TookSeconds = time.Since(start).Seconds()
	return h, nil
}

// condition is a node, and what its database says of itself.
type condition struct {
	holdfast.ClusterNode
	ready       bool
	foreignKeys bool
	wal         bool
	bytes       int64
	pages, size int64
	commit      uint64
}

// status is what /status says that is of use here.
type status struct {
	Store struct {
		NodeID string `json:"node_id"`
		Ready  bool   `json:"ready"`
		Leader struct {
			NodeID string `json:"node_id"`
		} `json:"leader"`
		Applied uint64 `json:"db_applied_index"`
		FSM     uint64 `json:"fsm_index"`
		Raft    struct {
			Applied uint64 `json:"applied_index"`
			Commit  uint64 `json:"commit_index"`
			State   string `json:"state"`
			Voter   bool   `json:"voter"`
		} `json:"raft"`
		SQLite struct {
			Size    int64 `json:"db_size"`
			Version string
			Memory  struct {
				Pages    int64 `json:"page_count"`
				PageSize int64 `json:"page_size"`
			} `json:"mem_stats"`
			Pragmas struct {
				RW map[string]string `json:"rw"`
			} `json:"pragmas"`
		} `json:"sqlite3"`
	} `json:"store"`
	Build struct {
		Version string `json:"version"`
	} `json:"build"`
}

// look learns the members from whoever answers first, and then asks each of all for itself.
func (c *client) look(ctx context.Context) []condition {
	members := map[string]member{}
	for _, node := range c.nodes.all() {
		if list, failed := c.discover(ctx, node); failed == nil {
			for _, m := range list {
				if base, ok := c.nodes.base(m.API); ok {
					members[base] = m
				} else {
					members[m.ID] = m // it can't be reached, so its address is not known
				}
			}
			break
		}
	}
	all := c.nodes.all()
	out := make([]condition, len(all))
	var asking sync.WaitGroup
	for i, node := range all {
		asking.Go(func() { out[i] = c.condition(ctx, node, members[node]) })
	}
	asking.Wait()
	for name, m := range members { // those that nobody knows how to reach
		if !strings.Contains(name, "://") && !hasID(out, m.ID) {
			out = append(out, condition{ClusterNode: holdfast.ClusterNode{ID: m.ID, Voter: m.Voter, Version: m.Version, Error: orElse(m.Error, "it can't be reached by the others")}})
		}
	}
	commit := uint64(0)
	for _, o := range out {
		commit = max(commit, o.commit)
	}
	for i := range out {
		if o := &out[i]; o.Reachable && o.Applied > 0 && commit > o.Applied {
			o.Lag = commit - o.Applied
		}
	}
	return out
}

func hasID(list []condition, id string) bool {
	for _, o := range list {
		if o.ID == id {
			return true
		}
	}
	return false
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// condition asks one node for itself.
func (c *client) condition(ctx context.Context, node string, m member) condition {
	start := time.Now()
	o := condition{ClusterNode: holdfast.ClusterNode{ID: m.ID, Address: node, Voter: m.Voter, Version: m.Version}}
	code, _, body, failed := c.roundTrip(ctx, http.MethodGet, node, "/status", nil)
	o.Seconds = time.Since(start).Seconds()
	if failed != nil {
		o.Error = failed.text
		return o
	}
	if o.Reachable = code < 500; code != http.StatusOK {
		r := judgeStatus(code, "")
		o.Error, o.Leader = r.text, m.Leader
		return o
	}
	var s status
	if err := json.Unmarshal(body, &s); err != nil {
		o.Error = "its status can't be read"
		return o
	}
	o.ID, o.Version = orElse(s.Store.NodeID, m.ID), orElse(s.Build.Version, m.Version)
	o.Voter = m.Voter || s.Store.Raft.Voter
	o.Leader = s.Store.Raft.State == "Leader"
	o.Applied, o.commit, o.ready = max(s.Store.FSM, s.Store.Applied), s.Store.Raft.Commit, s.Store.Ready
	o.bytes, o.pages, o.size = s.Store.SQLite.Size, s.Store.SQLite.Memory.Pages, s.Store.SQLite.Memory.PageSize
	o.foreignKeys, o.wal = s.Store.SQLite.Pragmas.RW["foreign_keys"] != "0", s.Store.SQLite.Pragmas.RW["journal_mode"] == "wal"
	return o
}

// lagging is how many entries a node may be behind without being reported: what is under way.
const lagging = 1000

// judgeHealth adds the findings, and what is the database's own.
func judgeHealth(h *holdfast.Health, states []condition) {
	find := func(id, severity, summary, evidence, fix string) {
		h.Findings = append(h.Findings, holdfast.Finding{ID: id, Severity: severity, Summary: summary, Evidence: evidence, Fix: fix})
		if severity == "critical" || h.Status == "ok" {
			h.Status = severity
		}
	}
	voters, reachable, leaders := 0, 0, 0
	var missing, behind []string
	for _, s := range states {
		if s.Voter {
			voters++
		}
		switch {
		case !s.Reachable:
			missing = append(missing, orElse(s.ID, s.Address)+": "+s.Error)
			continue
		case s.Lag > lagging:
			behind = append(behind, fmt.Sprintf("%s by %d entries", orElse(s.ID, s.Address), s.Lag))
		}
		if s.Voter {
			reachable++
		}
		if s.Leader {
			leaders++
			h.DatabaseAccessible, h.WALModeEnabled = s.ready, s.wal
			h.PageCount, h.PageSize, h.FileSizeMB = s.pages, s.size, float64(s.bytes)/(1<<20)
			h.File.Bytes = s.bytes
			if !s.foreignKeys {
				defer find("cluster-foreign-keys", "warning", "The cluster does not enforce foreign keys, which a file opened by Holdfast does.",
					"PRAGMA foreign_keys is 0 on "+orElse(s.ID, s.Address), "start every rqlited with -fk")
			}
		}
	}
	h.Cluster.Ready = leaders > 0 && reachable*2 > voters && voters > 0
	switch {
	case leaders == 0:
		find("cluster-no-leader", "critical", "No node leads the cluster: nothing can be written.", fmt.Sprintf("%d of %d voters can be reached", reachable, voters),
			"start the machines that are missing; a majority of the voters has to see each other")
	case !h.Cluster.Ready:
		find("cluster-no-majority", "critical", "Fewer than a majority of the voters can be reached from here.", strings.Join(missing, "; "), "start the machines that are missing")
	case leaders > 1:
		find("cluster-two-leaders", "warning", "Two nodes take themselves for the leader.", "one of them was deposed and has not noticed; reads at weak may miss writes for a moment", "look again; if it stays, see whether the machines reach each other")
	}
	if len(missing) > 0 && leaders > 0 {
		find("cluster-node-down", "warning", "A node can't be reached.", strings.Join(missing, "; "), "start it, or remove it from the cluster")
	}
	if len(behind) > 0 {
		find("cluster-lag", "warning", "A node is behind the leader: reads at level none are old there.", strings.Join(behind, "; "), "see whether its disk or its network is slow")
	}
}

// Stats are counts of this client. What happens on the machines is theirs to tell.
func (c *client) Stats() holdfast.Stats {
	return holdfast.Stats{Operations: holdfast.Operations{
		ConnectionsCreated: c.counts.sessions.Load(), SuccessfulOperations: c.counts.succeeded.Load(),
		FailedOperations: c.counts.failed.Load(), RetryAttempts: c.counts.retries.Load(),
	}}
}
