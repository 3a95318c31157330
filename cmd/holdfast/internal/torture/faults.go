package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/holdfasttest"
)

func nthFaults() Scenario {
	return Scenario{
		Name: "nth-faults",
		About: "fail the Nth call to the disk, once or from then on, with an I/O error, no space, a read-only file system or half a write, " +
			"in everything that a database does, and look whether it ends, goes on afterwards and has told the truth",
		Tier:     Quick,
		Sabotage: []string{NoSync, SwallowCommitError},
		Run:      runFaults,
	}
}

// plan is one operation with one kind of fault.
type plan struct {
	op     operation
	kind   holdfasttest.Kind
	sticky bool
	seed   uint64
}

func (p plan) String() string {
	when := "once"
	if p.sticky {
		when = "from then on"
	}
	return fmt.Sprintf("%s, %s %s", p.op.name, kindNames[p.kind], when)
}

var kindNames = map[holdfasttest.Kind]string{
	holdfasttest.IOErr: "EIO", holdfasttest.Full: "ENOSPC", holdfasttest.ReadOnly: "EROFS", holdfasttest.ShortWrite: "short write",
}

func runFaults(ctx context.Context, t *Trial) error {
	dir, remove, err := inMemory(t.Dir)
	if err != nil {
		return err
	}
	defer remove()
	f := &faulting{t: t, dir: dir}
	if err := f.prepare(ctx); err != nil {
		return err
	}
	var plans []plan
	for _, op := range operations() {
		for _, kind := range []holdfasttest.Kind{holdfasttest.IOErr, holdfasttest.Full, holdfasttest.ReadOnly, holdfasttest.ShortWrite} {
			for _, sticky := range []bool{false, true} {
				plans = append(plans, plan{op, kind, sticky, t.Rand.Uint64()})
			}
		}
	}
	t.Figure("plans", int64(len(plans)))
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	next := make(chan plan)
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for p := range next {
				if err := f.every(ctx, p); err != nil {
					stop(fmt.Errorf("%s: %w", p, err))
				}
			}
		})
	}
	for _, p := range plans {
		next <- p
	}
	close(next)
	all.Wait()
	return context.Cause(ctx)
}

// faulting is the scenario.
type faulting struct {
	t         *Trial
	dir       string
	closed    map[string][]byte // files of a database that was closed
	logless   map[string][]byte // of one without a write-ahead log
	abandoned map[string][]byte // and of one that has a log to be recovered
}

// The databases that an operation begins with. Rows of one name were written
// together.
const (
	createItem = "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT NOT NULL, body TEXT NOT NULL); CREATE INDEX item_name ON item(name)"
	insertItem = "INSERT INTO item(name, body) VALUES (?, ?)"
	countItems = "SELECT coalesce(group_concat(name || ' ' || n, ';'), '') FROM (SELECT name, count(*) AS n FROM item GROUP BY name ORDER BY name)"
	oldWrites  = 12
	oldRows    = 5
)

// prepare makes the files.
func (f *faulting) prepare(ctx context.Context) (err error) {
	disk := holdfasttest.NewDisk()
	defer func() { err = errors.Join(err, disk.Close()) }()
	recording, err := disk.Record()
	if err != nil {
		return err
	}
	path := filepath.Join(f.dir, "app.db")
	db, err := holdfast.Open(disk.Context(ctx), path)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, createItem)
	for i := range oldWrites {
		if err == nil {
			_, err = db.Batch(ctx, items(fmt.Sprintf("old%02d", i), oldRows, 900))
		}
		if i == oldWrites/2 && err == nil {
			_, err = db.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
		}
	}
	last := recording.Mark()
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	recording.Stop()
	// What was there at the mark, with nothing lost: that of a killed process.
	for seed := uint64(0); f.abandoned == nil; seed++ {
		if s := recording.CrashState(seed, holdfasttest.Journaled); s.Kept == 1 && s.Marks == last+1 && len(s.Files["app.db-wal"]) > 0 {
			f.abandoned = s.Files
		}
	}
	if f.closed, err = fileAlone(path); err != nil {
		return err
	}
	if _, err := holdfasttest.Examine(path, "PRAGMA journal_mode=DELETE"); err != nil {
		return err
	}
	f.logless, err = fileAlone(path)
	return err
}

