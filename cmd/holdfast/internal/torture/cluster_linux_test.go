package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	_ "github.com/holdfastdb/holdfast/cluster"
)

// What clients do to registers in a cluster whose leader is killed and stopped is linearizable: each
// read at that level, each write and each swap happened at one moment between its call and its
// answer. An outcome that nobody knows may have happened at any time, or not at all.
func TestHistoriesOfACluster(t *testing.T) {
	c := startCluster(t)
	db, err := holdfast.Open(t.Context(), "rqlite://"+strings.Join(c.http, ","))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE register(id INTEGER PRIMARY KEY, v INTEGER NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	histories, start := 10, time.Now() // one clock for all clients
	if testing.Short() {
		histories = 2
	}
	actions, unknown := 0, 0
	for n := range histories {
		h := &history{}
		ctx, stop := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		for i := range clusterClients {
			clients.Go(func() { playRegisters(ctx, db, h, start, n, i) })
		}
		leader := c.leader()
		h.await(t, 40)
		if n%2 == 0 {
			c.kill(leader)
		} else {
			c.signal(leader, syscall.SIGSTOP)
		}
		h.await(t, 150)
		if n%2 == 0 {
			c.start(leader)
		} else {
			c.signal(leader, syscall.SIGCONT)
		}
		h.await(t, 200)
		stop()
		clients.Wait()
		c.ready(leader)
		if err := h.linearizable(time.Minute); err != nil {
			t.Errorf("history %d: %v", n, err)
		}
		actions += len(h.events)
		for _, e := range h.events {
			if !e.answered {
				unknown++
			}
		}
	}
	t.Logf("%d histories of %d actions, %d of them without an answer", histories, actions, unknown)
}

const clusterClients, clusterRegisters = 6, 4

// await waits for n more actions that were answered.
func (h *history) await(t *testing.T, n int) {
	t.Helper()
	count := func() (done int) {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, e := range h.events {
			if e.answered {
				done++
			}
		}
		return done
	}
	for from, end := count(), time.Now().Add(time.Minute); count() < from+n; {
		if time.Now().After(end) {
			t.Fatal("nothing was answered for a minute")
		}
		<-time.After(5 * time.Millisecond)
	}
}

// playRegisters is one client, which does one thing at a time.
func playRegisters(ctx context.Context, db *holdfast.DB, h *history, start time.Time, n, client int) {
	random := rand.New(rand.NewPCG(uint64(n), uint64(client)))
	for k := 0; ctx.Err() == nil; k++ {
		e := &event{act: []action{actRead, actWrite, actSwap}[random.IntN(3)], register: n*clusterRegisters + random.IntN(clusterRegisters), back: never64}
		e.old, e.new = int64(random.IntN(4)), int64(random.IntN(4))
		h.mu.Lock()
		e.call = time.Since(start).Nanoseconds()
		h.events = append(h.events, e)
		h.mu.Unlock()
		value, err := e.run(db, fmt.Sprintf("%d-%d-%d", n, client, k), random.IntN(2) == 0)
		h.mu.Lock()
		switch holdfast.OutcomeOf(err) {
		case holdfast.Committed:
			e.back, e.value, e.answered = time.Since(start).Nanoseconds(), value, true
		case holdfast.RolledBack:
			h.events = slices.DeleteFunc(h.events, func(o *event) bool { return o == e })
		}
		h.mu.Unlock()
	}
}

func (e *event) run(db *holdfast.DB, key string, keyed bool) (value int64, err error) {
	ctx := holdfast.WithReadLevel(context.Background(), holdfast.ReadLinearizable)
	if e.act == actRead {
		err = db.QueryRowContext(ctx, "SELECT coalesce((SELECT v FROM register WHERE id = ?), 0)", e.register).Scan(&value)
		return value, err
	}
	s := holdfast.Statement{SQL: "INSERT INTO register VALUES(?, ?) ON CONFLICT(id) DO UPDATE SET v = excluded.v", Args: []any{e.register, e.new}}
	if e.act == actSwap {
		s = holdfast.Statement{SQL: "UPDATE register SET v = ? WHERE id = ? AND v = ?", Args: []any{e.new, e.register, e.old}}
		if e.old == 0 { // a register that was never written has no row
			s = holdfast.Statement{
				SQL:  "INSERT INTO register VALUES(?, ?) ON CONFLICT(id) DO UPDATE SET v = excluded.v WHERE v = 0",
				Args: []any{e.register, e.new},
			}
		}
	}
	var opts []holdfast.BatchOption
	if keyed {
		opts = append(opts, holdfast.IdempotencyKey(key))
	}
	r, err := db.Batch(ctx, []holdfast.Statement{s}, opts...)
	if err == nil {
		value = r.Results[0].RowsAffected
	}
	return value, err
}

// machines are three processes of the engine.
type machines struct {
	t          *testing.T
	bin, dir   string
	http, raft []string
	running    [3]*exec.Cmd
}

func startCluster(t *testing.T) *machines {
	t.Helper()
	c := &machines{t: t, bin: os.Getenv("RQLITED_BIN"), dir: t.TempDir()}
	if c.bin == "" {
		c.bin, _ = exec.LookPath("rqlited")
	}
	if c.bin == "" {
		t.Skip("SKIPPED: no real cluster: rqlited is not on PATH, and RQLITED_BIN names none")
	}
	for range 2 * len(c.running) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if len(c.http) < len(c.running) {
			c.http = append(c.http, l.Addr().String())
		} else {
			c.raft = append(c.raft, l.Addr().String())
		}
		_ = l.Close()
	}
	t.Cleanup(func() {
		for i := range c.running {
			c.kill(i)
		}
	})
	for i := range c.running {
		c.start(i)
	}
	for i := range c.running {
		c.ready(i)
	}
	return c
}

func (c *machines) start(i int) {
	c.running[i] = exec.Command(c.bin, "-fk", "-node-id", fmt.Sprintf("n%d", i+1), "-http-addr", c.http[i], "-raft-addr", c.raft[i],
		"-bootstrap-expect", "3", "-join", strings.Join(c.raft, ","), filepath.Join(c.dir, fmt.Sprintf("n%d", i+1)))
	if err := c.running[i].Start(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *machines) kill(i int) {
	if c.running[i] != nil {
		_ = c.running[i].Process.Kill()
		_ = c.running[i].Wait()
		c.running[i] = nil
	}
}

func (c *machines) signal(i int, s syscall.Signal) {
	if err := c.running[i].Process.Signal(s); err != nil {
		c.t.Error(err)
	}
}

// status is what a machine answers to a question; 0 if it doesn't.
func (c *machines) status(i int, path string) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.http[i]+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func (c *machines) ready(i int) {
	c.t.Helper()
	for end := time.Now().Add(time.Minute); c.status(i, "/readyz") != http.StatusOK; {
		if time.Now().After(end) {
			c.t.Fatalf("machine %d is not ready after a minute", i+1)
		}
		<-time.After(50 * time.Millisecond)
	}
}

func (c *machines) leader() int {
	c.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		for i := range c.running {
			if c.status(i, "/db/query?level=weak&redirect&q=SELECT%201") == http.StatusOK {
				return i
			}
		}
		<-time.After(50 * time.Millisecond)
	}
	c.t.Fatal("nobody leads")
	return -1
}
