package cluster

import (
	"bytes"
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
	patience = 250 * time.Millisecond
	askEvery = 100 * time.Millisecond
	askFor   = time.Second
	askAgain = 150 * time.Millisecond

	pauseBase = 25 * time.Millisecond
	pauseMost = 100 * time.Millisecond
)

// errDeposed ends an attempt that a node will not answer: another one leads.
var errDeposed = errors.New("another node leads the cluster now")

// errSilent ends a read of a node that doesn't even say that it is there.
var errSilent = errors.New("the node does not answer")

// pause is how long to wait before the n-th new attempt.
func pause(n int) time.Duration {
	d := pauseMost
	if n < 2 {
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
	leader, _ := c.ask(ctx, c.nodes.others(node))
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

// leading is who leads, by what is known or else by what the nodes say. Without a leader it returns
// why nobody is known to be it.
//
// A write never goes to a node to find out. A follower that has lost its leader without noticing
// keeps the request until its own timeout, half a minute, before it says where to go, and it may
// have become the leader itself by then.
func (c *client) leading(ctx context.Context) (string, *reply) {
	if leader := c.nodes.known(); leader != "" {
		return leader, nil
	}
	leader, why := c.ask(ctx, c.nodes.all())
	if leader == "" {
		if why.verdict != rejected {
			why.verdict = notTaken // nothing but the question was sent
		}
		return "", why
	}
	c.nodes.lead(leader)
	return leader, nil
}

// ask asks several nodes at once who leads, and returns the first answer. If none knows it
// returns what they said: that they refuse to tell, if all of them do.
//
// It asks by a read that only the leader answers: every version has that, and every user who may
// read is allowed to. A node that isn't it says where it is. Those who say nothing are asked again
// beside the question that is open: one who looks for a leader that is stopped keeps it for long,
// and may lead meanwhile.
func (c *client) ask(ctx context.Context, whom []string) (leader string, why *reply) {
	type answer struct {
		leader string
		why    *reply
	}
	var asking sync.WaitGroup
	defer asking.Wait() // none outlives its question
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	answers, outstanding := make(chan answer), 0
	wave := func() {
		outstanding += len(whom)
		for _, node := range whom {
			asking.Go(func() {
				leader, why := c.leaderBy(ctx, node)
				select {
				case answers <- answer{leader, why}:
				case <-ctx.Done():
				}
			})
		}
	}
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for wave(); outstanding > 0; {
		select {
		case a := <-answers:
			if outstanding--; a.leader != "" {
				return a.leader, nil
			}
			if why == nil || a.why.verdict != rejected {
				why = a.why
			}
		case <-again.C:
			wave()
		case <-ctx.Done():
			return "", &reply{verdict: notTaken, failed: -1, text: "no node says who leads the cluster"}
		}
	}
	return "", why
}

func (c *client) leaderBy(ctx context.Context, node string) (leader string, why *reply) {
	status, header, body, err := c.roundTrip(ctx, http.MethodGet, node, "/db/query?level=weak&redirect&q=SELECT%201", nil)
	switch {
	case err != nil:
		return "", err
	case status == http.StatusOK:
		if r := judge(body, 1); r.verdict != acknowledged {
			return "", &r
		}
		return node, nil
	case status >= 300 && status < 400:
		if leader = c.trusted(ctx, node, header.Get("Location")); leader == "" {
			why = &reply{verdict: notTaken, failed: -1, text: hostOf(node) + " sends to a machine that neither the address nor the cluster names"}
		}
		return leader, why
	}
	r := judgeStatus(status, string(bytes.TrimSpace(body)))
	return "", &r
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
// reports whether that may go at once: where a node has sent us, but not for ever.
func (c *client) moveOn(ctx context.Context, node string, r reply, turn int) (atOnce bool) {
	if r.follow != "" {
		if leader := c.trusted(ctx, node, r.follow); leader != "" && leader != node {
			c.nodes.lead(leader)
			return turn%4 != 0
		}
	}
	c.nodes.failed(node)
	return false
}