// fileAlone reads a database that nobody has open.
func fileAlone(path string) (map[string][]byte, error) {
	data, err := os.ReadFile(path)
	return map[string][]byte{"app.db": data}, err
}

func items(name string, n, size int) []holdfast.Statement {
	list := make([]holdfast.Statement, n)
	for i := range list {
		list[i] = holdfast.Statement{SQL: insertItem, Args: []any{name, body(uint64(i), size)}}
	}
	return list
}

// every fails the first call, then the second, and so on, until the operation
// has come through without meeting the fault. The quick tier leaves out more and
// more in between.
func (f *faulting) every(ctx context.Context, p plan) error {
	r := rand.New(rand.NewPCG(p.seed, 0))
	for n := 1; ctx.Err() == nil; {
		met, err := f.bounded(ctx, p, n)
		if err != nil {
			return fmt.Errorf("call %d: %w", n, err)
		}
		f.t.Count("faults", int64(min(met, 1)))
		if met == 0 {
			break
		}
		n++
		if f.t.Tier == Quick {
			n += r.IntN(n)
		}
	}
	return nil
}

// patience is how long one operation with a fault may take before it counts as
// hanging. Most take milliseconds; SQLite itself waits up to 10 s for a lock that
// it believes to be held for a moment.
const patience = 60 * time.Second

// bounded runs one trial and notices if it does not end.
func (f *faulting) bounded(ctx context.Context, p plan, n int) (met int64, err error) {
	done := make(chan struct{})
	began := time.Now()
	go func() { // ends with the trial; one that hangs is reported and ends with the process
		defer close(done)
		met, err = f.one(ctx, p, n)
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
		f.t.Most("slowest_microseconds", time.Since(began).Microseconds())
		return met, err
	case <-timer.C:
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return 0, errors.Join(fmt.Errorf("it has not ended after %s; see stacks.txt", patience),
			os.WriteFile(filepath.Join(f.t.Dir, "stacks.txt"), stacks, 0o600))
	}
}

