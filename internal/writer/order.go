package writer

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/holdfastdb/holdfast/internal/locks"
)

// Two callers who take two databases in opposite orders wait for each other if
// they ever meet, and that may be once a year. So the order is noted where a
// caller who has one database asks for another, and one that contradicts what
// was noted before is reported, although nobody has waited yet. Who has a
// database is known of functions given to Update, by the marks on the stack.

// Order is that a caller who had one database asked for another.
type Order struct {
	Had, Wanted string      // Config.Name of each
	Stack       locks.Stack // of the first who did
}

// ordering is what a Writer knows of orders.
type ordering struct {
	mark  atomic.Uint32      // of the function that has the writer, or 0
	asked map[request]uint64 // guarded by Writer.mu
}

// request is what callers look like who may all be the same one.
type request struct {
	site locks.Site
	sql  string
}

// Reading the own stack takes about a microsecond, which half of the writes of a
// program would pay whose databases are all busy. So callers who look the same
// do it the first times, and then seldom. A transaction looks different whenever
// it is begun inside a function given to Update, because the mark is a part of
// its stack.
const (
	alwaysLooks = 16
	looksEvery  = 64
	maxRequests = 256
)

// looksAtOrder tells whether t is to find out what it has already.
func (w *Writer) looksAtOrder(t *task) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := request{t.site, t.sql}
	n := w.order.asked[k]
	if n == 0 && len(w.order.asked) >= maxRequests || w.order.asked == nil {
		w.order.asked = make(map[request]uint64)
	}
	w.order.asked[k] = n + 1
	return n < alwaysLooks || n%looksEvery == 0
}

// marked notes that a function with a mark has the writer.
func (w *Writer) marked(m locks.Mark) {
	if g := w.cfg.Graph; g != nil && m != 0 {
		w.order.mark.Store(uint32(m))
		g.marked.Add(1)
	}
}

// unmarked notes that the function is over.
func (w *Writer) unmarked() {
	if w.order.mark.Swap(0) != 0 {
		w.cfg.Graph.marked.Add(-1)
	}
}

// hasAnother tells whether a function with a mark has a writer other than w. It
// is all that a program with one database pays.
func (g *Graph) hasAnother(w *Writer) bool {
	n := g.marked.Load()
	return n > 1 || n == 1 && w.order.mark.Load() == 0
}

// maxEdges bounds what is remembered; an edge is about half a kilobyte.
const maxEdges = 1024

// edge is an order that was seen.
type edge struct {
	Order
	from, to *Writer
	// guards are the databases that whoever took this order had before both:
	// two callers who share one can't meet.
	guards   []string
	reported bool
}

// observe notes in which order the calling goroutine takes w after what it has,
// and reports orders that contradict each other.
func (g *Graph) observe(w *Writer) {
	stack, marks := g.reader.Read()
	if len(marks) == 0 {
		return
	}
	for _, found := range g.note(w, stack, marks) {
		if w.cfg.OnInversion != nil {
			w.cfg.OnInversion(found)
		}
	}
}

func (g *Graph) note(w *Writer, stack locks.Stack, marks []locks.Mark) (found [][]Order) {
	g.mu.Lock()
	defer g.mu.Unlock()
	has := make([]*Writer, 0, len(marks)) // innermost first
	for _, m := range marks {
		for other := range g.writers {
			if other.order.mark.Load() == uint32(m) {
				has = append(has, other)
			}
		}
	}
	if _, open := g.writers[w]; !open || slices.Contains(has, w) { // a deadlock with itself will be found
		return nil
	}
	for i, from := range has {
		e := g.edge(from, w, stack, has[i+1:])
		if e == nil {
			continue
		}
		if cycle := g.cycle(e); cycle != nil {
			found = append(found, orders(cycle))
		}
	}
	return found
}

// edge notes an order and returns it if it is news, which it also is when seen
// with fewer guards than before.
func (g *Graph) edge(from, to *Writer, stack locks.Stack, outer []*Writer) *edge {
	var guards []string
	for _, o := range outer {
		guards = append(guards, o.cfg.Name)
	}
	e := g.writers[from][to]
	if e == nil {
		if g.edges >= maxEdges {
			return nil
		}
		g.edges++
		e = &edge{Order: Order{from.cfg.Name, to.cfg.Name, slices.Clone(stack)}, from: from, to: to, guards: guards}
		if g.writers[from] == nil {
			g.writers[from] = make(map[*Writer]*edge)
		}
		g.writers[from][to] = e
		return e
	}
	before := len(e.guards)
	e.guards = slices.DeleteFunc(e.guards, func(s string) bool { return !slices.Contains(guards, s) })
	if len(e.guards) == before || e.reported {
		return nil
	}
	e.Stack = slices.Clone(stack)
	return e
}

// hop is an order on the way along a cycle.
type hop struct {
	*edge
	union  []string // the guards of this order and those before it
	before *hop
}

// maxHops bounds a search. Without guards there is one for each writer.
const maxHops = 4 * maxEdges

// cycle is the shortest one with e as its last order that can close, or nil. One
// can't if two of those who take its orders have the same database then, which a
// longer one may go around: so the guards are a part of where a search has been.
func (g *Graph) cycle(e *edge) []*edge {
	type place struct {
		w      *Writer
		guards string
	}
	been := make(map[place]struct{})
	for queue := []*hop{{e, e.guards, nil}}; len(queue) > 0 && len(been) < maxHops; queue = queue[1:] {
		h := queue[0]
		if h.to == e.from {
			return h.edges()
		}
		for _, next := range g.writers[h.to] {
			if h.excludes(next) {
				continue
			}
			union := slices.Concat(h.union, next.guards)
			slices.Sort(union)
			at := place{next.to, strings.Join(union, "\x00")}
			if _, known := been[at]; !known {
				been[at] = struct{}{}
				queue = append(queue, &hop{next, union, h})
			}
		}
	}
	return nil
}

// excludes tells whether the way has been where next leads, or whoever takes next
// can't meet one who takes an order of the way, as both have the same database.
func (h *hop) excludes(next *edge) bool {
	for ; h != nil; h = h.before {
		if h.to == next.to || slices.Contains(h.guards, next.Had) || slices.Contains(next.guards, h.Had) ||
			slices.ContainsFunc(h.guards, func(name string) bool { return slices.Contains(next.guards, name) }) {
			return true
		}
	}
	return false
}

// edges are the orders up to h, of which the first comes last.
func (h *hop) edges() []*edge {
	var edges []*edge
	for ; h != nil; h = h.before {
		edges = append(edges, h.edge)
	}
	slices.Reverse(edges)
	return append(edges[1:], edges[0])
}

// orders is a cycle as it is reported, and counted in each of its databases.
func orders(cycle []*edge) []Order {
	out := make([]Order, len(cycle))
	for i, e := range cycle {
		e.reported = true
		e.from.cfg.Counters.LockOrderInversions.Add(1)
		out[i] = e.Order
	}
	return out
}

// forget drops the orders in which a writer has a part. Called with mu held.
func (g *Graph) forget(w *Writer) {
	g.edges -= len(g.writers[w])
	delete(g.writers, w)
	for _, out := range g.writers {
		if _, ok := out[w]; ok {
			g.edges--
			delete(out, w)
		}
	}
}
