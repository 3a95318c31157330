package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
)

func powerCuts() Scenario {
	return Scenario{
		Name:     "power-cut",
		About:    "the power of a real ext4 file system fails while processes create, recover, write and checkpoint databases on it",
		Tier:     Quick,
		Needs:    []Need{Linux, Root, Volumes},
		Sabotage: []string{EarlyAck, LostIdempotency, NoSync},
		Run:      runPowerCuts,
	}
}

// Several volumes at once, for a cut is mostly waiting.
const powerLanes = 4

func runPowerCuts(ctx context.Context, t *Trial) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	cuts := t.Rounds(40, 1200, 20000)
	var lanes sync.WaitGroup
	for i := range powerLanes {
		l := &powerLane{t: t, rand: rand.New(rand.NewPCG(t.Rand.Uint64(), uint64(i))), name: fmt.Sprintf("lane%d", i), left: cuts / powerLanes}
		lanes.Go(func() {
			if err := l.run(ctx); err != nil {
				stop(err)
			}
		})
	}
	lanes.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	f := t.Figures()
	if f["cuts_normal"] >= 50 && f["cuts_normal_that_lost"] == 0 {
		return fmt.Errorf("%d cuts at synchronous=NORMAL lost nothing: the power was not cut", f["cuts_normal"])
	}
	return nil
}

// powerLane is one volume after the other database on it.
type powerLane struct {
	t      *Trial
	rand   *rand.Rand
	name   string
	left   int // cuts
	volume *volume
}

func (l *powerLane) run(ctx context.Context) (err error) {
	if l.volume, err = newVolume(ctx, l.t, l.name, volumeSize, false); err != nil {
		return err
	}
	for n := 0; l.left > 0; n++ {
		// One database in five shows what NORMAL does. As nobody knows then
		// how much is left, it has one life only.
		d := &doomed{lane: l, name: fmt.Sprintf("d%d", n), seed: l.rand.Uint64()}
		lives := 1 + l.rand.IntN(6)
		if l.rand.IntN(5) == 0 {
			d.synchronous, lives = "NORMAL", 1
		}
		for range lives {
			if err := d.life(ctx); err != nil {
				return fmt.Errorf("%s, database %s, life %d: %w", l.name, d.name, d.lives, err)
			}
		}
		if err := os.RemoveAll(l.volume.outside(d.name)); err != nil {
			return err
		}
	}
	return l.volume.close(ctx)
}

// doomed is a database on a volume whose power is cut again and again.
type doomed struct {
	lane        *powerLane
	name        string
	seed        uint64
	synchronous string // "" is the default
	lives       int
	before      int64 // acknowledgements at the last check
	ledger      Ledger

	mu   sync.Mutex
	born bool // its table was acknowledged
	dark bool // the power is off, or about to be
	err  error
}

// darkening is what a process is doing when the power fails.
type darkening struct {
	name  string
	after string // the line that it tells when it begins
	spare time.Duration
	delay time.Duration // until the cut, at most
}

var (
	creating      = darkening{"creating", "starting", 0, 40 * time.Millisecond}
	recovering    = darkening{"recovering", "starting", 0, 20 * time.Millisecond}
	checkpointing = darkening{"checkpointing", "checkpoint", 0, 5 * time.Millisecond}
	atWork        = darkening{"writing", "open", 5 * time.Millisecond, 120 * time.Millisecond}
)

func (d *doomed) moment() darkening {
	r := d.lane.rand
	switch {
	case d.synchronous != "":
		return atWork
	case !d.born && r.IntN(2) == 0:
		return creating
	case d.lives > 1 && r.IntN(4) == 0:
		return recovering
	case r.IntN(3) == 0:
		return checkpointing
	}
	return atWork
}

const powerWriters = 6

