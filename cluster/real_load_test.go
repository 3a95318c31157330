package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const callers = 32

// Single-row writes of 32 callers: through this package, where they go by groups, and one in each
// request, by a client of net/http's that keeps its connections. The entries of the replicated log
// are counted by the engine. What a second holds depends on the machine, so it is only told.
func TestManyCallers(t *testing.T) {
	r := startReal(t)
	db := r.open("")
	db.SetMaxIdleConns(2 * callers)
	run(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
	leader := r.waitLeader()
	transport := &http.Transport{MaxIdleConnsPerHost: 2 * callers}
	defer transport.CloseIdleConnections()
	alone := oneARequest(&http.Client{Transport: transport}, "http://"+r.http[leader]+"/db/execute?transaction")
	together := func(ctx context.Context) error {
		_, err := db.ExecContext(ctx, "INSERT INTO t(v) VALUES(?)", "a row of a few words")
		return err
	}
	times, span := 15, time.Second
	if testing.Short() {
		times, span = 1, 300*time.Millisecond
	}
	var ratios, single, one, many []float64
	writes, entries := int64(0), uint64(0)
	for range times {
		single = append(single, float64(load(t, 1, span, alone))/span.Seconds())
		a := float64(load(t, callers, span, alone)) / span.Seconds()
		before := r.entries(leader)
		n := load(t, callers, span, together)
		writes, entries = writes+n, entries+r.entries(leader)-before
		b := float64(n) / span.Seconds()
		one, many, ratios = append(one, a), append(many, b), append(ratios, b/a)
	}
	if entries*5 > uint64(writes) {
		t.Errorf("%d writes are %d entries of the log", writes, entries)
	}
	t.Logf("%d rounds: one a request %.0f/s, of one caller alone %.0f/s, by groups %.0f/s, ratio %.1f (medians; ratios from %.1f to %.1f); %.1f writes an entry",
		times, median(one), median(single), median(many), median(ratios), ratios[0], ratios[len(ratios)-1], float64(writes)/float64(entries))
}

func median(v []float64) float64 {
	sort.Float64s(v)
	return v[len(v)/2]
}

// load has all callers write for a time, and returns how often they did.
func load(t *testing.T, callers int, span time.Duration, write func(context.Context) error) int64 {
	t.Helper()
	var n atomic.Int64
	var running sync.WaitGroup
	end := time.Now().Add(span)
	for range callers {
		running.Go(func() {
			for time.Now().Before(end) {
				if err := write(t.Context()); err != nil {
					t.Error(err)
					return
				}
				n.Add(1)
			}
		})
	}
	running.Wait()
	return n.Load()
}

func oneARequest(client *http.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`[["INSERT INTO t(v) VALUES(?)","a row of a few words"]]`))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil && !strings.Contains(string(body), `"rows_affected":1`) {
			err = fmt.Errorf("%s", body)
		}
		return err
	}
}

// entries is how many the log has, by a machine's own account.
func (r *real) entries(i int) uint64 {
	r.tb.Helper()
	var s struct {
		Store struct {
			Raft struct {
				Index uint64 `json:"commit_index"`
			}
		}
	}
	if _, body := r.get(i, "/status"); json.Unmarshal(body, &s) != nil || s.Store.Raft.Index == 0 {
		r.tb.Fatal("the machine doesn't say how many entries its log has")
	}
	return s.Store.Raft.Index
}
