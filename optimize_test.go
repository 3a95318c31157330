package holdfast_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

func optimize(t *testing.T, db *holdfast.DB, opts ...holdfast.OptimizeOption) holdfast.OptimizeReport {
	t.Helper()
	r, err := db.Optimize(ctx(), opts...)
	if err != nil {
		t.Fatalf("Optimize: %v", err)
	}
	return r
}

const ordersSchema = "CREATE TABLE orders(id INTEGER PRIMARY KEY, status INT, customer INT, pad TEXT); " +
	"CREATE INDEX by_status ON orders(status); CREATE INDEX by_customer ON orders(customer)"

// What a limited ANALYZE leaves is found, and every reader has the new plan at once.
func TestOptimizeMendsPoisonedStatistics(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, ordersSchema)
	must(t, db, "INSERT INTO orders(status, customer, pad) "+series(4000, "value % 2, value % 400, 'some text'"))
	must(t, db, "ANALYZE")
	must(t, db, "UPDATE sqlite_stat1 SET stat = CASE idx WHEN 'by_status' THEN '4000 21' ELSE '4000 100' END")
	must(t, db, "DELETE FROM sqlite_stat4")
	must(t, db, "CREATE TABLE reload(a)") // so that the readers know
	const question = "SELECT count(pad) FROM orders WHERE status = ? AND customer = ?"
	asked := 0
	plan := func() (lines string) {
		// EXPLAIN itself doesn't look whether the schema has changed, what it
		// explains does; and a text that was explained before is not compiled again.
		if got := number(t, db, question, 1, 7); got != 10 {
			t.Fatalf("%d rows", got)
		}
		asked++
		rows, err := db.Query(fmt.Sprintf("EXPLAIN QUERY PLAN %s -- %d", question, asked), 1, 7)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			lines += detail + "; "
		}
		return lines
	}
	if got := plan(); !strings.Contains(got, "by_status") {
		t.Fatalf("the poison does no harm: %s", got)
	}
	dry := optimize(t, db, holdfast.WithoutChanges())
	if len(dry.Statistics.Tables) != 1 || dry.Statistics.Tables[0].Outcome != "proposed" || !strings.Contains(plan(), "by_status") {
		t.Errorf("a dry run: %+v, plan %s", dry.Statistics, plan())
	}
	r := optimize(t, db).Statistics
	if len(r.Tables) != 1 || r.Tables[0].Outcome != "kept" || len(r.Tables[0].Plans) == 0 {
		t.Fatalf("report %+v", r)
	}
	for _, p := range r.Tables[0].Plans {
		if p.Verdict != "better" || p.StepsAfter == 0 || p.StepsBefore < 10*p.StepsAfter {
			t.Errorf("plan %+v", p)
		}
	}
	if got := plan(); !strings.Contains(got, "by_customer") {
		t.Errorf("a reader still plans %s", got)
	}
	if s := db.Stats().Optimize; s.TablesMended != 1 || s.TablesReverted != 0 {
		t.Errorf("counters %+v", s)
	}
}

// space comes back in steps, and in the file itself once the log is copied.
func TestOptimizeReleasesSpaceInSteps(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a BLOB)")
	must(t, db, "INSERT INTO t(a) "+series(2500, "zeroblob(3000)"))
	must(t, db, "DELETE FROM t WHERE id % 5")
	dry := optimize(t, db, holdfast.WithoutChanges()).Space
	if dry.FreeBytesBefore < 7<<20 || dry.PagesReleased != 0 || dry.Next == "" {
		t.Errorf("a dry run: %+v", dry)
	}
	r := optimize(t, db).Space
	if r.FreeBytesAfter != 0 || r.PagesReleased*4096 != r.BytesBefore-r.BytesAfter || r.PagesReleased*4096 < r.FreeBytesBefore || r.Steps < 3 || r.AutoVacuum != "INCREMENTAL" {
		t.Errorf("report %+v", r)
	}
	must(t, db, "PRAGMA wal_checkpoint(TRUNCATE)")
	info, err := os.Stat(db.Path())
	if err != nil || info.Size() != r.BytesAfter {
		t.Errorf("the file has %d bytes, want %d (%v)", info.Size(), r.BytesAfter, err)
	}
	if n := number(t, db, "SELECT count(*) FROM t WHERE length(a) = 3000"); n != 500 {
		t.Errorf("%d rows are left", n)
	}
	if s := db.Stats().Optimize; s.PagesReleased != r.PagesReleased || s.ReleaseSteps != int64(r.Steps) || s.LongestStepSeconds <= 0 {
		t.Errorf("counters %+v", s)
	}
}

