package replicate

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// s3Target is a bucket of its own in this process.
func s3Target(t testing.TB, prefix string) string {
	t.Helper()
	backend := s3mem.New()
	must(t, backend.CreateBucket("bucket"))
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	return "s3://bucket/" + prefix + "?endpoint=" + server.URL + "&region=eu-central-1&force-path-style=true"
}

// s3Keys are what a child needs to use s3Target, and the test itself.
func s3Keys(t *testing.T) []string {
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_CA_BUNDLE=") })
}

// child writes numbers from each of 16 goroutines until it is killed, and says before
// each which one, and after it was acknowledged.
func child(role string) {
	path, target, _ := strings.Cut(role, " ")
	mode, target, _ := strings.Cut(target, " ")
	first, target, _ := strings.Cut(target, " ")
	from, _ := strconv.ParseInt(first, 10, 64)
	ctx := context.Background()
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	db, err := holdfast.Open(ctx, path, to(target, func(c *holdfast.ReplicationConfig) { c.Mode = mode }))
	fail(err)
	_, err = db.Exec("CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY, pad)")
	fail(err)
	var mu sync.Mutex
	say := func(what string, n int64) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(what, n, time.Now().UnixMicro())
	}
	var wg sync.WaitGroup
	for w := range int64(16) {
		wg.Go(func() {
			for n := from + w; ; n += 16 {
				say("begin", n)
				_, err := db.Exec("INSERT INTO t VALUES (?, randomblob(200))", n)
				fail(err)
				say("ack", n)
			}
		})
	}
	wg.Wait()
}

// ledger is what a child has said.
type ledger struct {
	begun, acked map[int64]int64 // when, in microseconds
	last         int64
}

func (l *ledger) merge(from *bufio.Scanner, first func()) {
	for from.Scan() {
		var what string
		var n, at int64
		if k, _ := fmt.Sscan(from.Text(), &what, &n, &at); k != 3 {
			continue
		}
		if what == "ack" {
			l.acked[n] = at
			if first != nil {
				first()
				first = nil
			}
		} else {
			l.begun[n] = at
			l.last = max(l.last, n)
		}
	}
}

// killed runs a child until it has been acknowledged something, and a random moment
// longer.
func killed(t *testing.T, env []string, path, target, mode string, within time.Duration, l *ledger) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(slices.Clone(env), fmt.Sprintf("HOLDFAST_REPLICATE_TEST_CHILD=%s %s %d %s", path, mode, l.last+1, target))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	l.merge(bufio.NewScanner(out), func() {
		time.AfterFunc(time.Duration(rand.Int64N(int64(within))), func() { _ = cmd.Process.Kill() })
	})
	if err := cmd.Wait(); err == nil || runtime.GOOS != "windows" && !strings.Contains(err.Error(), "killed") {
		t.Fatal("the child ended by itself: ", err)
	}
}

// Fifty times killed in the middle of writing, the target has every row that was
// acknowledged, and none that was never begun.
func TestKilledDurable(t *testing.T) {
	rounds := 50
	if testing.Short() {
		rounds = 3
	}
	env := s3Keys(t)
	for name, target := range map[string]string{"directory": filepath.Join(t.TempDir(), "replica"), "S3": s3Target(t, "app")} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			l := ledger{begun: map[int64]int64{}, acked: map[int64]int64{}}
			for range rounds {
				killed(t, env, path, target, Durable, 400*time.Millisecond, &l)
				db, _ := restored(t, target, At{})
				l.compare(t, numbers(t, db, "SELECT n FROM t"), true)
			}
			local := openDB(t, path)
			l.compare(t, numbers(t, local.DB, "SELECT n FROM t"), true)
			t.Logf("%d kills, %d rows acknowledged, 0 of them lost", rounds, len(l.acked))
		})
	}
}

