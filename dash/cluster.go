package dash

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast"
)

// clusterPages are the pages about a database that a cluster keeps. The others are about a
// file, which has a log, locks and readers of this process.
func clusterPages() []page {
	return []page{{id: "cluster", view: func(ctx context.Context, v *visit) (any, error) { return v.cluster(ctx) }}}
}

// pagesOf are the pages that there are about a database, in the order of the menu. Of a back
// end that is no file and no cluster there are none.
func (d *Dashboard) pagesOf(db *holdfast.DB) []page {
	switch {
	case db == nil || db.Address() == "":
		return d.pages
	case db.Capabilities().Replicated:
		return d.ofCluster
	}
	return nil
}

var errOfFiles = errors.New("there is no such page here: it is about a database that is a file. What there is to see of a cluster stands on its first page")

// noPage says why there is none.
func noPage(at place) error {
	if at.db != nil && at.db.Address() != "" {
		return errOfFiles
	}
	return errNoSuchPage
}

// clusterView is how the machines are.
type clusterView struct {
	Status    string                 `json:"status"`
	Sentences []sentence             `json:"sentences"`
	Leader    string                 `json:"leader"`
	Ready     bool                   `json:"ready"`
	Nodes     []holdfast.ClusterNode `json:"nodes"` // the leader first
	Findings  []holdfast.Finding     `json:"findings"`
	Elections []election             `json:"elections"`  // the newest first
	SeenSince time.Time              `json:"seen_since"` // the first look
	Counts    holdfast.Operations    `json:"operations"` // of this process
	Bytes     int64                  `json:"bytes"`      // of the leader's database; 0 if it is not known
}

// election is a change of the leader, between two looks. They are those of this process: a
// cluster keeps no list.
type election struct {
	At     time.Time `json:"at"`     // the look that saw it
	Before string    `json:"before"` // "": nobody was known to lead
	Leader string    `json:"leader"` // likewise
}

// mostElections are remembered.
const mostElections = 20

// elect remembers who leads. The caller holds turn.
func (w *watch) elect(h *holdfast.Health, now time.Time) {
	if h.Cluster == nil {
		return
	}
	if w.ledSince.IsZero() {
		w.ledSince, w.leads = now, h.Cluster.Leader
	}
	if h.Cluster.Leader == w.leads {
		return
	}
	w.elections = append(w.elections, election{now, w.leads, h.Cluster.Leader})
	w.elections = w.elections[max(0, len(w.elections)-mostElections):]
	w.leads = h.Cluster.Leader
}

// elected are the elections, the newest first, and since when there was a look.
func (w *watch) elected() ([]election, time.Time) {
	w.turn.Lock()
	defer w.turn.Unlock()
	all := append([]election{}, w.elections...)
	slices.Reverse(all)
	return all, w.ledSince
}

func (v *visit) cluster(ctx context.Context) (*clusterView, error) {
	h, err := v.watch.healthNow(ctx)
	if err != nil {
		return nil, err
	}
	c := &clusterView{Status: h.Status, Findings: h.Findings, Counts: h.ConnectionStats.Operations, Bytes: h.File.Bytes, Nodes: []holdfast.ClusterNode{}}
	c.Elections, c.SeenSince = v.watch.elected()
	if h.Cluster != nil {
		c.Leader, c.Ready, c.Nodes = h.Cluster.Leader, h.Cluster.Ready, append(c.Nodes, h.Cluster.Nodes...)
	}
	slices.SortStableFunc(c.Nodes, func(a, b holdfast.ClusterNode) int {
		if a.Leader != b.Leader {
			return map[bool]int{true: -1, false: 1}[a.Leader]
		}
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Address, b.Address))
	})
	c.Sentences = v.sayCluster(c)
	return c, nil
}

// sayCluster says what counts: whether something can be written, how many may still fail, and
// who is behind.
func (v *visit) sayCluster(c *clusterView) []sentence {
	voters, reachable, behind := 0, 0, uint64(0)
	for _, n := range c.Nodes {
		if n.Voter {
			voters++
			if n.Reachable {
				reachable++
			}
		}
		behind = max(behind, n.Lag)
	}
	number := func(n int) string { return v.text.Int(int64(n)) }
	leads := sentence{"ok", v.text.T("cluster.leads", c.Leader)}
	if c.Leader == "" {
		leads = sentence{"critical", v.text.T("cluster.nobody_leads")}
	}
	sees := sentence{"ok", v.text.T("cluster.reachable", number(reachable), number(voters))}
	switch {
	case !c.Ready:
		sees.State = "critical"
	case reachable < voters:
		sees.State = "warning"
	}
	said := []sentence{leads, sees}
	if spare := reachable - voters/2 - 1; c.Ready {
		state := "ok"
		if spare == 0 {
			state = "warning"
		}
		said = append(said, sentence{state, v.text.T("cluster.spare", number(spare))})
	}
	return append(said, sentence{"ok", v.text.T("cluster.behind", v.text.Int(int64(min(behind, 1<<62))))}) //nolint:gosec // bounded
}
