package targets

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/contention"
)

// Request is what is measured, and where.
type Request struct {
	Dir        string          // for the databases, empty
	Duration   time.Duration   // of all loads together
	Config     holdfast.Config // its path is ignored
	WorkerArgs []string        // with which this program is a worker of contention
	Progress   func(what string)
}

// Report is all figures, in the order of the specification.
type Report struct {
	Environment string   `json:"environment"`
	Figures     []Figure `json:"figures"`
	Met         int      `json:"met"`
	Missed      int      `json:"missed"`
}

// The sizes of the loads.
const (
	rows       = 20_000 // about 5 MB
	mixed      = 8      // goroutines, as many as there are readers at least
	crowd      = 32     // goroutines that ask for a reader at once
	conflicts  = 8      // goroutines of each process that writes one row
	processes  = 2
	checkEvery = 50 * time.Millisecond // a Health, and every other time a checkpoint
	verified   = 5
)

// Run measures every figure. It leaves its files in Dir.
func Run(ctx context.Context, r Request) (*Report, error) {
	b := &bench{Request: r, path: filepath.Join(r.Dir, "targets.db")}
	for _, phase := range []struct {
		what string
		run  func(context.Context) error
	}{
		{"filling", b.fill},
		{"opening", b.measureOpening},
		{"reading, writing and checking", b.measureMix},
		{"verifying", b.measureVerify},
		{"asking for readers", b.measureCrowd},
		{"conflicting", b.measureConflicts},
	} {
		if r.Progress != nil {
			r.Progress(phase.what)
		}
		if err := phase.run(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", phase.what, err)
		}
	}
	return b.report(), nil
}

// bench is one Run.
type bench struct {
	Request
	path        string
	synchronous string

	creation, reuse, access, query, commit, checkpoint, integrity timing

	operations, failed  int64 // of the mix
	health, unavailable int64
	leases              int64
	efficiency          float64 // of the pool, in the mix
	conflict            *contention.Report
}

func (b *bench) open(ctx context.Context) (*holdfast.DB, error) {
	cfg := b.Config
	cfg.Database.Path = b.path
	return holdfast.OpenConfig(ctx, cfg)
}

// with runs f on the database, opened for it.
func (b *bench) with(ctx context.Context, f func(db *holdfast.DB) error) error {
	db, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := f(db); err != nil {
		return err
	}
	return db.Close()
}

