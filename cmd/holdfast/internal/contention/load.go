package contention

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/holdfastdb/holdfast"
	_ "modernc.org/sqlite" // the bare driver, "sqlite"
)

// Contestant is a way to open the database.
type Contestant string

// The contestants.
const (
	// Holdfast is the library with the settings of Load.Config.
	Holdfast Contestant = "holdfast"
	// Bare is sql.Open("sqlite", path), as it comes.
	Bare Contestant = "bare"
	// Recipe is Bare with what is recommended most: WAL and a busy_timeout of
	// 5 s, on every connection.
	Recipe Contestant = "recipe"
)

// Load is what one process does.
type Load struct {
	Contestant  Contestant      `json:"contestant"`
	Path        string          `json:"path"`
	Goroutines  int             `json:"goroutines"`
	Duration    time.Duration   `json:"duration"`
	Synchronous string          `json:"synchronous"` // "" leaves it as it is
	Config      holdfast.Config `json:"config"`      // of Holdfast; the path in it is ignored
}

// open opens the database as the contestant would.
func (l Load) open(ctx context.Context) (*sql.DB, error) {
	if l.Contestant == Holdfast {
		cfg := l.Config
		cfg.Database.Path = l.Path
		if l.Synchronous != "" {
			cfg.Database.Synchronous = l.Synchronous
		}
		db, err := holdfast.OpenConfig(ctx, cfg)
		if err != nil {
			return nil, err
		}
		return db.DB, nil // closing it closes all
	}
	pragmas := url.Values{}
	if l.Contestant == Recipe {
		pragmas["_pragma"] = []string{"busy_timeout(5000)", "journal_mode(WAL)"}
	}
	if l.Synchronous != "" {
		pragmas.Add("_pragma", "synchronous("+l.Synchronous+")")
	}
	return sql.Open("sqlite", fileURI(l.Path, pragmas))
}

// fileURI names path literally, whatever characters are in it.
func fileURI(path string, query url.Values) string {
	uri := "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
	if len(query) > 0 {
		uri += "?" + query.Encode()
	}
	return uri
}

// The hot row. Its table keeps its name to itself, in case the file has others.
const (
	createRow = "CREATE TABLE IF NOT EXISTS holdfast_bench_contention(id INTEGER PRIMARY KEY, n INTEGER NOT NULL)"
	insertRow = "INSERT OR IGNORE INTO holdfast_bench_contention(id, n) VALUES (1, 0)"
	readRow   = "SELECT n FROM holdfast_bench_contention WHERE id = 1"
	writeRow  = "UPDATE holdfast_bench_contention SET n = ? WHERE id = 1"
)

// prepare creates the hot row and returns what it says.
func (l Load) prepare(ctx context.Context) (n int64, err error) {
	db, err := l.open(ctx)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	for _, statement := range []string{createRow, insertRow} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return 0, fmt.Errorf("prepare %s: %w", l.Path, err)
		}
	}
	err = db.QueryRowContext(ctx, readRow).Scan(&n)
	return n, err
}

// result reads the hot row when nobody writes any more.
func (l Load) result(ctx context.Context) (n int64, err error) {
	db, err := l.open(ctx)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	err = db.QueryRowContext(ctx, readRow).Scan(&n)
	return n, err
}

// accuracy is how far a percentile may be off, relatively; buckets bounds the
// memory of a sketch.
const (
	accuracy = 0.01
	buckets  = 2048
)

// Tally is what one process, or one goroutine, has counted.
type Tally struct {
	Transactions int64         `json:"transactions"` // acknowledged
	Errors       int64         `json:"errors"`
	Longest      time.Duration `json:"longest"` // of the acknowledged
	Elapsed      time.Duration `json:"elapsed"`
	FirstError   string        `json:"first_error,omitempty"`
	Sketch       []byte        `json:"sketch"` // encoded durations of the acknowledged, in seconds

	waits *ddsketch.DDSketch
}

func newTally() (*Tally, error) {
	waits, err := ddsketch.LogCollapsingLowestDenseDDSketch(accuracy, buckets)
	return &Tally{waits: waits}, err
}

func (t *Tally) count(took time.Duration, err error) {
	if err != nil {
		t.Errors++
		if t.FirstError == "" {
			t.FirstError = err.Error()
		}
		return
	}
	t.Transactions++
	t.Longest = max(t.Longest, took)
	_ = t.waits.Add(took.Seconds()) // refuses only what is no finite number
}

func (t *Tally) add(other *Tally) error {
	t.Transactions += other.Transactions
	t.Errors += other.Errors
	t.Longest = max(t.Longest, other.Longest)
	t.Elapsed = max(t.Elapsed, other.Elapsed)
	if t.FirstError == "" {
		t.FirstError = other.FirstError
	}
	if other.waits == nil {
		return t.waits.DecodeAndMergeWith(other.Sketch)
	}
	return t.waits.MergeWith(other.waits)
}

// quantile is the duration that the fraction q of transactions did not exceed.
func (t *Tally) quantile(q float64) time.Duration {
	s, err := t.waits.GetValueAtQuantile(q)
	if err != nil { // there was no transaction
		return 0
	}
	// The sketch rounds up as well as down.
	return min(time.Duration(s*float64(time.Second)), t.Longest)
}

// run runs the load on an open database and returns the counts of all
// goroutines. A transaction that has begun when the time is up is finished.
func (l Load) run(ctx context.Context, db *sql.DB) (*Tally, error) {
	tallies := make([]*Tally, l.Goroutines)
	for i := range tallies {
		var err error
		if tallies[i], err = newTally(); err != nil {
			return nil, err
		}
	}
	start := time.Now()
	end := start.Add(l.Duration)
	var wg sync.WaitGroup
	for _, t := range tallies {
		wg.Go(func() {
			for begin := time.Now(); begin.Before(end) && ctx.Err() == nil; begin = time.Now() {
				err := transact(ctx, db)
				t.count(time.Since(begin), err)
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	sum, err := newTally()
	if err != nil {
		return nil, err
	}
	for _, t := range tallies {
		if err := sum.add(t); err != nil {
			return nil, err
		}
	}
	sum.Elapsed = time.Since(start)
	return sum, nil
}

// transact is the load: read a row, think nothing, write it back plus one.
func transact(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	var n int64
	if err := tx.QueryRowContext(ctx, readRow).Scan(&n); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, writeRow, n+1); err != nil {
		return err
	}
	return tx.Commit()
}