// one is one operation whose nth call fails.
func (f *faulting) one(ctx context.Context, p plan, n int) (met int64, err error) {
	dir, err := os.MkdirTemp(f.dir, "fault-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	files := f.closed
	switch {
	case p.op.recovers:
		files = f.abandoned
	case p.op.journal:
		files = f.logless
	}
	if err := (holdfasttest.CrashState{Files: files}).WriteTo(dir); err != nil {
		return 0, err
	}
	disk := holdfasttest.NewDisk()
	defer func() { err = errors.Join(err, disk.Close()) }()
	v := &victim{plan: p, path: filepath.Join(dir, "app.db"), disk: disk, sabotage: f.t.Sabotage}
	if f.t.Sabotage == NoSync {
		disk.Inject(holdfasttest.Fault{Kind: holdfasttest.NoSync, Sticky: true})
	}
	if v.recording, err = disk.Record(); err != nil {
		return 0, err
	}
	if !p.op.recovers {
		if err := v.open(ctx); err != nil {
			return 0, err
		}
	}
	injection := disk.Inject(holdfasttest.Fault{Kind: p.kind, N: n, Sticky: p.sticky})
	err = p.op.run(ctx, v)
	met = injection.Strikes()
	disk.Heal()
	err = errors.Join(err, v.goOn(ctx), v.close())
	if err != nil {
		return met, err
	}
	for _, w := range v.writes {
		f.t.Count(fateNames[w.fate], 1)
		if errors.Is(w.err, holdfast.ErrDiskFull) {
			f.t.Count("full", 1)
			if w.fate == unknown {
				f.t.Count("full_and_unknown", 1)
			}
		}
	}
	if err := v.check(v.path, len(v.writes)); err != nil {
		return met, err
	}
	return met, f.powerCuts(v, p.seed+uint64(n))
}

// powerCuts looks at what the power could have left if it had failed at some
// moment around the fault: what had been acknowledged until then must be there.
func (f *faulting) powerCuts(v *victim, seed uint64) error {
	v.recording.Stop()
	for i := range uint64(3) {
		s := v.recording.CrashState(seed+i<<32, holdfasttest.Journaled)
		dir, err := os.MkdirTemp(filepath.Dir(v.path), "cut-")
		if err != nil {
			return err
		}
		if err := s.WriteTo(dir); err != nil {
			return err
		}
		if err := v.check(filepath.Join(dir, "app.db"), s.Marks); err != nil {
			kept := filepath.Join(f.t.Dir, fmt.Sprintf("state-%016x", s.Seed))
			return fmt.Errorf("with a power cut (%s): %w", s, errors.Join(err, os.MkdirAll(kept, 0o700), s.WriteTo(kept)))
		}
		f.t.Count("power_cuts", 1)
	}
	return nil
}

var fateNames = map[fate]string{acked: "acked", rolledBack: "rolled_back", unknown: "unknown"}

// victim is a database that meets a fault.
type victim struct {
	plan
	path     string
	disk     *holdfasttest.Disk
	db       *holdfast.DB // nil if it is not open
	sabotage string

	recording *holdfasttest.Recording

	mu     sync.Mutex // guards writes
	writes []attempt  // their marks in the recording are their indexes
}

// attempt is a write and what was said about it.
type attempt struct {
	name string
	rows int
	fate fate
	err  error
}

func (v *victim) open(ctx context.Context) (err error) {
	var cfg holdfast.Config
	cfg.Database.Path, cfg.Database.BusyTimeout = v.path, time.Second
	cfg.Database.CacheSize = 10 // pages: a transaction of some size spills into the log before its COMMIT
	if v.op.journal {
		cfg.Database.EnableWALMode = holdfast.Off
	}
	v.db, err = holdfast.OpenConfig(v.disk.Context(ctx), cfg)
	return err
}

// note records a write by its answer.
func (v *victim) note(name string, rows int, err error) {
	w := attempt{name, rows, acked, err}
	switch {
	case err == nil, v.sabotage == SwallowCommitError:
	case errors.Is(err, holdfast.ErrOutcomeUnknown):
		w.fate = unknown
	default:
		w.fate = rolledBack
	}
	v.mu.Lock()
	v.writes = append(v.writes, w)
	v.recording.Mark()
	v.mu.Unlock()
}

// goOn proves that the database is of use again: one error more is allowed, of a
// connection that notices only now that it is broken.
func (v *victim) goOn(ctx context.Context) error {
	if v.db == nil {
		if err := v.open(ctx); err != nil {
			return fmt.Errorf("the disk is well again, and the database can't be opened: %w", err)
		}
	}
	for try := range 2 {
		name := fmt.Sprintf("after%d", try)
		_, err := v.db.ExecContext(ctx, insertItem, name, "x")
		v.note(name, 1, err)
		if err == nil {
			break
		}
		if try == 1 {
			return fmt.Errorf("the disk is well again, and nothing can be written: %w", err)
		}
	}
	var n int
	if err := v.db.QueryRowContext(ctx, "SELECT count(*) FROM item").Scan(&n); err != nil {
		return fmt.Errorf("the disk is well again, and nothing can be read: %w", err)
	}
	return nil
}

func (v *victim) close() error {
	if v.db == nil {
		return nil
	}
	db := v.db
	v.db = nil
	if err := db.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

// check compares the database at path with what was said. Of the writes only the
// first known ones had been answered.
func (v *victim) check(path string, known int) error {
	answers, err := holdfasttest.Examine(path, countItems)
	if err != nil {
		return err
	}
	there := map[string]int{}
	for _, one := range strings.Split(answers[0], ";") {
		var name string
		var n int
		if _, err := fmt.Sscan(one, &name, &n); err != nil {
			return fmt.Errorf("the table is not as it was written: %q", one)
		}
		there[name] = n
	}
	for i := range oldWrites {
		name := fmt.Sprintf("old%02d", i)
		if there[name] != oldRows {
			return fmt.Errorf("%d of %d rows of %s, written long before, are there", there[name], oldRows, name)
		}
		delete(there, name)
	}
	for i, w := range v.writes {
		if i >= known && w.fate != rolledBack {
			w.fate = unknown
		}
		n := there[w.name]
		delete(there, w.name)
		switch {
		case n != 0 && n != w.rows:
			return fmt.Errorf("%d of %d rows of %s are there, and it was %s", n, w.rows, w.name, fateNames[w.fate])
		case w.fate == acked && n == 0:
			return fmt.Errorf("%s was acknowledged and is not there", w.name)
		case w.fate == rolledBack && n > 0:
			return fmt.Errorf("%s is there, and its error said that it was not: %w", w.name, w.err)
		}
	}
	if len(there) > 0 {
		return fmt.Errorf("rows are there that nobody has written: %v", there)
	}
	return nil
}
