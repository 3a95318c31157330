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

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/holdfasttest"
)

func crashStates() Scenario {
	return Scenario{
		Name: "crash-states",
		About: "record what a group-committing database writes, make the files that a power cut at any moment could have left, " +
			"also one during the recovery from another, and compare them with what was acknowledged",
		Tier:     Quick,
		Sabotage: []string{EarlyAck, NoSync, LostIdempotency},
		Run:      runCrashStates,
	}
}

// statesPerRecording balances the time for a recording, 0.1 s, against that for
// its states, and sees a thousand moments of each.
const statesPerRecording = 1000

func runCrashStates(ctx context.Context, t *Trial) error {
	for n := range t.Rounds(3, 100, 1000) {
		if err := t.crashes(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// crashes makes a recording and examines its states.
func (t *Trial) crashes(ctx context.Context, n int) error {
	c := &crashing{t: t, seed: t.Rand.Uint64(), synchronous: []string{"FULL", "FULL", "NORMAL"}[n%3]}
	if t.Sabotage == NoSync || t.Sabotage == EarlyAck {
		c.synchronous = "FULL" // at NORMAL a loss is no surprise
	}
	dir, remove, err := inMemory(t.Dir)
	if err != nil {
		return err
	}
	defer remove()
	c.dir = dir
	if err := c.record(ctx, n%2 == 0); err != nil {
		return fmt.Errorf("recording %d: %w", n, err)
	}
	t.Count("recordings", 1)
	t.Count("acked", int64(len(c.acked)))
	if err := c.examine(ctx, t.Rand.Uint64()); err != nil {
		return fmt.Errorf("recording %d, synchronous=%s: %w", n, c.synchronous, err)
	}
	return nil
}

// inMemory makes a directory where a sync is no work, if there is such a place:
// the states have been on a disk that was made up.
func inMemory(base string) (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp("/dev/shm", "holdfast-torture-")
	if err != nil {
		dir, err = os.MkdirTemp(base, "states-")
	}
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// crashing is a recorded database and what must be true of each of its states.
type crashing struct {
	t           *Trial
	seed        uint64 // of the content
	synchronous string
	dir         string

	recording *holdfasttest.Recording
	base      int           // marks that stand for the making of the table
	final     string        // the whole table, as dumpEntries prints it
	ends      map[int]bool  // where a write ends in it
	writes    map[place]int // and where each one does
	mu        sync.Mutex    // guards acked
	acked     map[int]place // by mark
	must      []int         // how much of final had been acknowledged, by marks
}

const (
	crashWriters   = 6
	crashEach      = 12 // writes of each
	countTables    = "SELECT count(*) FROM sqlite_schema WHERE name = 'entry'"
	dumpEntries    = "SELECT coalesce(group_concat(id || ' ' || writer || ' ' || seq || ' ' || part || ' ' || parts || ' ' || body, '\n'), '') FROM (SELECT * FROM entry ORDER BY id)"
	countDuplicate = "SELECT count(*) FROM (SELECT 1 FROM entry GROUP BY writer, seq, part HAVING count(*) > 1)"
)

// record lets writers group their commits and checkpoint now and then. The making
// of the file and of its table is part of the recording, or not.
func (c *crashing) record(ctx context.Context, fresh bool) (err error) {
	path := filepath.Join(c.dir, "recorded", "app.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if !fresh {
		if err := create(ctx, path); err != nil {
			return err
		}
	}
	disk := holdfasttest.NewDisk()
	defer func() { err = errors.Join(err, disk.Close()) }()
	if c.t.Sabotage == NoSync {
		disk.Inject(holdfasttest.Fault{Kind: holdfasttest.NoSync, Sticky: true})
	}
	if c.recording, err = disk.Record(); err != nil {
		return err
	}
	if err := c.work(disk.Context(ctx), path, fresh); err != nil {
		return err
	}
	c.recording.Stop()
	answers, err := holdfasttest.Examine(path, dumpEntries)
	if err != nil {
		return err
	}
	c.final = answers[0]
	return c.index()
}

func (c *crashing) work(ctx context.Context, path string, fresh bool) (err error) {
	cfg := writeConfig{Path: path, Synchronous: c.synchronous}
	db, err := cfg.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	c.acked = map[int]place{}
	if fresh {
		if err := createEntries(ctx, db.DB); err != nil {
			return err
		}
		c.recording.Mark()
		c.base = 1
	}
	errs := make([]error, crashWriters+1)
	var writers, checkpointer sync.WaitGroup
	done := make(chan struct{})
	for w := range crashWriters {
		writers.Go(func() { errs[w] = c.writer(ctx, db, w) })
	}
	checkpointer.Go(func() { errs[crashWriters] = c.checkpoints(ctx, db.DB, done) })
	writers.Wait()
	close(done)
	checkpointer.Wait()
	return errors.Join(errs...)
}

func (c *crashing) writer(ctx context.Context, db *database, w int) error {
	work := writing{db: db, writeConfig: writeConfig{Sabotage: c.t.Sabotage}}
	for seq := uint64(1); seq <= crashEach; seq++ {
		x := newWrite(c.seed, w, seq)
		if c.t.Sabotage == EarlyAck {
			c.ack(w, seq)
		}
		if err := work.commit(ctx, x, x.rows()); err != nil {
			return err
		}
		if c.t.Sabotage != EarlyAck {
			c.ack(w, seq)
		}
	}
	return nil
}

// ack marks the recording after the write has been acknowledged.
func (c *crashing) ack(w int, seq uint64) {
	n := c.recording.Mark()
	c.mu.Lock()
	c.acked[n] = place{w, seq}
	c.mu.Unlock()
}

// checkpoints copies the log after each dozen commits or so, and now and then
// empties it, so that it begins anew.
func (c *crashing) checkpoints(ctx context.Context, db *holdfast.DB, done <-chan struct{}) error {
	last := int64(0)
	for n := 0; ; n++ {
		for db.Stats().Writer.Groups < last+5 {
			select {
			case <-done:
				return nil
			default:
				runtime.Gosched()
			}
		}
		last = db.Stats().Writer.Groups
		mode := []string{"PASSIVE", "PASSIVE", "RESTART", "TRUNCATE"}[n%4]
		if _, err := db.ExecContext(ctx, "PRAGMA wal_checkpoint("+mode+")"); err != nil && !errors.Is(err, holdfast.ErrBusy) {
			return fmt.Errorf("checkpoint: %w", err)
		}
	}
}

// index finds where the writes end in the table, and what had been acknowledged
// at each mark. Rows come in the order of commits, so a state has the beginning of
// the table, up to some end.
func (c *crashing) index() error {
	c.ends, c.writes = map[int]bool{0: true}, map[place]int{}
	at := 0
	for line := range strings.Lines(c.final) {
		at += len(line)
		var id int64
		var w, part, parts int
		var seq uint64
		if _, err := fmt.Sscan(line, &id, &w, &seq, &part, &parts); err != nil {
			return fmt.Errorf("the table is not as it was written: %w", err)
		}
		if part+1 == parts {
			end := len(strings.TrimSuffix(c.final[:at], "\n"))
			c.ends[end], c.writes[place{w, seq}] = true, end
		}
	}
	c.must = make([]int, c.base, c.base+len(c.acked)+1)
	c.must = append(c.must, 0)
	for n := c.base; n < c.base+len(c.acked); n++ {
		end, there := c.writes[c.acked[n]]
		if !there {
			return fmt.Errorf("write %d of writer %d was acknowledged and is not in the database, without any crash", c.acked[n].seq, c.acked[n].writer)
		}
		c.must = append(c.must, max(c.must[n], end))
	}
	return nil
}

// examine looks at the states, on all processors.
func (c *crashing) examine(ctx context.Context, first uint64) error {
	workers := runtime.GOMAXPROCS(0)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for n := w; n < statesPerRecording && ctx.Err() == nil; n += workers {
				if err := c.state(ctx, first+uint64(n)); err != nil {
					stop(err) // the first counts: the others may have failed by it
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// state makes one state, and a few that follow from it.
func (c *crashing) state(ctx context.Context, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 1))
	names := []holdfasttest.Metadata{holdfasttest.Journaled, holdfasttest.Strict}[r.IntN(2)]
	s := c.recording.CrashState(seed, names)
	dir := filepath.Join(c.dir, fmt.Sprintf("%016x", seed))
	path := filepath.Join(dir, "app.db")
	if err := errors.Join(os.Mkdir(dir, 0o700), s.WriteTo(dir)); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var err error
	switch r.IntN(20) {
	case 0:
		err = c.crashAgain(ctx, r, s, path)
	case 1:
		err = c.repeat(ctx, s, path)
	default:
		err = c.judge(s, path)
	}
	c.t.Count("states", 1)
	if err != nil {
		err = errors.Join(fmt.Errorf("%s: %w", s, err), c.keep(s))
	}
	return err
}

// keep leaves the files of a state that is wrong where they are found.
func (c *crashing) keep(s holdfasttest.CrashState) error {
	dir := filepath.Join(c.t.Dir, fmt.Sprintf("state-%016x", s.Seed))
	return errors.Join(os.MkdirAll(dir, 0o700), s.WriteTo(dir))
}

// judge recovers a state by SQLite alone and compares it.
func (c *crashing) judge(s holdfasttest.CrashState, path string) error {
	answers, err := holdfasttest.Examine(path, dumpEntries)
	if err != nil {
		tables, e := holdfasttest.Examine(path, countTables)
		if e != nil || tables[0] != "0" {
			return err
		}
		if s.Marks >= max(c.base, 1) && c.synchronous == "FULL" || c.base == 0 {
			return errors.New("the table is gone")
		}
		c.t.Count("states_without_table", 1)
		return nil
	}
	return c.compare(s, answers[0])
}

func (c *crashing) compare(s holdfasttest.CrashState, table string) error {
	switch {
	case !strings.HasPrefix(c.final, table):
		return errors.New("the table has rows that were never committed in this order")
	case !c.ends[len(table)]:
		return errors.New("a write is there in part")
	case len(table) < c.must[s.Marks] && c.synchronous == "FULL":
		return fmt.Errorf("acknowledged writes are lost: %d bytes of rows are there, %d were acknowledged", len(table), c.must[s.Marks])
	case len(table) < c.must[s.Marks]:
		c.t.Count("states_behind_at_normal", 1)
	}
	return nil
}

// crashAgain has Holdfast recover a state and close it, and cuts the power in
// that.
func (c *crashing) crashAgain(ctx context.Context, r *rand.Rand, s holdfasttest.CrashState, path string) (err error) {
	disk := holdfasttest.NewDisk()
	defer func() { err = errors.Join(err, disk.Close()) }()
	if c.t.Sabotage == NoSync {
		disk.Inject(holdfasttest.Fault{Kind: holdfasttest.NoSync, Sticky: true})
	}
	recording, err := disk.Record()
	if err != nil {
		return err
	}
	cfg := writeConfig{Path: path, Synchronous: c.synchronous}
	db, err := cfg.open(disk.Context(ctx))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err := db.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	recording.Stop()
	for range 10 {
		again := recording.CrashState(r.Uint64(), holdfasttest.Journaled)
		dir, err := os.MkdirTemp(filepath.Dir(path), "again-")
		if err != nil {
			return err
		}
		if err := again.WriteTo(dir); err != nil {
			return err
		}
		if err := c.judge(s, filepath.Join(dir, "app.db")); err != nil {
			return fmt.Errorf("after a second crash, in the recovery (%s): %w", again, errors.Join(err, c.keep(again)))
		}
		c.t.Count("states_in_recovery", 1)
	}
	return c.judge(s, path)
}

// repeat opens the state with Holdfast and makes all writes with a key again, as
// a client does that got no answer: each must be there once.
func (c *crashing) repeat(ctx context.Context, s holdfasttest.CrashState, path string) error {
	if err := c.judge(s, path); err != nil {
		return err
	}
	cfg := writeConfig{Path: path, Synchronous: c.synchronous}
	db, err := cfg.open(ctx)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	work := writing{db: db, writeConfig: writeConfig{Sabotage: c.t.Sabotage}}
	err = createEntries(ctx, db.DB)
	keyed := int64(0)
	for at := range c.writes {
		if x := newWrite(c.seed, at.writer, at.seq); x.how == byKey && err == nil {
			err = work.commit(ctx, x, x.rows())
			keyed++
		}
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	answers, err := holdfasttest.Examine(path, countDuplicate)
	if err != nil {
		return err
	}
	if answers[0] != "0" {
		return fmt.Errorf("%s rows are there twice after writes with an IdempotencyKey were repeated", answers[0])
	}
	c.t.Count("repeated", keyed)
	return nil
}
