package integrity

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// ErrClosed is returned after Close.
var ErrClosed = errors.New("the observer is closed")

// ErrOccupied is returned while another look is under way that doesn't come back:
// the file, or its disk, gives no answer.
var ErrOccupied = errors.New("an earlier look at the file has not come back yet")

// Facts are what page 1 of a database, its schema and the index of its log say.
type Facts struct {
	At            time.Time // when they were looked for
	JournalMode   string
	PageSize      int64
	Pages         int64
	FreePages     int64
	AutoVacuum    int64 // 0 none, 1 full, 2 incremental
	SchemaVersion int64
	UserVersion   int64
	ApplicationID int64
	Statistics    bool     // there are some for the planner: ANALYZE has been run
	LogFrames     int      // of the log since it was begun anew; 0 if there is none
	CopiedFrames  int      // of these, how many are in the database
	ReadMarks     [5]int64 // the last frame that readers of each slot see; -1 if there was none
	LogKnown      bool     // LogFrames, CopiedFrames and ReadMarks are known
}

// Observer has a connection of its own by which it looks at a database, so that it
// sees something also when all readers are taken and the writer is stuck. The zero
// value is not usable; it is safe for concurrent use.
type Observer struct {
	open func(ctx context.Context) (*sqlite.Conn, error)
	turn chan struct{} // who has it uses the rest
	conn *sqlite.Conn  // nil until the first look, and after one that failed
	over bool

	last  atomic.Pointer[Facts] // nil until the first look, and after one that failed for more than a lock
	began atomic.Int64          // of the look that is under way, in ns since 1970; 0 for none
}

// NewObserver returns an observer whose first look opens a connection. Close closes it.
func NewObserver(open func(ctx context.Context) (*sqlite.Conn, error)) *Observer {
	return &Observer{open: open, turn: make(chan struct{}, 1)}
}

// look is a single transaction, so that all answers are about one state, and it is
// over as soon as these are there: a snapshot of microseconds keeps no log from
// being emptied. Page 1 has all of it; the schema is read when it has changed.
const look = "BEGIN; PRAGMA main.schema_version; PRAGMA main.journal_mode; PRAGMA main.page_size; PRAGMA main.page_count; " +
	"PRAGMA main.freelist_count; PRAGMA main.auto_vacuum; PRAGMA main.user_version; PRAGMA main.application_id; " +
	"PRAGMA main.table_info(sqlite_stat1); COMMIT"

// observerCache is in pages. A look needs page 1, and the schema once.
const observerCache = "PRAGMA cache_size=32"

// fresh is for how long what was seen answers those who can't look themselves.
const fresh = time.Second

// Patience is how long a look waits for locks, and for another look that is under
// way. It never waits for a disk.
type Patience struct {
	Known   time.Duration // if something was seen less than a second before: then that is returned
	Unknown time.Duration // if not: then the look fails
}

// Look returns the facts, or why they can't be had: ErrOccupied while another look
// hangs. A database without a log keeps readers out for each commit, and on a busy
// machine a look may have to wait for a processor, which is no news of the file: so
// one that comes in between is answered with what was seen just before.
func (o *Observer) Look(ctx context.Context, p Patience) (Facts, error) {
	start := time.Now()
	bound := p.Unknown
	if _, ok := o.recent(start); ok {
		bound = p.Known
	}
	limit := time.NewTimer(bound)
	defer limit.Stop()
	select {
	case o.turn <- struct{}{}:
	default:
		select {
		case o.turn <- struct{}{}:
		case <-ctx.Done():
			return Facts{}, ctx.Err()
		case <-limit.C:
			if f, ok := o.recent(time.Now()); ok {
				return f, nil
			}
			return Facts{}, fmt.Errorf("%w, after %s", ErrOccupied, o.UnderWay().Round(time.Millisecond))
		}
	}
	defer func() { <-o.turn }()
	if o.over {
		return Facts{}, ErrClosed
	}
	if last := o.last.Load(); last != nil && last.At.After(start) { // somebody else has looked meanwhile
		return *last, nil
	}
	now := time.Now()
	o.began.Store(now.UnixNano())
	defer o.began.Store(0)
	f, err := o.see(ctx, bound)
	if err != nil {
		if busy.Classify(sqlite.Code(err)) != busy.Wait {
			o.last.Store(nil)
		} else if f, ok := o.recent(time.Now()); ok {
			return f, nil
		}
		return Facts{}, err
	}
	f.At = now
	o.last.Store(&f)
	return f, nil
}

// recent returns what was seen not long ago.
func (o *Observer) recent(now time.Time) (Facts, bool) {
	last := o.last.Load()
	if last == nil || now.Sub(last.At) >= fresh {
		return Facts{}, false
	}
	return *last, true
}

// UnderWay returns for how long the look has lasted that is under way; 0 if none is.
func (o *Observer) UnderWay() time.Duration {
	if n := o.began.Load(); n != 0 {
		return time.Since(time.Unix(0, n))
	}
	return 0
}

func (o *Observer) see(ctx context.Context, bound time.Duration) (Facts, error) {
	limited, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	if o.conn == nil {
		c, err := o.open(limited)
		if err != nil {
			return Facts{}, err
		}
		_ = c.Exec(observerCache) // a connection for SQL from outside keeps its cache
		o.conn = c
	}
	c := o.conn
	var h busy.Handler
	h.Arm(limited, bound, nil)
	c.SetBusyHandler(h.Busy)
	defer c.SetBusyHandler(nil)
	answers, err := c.ExecTexts(look, make([]string, 0, 11))
	if err != nil {
		if !c.Autocommit() {
			_ = c.Exec("ROLLBACK")
		}
		if busy.Classify(sqlite.Code(err)) != busy.Wait || !c.Autocommit() {
			_ = c.Close() // the next look begins anew
			o.conn = nil
		}
		return Facts{}, err
	}
	f := parse(answers)
	f.LogFrames, f.CopiedFrames, _ = c.LogState()
	f.ReadMarks, f.LogKnown = c.ReadMarks()
	return f, nil
}

// parse takes the answers to look.
func parse(a []string) Facts {
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(a[i], 10, 64) // the engine's own numbers
		return n
	}
	return Facts{
		SchemaVersion: number(1), JournalMode: a[2], PageSize: number(3), Pages: number(4), FreePages: number(5),
		AutoVacuum: number(6), UserVersion: number(7), ApplicationID: number(8), Statistics: a[9] != "",
	}
}

// Close closes the connection, when a look that is under way has come back or ctx
// has ended.
func (o *Observer) Close(ctx context.Context) error {
	select {
	case o.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-o.turn }()
	o.over = true
	c := o.conn
	o.conn = nil
	if c == nil {
		return nil
	}
	return c.Close()
}
