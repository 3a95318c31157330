package memory

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hall is a budget with connections to one file, each with a page of 3 kB in each of its
// 4000 rows.
type hall struct {
	*Budget
	t    *testing.T
	path string
	now  time.Time
}

func newHall(t *testing.T) *hall {
	t.Helper()
	h := &hall{Budget: &Budget{}, t: t, path: filepath.Join(t.TempDir(), "app.db"), now: time.Now()}
	c := h.open()
	if err := c.Exec("PRAGMA journal_mode=WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<4000) INSERT INTO t SELECT i, zeroblob(3000) FROM n"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s, err := c.QueryText("PRAGMA integrity_check"); s != "ok" {
			t.Errorf("integrity_check: %q, %v", s, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *hall) open() *sqlite.Conn {
	h.t.Helper()
	c, err := sqlite.Open(h.path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

func (h *hall) connect(d *Database, role Role) *sqlite.Conn {
	h.t.Helper()
	c := h.open()
	if err := d.Connect(c, role); err != nil {
		h.t.Fatal(err)
	}
	return c
}

// round is a second in which every connection given is visited.
func (h *hall) round(d *Database, conns ...*sqlite.Conn) {
	h.now = h.now.Add(every)
	h.Round(h.now)
	for _, c := range conns {
		d.Visit(c, Reader)
	}
	h.holds()
}

// holds checks what must be so at any time: the sum is the sum, and within the limit.
func (h *hall) holds() {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	sum := int64(0)
	for d := range h.databases {
		for _, c := range d.caches {
			if !d.cfg.Fixed {
				sum += c.has()
			}
		}
	}
	if sum != h.sum {
		h.t.Fatalf("the sum is %d, and %d is noted", sum, h.sum)
	}
}

// read reads rows in a range at random.
func (h *hall) read(c *sqlite.Conn, rnd *rand.Rand, n, from, rows int) {
	h.t.Helper()
	for range n {
		if _, err := c.QueryInt64(fmt.Sprintf("SELECT length(b) FROM t WHERE a=%d", from+rnd.IntN(rows))); err != nil {
			h.t.Fatal(err)
		}
	}
}

// size is what the engine says.
func (h *hall) size(c *sqlite.Conn) int64 {
	h.t.Helper()
	n, err := c.QueryInt64("PRAGMA cache_size")
	if err != nil {
		h.t.Fatal(err)
	}
	return -n << 10
}

// Connections of several databases come, work, are seen or not, and go, in any order; the
// limit falls and rises. What the engine lets them have is never more than the limit was
// when they got it.
func TestSumStaysWithinTheBudget(t *testing.T) {
	h := newHall(t)
	rnd := rand.New(rand.NewPCG(2, 5))
	h.System = func() []Reserve { return nil }
	budgets := []int64{8 << 20, 16 << 20}
	databases := map[*Database][]*sqlite.Conn{}
	limit := func() int64 {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.limit()
	}
	last := int64(0)
	for step := range 4000 {
		before := limit()
		var d *Database
		for d = range databases {
			break
		}
		switch op := rnd.IntN(100); {
		case d == nil || op < 1 && len(databases) < 3:
			databases[h.Join(Config{Bytes: budgets[rnd.IntN(2)], Connections: 1 + rnd.IntN(20), Fixed: rnd.IntN(8) == 0})] = nil
		case op < 2:
			for _, c := range databases[d] {
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
			}
			d.Leave()
			delete(databases, d)
		case op < 12 && len(databases[d]) < 30:
			databases[d] = append(databases[d], h.connect(d, Reader))
		case op < 18 && len(databases[d]) > 0:
			i := rnd.IntN(len(databases[d]))
			if err := databases[d][i].Close(); err != nil {
				t.Fatal(err)
			}
			databases[d] = slices.Delete(databases[d], i, i+1)
		case op < 30:
			h.now = h.now.Add(every)
			h.Round(h.now)
		case op < 31:
			limit := int64(2<<20 + rnd.IntN(20<<20))
			h.System = func() []Reserve { return []Reserve{{"test", limit, limit - limit/fullAt, rnd.IntN(5) == 0}} }
		case op < 32:
			h.System = nil
		case op < 70 && len(databases[d]) > 0:
			h.read(databases[d][rnd.IntN(len(databases[d]))], rnd, 30, 1, 1+rnd.IntN(4000))
		case len(databases[d]) > 0:
			d.Visit(databases[d][rnd.IntN(len(databases[d]))], Reader)
		}
		h.holds()
		h.mu.Lock()
		sum := h.sum
		h.mu.Unlock()
		if allowed := max(before, limit(), last); sum > allowed {
			t.Fatalf("step %d: caches may have %d, the limit is %d", step, sum, allowed)
		}
		last = sum // above the limit only as long as it falls
		engine := int64(0)
		for d, conns := range databases {
			for _, c := range conns {
				if !d.cfg.Fixed {
					engine += h.size(c)
				}
			}
		}
		if engine > sum+int64(30*3)<<10 { // the least that can be said is 1 KiB each
			t.Fatalf("step %d: the engine lets caches have %d, the sum is %d", step, engine, sum)
		}
	}
	if h.moves == 0 {
		t.Error("nothing was ever moved: this test looks at nothing")
	}
	for d, conns := range databases {
		for _, c := range conns {
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
		d.Leave()
	}
	if h.sum != 0 {
		t.Errorf("%d bytes are missing", h.sum)
	}
}

// Of 16 connections three work. They get what the others have no use for, and who comes
// to life gets an equal part within three rounds.
func TestTheBudgetGoesWhereItIsMissed(t *testing.T) {
	h := newHall(t)
	rnd := rand.New(rand.NewPCG(1, 1))
	const total = 16 << 20 // the file is 16 MB: an equal part is a sixteenth of it
	d := h.Join(Config{Bytes: total, Connections: 16})
	defer d.Leave()
	var conns []*sqlite.Conn
	for range 16 {
		conns = append(conns, h.connect(d, Reader))
		defer conns[len(conns)-1].Close()
	}
	work := func(rounds int, active ...*sqlite.Conn) {
		for range rounds {
			for _, c := range active {
				h.read(c, rnd, 500, 1, 4000)
			}
			h.round(d, conns...)
		}
	}
	equal := int64(total-total/besides) / 16
	work(1, conns...)
	work(30, conns[:3]...)
	for _, c := range conns[:3] {
		if n := h.size(c); n < 3*equal {
			t.Errorf("one of three that work has %d, and an equal part is %d", n, equal)
		}
	}
	moves := h.Report().Moves
	work(20, conns[:3]...)
	if n := h.Report().Moves - moves; n > 12 {
		t.Errorf("%d changes although nothing has changed", n)
	}
	idle := conns[10]
	if n := h.size(idle); n > 2*Least {
		t.Errorf("one that has done nothing for 30 rounds has %d", n)
	}
	work(3, conns[0], conns[1], conns[2], idle)
	if n := h.size(idle); n < equal*9/10 {
		t.Errorf("three rounds after it came to life it has %d, and an equal part is %d", n, equal)
	}
	for _, n := range d.Numbers() {
		if n.Role != Reader || n.Size == 0 || n.Status.Used == 0 || n.Schema == 0 {
			t.Errorf("%+v", n)
		}
	}
}

// A scan leaves those who read the same again what they have.
func TestAScanTakesNothing(t *testing.T) {
	h := newHall(t)
	rnd := rand.New(rand.NewPCG(6, 1))
	d := h.Join(Config{Bytes: 8 << 20, Connections: 4})
	defer d.Leave()
	scan, point := h.connect(d, Reader), h.connect(d, Reader)
	defer scan.Close()
	defer point.Close()
	for range 20 {
		if _, err := scan.QueryInt64("SELECT sum(length(b)) FROM t"); err != nil {
			t.Fatal(err)
		}
		h.read(point, rnd, 2000, 1, 1500) // 6 MB
		h.round(d, scan, point)
	}
	if s, p := h.size(scan), h.size(point); p < 2*s {
		t.Errorf("the scan has %d, and who would gain from it %d", s, p)
	}
}

func TestEqualAndFixed(t *testing.T) {
	h := newHall(t)
	equal := h.Join(Config{Bytes: 8 << 20, Connections: 8, Equal: true})
	fixed := h.Join(Config{Bytes: 1 << 30, Connections: 8, Fixed: true})
	defer equal.Leave()
	defer fixed.Leave()
	a, b, c := h.connect(equal, Writer), h.connect(equal, Reader), h.connect(fixed, Reader)
	defer a.Close()
	defer b.Close()
	defer c.Close()
	before := []int64{h.size(a), h.size(b), -h.size(c) >> 10}
	rnd := rand.New(rand.NewPCG(6, 6))
	for range 10 {
		h.read(a, rnd, 500, 1, 4000)
		h.read(c, rnd, 500, 1, 4000)
		h.round(equal, a, b)
		fixed.Visit(c, Reader)
	}
	if after := []int64{h.size(a), h.size(b), -h.size(c) >> 10}; !slices.Equal(before, after) {
		t.Errorf("sizes %d became %d", before, after)
	}
	if r := h.Report(); r.Total != 8<<20 || r.Limit != r.Total || r.Granted > r.Total {
		t.Errorf("%+v", r)
	}
	if n := fixed.Numbers(); len(n) != 1 || n[0].Status.Misses == 0 || n[0].Size != 0 {
		t.Errorf("%+v", n)
	}
}

// When memory runs short the caches become smaller, idle ones are emptied, and afterwards
// they grow again.
func TestShortMemory(t *testing.T) {
	h := newHall(t)
	rnd := rand.New(rand.NewPCG(6, 2))
	d := h.Join(Config{Bytes: 16 << 20, Connections: 4})
	defer d.Leave()
	busy, idle := h.connect(d, Reader), h.connect(d, Reader)
	defer busy.Close()
	defer idle.Close()
	h.read(idle, rnd, 2000, 1, 1000)
	for range 8 {
		h.read(busy, rnd, 1500, 1, 4000)
		h.round(d, busy, idle)
	}
	used := func() (n int64) {
		for _, c := range d.Numbers() {
			n += c.Status.Used
		}
		return n
	}
	full := used()
	limit, other := int64(100<<20), int64(95<<20) // the rest of the process takes more and more
	h.System = func() []Reserve { return []Reserve{{"cgroup memory.max", limit, other + used(), false}} }
	for range 6 {
		h.read(busy, rnd, 1500, 1, 4000)
		h.round(d, busy, idle)
	}
	r := h.Report()
	if r.Short != "cgroup memory.max" || r.Limit > 2<<20 || r.Granted > r.Limit {
		t.Errorf("%+v", r)
	}
	if n := used(); n > 3<<20 || full < 10<<20 {
		t.Errorf("the caches had %d and have %d", full, n)
	}
	other = 60 << 20
	for range 20 {
		h.read(busy, rnd, 1500, 1, 4000)
		h.round(d, busy, idle)
	}
	if r := h.Report(); r.Short != "" || r.Limit != r.Total || used() < full/2 {
		t.Errorf("%+v, %d bytes used", r, used())
	}
}
