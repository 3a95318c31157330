package holdfast_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// largeEnv is how many MiB the database of TestHealthOfALargeDatabase has. 2048 of
// them take a minute and as much disk. The figures are printed then, with how many
// looks had to wait for a lock of the process. loadEnv is how many pairs of a writer and
// a reader, neither of which pauses, it has beside it: two, unless it says otherwise.
const (
	largeEnv = "HOLDFAST_TEST_LARGE_MB"
	loadEnv  = "HOLDFAST_TEST_LOAD"
)

// readsOf counts what a connection reads, by the file that it has open. Health's
// connection is the one that is opened while asking is set.
type readsOf struct {
	asking atomic.Bool

	mu    sync.Mutex // guards the rest
	names map[*sqlite.File]bool
	pages map[int64]int // of the database, by offset
	log   int           // reads of page content in the log
	other int           // page reads of all other connections
}

func (r *readsOf) hook(c *sqlite.FileCall) sqlite.ResultCode {
	rc := c.Forward()
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case c.Op == sqlite.FileOpen && r.asking.Load():
		r.names[c.File] = true
	case c.Op != sqlite.FileRead || c.Kind != sqlite.FileMain && c.Kind != sqlite.FileWAL:
	case !r.names[c.File]:
		r.other++
	case c.Kind == sqlite.FileMain:
		r.pages[c.Offset]++
	case len(c.Data) >= 512: // not a header
		r.log++
	}
	return rc
}

// Health of a database of any size, while it is read and written, reads page 1,
// where this schema is too, and that no more often than it is asked.
func TestHealthOfALargeDatabase(t *testing.T) {
	mib, _ := strconv.Atoi(os.Getenv(largeEnv))
	if mib == 0 && runtime.GOOS == "windows" {
		t.Skip("its gates are a clock that only Linux has; under wine this takes a minute")
	}
	if mib == 0 {
		mib = 16
		t.Parallel()
	}
	reads := &readsOf{names: map[*sqlite.File]bool{}, pages: map[int64]int{}}
	vfs, err := sqlite.RegisterVFS(reads.hook)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := vfs.Unregister(); err != nil {
			t.Error(err)
		}
	}()
	path := filepath.Join(t.TempDir(), "large.db")
	fill(t, path, mib)
	db, err := holdfast.Open(sqlite.WithProbe(t.Context(), &sqlite.Probe{VFS: vfs}), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	reads.asking.Store(true)
	first := healthOf(t, db)
	reads.asking.Store(false)
	if len(reads.names) == 0 || first.PageCount < int64(mib)*1024*1024/4096 {
		t.Fatalf("%d files, %d pages", len(reads.names), first.PageCount)
	}
	for offset := range reads.pages {
		if offset >= 4096 { // the schema fits into page 1
			t.Errorf("the first look has read the page at %d", offset)
		}
	}
	clear(reads.pages)

	pairs, err := strconv.Atoi(os.Getenv(loadEnv))
	if err != nil {
		pairs = 2
	}
	locked := func() int64 { return 0 } // its profile slows all locks down
	if os.Getenv(largeEnv) != "" {
		runtime.SetBlockProfileRate(1)
		defer runtime.SetBlockProfileRate(0)
		locked = lockWaits
	}
	waited := locked()
	stop := load(t, db, pairs)
	const asked = 2000
	// worked is by the processor, which is the others' most of the time. The control
	// is a loop that does nothing but read the clock, after each look and for as much
	// of the processor: what it waits is what anybody waits here.
	var took, worked, control latencies
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all []string
	checkpoints := 0 // that emptied the log; the readers of the load overlap, and may keep some from it
	for range asked {
		start, used := time.Now(), threadTime()
		h := healthOf(t, db)
		took, worked = append(took, time.Since(start)), append(worked, threadTime()-used)
		start, used = time.Now(), threadTime()
		for threadTime()-used < worked[len(worked)-1] {
		}
		control = append(control, time.Since(start))
		if !h.DatabaseAccessible {
			t.Fatalf("%+v", h.Findings)
		}
		for _, id := range ids(h) {
			if !slices.Contains(all, id) {
				all = append(all, id)
			}
		}
		if len(took)%100 == 0 && emptied(t, path) {
			checkpoints++
		}
	}
	waited = locked() - waited
	writes, queries := stop()
	slices.Sort(took)
	slices.Sort(worked)
	slices.Sort(control)
	if p99 := worked.at(.99); p99 > 5*time.Millisecond && runtime.GOOS == "linux" { // elsewhere it is the clock on the wall
		t.Errorf("one look in a hundred takes %s of a processor", p99)
	}
	reads.mu.Lock()
	defer reads.mu.Unlock()
	for offset := range reads.pages {
		if offset >= 4096 {
			t.Errorf("a look has read the page at %d", offset)
		}
	}
	if n := reads.pages[0] + reads.log; n > asked {
		t.Errorf("%d looks have read page 1 %d times", asked, n)
	}
	t.Logf("%d MiB, %d pages, under %d writes and %d reads (%d page reads): Health p50 %s, p99 %s, longest %s; on a processor %s, %s, %s; a loop that reads the clock for as much of the processor %s, %s, %s; page 1 was read %d times from the file and %d times from the log; %d pages beyond it; the log was emptied %d times of %d; %d waits for a lock; findings %q",
		first.File.Bytes>>20, first.PageCount, writes, queries, reads.other, took.at(.5), took.at(.99), took.at(1), worked.at(.5), worked.at(.99), worked.at(1),
		control.at(.5), control.at(.99), control.at(1), reads.pages[0], reads.log, len(reads.pages)-min(len(reads.pages), 1), checkpoints, asked/100, waited, all)
}

