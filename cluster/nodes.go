package cluster

import (
	"net/url"
	"slices"
	"strings"
	"sync"
)

// nodes is what is known of the machines. It is safe for concurrent use.
type nodes struct {
	mu     sync.Mutex
	list   []string // where to ask, in the order of the address, then those that were learned of
	leader string   // "" if nobody is known to be it
	tls    bool
}

// known is who leads; "" if nobody is known to.
func (n *nodes) known() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.leader
}

// any is who is to be asked where everybody can answer: always the same as long as it does.
func (n *nodes) any(failed int) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.list[failed%len(n.list)]
}

// others are all but one.
func (n *nodes) others(node string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(n.list), func(s string) bool { return s == node })
}

func (n *nodes) all() []string { return n.others("") }

// count is how many there are.
func (n *nodes) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.list)
}

// lead notes who the leader is.
func (n *nodes) lead(node string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.leader = node
}

// failed notes that a node did not serve as leader.
func (n *nodes) failed(node string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.leader == node {
		n.leader = ""
	}
}

// knows tells whether a node may be followed to: user and password go there, so it must have
// been named by the address, or by a node that is named.
func (n *nodes) knows(node string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.list, node)
}

// learn adds what a node says of the cluster. Those of the address stay: a machine that is gone
// may come back.
func (n *nodes) learn(addresses []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range addresses {
		if node, ok := n.base(a); ok && !slices.Contains(n.list, node) {
			n.list = append(n.list, node)
		}
	}
}

// base is the scheme, host and port of a URL, if that is as well protected as the address asks.
func (n *nodes) base(text string) (node string, ok bool) {
	u, err := url.Parse(text)
	scheme := "http"
	if n.tls {
		scheme = "https"
	}
	if err != nil || u.Scheme != scheme || u.Host == "" {
		return "", false
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), true
}