// A file of another program has no auto_vacuum: the report says how it gets one.
func TestOptimizeVacuums(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "foreign.db")
	c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Exec("CREATE TABLE t(id INTEGER PRIMARY KEY, a BLOB); INSERT INTO t(a) " + series(1000, "zeroblob(3000)") + "; DELETE FROM t WHERE id % 5"); err != nil {
		t.Fatal(err)
	}
	c.Close()
	db := openAt(t, path)
	r := optimize(t, db)
	if r.Space.AutoVacuum != "NONE" || r.Space.PagesReleased != 0 || !strings.Contains(r.Space.Next, "--incremental") {
		t.Errorf("without auto_vacuum: %+v", r.Space)
	}
	dry := optimize(t, db, holdfast.WithIncrementalVacuum(), holdfast.WithoutChanges())
	if v := dry.Vacuum; v == nil || v.Done || v.EstimatedSeconds <= 0 || v.NeedsBytes <= 0 || v.TempDirectory == "" {
		t.Fatalf("estimate %+v", dry.Vacuum)
	}
	if got := number(t, db, "PRAGMA auto_vacuum"); got != 0 {
		t.Errorf("a dry run made auto_vacuum %d", got)
	}
	r = optimize(t, db, holdfast.WithIncrementalVacuum())
	if v := r.Vacuum; !v.Done || v.TookSeconds <= 0 || r.Space.FreeBytesBefore != 0 || r.Space.AutoVacuum != "INCREMENTAL" {
		t.Errorf("after VACUUM: %+v, %+v", v, r.Space)
	}
	if diff := dry.Vacuum.EstimatedBytes - r.Space.BytesAfter; diff < -1<<20 || diff > 1<<20 {
		t.Errorf("%d bytes were estimated, the file has %d", dry.Vacuum.EstimatedBytes, r.Space.BytesAfter)
	}
	if n := number(t, db, "SELECT count(*) FROM t"); n != 200 {
		t.Errorf("%d rows are left", n)
	}
}

func TestOptimizeTellsSizes(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, ordersSchema)
	must(t, db, "INSERT INTO orders(status, customer, pad) "+series(5000, "value % 2, value * 7919 % 5000, 'some text'"))
	r := optimize(t, db, holdfast.WithTableSizes(time.Minute))
	sum := int64(0)
	for _, s := range r.Sizes.Tables {
		sum += s.Bytes
		if s.Name == "by_customer" && (s.Table != "orders" || s.Fragmentation < 0.1 || s.UnusedBytes == 0) {
			t.Errorf("an index that was filled out of order: %+v", s)
		}
	}
	pages := number(t, db, "PRAGMA page_count") * number(t, db, "PRAGMA page_size")
	if r.Sizes.Partial || sum > int64(pages) || sum < int64(pages)-3*4096 {
		t.Errorf("the sizes make %d of %d bytes: %+v", sum, pages, r.Sizes)
	}
	if r := optimize(t, db, holdfast.WithTableSizes(time.Nanosecond)); !r.Sizes.Partial {
		t.Errorf("without time: %+v", r.Sizes)
	}
}

func TestOptimizeOfOneWhoOnlyReads(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, ordersSchema)
	must(t, db, "INSERT INTO orders(status, customer) "+series(1000, "1, value"))
	reader := openAt(t, db.Path(), holdfast.WithReadOnly())
	if _, err := reader.Optimize(ctx()); !errors.Is(err, holdfast.ErrReadOnly) {
		t.Errorf("Optimize: %v", err)
	}
	if r := optimize(t, reader, holdfast.WithoutChanges()); len(r.Statistics.Tables) != 1 {
		t.Errorf("report %+v", r)
	}
	if n := number(t, db, "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat1'"); n != 0 {
		t.Error("a dry run made sqlite_stat1")
	}
}