func (b *bench) fill(ctx context.Context) error {
	return b.with(ctx, func(db *holdfast.DB) error {
		err := db.QueryRowContext(ctx, "SELECT CASE synchronous WHEN 0 THEN 'OFF' WHEN 1 THEN 'NORMAL' WHEN 2 THEN 'FULL' ELSE 'EXTRA' END FROM pragma_synchronous").Scan(&b.synchronous)
		if err != nil {
			return err
		}
		for _, statement := range []string{
			"CREATE TABLE item(id INTEGER PRIMARY KEY, n INTEGER NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL)",
			fmt.Sprintf(`WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i < %d)
INSERT INTO item SELECT i, 0, 'item ' || i, hex(randomblob(90)) FROM c`, rows),
			"CREATE INDEX item_name ON item(name)",
		} {
			if _, err := db.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// measureOpening opens the database, which nobody has open, asks it something, and
// asks again when everything is there.
func (b *bench) measureOpening(ctx context.Context) error {
	for end := time.Now().Add(b.Duration / 8); time.Now().Before(end); {
		begin := time.Now()
		err := b.with(ctx, func(db *holdfast.DB) error {
			if err := ask(ctx, db); err != nil {
				return err
			}
			b.creation.since(begin)
			for range 20 {
				begin := time.Now()
				if err := ask(ctx, db); err != nil {
					return err
				}
				b.reuse.since(begin)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ask is the least that needs a connection.
func ask(ctx context.Context, db *holdfast.DB) error {
	var one int
	return db.QueryRowContext(ctx, "SELECT 1").Scan(&one)
}

// measureMix has goroutines read by key nine times and write once, while another
// checks the health and copies the log.
func (b *bench) measureMix(ctx context.Context) error {
	return b.with(ctx, func(db *holdfast.DB) error {
		end := time.Now().Add(b.Duration / 2)
		parts := make([]bench, mixed)
		var wg sync.WaitGroup
		for i := range parts {
			wg.Go(func() { parts[i].mix(ctx, db, end) })
		}
		err := b.check(ctx, db, end)
		wg.Wait()
		if err != nil {
			return err
		}
		for i := range parts {
			p := &parts[i]
			b.operations += p.operations
			b.failed += p.failed
			if err := b.query.merge(&p.query); err != nil {
				return err
			}
			if err := b.commit.merge(&p.commit); err != nil {
				return err
			}
		}
		h, err := db.Health(ctx)
		b.efficiency, b.leases = h.Reliability.PoolEfficiency, b.query.count
		return err
	})
}

func (b *bench) mix(ctx context.Context, db *holdfast.DB, end time.Time) {
	for i := 0; time.Now().Before(end) && ctx.Err() == nil; i++ {
		var err error
		if i%10 == 9 {
			err = b.write(ctx, db)
		} else {
			err = b.read(ctx, db)
		}
		b.operations++
		if err != nil {
			b.failed++
		}
	}
}

func (b *bench) read(ctx context.Context, db *holdfast.DB) error {
	var n int
	var name, body string
	begin := time.Now()
	err := db.QueryRowContext(ctx, "SELECT n, name, body FROM item WHERE id = ?", 1+rand.IntN(rows)).Scan(&n, &name, &body)
	b.query.since(begin)
	return err
}

func (b *bench) write(ctx context.Context, db *holdfast.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	if _, err := tx.ExecContext(ctx, "UPDATE item SET n = n + 1 WHERE id = ?", 1+rand.IntN(rows)); err != nil {
		return err
	}
	begin := time.Now()
	err = tx.Commit()
	b.commit.since(begin)
	return err
}

// check looks after the database as a monitor does, until a time.
func (b *bench) check(ctx context.Context, db *holdfast.DB, end time.Time) error {
	tick := time.NewTicker(min(checkEvery, max(time.Until(end)/10, time.Millisecond)))
	defer tick.Stop()
	for i := 1; ; i++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-tick.C:
			if !now.Before(end) {
				return nil
			}
		}
		h, err := db.Health(ctx)
		b.health++
		if err != nil || !h.DatabaseAccessible {
			b.unavailable++
		}
		if i%2 == 0 {
			begin := time.Now()
			if _, err := db.Checkpoint(ctx, holdfast.CheckpointPassive); err != nil {
				return err
			}
			b.checkpoint.since(begin)
		}
	}
}

func (b *bench) measureVerify(ctx context.Context) error {
	return b.with(ctx, func(db *holdfast.DB) error {
		for range verified {
			begin := time.Now()
			v, err := db.Verify(ctx, holdfast.VerifyQuick)
			b.integrity.since(begin)
			switch {
			case err != nil:
				return err
			case !v.OK:
				return fmt.Errorf("the database is damaged: %s", strings.Join(v.Problems, "; "))
			}
		}
		return nil
	})
}

// measureCrowd has more goroutines ask for a reader at once than there are readers.
func (b *bench) measureCrowd(ctx context.Context) error {
	return b.with(ctx, func(db *holdfast.DB) error {
		end := time.Now().Add(b.Duration / 8)
		parts, errs := make([]timing, crowd), make([]error, crowd)
		var wg sync.WaitGroup
		for i := range parts {
			wg.Go(func() {
				for time.Now().Before(end) && errs[i] == nil {
					begin := time.Now()
					errs[i] = ask(ctx, db)
					parts[i].since(begin)
				}
			})
		}
		wg.Wait()
		for i := range parts {
			if errs[i] != nil {
				return errs[i]
			}
			if err := b.access.merge(&parts[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// measureConflicts has two processes write one row from many goroutines: every
// transaction finds it locked by another.
func (b *bench) measureConflicts(ctx context.Context) (err error) {
	b.conflict, err = contention.Measure(ctx, contention.Load{
		Contestant: contention.Holdfast, Path: b.path + "-conflicts", Goroutines: conflicts, Duration: b.Duration / 4, Config: b.Config,
	}, processes, b.WorkerArgs)
	return err
}

func (b *bench) report() *Report {
	const ms = time.Millisecond
	alone, mix, crowded := "alone", fmt.Sprintf("mix of %d", mixed), fmt.Sprintf("crowd of %d", crowd)
	contended := fmt.Sprintf("%d x %d on a row", processes, conflicts)
	t := b.conflict.Tally
	r := &Report{Environment: b.environment(), Figures: []Figure{
		took("connection_creation", alone, 50*ms, &b.creation),
		took("connection_reuse", alone, ms, &b.reuse),
		took("pool_access", crowded, 5*ms, &b.access),
		conflictTime("lock_conflict_resolution_time", contended, 100*ms, b.conflict),
		took("query_execution", mix, 10*ms, &b.query),
		took("transaction_commit", mix, 20*ms, &b.commit),
		took("wal_checkpoint", mix, 100*ms, &b.checkpoint),
		took("integrity_check", alone, time.Second, &b.integrity),
		share("success_rate", mix+", "+contended, 0.999,
			1-ratio(b.failed+t.Errors, b.operations+t.Transactions+t.Errors), b.operations+t.Transactions+t.Errors),
		share("lock_conflict_resolution_rate", contended, 0.95, 1-b.conflict.ErrorRatio(), t.Transactions+t.Errors),
		share("connection_pool_efficiency", mix, 0.90, b.efficiency, b.leases),
		share("health_check_availability", mix, 0.995, 1-ratio(b.unavailable, b.health), b.health),
	}}
	for _, f := range r.Figures {
		if f.Met {
			r.Met++
		} else {
			r.Missed++
		}
	}
	return r
}

// conflictTime judges what contention has measured.
func conflictTime(name, load string, target time.Duration, c *contention.Report) Figure {
	f := Figure{
		Name: name, Load: load, Statistic: "mean", TargetSeconds: target.Seconds(), MeasuredSeconds: c.Mean().Seconds(), Samples: c.Tally.Transactions,
		P50Seconds: c.Quantile(0.5).Seconds(), P99Seconds: c.Quantile(0.99).Seconds(), MaxSeconds: c.Tally.Longest.Seconds(),
	}
	f.Met = f.Samples > 0 && f.MeasuredSeconds < f.TargetSeconds
	return f
}

func ratio(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

func (b *bench) environment() string {
	return fmt.Sprintf("%s/%s, %d CPUs, %s, SQLite %s, synchronous %s, files in %s", runtime.GOOS, runtime.GOARCH,
		runtime.NumCPU(), runtime.Version(), holdfast.Engine().Version, b.synchronous, filepath.Dir(b.Dir))
}
