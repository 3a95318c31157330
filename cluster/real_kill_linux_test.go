package cluster_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// disturbance is what is done to the machine that leads.
type disturbance struct {
	name       string
	hurt, mend func(r *real, i int)
}

var killing = disturbance{"kill -9", func(r *real, i int) { r.kill(i) }, func(r *real, i int) { r.start(i) }}

var stopping = disturbance{
	"SIGSTOP",
	func(r *real, i int) { r.signal(i, syscall.SIGSTOP) },
	func(r *real, i int) { r.signal(i, syscall.SIGCONT) },
}

func (r *real) signal(i int, s syscall.Signal) {
	if err := r.running[i].Process.Signal(s); err != nil {
		r.tb.Error(err)
	}
}

// rounds is how often the leader is hurt: twice where time is short, else HOLDFAST_CLUSTER_ROUNDS, or 20 times.
func rounds(t *testing.T) int {
	if testing.Short() {
		return 2
	}
	if n, err := strconv.Atoi(os.Getenv("HOLDFAST_CLUSTER_ROUNDS")); err == nil {
		return n
	}
	return 20
}

func TestLeadersThatDie(t *testing.T) {
	survive(t, startReal(t), []disturbance{killing, stopping}, rounds(t))
}

// ledger is what writers were told, kept outside of the database.
type ledger struct {
	mu       sync.Mutex
	outcomes map[int64]holdfast.Outcome
	acks     atomic.Int64
	last     time.Time     // of an acknowledgement
	gap      time.Duration // the longest without one, since it was asked for
}

func (l *ledger) note(id int64, o holdfast.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outcomes[id] = o
	if o != holdfast.Committed {
		return
	}
	now := time.Now()
	l.gap = max(l.gap, now.Sub(l.last))
	l.last = now
	l.acks.Add(1)
}

func (l *ledger) longest() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.gap
	l.gap = 0
	return g
}

const writers = 8

// survive hurts the leader again and again under eight writers, half of whose writes have a key, and
// compares the database with what they were told.
func survive(t *testing.T, r *real, ways []disturbance, times int) {
	db := r.open("")
	run(t, db, "CREATE TABLE t(id INTEGER)")
	l := &ledger{outcomes: map[int64]holdfast.Outcome{}, last: time.Now()}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for n := int64(0); ctx.Err() == nil; n++ {
				id := n*writers + int64(w)
				stmts := []holdfast.Statement{{SQL: "INSERT INTO t(id) VALUES(?)", Args: []any{id}}}
				var err error
				if n%2 == 0 {
					_, err = db.Batch(t.Context(), stmts, holdfast.IdempotencyKey(fmt.Sprint(id)))
				} else {
					_, err = db.Exec(stmts[0].SQL, id)
				}
				l.note(id, holdfast.OutcomeOf(err))
				if err != nil && n%2 == 0 {
					t.Errorf("a write with a key: %v", err)
				}
			}
		})
	}
	gaps := map[string][]float64{}
	for n := range times {
		way := ways[n%len(ways)]
		l.progress(t, 50)
		leader := r.waitLeader()
		l.longest()
		way.hurt(r, leader)
		l.progress(t, 100)
		gap := l.longest()
		gaps[way.name] = append(gaps[way.name], gap.Seconds())
		t.Logf("%s of n%d: %.2f s without an acknowledgement", way.name, leader+1, gap.Seconds())
		way.mend(r, leader)
		r.until(leader, "/readyz", func(status int, _ []byte) bool { return status == http.StatusOK })
	}
	stop()
	writing.Wait()
	compare(t, db, l)
	for name, g := range gaps {
		sort.Float64s(g)
		t.Logf("%s, %d times: gap median %.2f s, longest %.2f s", name, len(g), g[len(g)/2], g[len(g)-1])
	}
}

// progress waits for n more acknowledgements.
func (l *ledger) progress(t *testing.T, n int64) {
	t.Helper()
	for from, end := l.acks.Load(), time.Now().Add(2*time.Minute); l.acks.Load() < from+n; {
		if time.Now().After(end) {
			t.Fatal("nothing was acknowledged for two minutes")
		}
		<-time.After(5 * time.Millisecond)
	}
}

