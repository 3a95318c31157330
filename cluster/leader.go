package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const (
	// patience is how long a node may be silent before others are asked whether it still leads. A
	// node that is stopped, or cut off, keeps its connections; only the others know better.
	patience = 500 * time.Millisecond
	askEvery = 250 * time.Millisecond
	askFor   = time.Second

	pauseBase = 25 * time.Millisecond
	pauseMost = 250 * time.Millisecond
)

// errDeposed ends an attempt that a node will not answer: another one leads.
var errDeposed = errors.New("another node leads the cluster now")

// errSilent ends a read of a node that doesn't even say that it is there.
var errSilent = errors.New("the node does not answer")

// pause is how long to wait before the n-th new attempt.
func pause(n int) time.Duration {
	d := pauseMost
	if n < 4 {
		d = pauseBase << n
	}
	return d/2 + rand.N(d/2+1)
}

// watched runs an attempt under a context that ends when abandon says so, twice in a row.
func (c *client) watched(ctx context.Context, node string, abandon func(context.Context, string) error, attempt func(context.Context) reply) reply {
	ctx, cancel := context.WithCancelCause(ctx)
	var looking sync.WaitGroup
	looking.Add(1)
	timer := time.AfterFunc(patience, func() {
		defer looking.Done()
		for n := 0; ; {
			if reason := abandon(ctx, node); reason == nil {
				n = 0
			} else if n++; n == 2 {
				cancel(reason)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(askEvery):
			}
		}
	})
	r := attempt(ctx)
	cancel(nil)
	if timer.Stop() {
		looking.Done()
	}
	looking.Wait()
	return r
}

// deposed asks the others whether node still leads, and notes who does if it doesn't.
func (c *client) deposed(ctx context.Context, node string) error {
	leader := c.ask(ctx, c.nodes.others(node))
	if leader == "" || leader == node {
		return nil
	}
	c.nodes.lead(leader)
	return errDeposed
}

// silent asks a node whether it is there.
func (c *client) silent(ctx context.Context, node string) error {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	if status, _, _, err := c.roundTrip(ctx, http.MethodGet, node, "/readyz?noleader", nil); err != nil || status >= 500 {
		return errSilent
	}
	return nil
}

// ask asks several nodes at once who leads, and returns the first answer; "" if none knows.
//
// It asks by a read that only the leader answers: every version has that, and every user who may
// read is allowed to. A node that isn't it says where it is.
func (c *client) ask(ctx context.Context, whom []string) string {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	answers := make(chan string, len(whom))
	for _, node := range whom {
		go func() { answers <- c.leaderBy(ctx, node) }()
	}
	first := ""
	for range whom { // all of them are waited for: none outlives its request
		if leader := <-answers; leader != "" && first == "" {
			first = leader
			cancel()
		}
	}
	return first
}

func (c *client) leaderBy(ctx context.Context, node string) string {
	status, header, _, err := c.roundTrip(ctx, http.MethodGet, node, "/db/query?level=weak&redirect&q=SELECT%201", nil)
	switch {
	case err != nil:
		return ""
	case status == http.StatusOK:
		return node
	case status >= 300 && status < 400:
		return c.trusted(ctx, node, header.Get("Location"))
	}
	return ""
}

// trusted is the node that a redirect leads to, or "" if nobody whom we trust has named it.
func (c *client) trusted(ctx context.Context, from, location string) string {
	node, ok := c.nodes.base(location)
	if !ok {
		return ""
	}
	if !c.nodes.knows(node) {
		c.discover(ctx, from)
	}
	if !c.nodes.knows(node) {
		return ""
	}
	return node
}

// member is what /nodes says of one node.
type member struct {
	ID        string  `json:"id"`
	API       string  `json:"api_addr"`
	Version   string  `json:"version"`
	Voter     bool    `json:"voter"`
	Reachable bool    `json:"reachable"`
	Leader    bool    `json:"leader"`
	Seconds   float64 `json:"time"`
	Error     string  `json:"error"`
}

// discover asks a node for the others. A user who may not ask is no mistake: the address does.
func (c *client) discover(ctx context.Context, node string) ([]member, *reply) {
	status, _, body, failed := c.roundTrip(ctx, http.MethodGet, node, "/nodes?ver=2&nonvoters&timeout=1s", nil)
	if failed != nil {
		return nil, failed
	}
	var answer struct {
		Nodes []member `json:"nodes"`
	}
	if status != http.StatusOK {
		r := judgeStatus(status, "")
		return nil, &r
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, &reply{failed: -1, text: "what the node says of the others is no JSON"}
	}
	var addresses []string
	for _, m := range answer.Nodes {
		addresses = append(addresses, m.API)
	}
	c.nodes.learn(addresses)
	return answer.Nodes, nil
}

// moveOn decides where the next attempt goes after one that was not taken, the turn-th in a row. It
// reports whether that may go at once: there is a pause after a round of all nodes, and after a
// few redirects.
func (c *client) moveOn(ctx context.Context, node string, r reply, turn int) (atOnce bool) {
	if r.follow != "" {
		if leader := c.trusted(ctx, node, r.follow); leader != "" && leader != node {
			c.nodes.lead(leader)
			return turn%4 != 0
		}
	}
	c.nodes.failed(node)
	return turn%max(2, c.nodes.count()) != 0
}