// Optimize ends with its context and with Close, and there is one at a time.
func TestOptimizeEnds(t *testing.T) {
	t.Parallel()
	db := open(t, unattended) // a checkpoint in the background waits for the writer, too
	must(t, db, "CREATE TABLE t(a)")
	must(t, db, "INSERT INTO t "+series(2000, "randomblob(3000)"))
	must(t, db, "DELETE FROM t")
	tx, err := db.BeginTx(ctx(), nil) // holds the writer up
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error)
	go func() {
		_, err := db.Optimize(ctx())
		result <- err
	}()
	for db.Stats().Writer.Queued == 0 {
		select {
		case err := <-result:
			t.Fatalf("Optimize ended: %v", err)
		default:
		}
	}
	if _, err := db.Optimize(ctx()); !errors.Is(err, holdfast.ErrBusy) {
		t.Errorf("a second Optimize: %v", err)
	}
	closed := make(chan error)
	go func() { closed <- db.Close() }()
	if err := <-result; !errors.Is(err, holdfast.ErrClosed) && !errors.Is(err, context.Canceled) {
		t.Errorf("Optimize under Close: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	_ = tx.Rollback()
	if _, err := db.Optimize(ctx()); !errors.Is(err, holdfast.ErrClosed) {
		t.Errorf("Optimize after Close: %v", err)
	}
}

// What runs in the background leaves room for what is written next, and does
// nothing where little is free.
func TestOptimizeInTheBackground(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, ordersSchema)
	must(t, db, "INSERT INTO orders(status, customer, pad) "+series(4000, "value % 2, value, zeroblob(2000)"))
	if got, err := db.VacuumTask(ctx()); err != nil || !strings.HasPrefix(got, "nothing") {
		t.Errorf("vacuum: %s, %v", got, err)
	}
	if got, err := db.OptimizeTask(ctx()); err != nil || got != "2 indexes counted, 1 tables mended, 0 put back" {
		t.Errorf("optimize: %s, %v", got, err)
	}
	must(t, db, "DELETE FROM orders WHERE id % 4")
	pages, free := number(t, db, "PRAGMA page_count"), number(t, db, "PRAGMA freelist_count")
	if got, err := db.VacuumTask(ctx()); err != nil || strings.HasPrefix(got, "nothing") {
		t.Errorf("vacuum: %s, %v", got, err)
	}
	if left, want := number(t, db, "PRAGMA freelist_count"), (pages-free)/20; left != want {
		t.Errorf("%d pages stay free, want %d", left, want)
	}
}

// It works on what has no log, too: in memory, and in rollback mode.
func TestOptimizeOtherKinds(t *testing.T) {
	t.Parallel()
	rollback := holdfast.Config{}
	rollback.Database.Path = filepath.Join(t.TempDir(), "rollback.db")
	rollback.Database.EnableWALMode = holdfast.Off
	memory := holdfast.Config{}
	memory.Database.Path = ":memory:"
	for name, cfg := range map[string]holdfast.Config{"rollback": rollback, "memory": memory} {
		db, err := holdfast.OpenConfig(ctx(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		must(t, db, ordersSchema)
		must(t, db, "INSERT INTO orders(status, customer, pad) "+series(2000, "value % 2, value, zeroblob(2000)"))
		must(t, db, "DELETE FROM orders WHERE id % 4")
		r := optimize(t, db, holdfast.WithTableSizes(time.Minute))
		if len(r.Statistics.Tables) != 1 || r.Space.PagesReleased == 0 || r.Space.FreeBytesAfter != 0 || r.Sizes.Partial {
			t.Errorf("%s: %+v", name, r)
		}
		if r := optimize(t, db, holdfast.WithVacuum(), holdfast.WithoutStatistics()); !r.Vacuum.Done || r.Statistics.Indexes != 0 {
			t.Errorf("%s: %+v", name, r.Vacuum)
		}
		check(t, db)
		if err := db.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