// compare returns for how long writes had been acknowledged that are not there.
func (l *ledger) compare(t *testing.T, rows []int64, all bool) (lost int, window time.Duration) {
	t.Helper()
	there := map[int64]bool{}
	for _, n := range rows {
		there[n] = true
		if l.begun[n] == 0 {
			t.Errorf("row %d was never begun", n)
		}
	}
	var first, last int64
	for n, at := range l.acked {
		last = max(last, at)
		if !there[n] {
			lost++
			if first == 0 || at < first {
				first = at
			}
		}
	}
	if lost > 0 {
		window = time.Duration(last-first) * time.Microsecond
	}
	if all && lost > 0 {
		t.Errorf("%d of %d acknowledged rows lost, of the last %s", lost, len(l.acked), window)
	}
	return lost, window
}

// What ASYNC loses with a machine is what was committed in the last interval and a
// round.
func TestKilledAsync(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 2
	}
	var windows []time.Duration
	for range rounds {
		dir := t.TempDir()
		path, target := filepath.Join(dir, "app.db"), filepath.Join(dir, "replica")
		l := ledger{begun: map[int64]int64{}, acked: map[int64]int64{}}
		killed(t, os.Environ(), path, target, Async, 3*time.Second, &l)
		if _, err := os.Stat(target); err != nil {
			continue // before the first round
		}
		db, _ := restored(t, target, At{})
		if numbers(t, db, "SELECT count(*) FROM sqlite_schema WHERE name='t'")[0] == 0 {
			continue // of the first round
		}
		_, window := l.compare(t, numbers(t, db, "SELECT n FROM t"), false)
		windows = append(windows, window)
	}
	slices.Sort(windows)
	t.Logf("%d kills: lost the last %s (median), %s (most)", len(windows), windows[len(windows)/2], windows[len(windows)-1])
	if most := windows[len(windows)-1]; most > 3*time.Second {
		t.Errorf("%s of acknowledged writes lost at an interval of a second", most)
	}
}

// A restore to a time has every row that was acknowledged by then, and none that was
// begun later: 50 times, where each round ships one transaction.
func TestRestoreToTheTransaction(t *testing.T) {
	tries := 50
	if testing.Short() {
		tries = 8
	}
	s3Keys(t)
	for name, target := range map[string]string{"directory": filepath.Join(t.TempDir(), "replica"), "S3": s3Target(t, "app")} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			db := openDB(t, path)
			write(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY)")
			r, err := Open(t.Context(), path, Config{Target: target, Mode: Durable}, nil)
			must(t, err)
			await(t, r)
			var begun, acked []time.Time
			var at []string
			for n := range int64(300) {
				begun = append(begun, time.Now())
				write(t, db, "INSERT INTO t VALUES (?)", n)
				await(t, r)
				acked = append(acked, time.Now())
				at = append(at, r.Stats().Position)
			}
			must(t, r.Close(t.Context()))
			for range tries {
				first, span := acked[0], acked[len(acked)-1].Sub(acked[0])
				when := first.Add(time.Duration(rand.Int64N(int64(span)))).Truncate(time.Millisecond)
				got, report := restored(t, target, At{Time: when})
				rows := int64(len(numbers(t, got, "SELECT n FROM t")))
				least, most := int64(0), int64(0)
				for i := range begun {
					if !acked[i].After(when) {
						least++
					}
					if begun[i].Before(when) {
						most++
					}
				}
				if rows < least || rows > most || !report.RestoredTo.Before(when) {
					t.Errorf("at %s: %d rows, %d were acknowledged before and %d begun", when.Format(time.RFC3339Nano), rows, least, most)
				}
				wantNumbers(t, got, 0, rows-1)

				n := rand.IntN(len(at))
				got, _ = restored(t, target, At{Transaction: at[n]})
				wantNumbers(t, got, 0, int64(n))
			}
			for _, none := range []At{{Time: begun[0].Add(-time.Hour)}, {Transaction: "00000000000fffff"}, {Transaction: "x"}} {
				if err := Source(target, none).Unpack(t.Context(), nil); !strings.Contains(fmt.Sprint(err), "no such state") {
					t.Errorf("%+v: %v", none, err)
				}
			}
		})
	}
}
