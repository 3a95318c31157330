package interop

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
)

type riverArgs struct {
	Worker int       `json:"worker"`
	Turn   int       `json:"turn"`
	When   time.Time `json:"when"`
}

func (riverArgs) Kind() string { return "turn" }

// riverWorker does what the test says.
type riverWorker struct {
	river.WorkerDefaults[riverArgs]
	work func(ctx context.Context, job *river.Job[riverArgs]) error
}

func (w *riverWorker) Work(ctx context.Context, job *river.Job[riverArgs]) error {
	return w.work(ctx, job)
}

// riverAtOnce retries a failed job without waiting.
type riverAtOnce struct{}

func (riverAtOnce) NextRetry(*rivertype.JobRow) time.Time { return time.Now() }

func riverMigrator(t *testing.T, db *sql.DB, schema string) *rivermigrate.Migrator[*sql.Tx] {
	t.Helper()
	m, err := rivermigrate.New(riversqlite.New(db), &rivermigrate.Config{Schema: schema, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	return m
}

func openRiver(t *testing.T) *sql.DB {
	t.Helper()
	db := open(t)
	_, err := riverMigrator(t, db, "").Migrate(t.Context(), rivermigrate.DirectionUp, nil)
	must(t, err)
	_, err = db.ExecContext(t.Context(), ledgerSchema)
	must(t, err)
	return db
}

func riverClient(t *testing.T, db *sql.DB, schema string, work func(ctx context.Context, job *river.Job[riverArgs]) error) *river.Client[*sql.Tx] {
	t.Helper()
	workers := river.NewWorkers()
	river.AddWorker(workers, &riverWorker{work: work})
	client, err := river.NewClient(riversqlite.New(db), &river.Config{
		FetchCooldown:     5 * time.Millisecond,
		FetchPollInterval: 5 * time.Millisecond,
		Logger:            slog.New(slog.DiscardHandler),
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: contenders}},
		RetryPolicy:       riverAtOnce{},
		Schema:            schema,
		TestOnly:          true, // no random delay before the maintenance services start
		Workers:           workers,
	})
	must(t, err)
	return client
}

// riverRun starts the clients, waits for n events of a kind among them all,
// and stops them.
func riverRun(t *testing.T, kind river.EventKind, n int, clients ...*river.Client[*sql.Tx]) []*river.Event {
	t.Helper()
	var listening sync.WaitGroup
	defer listening.Wait()
	events := make(chan *river.Event, n)
	for _, client := range clients {
		heard, cancel := client.SubscribeConfig(&river.SubscribeConfig{ChanSize: 10_000, Kinds: []river.EventKind{kind}})
		defer cancel()
		listening.Go(func() {
			for event := range heard {
				select {
				case events <- event:
				default:
					t.Errorf("more than %d %s events", n, kind)
				}
			}
		})
		must(t, client.Start(t.Context()))
		defer func() { must(t, client.Stop(context.WithoutCancel(t.Context()))) }()
	}
	timeout := time.After(2 * time.Minute)
	got := make([]*river.Event, 0, n)
	for len(got) < n {
		select {
		case event := <-events:
			got = append(got, event)
		case <-timeout:
			t.Errorf("%d of %d %s events after two minutes", len(got), n, kind)
			return got
		}
	}
	return got
}

func TestRiver(t *testing.T) {
	t.Parallel()
	t.Run("Migrations", testRiverMigrations)
	t.Run("Insert", testRiverInsert)
	t.Run("Transactions", testRiverTransactions)
	t.Run("Retries", testRiverRetries)
	t.Run("JobsAsRows", testRiverJobsAsRows)
	t.Run("AttachedSchema", testRiverAttachedSchema)
	t.Run("Contention", testRiverContention)
}