func compare(t *testing.T, db *holdfast.DB, l *ledger) {
	t.Helper()
	there := map[int64]int{}
	for row, err := range db.Rows(holdfast.WithReadLevel(t.Context(), holdfast.ReadLinearizable), "SELECT id FROM t") {
		if err != nil {
			t.Fatal(err)
		}
		there[row.Int64(0)]++
	}
	counts := map[holdfast.Outcome]int{}
	lost, twice, back, present := 0, 0, 0, 0
	for id, o := range l.outcomes {
		counts[o]++
		n := there[id]
		switch {
		case n > 1:
			twice++
		case o == holdfast.Committed && n == 0:
			lost++
		case o == holdfast.RolledBack && n > 0:
			back++
		case o == holdfast.Unknown && n > 0:
			present++
		}
	}
	t.Logf("%d committed, %d rolled back, %d unknown (%d of them are there); lost %d, twice %d, there in spite of a roll-back %d",
		counts[holdfast.Committed], counts[holdfast.RolledBack], counts[holdfast.Unknown], present, lost, twice, back)
	if lost+twice+back > 0 {
		t.Error("the database is not what the writers were told")
	}
}

// Machines in network namespaces of their own are cut off: from everybody, and from each other alone,
// so that a leader without followers can still be asked. It needs root.
func TestLeadersThatAreCutOff(t *testing.T) {
	r := startInNamespaces(t)
	ip := func(r *real, i int, args ...string) {
		if out, err := exec.Command("ip", append([]string{"netns", "exec", r.namespaces[i], "ip"}, args...)...).CombinedOutput(); err != nil {
			r.tb.Errorf("ip %v: %v %s", args, err, out)
		}
	}
	fromAll := disturbance{
		"cut off", func(r *real, i int) { ip(r, i, "link", "set", "hf0", "down") }, func(r *real, i int) { ip(r, i, "link", "set", "hf0", "up") },
	}
	peers := func(verb string) func(r *real, i int) {
		return func(r *real, i int) {
			for k := range r.http {
				if host, _, _ := strings.Cut(r.http[k], ":"); k != i {
					ip(r, i, "route", verb, "blackhole", host+"/32")
				}
			}
		}
	}
	survive(t, r, []disturbance{fromAll, {"cut off from the others", peers("add"), peers("del")}}, rounds(t))
}

// startInNamespaces is startReal with a network for each machine.
func startInNamespaces(t *testing.T) *real {
	t.Helper()
	r := &real{tb: t, bin: rqlited(t), dir: t.TempDir(), running: make([]*exec.Cmd, 3)}
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: network namespaces need root")
	}
	ip := func(args ...string) error {
		out, err := exec.CommandContext(context.Background(), "ip", args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	id := os.Getpid() % 1000
	bridge, network := fmt.Sprintf("hfb%d", id), fmt.Sprintf("10.213.%d.", id%250)
	must := func(args ...string) {
		t.Helper()
		if err := ip(args...); err != nil {
			t.Fatal(err)
		}
	}
	if err := ip("link", "add", bridge, "type", "bridge"); err != nil {
		t.Skipf("SKIPPED: no network namespaces: %v", err)
	}
	t.Cleanup(func() {
		for i := range r.running {
			r.kill(i)
		}
		for _, ns := range r.namespaces {
			_ = ip("netns", "del", ns)
		}
		_ = ip("link", "del", bridge)
	})
	must("addr", "add", network+"254/24", "dev", bridge)
	must("link", "set", bridge, "up")
	for i := range 3 {
		ns, veth := fmt.Sprintf("hf%d-%d", id, i+1), fmt.Sprintf("hfv%d-%d", id, i+1)
		if err := ip("netns", "add", ns); err != nil {
			t.Skipf("SKIPPED: no network namespaces: %v", err)
		}
		r.namespaces = append(r.namespaces, ns)
		must("link", "add", veth, "type", "veth", "peer", "name", "hf0", "netns", ns)
		must("link", "set", veth, "master", bridge, "up")
		must("-n", ns, "addr", "add", fmt.Sprintf("%s%d/24", network, i+1), "dev", "hf0")
		must("-n", ns, "link", "set", "lo", "up")
		must("-n", ns, "link", "set", "hf0", "up")
		r.http, r.raft = append(r.http, fmt.Sprintf("%s%d:4001", network, i+1)), append(r.raft, fmt.Sprintf("%s%d:4002", network, i+1))
	}
	r.begin()
	return r
}
