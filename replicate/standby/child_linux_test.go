package standby

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/replicate/lease"
	"golang.org/x/sys/unix"
)

// childVariable makes the test binary a machine: "NAME DIRECTORY FIRST SPEED MODE TTL TARGET".
const childVariable = "HOLDFAST_STANDBY_TEST_CHILD"

// running is the clock of this machine at another speed, which shows another time.
func running(speed int64) func() time.Duration {
	shows := time.Duration(rand.Int64N(int64(time.Hour)))
	begun := monotonic()
	return func() time.Duration { return shows + (monotonic()-begun)*time.Duration(speed)/100 }
}

func monotonic() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return time.Duration(t.Nano())
}

// machine is a standby, and the owner when it is its turn, until it is killed. It says what it begins and what was
// acknowledged to it, by the clock that all processes of a machine share.
type machine struct {
	name, dir, mode, target string
	first                   int64 // the number of the first row
	ttl                     time.Duration

	mu  sync.Mutex // guards out
	out *bufio.Writer
}

func child(role string) {
	f := strings.Fields(role)
	first, _ := strconv.ParseInt(f[2], 10, 64)
	speed, _ := strconv.ParseInt(f[3], 10, 64)
	ttl, _ := time.ParseDuration(f[5])
	m := &machine{name: f[0], dir: f[1], mode: f[4], target: f[6], first: first, ttl: ttl, out: bufio.NewWriter(os.Stdout)}
	ctx := lease.WithClock(context.Background(), running(speed))
	for {
		if err := m.turn(ctx); err != nil {
			fmt.Fprintln(os.Stderr, m.name, err)
			time.Sleep(50 * time.Millisecond)
		}
	}
}

func (m *machine) say(what string, n int64, epoch string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _ = fmt.Fprintln(m.out, what, n, epoch, int64(monotonic()))
	_ = m.out.Flush()
}

func (m *machine) turn(ctx context.Context) error {
	path := filepath.Join(m.dir, "app.db")
	if _, err := Run(ctx, Config{Target: m.target, Path: path, TTL: m.ttl, Node: m.name, Begin: m.name == "a0"}); err != nil {
		return err
	}
	aside, _ := filepath.Glob(path + "-before-restore-*")
	for _, name := range aside {
		_ = os.RemoveAll(name)
	}
	db, err := holdfast.Open(ctx, path, func(c *holdfast.Config) {
		r := &c.Replication
		r.Target, r.Mode, r.Lease, r.CloseTimeout, r.Interval = m.target, m.mode, m.ttl, time.Second, 250*time.Millisecond
		c.Telemetry.History = holdfast.Off
	})
	if errors.Is(err, lease.ErrHeld) {
		return nil // another one was faster
	}
	if err != nil {
		return err
	}
	defer db.Close() // which fails: it is fenced
	_, epoch, _ := strings.Cut(db.Stats().Replication.Target, "epoch-")
	epoch, _, _ = strings.Cut(epoch, "?")
	if _, err := db.Exec("CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY)"); err != nil {
		return err
	}
	if err := m.fill(db); err != nil {
		return err
	}
	m.say("owns", 0, epoch)
	var all sync.WaitGroup
	var next sync.Mutex
	for range 8 {
		all.Go(func() {
			for {
				next.Lock()
				n := m.first
				m.first++
				next.Unlock()
				m.say("begin", n, epoch)
				_, err := db.Exec("INSERT INTO t VALUES (?)", n)
				switch {
				case err == nil:
					m.say("ack", n, epoch)
				case errors.Is(err, holdfast.ErrFenced):
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	all.Wait()
	m.say("fenced", 0, epoch)
	return nil
}

// fillVariable is how many MB a machine puts into a database that has none of them.
const fillVariable = "HOLDFAST_STANDBY_TEST_FILL"

func (m *machine) fill(db *holdfast.DB) error {
	megabytes, _ := strconv.Atoi(os.Getenv(fillVariable))
	if megabytes == 0 {
		return nil
	}
	if _, err := db.Exec("CREATE TABLE IF NOT EXISTS pad(n INTEGER PRIMARY KEY, v)"); err != nil {
		return err
	}
	_, err := db.Exec("WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<?) INSERT INTO pad SELECT i, randomblob(10000) FROM r WHERE NOT EXISTS (SELECT 1 FROM pad)", megabytes*100)
	return err
}
