package holdfast_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

const (
	itemByID = "SELECT name, qty, price FROM item WHERE id = ?"
	addEntry = "INSERT INTO entry(worker, seq, body) VALUES (?, ?, ?)"
	items    = 20_000
)

// measured is a database with a prepared statement, that counts or doesn't.
type measured struct {
	*holdfast.DB
	item *sql.Stmt
}

func openMeasured(t *testing.T, dir string, counts holdfast.Switch) measured {
	t.Helper()
	db := openAt(t, filepath.Join(dir, fmt.Sprint("counts", counts)), func(c *holdfast.Config) {
		c.Telemetry.Enabled, c.Database.Synchronous = counts, "NORMAL"
	})
	for _, s := range []string{
		"CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, qty INT, price REAL)", "CREATE TABLE entry(id INTEGER PRIMARY KEY, worker INT, seq INT, body TEXT)",
		fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d) INSERT INTO item SELECT i, 'item ' || i, i %% 100, i * 0.25 FROM n", items),
	} {
		run(t, db, s)
	}
	s, err := db.Prepare(itemByID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return measured{db, s}
}

func scanItem(r *sql.Row) error {
	var name string
	var qty int64
	var price float64
	return r.Scan(&name, &qty, &price)
}

// cost is a way whose cost is measured.
type cost struct {
	name              string
	goroutines, calls int
	do                func(ctx context.Context, db measured, i int) error
}

var costs = []cost{
	{"W1 rows", 1, 500, func(ctx context.Context, db measured, i int) (err error) {
		for _, err = range db.Rows(ctx, itemByID, i%items+1) {
		}
		return err
	}},
	{"W1 unprepared", 1, 250, func(ctx context.Context, db measured, i int) error {
		return scanItem(db.QueryRowContext(ctx, itemByID, i%items+1))
	}},
	{"W1 prepared", 1, 250, func(ctx context.Context, db measured, i int) error {
		return scanItem(db.item.QueryRowContext(ctx, i%items+1))
	}},
	{"W1 unprepared", 8, 4000, func(ctx context.Context, db measured, i int) error {
		return scanItem(db.QueryRowContext(ctx, itemByID, i%items+1))
	}},
	{"W4 exec", 32, 1024, func(ctx context.Context, db measured, i int) error {
		_, err := db.ExecContext(ctx, addEntry, 1, i, "a body of some length")
		return err
	}},
	{"W4 tx", 32, 2048, func(ctx context.Context, db measured, i int) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, addEntry, 1, i, "a body of some length"); err != nil {
			return err
		}
		return tx.Commit()
	}},
}

// Counting allocates nothing on the way of a statement.
func TestCountingAllocatesNothing(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("allocations are no different there, and under wine this takes a minute")
	}
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	dir := t.TempDir()
	with, without := openMeasured(t, dir, holdfast.On), openMeasured(t, dir, holdfast.Off)
	for _, c := range costs {
		if c.goroutines == 8 {
			continue
		}
		i := 0
		allocs := func(db measured) float64 {
			const calls = 4000
			var before, after runtime.MemStats
			for n := range 2 * calls { // the first calls of a statement are looked at closely
				if n == calls {
					runtime.ReadMemStats(&before)
				}
				if err := c.do(t.Context(), db, i); err != nil {
					t.Fatal(err)
				}
				i++
			}
			runtime.ReadMemStats(&after)
			return float64(after.Mallocs-before.Mallocs) / calls
		}
		// One call in 1024 is asked where it comes from. What the rest of the program allocates or the
		// runtime counts late differs from time to time; what a call allocates doesn't.
		var told []string
		for range 5 {
			a, b := allocs(with), allocs(without)
			told = append(told, fmt.Sprintf("%.2f allocations with, %.2f without", a, b))
			if a <= b+0.5 {
				told = told[len(told)-1:]
				break
			}
		}
		if len(told) > 1 {
			t.Errorf("%s: %v", c.name, told)
		} else {
			t.Logf("%s: %s", c.name, told[0])
		}
	}
}

// TestTelemetryCost measures what counting adds, in blocks of calls on three databases that
// take turns, so that what disturbs one disturbs the others: one counts, two count nothing.
// What these two differ by is what can't be told. It tells quantiles of the
// blocks' processor times. HOLDFAST_TELEMETRY_COST is how many blocks there are of each,
// HOLDFAST_TELEMETRY_DIR where the databases are, best in memory.
func TestTelemetryCost(t *testing.T) {
	var rounds int
	if _, err := fmt.Sscan(os.Getenv("HOLDFAST_TELEMETRY_COST"), &rounds); err != nil {
		t.Skip("HOLDFAST_TELEMETRY_COST is not set to a number of blocks")
	}
	var sides [3]measured
	for k, counts := range []holdfast.Switch{holdfast.On, holdfast.Off, holdfast.Off} {
		dir, err := os.MkdirTemp(os.Getenv("HOLDFAST_TELEMETRY_DIR"), "cost")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		})
		sides[k] = openMeasured(t, dir, counts)
	}
	for _, c := range costs {
		t.Run(fmt.Sprintf("%s/%d", c.name, c.goroutines), func(t *testing.T) { c.compare(t, sides, rounds) })
	}
}

// settleIn is how many calls a statement has had before it is measured, if it reads: of the first a
// large part is timed.
const settleIn = 500_000

func (c cost) compare(t *testing.T, sides [3]measured, rounds int) {
	block := func(db measured) time.Duration {
		before := processTime()
		var all sync.WaitGroup
		for g := range c.goroutines {
			all.Go(func() {
				for i := range c.calls / c.goroutines {
					if err := c.do(t.Context(), db, g*1000+i); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		return processTime() - before
	}
	blocks := settleIn / c.calls
	if c.goroutines == 32 {
		blocks = 20 // of writes all are timed
	}
	for range blocks {
		for _, db := range sides {
			block(db)
		}
	}
	var took [3][]time.Duration
	var added [2][]float64
	for round := range rounds {
		var pair [3]time.Duration
		for turn := range 2 * len(sides) { // each once, from one end, and once from the other
			k := (round + min(turn, 5-turn)) % 3
			d := block(sides[k])
			took[k] = append(took[k], d)
			pair[k] += d
		}
		added[0] = append(added[0], float64(pair[0])/float64(pair[1]+pair[2])*2-1)
		added[1] = append(added[1], float64(pair[2])/float64(pair[1])-1)
	}
	for k := range took {
		slices.Sort(took[k])
	}
	for _, part := range []int{10, 4, 2} {
		var call [3]float64
		for k, all := range took {
			call[k] = float64(all[len(all)/part]) / float64(c.calls)
		}
		without := (call[1] + call[2]) / 2
		t.Logf("quantile 1/%-2d: %5.0f ns a call without; with %+5.0f ns, %+.1f %%; control %+.0f ns, %+.1f %%",
			part, without, call[0]-without, 100*(call[0]/without-1), call[2]-call[1], 100*(call[2]/call[1]-1))
	}
	for k, name := range []string{"with", "control"} {
		all := added[k]
		slices.Sort(all)
		n := len(all)
		t.Logf("side by side: %s %+.1f %%, and half of all between %+.1f and %+.1f %%", name, 100*all[n/2], 100*all[n/4], 100*all[n*3/4])
	}
}