func testRiverMigrations(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := open(t)
	m := riverMigrator(t, db, "")
	up, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	must(t, err)
	equal(t, "migrations", len(up.Versions), len(m.AllVersions()))
	valid, err := m.Validate(ctx, nil)
	must(t, err)
	equal(t, "valid", valid.OK, true)
	down, err := m.Migrate(ctx, rivermigrate.DirectionDown, &rivermigrate.MigrateOpts{TargetVersion: -1})
	must(t, err)
	equal(t, "migrations down", len(down.Versions), len(up.Versions))
	equal(t, "tables left", column(t, db, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name LIKE 'river%'"), "0")
	tx, err := db.BeginTx(ctx, nil)
	must(t, err)
	_, err = m.MigrateTx(ctx, tx, rivermigrate.DirectionUp, nil) //nolint:staticcheck // programs still call it
	must(t, err)
	must(t, tx.Rollback())
	_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	must(t, err)
}

func testRiverInsert(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openRiver(t)
	client := riverClient(t, db, "", func(context.Context, *river.Job[riverArgs]) error { return nil })

	due := time.Now().Add(time.Hour).Truncate(time.Millisecond) // River keeps milliseconds
	later, err := client.Insert(ctx, riverArgs{Turn: 1}, &river.InsertOpts{ScheduledAt: due, Tags: []string{"later"}, Metadata: []byte(`{"k":"v"}`)})
	must(t, err)
	equal(t, "state", later.Job.State, rivertype.JobStateScheduled)
	sameInstant(t, "scheduled_at", later.Job.ScheduledAt, due)
	if since := time.Since(later.Job.CreatedAt).Abs(); since > time.Hour/2 {
		t.Errorf("created_at is %v away from now: %v", since, later.Job.CreatedAt)
	}

	unique := &river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true}}
	first, err := client.Insert(ctx, riverArgs{Turn: 2}, unique)
	must(t, err)
	second, err := client.Insert(ctx, riverArgs{Turn: 2}, unique)
	must(t, err)
	equal(t, "second of a unique job", []any{second.UniqueSkippedAsDuplicate, second.Job.ID}, []any{true, first.Job.ID})

	many := make([]river.InsertManyParams, 50)
	for i := range many {
		many[i] = river.InsertManyParams{Args: riverArgs{Turn: 100 + i}, InsertOpts: &river.InsertOpts{Queue: "other", Priority: 1 + i%4}}
	}
	results, err := client.InsertMany(ctx, many)
	must(t, err)
	equal(t, "jobs inserted", len(results), 50)
	n, err := client.InsertManyFast(ctx, many)
	must(t, err)
	equal(t, "jobs inserted fast", n, 50)
	equal(t, "jobs", column(t, db, "SELECT count(*) FROM river_job"), "102")

	cancelled, err := client.JobCancel(ctx, later.Job.ID)
	must(t, err)
	equal(t, "state", cancelled.State, rivertype.JobStateCancelled)
	_, err = client.JobDelete(ctx, first.Job.ID)
	must(t, err)
	_, err = client.JobGet(ctx, first.Job.ID)
	if !errors.Is(err, rivertype.ErrNotFound) {
		t.Errorf("a deleted job: %v", err)
	}
}

func testRiverTransactions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openRiver(t)
	client := riverClient(t, db, "", func(context.Context, *river.Job[riverArgs]) error { return nil })
	tx, err := db.BeginTx(ctx, nil)
	must(t, err)
	_, err = client.InsertTx(ctx, tx, riverArgs{Turn: 1}, nil)
	must(t, err)
	must(t, tx.Rollback())

	tx, err = db.BeginTx(ctx, nil)
	must(t, err)
	kept, err := client.InsertTx(ctx, tx, riverArgs{Turn: 2}, nil)
	must(t, err)
	executor := riversqlite.New(db).UnwrapExecutor(tx)
	nested, err := executor.Begin(ctx)
	must(t, err)
	must(t, nested.Exec(ctx, "DELETE FROM river_job"))
	deeper, err := nested.Begin(ctx)
	must(t, err)
	must(t, deeper.Exec(ctx, "INSERT INTO ledger VALUES (?, ?)", 1, 1))
	must(t, deeper.Commit(ctx))
	must(t, nested.Rollback(ctx))
	_, err = client.JobGetTx(ctx, tx, kept.Job.ID)
	must(t, err)
	must(t, tx.Commit())
	equal(t, "jobs", column(t, db, "SELECT json_extract(args, '$.turn') FROM river_job"), "2")
	equal(t, "ledger rows", column(t, db, "SELECT count(*) FROM ledger"), "0")
}

func testRiverRetries(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openRiver(t)
	client := riverClient(t, db, "", func(_ context.Context, job *river.Job[riverArgs]) error {
		if job.Attempt < 3 {
			return errUndo
		}
		sameInstant(t, "time in the arguments", job.Args.When, zonedMoment)
		return nil
	})
	_, err := client.Insert(ctx, riverArgs{When: zonedMoment}, nil)
	must(t, err)
	events := riverRun(t, river.EventKindJobCompleted, 1, client)
	job, err := client.JobGet(ctx, events[0].Job.ID)
	must(t, err)
	equal(t, "attempts", job.Attempt, 3)
	equal(t, "errors kept", []any{len(job.Errors), job.Errors[1].Error}, []any{2, errUndo.Error()})
	if job.FinalizedAt == nil || job.FinalizedAt.Before(*job.AttemptedAt) {
		t.Errorf("attempted at %v, finalized at %v", job.AttemptedAt, job.FinalizedAt)
	}
}

