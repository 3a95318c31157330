package standby

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/replicate"
	"github.com/holdfastdb/holdfast/replicate/lease"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// event is a line of a machine.
type event struct {
	machine *process
	what    string
	n       int64
	epoch   int64
	at      time.Duration
}

// process is a machine that can be killed, stopped, and cut off from the store.
type process struct {
	name   string
	cmd    *exec.Cmd
	reach  reach
	events chan event
	read   chan struct{} // closed when it has said its last
}

// reach is a machine's way to the store.
type reach interface {
	target() string
	cut(away bool)
}

// linked is a directory behind a link that can point to nowhere.
type linked struct{ link, to string }

func (l linked) target() string { return l.link }

func (l linked) cut(away bool) {
	to := l.to
	if away {
		to = filepath.Join(os.DevNull, "away")
	}
	_ = os.Remove(l.link + ".new")
	_ = os.Symlink(to, l.link+".new")
	_ = os.Rename(l.link+".new", l.link)
}

// served is a server in front of the bucket. Cut off, half of its requests are silent, and the others
// arrive, but late, and nobody hears of it.
type served struct {
	url  string
	away atomic.Bool
}

func (s *served) target() string {
	return "s3://bucket/app?endpoint=" + s.url + "&region=eu-central-1&force-path-style=true"
}
func (s *served) cut(away bool) { s.away.Store(away) }

func serve(t *testing.T, handler http.Handler, late time.Duration) *served {
	s := &served{}
	var pending sync.WaitGroup
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.away.Load() {
			handler.ServeHTTP(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body) // or nobody would notice that the client has left
		if r.Method == http.MethodPut && rand.IntN(2) == 0 {
			again := httptest.NewRequest(r.Method, r.URL.String(), bytes.NewReader(body))
			again.Header = r.Header.Clone()
			pending.Go(func() {
				time.Sleep(rand.N(late))
				handler.ServeHTTP(httptest.NewRecorder(), again)
			})
		}
		<-r.Context().Done() // silent
	}))
	s.url = server.URL
	t.Cleanup(func() { server.CloseClientConnections(); server.Close(); pending.Wait() })
	return s
}

// world is two machines, a store, and what was said.
type world struct {
	t      *testing.T
	mode   string
	ttl    time.Duration
	dir    string
	env    []string
	reach  func(i int) reach
	target string // as the test reaches it
	prune  func(before int64)

	starts   int64
	machines [2]*process
	events   chan event

	mu     sync.Mutex // guards the rest
	begun  map[int64]event
	acked  map[int64]event
	last   event // acknowledgement
	fenced int
}