// life starts a process, cuts the power and looks what is left.
func (d *doomed) life(ctx context.Context) error {
	d.lives++
	l := d.lane
	m := d.moment()
	if err := os.MkdirAll(l.volume.outside(d.name), 0o700); err != nil {
		return err
	}
	c := lifeConfig{Create: !d.born, writeConfig: writeConfig{
		Path: filepath.Join(l.volume.path, d.name, "app.db"), Seed: d.seed, Goroutines: powerWriters, Synchronous: d.synchronous,
		Readers: 1, Checkpoints: m == checkpointing || l.rand.IntN(4) == 0, Tell: true, Sabotage: l.t.Sabotage,
	}}
	c.Begun, c.Repeat = d.ledger.resume(d.seed, 0, powerWriters)
	marks := make(chan string, 1)
	child, err := l.t.ChildUnder(ctx, l.volume.inside(), "live", c, func(line Line) { d.line(line, m.after, marks) })
	if err != nil {
		return err
	}
	select {
	case <-marks:
	case <-child.Done():
		return errors.Join(fmt.Errorf("the process ended before the cut while %s", m.name), child.Kill())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := sleep(ctx, m.spare+time.Duration(l.rand.Int64N(int64(m.delay)))); err != nil {
		return err
	}
	return d.cut(ctx, m, child)
}

func (d *doomed) line(line Line, after string, marks chan<- string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	text := line.Text
	if ack, ok := strings.CutPrefix(text, lineAck+" "); ok && d.dark {
		// While ext4 shuts down, an fsync whose transaction was thrown away may
		// return success: of 600 files that a program without SQLite appended
		// to, 25 had less than that, and none less than what it had before the
		// order. A process that has no power can't see such a success.
		text = lineUnknown + " " + ack
		d.lane.t.Count("acked_in_the_dark", 1)
	}
	mine, err := d.ledger.Line(text)
	if err != nil {
		d.err = err
	}
	if text == "created" && !d.dark {
		d.born = true
	}
	if !mine && text == after {
		select {
		case marks <- text:
		default: // told once is enough
		}
	}
}

func (d *doomed) setDark(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dark = on
}

func (d *doomed) cut(ctx context.Context, m darkening, child *Child) error {
	l := d.lane
	child.doom() // a page of the shared memory that it can't have any more is a SIGBUS
	d.setDark(true)
	if err := l.volume.ask(ctx, "cut"); err != nil {
		return err
	}
	if err := child.Kill(); err != nil {
		return err
	}
	if d.err != nil {
		return d.err
	}
	if err := l.volume.ask(ctx, "again"); err != nil {
		return err
	}
	d.setDark(false)
	l.left--
	l.t.Count("cuts_"+m.name, 1)
	if d.synchronous == "" {
		l.t.Count("cuts", 1)
	} else {
		l.t.Count("cuts_normal", 1)
	}
	if err := d.check(ctx); err != nil {
		return fmt.Errorf("after a cut while %s: %w", m.name, err)
	}
	return nil
}

// check compares what the cut has left with the ledger. It looks at copies, so
// that the next life finds the database as the cut has left it.
func (d *doomed) check(ctx context.Context) error {
	l := d.lane
	copies := filepath.Join(l.t.Dir, l.name, "copies")
	if err := os.RemoveAll(copies); err != nil {
		return err
	}
	var paths [2]string
	for i := range paths {
		dir := filepath.Join(copies, fmt.Sprint(i))
		if err := copyFiles(l.volume.outside(d.name), dir); err != nil {
			return err
		}
		paths[i] = filepath.Join(dir, "app.db")
	}
	if !d.born {
		// Nothing was promised but that it can be opened, and used.
		if err := create(ctx, paths[0]); err != nil {
			return fmt.Errorf("a database that was not finished: %w", err)
		}
		return nil
	}
	rows, err := readEntries(ctx, paths[0])
	if err != nil {
		return err
	}
	if have(ctx, SQLite3) {
		others, err := readByStranger(ctx, paths[1])
		if err != nil {
			return err
		}
		if !slices.Equal(rows, others) {
			return fmt.Errorf("sqlite3 finds %d rows and Holdfast %d, or others", len(others), len(rows))
		}
		l.t.Count("checked_by_sqlite3", 1)
	}
	return d.judge(rows)
}

func (d *doomed) judge(rows []entry) error {
	t := d.lane.t
	for i := range rows {
		if rows[i].id != int64(i+1) {
			return fmt.Errorf("row %d is missing before row %d", i+1, rows[i].id)
		}
	}
	f := d.ledger.compare(d.seed, rows)
	if d.synchronous != "" {
		t.Count("lost_normal", f.lost)
		if f.lost > 0 {
			t.Count("cuts_normal_that_lost", 1)
		}
		if f.lost = 0; d.ledger.holes(rows) > 0 {
			return fmt.Errorf("%d acknowledged writes are missing before others of the same writer", d.ledger.holes(rows))
		}
	}
	f.count(t)
	t.Count("acked", d.ledger.Acked()-d.before)
	d.before = d.ledger.Acked()
	if err := f.err(); err != nil {
		return fmt.Errorf("%w; the errors of the writes: %q", err, d.ledger.Said)
	}
	return nil
}

// holes counts the acknowledged writes that are missing although a later one of
// the same writer is there: what is lost at NORMAL must be the end.
func (l *Ledger) holes(rows []entry) int {
	there, last := map[place]bool{}, map[int]uint64{}
	for _, r := range rows {
		there[place{r.writer, r.seq}] = true
		last[r.writer] = max(last[r.writer], r.seq)
	}
	n := 0
	for w, end := range last {
		for seq := uint64(1); seq < end; seq++ {
			if !there[place{w, seq}] && l.Fate(w, seq) == acked {
				n++
			}
		}
	}
	return n
}

// resume is how far writers have come, for their next life, and what they have to
// repeat.
func (l *Ledger) resume(seed uint64, first, writers int) (begun []uint64, again []repeat) {
	begun = make([]uint64, writers)
	for i := range begun {
		begun[i] = l.Begun(first + i)
		for _, seq := range l.Open(first + i) {
			if newWrite(seed, first+i, seq).how == byKey {
				again = append(again, repeat{first + i, seq})
			}
		}
	}
	return begun, again
}

// copyFiles copies a directory of files, without the shared memory, which is
// made anew.
func copyFiles(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	list, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range list {
		if name := e.Name(); err == nil && e.Type().IsRegular() && filepath.Ext(name) != ".db-shm" {
			var data []byte
			if data, err = os.ReadFile(filepath.Join(from, name)); err == nil {
				err = os.WriteFile(filepath.Join(to, name), data, 0o600)
			}
		}
	}
	return err
}

// lifeConfig is a writer that may have to create its database first.
type lifeConfig struct {
	writeConfig
	Create bool `json:"create"`
}

// lifeRole tells "starting", "created" and then what writeRole tells.
func lifeRole(ctx context.Context, p *Parent, config json.RawMessage) error {
	var c lifeConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return err
	}
	if err := p.Tell("starting"); err != nil {
		return err
	}
	if c.Create {
		// At the default setting in any case: what NORMAL loses are writes.
		db, err := holdfast.Open(ctx, c.Path)
		if err != nil {
			return err
		}
		if err := createEntries(ctx, db); err != nil {
			return errors.Join(err, db.Close())
		}
		if err := p.Tell("created"); err != nil {
			return errors.Join(err, db.Close())
		}
		if err := db.Close(); err != nil {
			return err
		}
	}
	return writeRole(ctx, p, config)
}