func testRiverJobsAsRows(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openRiver(t)
	client := riverClient(t, db, "", func(context.Context, *river.Job[riverArgs]) error { return nil })
	for i := range 20 {
		opts := &river.InsertOpts{Tags: []string{"all", []string{"even", "odd"}[i%2]}, Metadata: []byte(`{"half":` + []string{"1", "2"}[i/10] + `}`)}
		_, err := client.Insert(ctx, riverArgs{Turn: i}, opts)
		must(t, err)
	}
	page, err := client.JobList(ctx, river.NewJobListParams().TagsAny("odd").OrderBy(river.JobListOrderByID, river.SortOrderDesc).First(4))
	must(t, err)
	equal(t, "first page", []any{len(page.Jobs), page.Jobs[0].ID}, []any{4, int64(20)})
	page, err = client.JobList(ctx, river.NewJobListParams().TagsAny("odd").OrderBy(river.JobListOrderByID, river.SortOrderDesc).First(100).After(page.LastCursor))
	must(t, err)
	equal(t, "jobs after it", len(page.Jobs), 6)
	page, err = client.JobList(ctx, river.NewJobListParams().Metadata(`{"half":2}`).Kinds("turn").States(rivertype.JobStateAvailable))
	if err == nil {
		equal(t, "jobs by metadata", len(page.Jobs), 10)
	} else if !strings.Contains(err.Error(), "not supported on SQLite") { // River: not on SQLite
		t.Errorf("jobs by metadata: %v", err)
	}
	deleted, err := client.JobDeleteMany(ctx, river.NewJobDeleteManyParams().IDs(1, 2, 3, 99))
	must(t, err)
	equal(t, "jobs deleted", len(deleted.Jobs), 3)
	must(t, client.QueuePause(ctx, "*", nil))
}

// testRiverAttachedSchema keeps the jobs in a file of their own, the way River
// offers it: a schema name, attached on a pool of one.
func testRiverAttachedSchema(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := open(t)
	db.SetMaxOpenConns(1)
	_, err := db.ExecContext(ctx, "ATTACH DATABASE ? AS jobs", filepath.Join(t.TempDir(), "jobs.db"))
	must(t, err)
	_, err = riverMigrator(t, db, "jobs").Migrate(ctx, rivermigrate.DirectionUp, nil)
	must(t, err)
	client := riverClient(t, db, "jobs", func(context.Context, *river.Job[riverArgs]) error { return nil })
	for i := range 10 {
		_, err := client.Insert(ctx, riverArgs{Turn: i}, nil)
		must(t, err)
	}
	riverRun(t, river.EventKindJobCompleted, 10, client)
	equal(t, "jobs completed", column(t, db, "SELECT count(*) FROM jobs.river_job WHERE state = 'completed'"), "10")
	equal(t, "tables in main", column(t, db, "SELECT count(*) FROM main.sqlite_schema"), "0")
}

// testRiverContention has 32 goroutines insert jobs in transactions while two
// clients work them, each job in a transaction that also completes it.
func testRiverContention(t *testing.T) {
	t.Parallel()
	db := openRiver(t)
	work := func(ctx context.Context, job *river.Job[riverArgs]) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT n FROM counters WHERE id = 1").Scan(&n); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE counters SET n = ? WHERE id = 1", n+1); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO ledger VALUES (?, ?)", job.Args.Worker, job.Args.Turn); err != nil {
			return err
		}
		if _, err := river.JobCompleteTx[*riversqlite.Driver](ctx, tx, job); err != nil {
			return err
		}
		return tx.Commit()
	}
	one, two := riverClient(t, db, "", work), riverClient(t, db, "", work)
	inserted := make(chan int, 1)
	var inserting sync.WaitGroup
	defer inserting.Wait()
	inserting.Go(func() {
		inserted <- rush(t, func(ctx context.Context, worker, turn int) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer tx.Rollback()
			if _, err := one.InsertTx(ctx, tx, riverArgs{Worker: worker, Turn: turn}, nil); err != nil {
				return err
			}
			return tx.Commit()
		})
	})
	events := riverRun(t, river.EventKindJobCompleted, contenders*turns, one, two)
	equal(t, "jobs acknowledged", <-inserted, contenders*turns)
	equal(t, "jobs completed", len(events), contenders*turns)
	equal(t, "counter", column(t, db, "SELECT n FROM counters"), "320")
	equal(t, "ledger rows", column(t, db, "SELECT count(*) FROM ledger"), "320")
	equal(t, "jobs that failed an attempt", column(t, db, "SELECT count(*) FROM river_job WHERE attempt <> 1 OR json_array_length(coalesce(errors, '[]')) > 0"), "0")
}