// fill makes a database of some size, each row of which is one page of its own.
func fill(t *testing.T, path string, mib int) {
	t.Helper()
	c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Exec("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; CREATE TABLE t(a INTEGER PRIMARY KEY, b)"); err != nil {
		t.Fatal(err)
	}
	if err := c.Exec("WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<" + strconv.Itoa(mib*256) +
		") INSERT INTO t SELECT i, randomblob(3900) FROM r"); err != nil {
		t.Fatal(err)
	}
	if err := c.Exec("PRAGMA journal_mode=WAL"); err != nil {
		t.Fatal(err)
	}
}

// lockWaits is how often Health has waited for a lock since the profile was begun.
func lockWaits() (n int64) {
	records := make([]runtime.BlockProfileRecord, 1<<14)
	known, _ := runtime.BlockProfile(records)
	for _, r := range records[:min(known, len(records))] {
		mutex, health := false, false
		for frames, more := runtime.CallersFrames(r.Stack()), true; more; {
			var f runtime.Frame
			f, more = frames.Next()
			mutex = mutex || strings.HasPrefix(f.Function, "sync.(*Mutex).Lock") || strings.HasPrefix(f.Function, "sync.(*RWMutex).")
			health = health || strings.HasSuffix(f.Function, "(*DB).Health")
		}
		if mutex && health {
			n += r.Count
		}
	}
	return n
}

// load writes and reads until stop, which tells how often.
func load(t *testing.T, db *holdfast.DB, pairs int) (stop func() (writes, queries int64)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	var w, r atomic.Int64
	for n := range pairs {
		workers.Go(func() {
			for i := n; ctx.Err() == nil; i += pairs {
				if _, err := db.Exec("UPDATE t SET b = randomblob(3900) WHERE a = ?", i%1000); err != nil {
					t.Error(err)
					return
				}
				w.Add(1)
			}
		})
		workers.Go(func() {
			for i := n; ctx.Err() == nil; i += pairs {
				var size int64
				if err := db.QueryRow("SELECT sum(length(b)) FROM t WHERE a BETWEEN ? AND ?+20", i%3000, i%3000).Scan(&size); err != nil {
					t.Error(err)
					return
				}
				r.Add(1)
			}
		})
	}
	return func() (int64, int64) {
		cancel()
		workers.Wait()
		return w.Load(), r.Load()
	}
}

// emptied empties the log by one who waits for a second.
func emptied(t *testing.T, path string) bool {
	t.Helper()
	c, err := sqlite.Open(path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Exec("PRAGMA busy_timeout=1000; PRAGMA schema_version"); err != nil {
		t.Fatal(err)
	}
	_, _, err = c.WALCheckpoint("main", sqlite.CheckpointTruncate)
	return err == nil
}