func newWorld(t *testing.T, store, mode string, ttl time.Duration) *world {
	w := &world{t: t, mode: mode, ttl: ttl, dir: t.TempDir(), events: make(chan event, 1<<16), begun: map[int64]event{}, acked: map[int64]event{}}
	w.env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_CA_BUNDLE=") })
	if store == "directory" {
		w.target = filepath.Join(w.dir, "replica")
		must(t, os.Mkdir(w.target, 0o700))
		w.reach = func(i int) reach {
			l := linked{filepath.Join(w.dir, fmt.Sprint("way", i)), w.target}
			l.cut(false)
			return l
		}
		w.prune = func(before int64) {
			for e := max(before-20, 1); e < before; e++ {
				_ = os.RemoveAll(replicate.Epoch(w.target, e))
			}
		}
		return w
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
	w.env = append(w.env, "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=hunter2")
	backend := s3mem.New()
	must(t, backend.CreateBucket("bucket"))
	handler := gofakes3.New(backend).Server()
	w.target = serve(t, handler, ttl).target()
	ways := []*served{serve(t, handler, 3*ttl), serve(t, handler, 3*ttl)}
	w.reach = func(i int) reach { return ways[i] }
	w.prune = func(before int64) {
		for e := max(before-20, 1); e < before; e++ {
			list, err := backend.ListBucket("bucket", &gofakes3.Prefix{HasPrefix: true, Prefix: fmt.Sprintf("app/epoch-%08d/", e)}, gofakes3.ListBucketPage{})
			if err != nil {
				continue
			}
			for _, o := range list.Contents {
				_, _ = backend.DeleteObject("bucket", o.Key)
			}
		}
	}
	return w
}

// start starts a machine, with a clock of its own.
func (w *world) start(i int) {
	w.starts++
	dir := filepath.Join(w.dir, fmt.Sprint("machine", i))
	must(w.t, os.MkdirAll(dir, 0o700))
	p := &process{name: fmt.Sprintf("%c%d", 'a'+i, w.starts-1), reach: w.reach(i), events: w.events, read: make(chan struct{})}
	p.reach.cut(false)
	p.cmd = exec.Command(os.Args[0])
	speed := 95 + rand.IntN(11)
	p.cmd.Env = append(slices.Clone(w.env), fmt.Sprintf("%s=%s %s %d %d %s %s %s", childVariable, p.name, dir, w.starts*1e9, speed, w.mode, w.ttl, p.reach.target()))
	if testing.Verbose() {
		p.cmd.Stderr = os.Stderr
	}
	out, err := p.cmd.StdoutPipe()
	must(w.t, err)
	must(w.t, p.cmd.Start())
	go func() {
		defer close(p.read)
		for s := bufio.NewScanner(out); s.Scan(); {
			e := event{machine: p}
			var at int64
			var epoch string
			if n, _ := fmt.Sscan(s.Text(), &e.what, &e.n, &epoch, &at); n == 4 {
				e.epoch, _ = strconv.ParseInt(epoch, 10, 64)
				e.at = time.Duration(at)
				w.hear(e)
			}
		}
	}()
	w.machines[i] = p
}

func (w *world) hear(e event) {
	w.mu.Lock()
	switch e.what {
	case "begin":
		w.begun[e.n] = e
	case "ack":
		w.acked[e.n] = e
		if e.epoch >= w.last.epoch {
			w.last = e
		}
	case "fenced":
		w.fenced++
	}
	w.mu.Unlock()
	select {
	case w.events <- e:
	default: // nobody looks now
	}
}

func (w *world) kill(i int) {
	p := w.machines[i]
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	<-p.read
	_ = p.cmd.Wait()
}

// await waits for acknowledgements of an epoch after this one.
func (w *world) await(after int64, n int) (event, bool) {
	for len(w.events) > 0 {
		<-w.events
	}
	deadline := time.After(time.Minute)
	for {
		select {
		case e := <-w.events:
			if e.what == "ack" && e.epoch > after {
				if n--; n <= 0 {
					return e, true
				}
			}
		case <-deadline:
			return event{}, false
		}
	}
}

// lost is how many rows were acknowledged and are not there for who would take over now; of epochs that have
// ended, also for how long that had been when the last one was begun: a process that was stopped between its last look
// and its answer says that one when it wakes up.
func (w *world) lost() (lost int, window time.Duration) {
	w.mu.Lock()
	acked, begun, now := maps.Clone(w.acked), maps.Clone(w.begun), w.last.epoch
	w.mu.Unlock()
	there := w.rows()
	first, last := map[int64]time.Duration{}, map[int64]time.Duration{} // by epoch
	for n, e := range acked {
		last[e.epoch] = max(last[e.epoch], begun[n].at)
		if there[n] {
			continue
		}
		lost++
		if at, has := first[e.epoch]; !has || e.at < at {
			first[e.epoch] = e.at
		}
	}
	for epoch, at := range first {
		if epoch < now {
			window = max(window, last[epoch]-at)
		}
	}
	return lost, window
}

func (w *world) rows() map[int64]bool {
	t := w.t
	place, err := lease.Open(t.Context(), w.target, lease.Options{})
	must(t, err)
	m, err := place.Read(t.Context())
	must(t, err)
	must(t, place.Close())
	target, epoch, err := replicate.Newest(t.Context(), w.target, m.Epoch)
	must(t, err)
	if epoch == 0 {
		return map[int64]bool{}
	}
	dir, err := os.MkdirTemp(w.dir, "look")
	must(t, err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "look.db")
	_, err = backup.Restore(t.Context(), replicate.Source(target, replicate.At{}), path, backup.RestoreOptions{})
	must(t, err)
	db, err := holdfast.Open(t.Context(), path, holdfast.WithReadOnly())
	must(t, err)
	defer db.Close()
	rows, err := db.Query("SELECT n FROM t")
	if err != nil && strings.Contains(err.Error(), "no such table") {
		return map[int64]bool{}
	}
	must(t, err)
	defer rows.Close()
	there := map[int64]bool{}
	for rows.Next() {
		var n int64
		must(t, rows.Scan(&n))
		there[n] = true
	}
	must(t, rows.Err())
	return there
}

// overlaps are writes that an owner has acknowledged although they were begun after another one, of a later epoch, had
// acknowledged one.
func (w *world) overlaps() (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := map[int64]time.Duration{}
	for _, e := range w.acked {
		if at, has := first[e.epoch]; !has || e.at < at {
			first[e.epoch] = e.at
		}
	}
	for n, e := range w.acked {
		for epoch, at := range first {
			if epoch > e.epoch && w.begun[n].at > at {
				out = append(out, fmt.Sprintf("%s has acknowledged row %d in epoch %d, begun %s after the first of epoch %d", e.machine.name, n, e.epoch, w.begun[n].at-at, epoch))
			}
		}
	}
	return out
}

// failover has something happen to the owner, and returns when another epoch acknowledges.
func (w *world) failover(kind string) (gap time.Duration) {
	t := w.t
	e, ok := w.await(0, 10+rand.IntN(30))
	if !ok {
		t.Fatal("nobody acknowledges")
	}
	w.mu.Lock()
	last := w.last
	w.mu.Unlock()
	i := slices.Index(w.machines[:], last.machine)
	if i < 0 {
		t.Fatalf("%s acknowledges, and was killed", last.machine.name)
	}
	e = last
	switch kind {
	case "kill": // and it is back at once
		w.kill(i)
		w.start(i)
	case "loss": // of the machine
		w.kill(i)
	case "pause":
		must(t, w.machines[i].cmd.Process.Signal(syscall.SIGSTOP))
	case "outage":
		w.machines[i].reach.cut(true)
	}
	begun := monotonic()
	next, ok := w.await(e.epoch, 1)
	if !ok {
		t.Fatalf("%s of %s: nobody acknowledges after epoch %d", kind, e.machine.name, e.epoch)
	}
	switch kind {
	case "loss":
		w.start(i)
	case "pause":
		must(t, w.machines[i].cmd.Process.Signal(syscall.SIGCONT))
	case "outage":
		w.machines[i].reach.cut(false)
	}
	w.prune(e.epoch - 2)
	return next.at - begun
}

// rounds is how many failovers a test makes: a few, or as many as HOLDFAST_FAILOVERS says.
func rounds(t *testing.T, few int) int {
	if n, err := strconv.Atoi(os.Getenv("HOLDFAST_FAILOVERS")); err == nil {
		return n
	}
	if testing.Short() {
		return min(few, 2)
	}
	return few
}

func spread(gaps []time.Duration) string {
	slices.Sort(gaps)
	return fmt.Sprintf("%s (median), %s (most)", gaps[len(gaps)/2].Round(time.Millisecond), gaps[len(gaps)-1].Round(time.Millisecond))
}

// An owner is killed, stopped, or cut off from its store, again and again, with clocks that run at speeds of their own:
// whoever takes over has every row that was acknowledged, and no row is acknowledged in an epoch that was
// begun after a later one had acknowledged.
func TestFailoversDurable(t *testing.T) {
	for _, store := range []string{"directory", "S3"} {
		t.Run(store, func(t *testing.T) {
			w := newWorld(t, store, replicate.Durable, 2*time.Second)
			defer w.end()
			w.start(0)
			w.start(1)
			gaps := map[string][]time.Duration{}
			kinds := []string{"loss", "pause", "outage", "kill"}
			total := rounds(t, 4)
			for n := range total {
				kind := kinds[n%len(kinds)]
				gaps[kind] = append(gaps[kind], w.failover(kind))
				if n, _ := w.lost(); n > 0 {
					t.Fatalf("after %s: %d of %d acknowledged rows are lost", kind, n, len(w.acked))
				}
			}
			w.end()
			if n, _ := w.lost(); n > 0 {
				t.Errorf("%d of %d acknowledged rows are lost", n, len(w.acked))
			}
			for _, text := range w.overlaps() {
				t.Error(text)
			}
			t.Logf("%d failovers, %d rows acknowledged, 0 of them lost; %d owners have fenced themselves", total, len(w.acked), w.fenced)
			for kind, all := range gaps {
				t.Logf("%s: acknowledged again after %s", kind, spread(all))
			}
		})
	}
}

// What ASYNC loses is what was acknowledged since the last upload, and with a store that is away, within the lease.
func TestFailoversAsync(t *testing.T) {
	w := newWorld(t, "directory", replicate.Async, 2*time.Second)
	defer w.end()
	w.start(0)
	w.start(1)
	for len(w.rows()) == 0 { // who is lost before its first upload has everything with it
		must(t, lease.Rest(t.Context(), 10*time.Millisecond))
	}
	windows := map[string][]time.Duration{}
	kinds := []string{"loss", "pause"}
	for n := range rounds(t, 2) {
		kind := kinds[n%len(kinds)]
		w.failover(kind)
		_, window := w.lost()
		windows[kind] = append(windows[kind], window)
		w.forget()
	}
	w.end()
	for _, text := range w.overlaps() {
		t.Error(text)
	}
	for kind, all := range windows {
		t.Logf("%s: %d times, lost what was acknowledged in the last %s", kind, len(all), spread(all))
	}
}

// From the loss of the owner's machine to the first row that is acknowledged again, of a database that is large: the
// lease has to expire, and the new epoch begins with an upload of everything. 100 MB and a lease of 3 s with
// HOLDFAST_FAILOVER_MB=100.
func TestFailoverOfLargeDatabase(t *testing.T) {
	megabytes, ttl := 10, 2*time.Second
	if n, err := strconv.Atoi(os.Getenv("HOLDFAST_FAILOVER_MB")); err == nil {
		megabytes, ttl = n, 3*time.Second
	}
	w := newWorld(t, "directory", replicate.Durable, ttl)
	defer w.end()
	w.env = append(w.env, fmt.Sprintf("%s=%d", fillVariable, megabytes))
	w.start(0)
	if _, ok := w.await(0, 1); !ok {
		t.Fatal("nobody acknowledges")
	}
	w.start(1)
	var gaps []time.Duration
	for range rounds(t, 1) {
		w.followed(int64(megabytes) * 1_000_000)
		gaps = append(gaps, w.failover("loss"))
		if n, _ := w.lost(); n > 0 {
			t.Fatalf("%d of %d acknowledged rows are lost", n, len(w.acked))
		}
	}
	t.Logf("%d MB, lease %s, %d failovers: acknowledged again after %s", megabytes, ttl, len(gaps), spread(gaps))
}

// followed waits until the machine that does not own it has a copy of that size.
func (w *world) followed(size int64) {
	for deadline := time.After(time.Minute); ; {
		for i := range w.machines {
			if fi, err := os.Stat(filepath.Join(w.dir, fmt.Sprint("machine", i), "app.db-holdfast.standby")); err == nil && fi.Size() >= size {
				return
			}
		}
		select {
		case <-deadline:
			w.t.Fatal("nobody follows")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// forget takes what is lost out of the account.
func (w *world) forget() {
	there := w.rows()
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.acked, func(n int64, e event) bool { return !there[n] && e.epoch < w.last.epoch })
}

func (w *world) end() {
	for i, p := range w.machines {
		if p != nil {
			w.kill(i)
			w.machines[i] = nil
		}
	}
}
