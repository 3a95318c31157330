package integrity

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// ErrDamaged: the database is damaged, and is not written any more.
var ErrDamaged = errors.New("the database is damaged")

// QuarantineConfig is what a Quarantine needs to know of its database. All functions
// but Exclude are required.
type QuarantineConfig struct {
	// Open opens a connection that only reads; the Quarantine closes it.
	Open func(ctx context.Context) (*sqlite.Conn, error)
	// Bare opens a connection without any settings, which may be all that a file
	// allows whose first page is damaged.
	Bare func() (*sqlite.Conn, error)
	// Exclude keeps checkpoints of this process away until over is called.
	Exclude func(ctx context.Context) (over func(), err error)
	// Identity tells which file it is, in which state: it is another one after a restore.
	Identity func() string
	Free     func(dir string) (int64, error)
	Path     string // absolute
	// OnFound is told once, before anything is kept, and OnKept once it is; they must not block.
	OnFound, OnKept func(Damage)
	// WriteOn lets writes go on: damage is told and kept, and nothing is stopped.
	WriteOn bool
}

// Damage is what was found, and what was kept of the files as they were then.
type Damage struct {
	At       time.Time `json:"found_at"`
	Op       string    `json:"met_by"`
	Evidence string    `json:"evidence"`
	Kept     string    `json:"-"` // directory of the copies; "" while they are made, and if there are none
	NotKept  string    `json:"-"` // why not
	Before   bool      `json:"-"` // an earlier process has found it
}

// Quarantine decides whether what statements and checks have met means that the file
// is damaged. From then on Err is not nil, and a copy of the database, its log and its
// shared memory as they are is kept. It is safe for concurrent use.
type Quarantine struct {
	cfg    QuarantineConfig
	ctx    context.Context // ended by Close
	cancel context.CancelFunc
	all    sync.WaitGroup // the keeping

	looking atomic.Pointer[chan struct{}] // closed when the second look is over; nil if none is under way
	found   atomic.Pointer[Damage]

	mu     sync.Mutex // guards the rest
	closed bool
	calm   map[string]time.Time // when a statement was last suspected in vain
}

// NewQuarantine returns one that has opened nothing.
func NewQuarantine(cfg QuarantineConfig) *Quarantine {
	q := &Quarantine{cfg: cfg, calm: map[string]time.Time{}}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	return q
}

// Found returns the damage, nil as long as none is known.
func (q *Quarantine) Found() *Damage { return q.found.Load() }

// Err is nil as long as the database may be written. While a second look is under way
// it waits for that: what is acknowledged afterwards was written to a sound file as
// far as is known.
func (q *Quarantine) Err() error {
	if under := q.looking.Load(); under != nil {
		<-*under
	}
	d := q.found.Load()
	if d == nil || q.cfg.WriteOn {
		return nil
	}
	return fmt.Errorf("%w: %s, met by %s at %s", ErrDamaged, d.Evidence, d.Op, d.At.UTC().Format(time.RFC3339))
}

const (
	// lookBound is how long a second look takes at most, and writes are held for it.
	lookBound = 700 * time.Millisecond
	// calmFor is how long a statement is not suspected again whose error meant nothing:
	// it may fail a thousand times a second, and each look would hold the writes.
	calmFor = time.Minute
	mostIll = 256
)

// Suspect takes an error that a statement has met, and returns once it is clear whether
// it means damage, lookBound after its turn at the latest. If it may, but for reasons that
// are not the file's, such as another database that is attached, the file is looked at
// again meanwhile, by a connection of its own.
func (q *Quarantine) Suspect(op, sql string, err error) {
	code := sqlite.Code(err)
	if !suspicious(code) {
		return
	}
	over, mine := q.beginLook(code, sql)
	if !mine {
		return
	}
	defer over()
	ctx, cancel := context.WithTimeout(q.ctx, lookBound)
	defer cancel()
	l := secondLook{q.cfg, code, sql}
	if evidence, damaged := l.look(ctx); damaged {
		if !strings.HasPrefix(evidence, code.String()) {
			evidence = code.String() + ": " + evidence
		}
		q.condemn(Damage{At: time.Now(), Op: op, Evidence: evidence})
	}
}

// beginLook is the turn of one look. Who comes while another is under way, for
// something else perhaps, waits for it if what it has met is mostly damage; the
// rest are too many at times, and will come again.
func (q *Quarantine) beginLook(code sqlite.ResultCode, sql string) (over func(), mine bool) {
	key := code.String() + sql
	q.mu.Lock()
	defer q.mu.Unlock()
	for under := q.looking.Load(); under != nil; under = q.looking.Load() {
		if !certain(code) {
			return nil, false
		}
		q.mu.Unlock()
		<-*under
		q.mu.Lock()
	}
	if q.closed || q.found.Load() != nil || time.Since(q.calm[key]) < calmFor {
		return nil, false
	}
	if len(q.calm) >= mostIll {
		clear(q.calm)
	}
	q.calm[key] = time.Now()
	under := make(chan struct{})
	q.looking.Store(&under)
	return func() { // in this order: who finds no look under way sees what it has found
		q.looking.Store(nil)
		close(under)
	}, true
}

// Condemn takes what a check of the whole database has found.
func (q *Quarantine) Condemn(op string, problems []string) {
	for _, p := range problems {
		if meansDamage(p) {
			q.condemn(Damage{At: time.Now(), Op: op, Evidence: p})
			return
		}
	}
}

func (q *Quarantine) condemn(d Damage) {
	q.mu.Lock()
	defer q.mu.Unlock()
	found := &d
	if q.closed || !q.found.CompareAndSwap(nil, found) {
		return
	}
	q.cfg.OnFound(d)
	q.all.Go(func() {
		kept := d
		kept.Kept, kept.NotKept = q.keep(q.ctx, d)
		if !q.found.CompareAndSwap(found, &kept) { // it was taken back meanwhile
			lift(kept)
		}
		q.cfg.OnKept(kept)
	})
}

// Remember takes up what an earlier process has found of the same file, if nobody has
// changed it since.
func (q *Quarantine) Remember() {
	if d, ok := earlier(q.cfg.Path, q.cfg.Identity); ok {
		q.found.Store(&d)
	}
}

// Absolve takes the damage back, because all of the database was read since began, full
// check, and nothing was found: somebody has mended it, or a disk has read wrongly. The
// copies stay.
func (q *Quarantine) Absolve(began time.Time) {
	for d := q.found.Load(); d != nil && began.After(d.At); d = q.found.Load() { // again if it was kept meanwhile
		if q.found.CompareAndSwap(d, nil) {
			lift(*d)
			q.mu.Lock()
			clear(q.calm)
			q.mu.Unlock()
		}
	}
}

// lift notes that a finding doesn't hold any more; else the next process takes it up again.
func lift(d Damage) {
	if d.Kept != "" {
		_ = writeNew(filepath.Join(d.Kept, liftedName), []byte(time.Now().UTC().Format(time.RFC3339)+"\n"))
	}
}

// Close ends a second look and what is being kept, and waits for them.
func (q *Quarantine) Close() {
	q.cancel()
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	if under := q.looking.Load(); under != nil {
		<-*under
	}
	q.all.Wait()
}
