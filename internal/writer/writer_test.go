package writer

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk is a writer whose surroundings a test controls.
type desk struct {
	*Writer
	t        *testing.T
	path     string
	counters stats.Counters
	opened   atomic.Int64
	closed   atomic.Int64
	openErr  func() error // asked at each Open
	fenceErr func() error // asked at each Fence
	turn     *scriptedTurn
}

// scriptedTurn is the fair lock; a test can make it unavailable.
type scriptedTurn struct {
	stuck atomic.Bool
	held  atomic.Int64
	asked atomic.Int64
	owner atomic.Int64  // while it is stuck, as another process
	freed chan struct{} // ends a wait while it is stuck
}

func (s *scriptedTurn) Holder() (int, bool) { n := s.owner.Load(); return int(n), n != 0 }

func (s *scriptedTurn) TryAcquire() (bool, error) {
	if s.stuck.Load() {
		return false, nil
	}
	s.asked.Add(1)
	s.held.Add(1)
	return true, nil
}

func (s *scriptedTurn) Acquire(ctx context.Context) (time.Duration, error) {
	s.asked.Add(1)
	if s.stuck.Load() {
		select {
		case <-s.freed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	s.held.Add(1)
	return 0, nil
}

func (s *scriptedTurn) Release() error {
	s.held.Add(-1)
	return nil
}

const budget = 5 * time.Second

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, path: filepath.Join(t.TempDir(), "app.db"), turn: &scriptedTurn{}}
	none := func() error { return nil }
	d.openErr, d.fenceErr = none, none
	d.Writer = New(Config{
		Open: func(context.Context) (*sqlite.Conn, error) {
			if err := d.openErr(); err != nil {
				return nil, err
			}
			d.opened.Add(1)
			return openFile(d.path)
		},
		Fence: func() error { return d.fenceErr() }, Turn: d.turn, Counters: &d.counters,
		Budget: budget, MaxGroup: 16, MaxGroupTime: time.Minute, JoinBelow: time.Minute,
		OnConnClose: func(string) { d.closed.Add(1) },
	})
	c, err := openFile(d.path)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Exec(`CREATE TABLE led(id INTEGER PRIMARY KEY, who TEXT);
		CREATE TABLE parent(id INTEGER PRIMARY KEY);
		CREATE TABLE child(p REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
		CREATE TABLE strict(p REFERENCES parent)`)
	if err = errors.Join(err, c.Close()); err != nil {
		t.Fatal(err)
	}
	return d
}

func openFile(path string) (*sqlite.Conn, error) {
	c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		return nil, err
	}
	for _, s := range []string{"PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", "PRAGMA foreign_keys=1"} {
		if err := c.Exec(s); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// end closes the writer and proves that nothing is left behind and the file is
// sound. It is called, not deferred, so that it ends inside a synctest bubble.
func (d *desk) end() {
	d.t.Helper()
	if h := d.Holder(); h.Kind != "" {
		d.t.Errorf("the writer is still %s", h)
	}
	if n := d.Queued(); n != 0 {
		d.t.Errorf("%d units are still queued", n)
	}
	if err := d.Close(context.Background()); err != nil {
		d.t.Error(err)
	}
	if o, c := d.opened.Load(), d.closed.Load(); o != c {
		d.t.Errorf("%d connections were opened and %d closed", o, c)
	}
	if n := d.turn.held.Load(); n != 0 {
		d.t.Errorf("the fair lock is held %d times", n)
	}
	if got := d.ask("PRAGMA integrity_check"); got != "ok" {
		d.t.Errorf("integrity_check: %s", got)
	}
}

func (d *desk) ask(query string) string {
	d.t.Helper()
	c, err := openFile(d.path)
	if err != nil {
		d.t.Fatal(err)
	}
	got, err := c.QueryText(query)
	if err = errors.Join(err, c.Close()); err != nil {
		d.t.Fatal(err)
	}
	return got
}

func (d *desk) want(query, want string) {
	d.t.Helper()
	if got := d.ask(query); got != want {
		d.t.Errorf("%s: %s, want %s", query, got, want)
	}
}

// do runs statements as one unit.
func (d *desk) do(ctx context.Context, sql string) error {
	return d.Do(ctx, Unit{
		Run:      func(c *sqlite.Conn) error { return c.Exec(sql) },
		Atomic:   !strings.Contains(sql, ";"),
		Priority: Normal, SQL: sql,
	})
}

// begin is one call site for the whole package, known as a quick one after
// its first transaction.
//
//go:noinline
func (d *desk) begin(ctx context.Context) (*Tx, error) {
	return d.Begin(ctx, Request{Priority: Normal, Site: here()})
}

var quickSite = locks.Here(0, locks.Shallow)

func here() locks.Site { return quickSite }

// behind starts fn behind a transaction that is open, waits until it is queued,
// and returns where its answer will be.
func (d *desk) behind(fn func() error) <-chan error {
	d.t.Helper()
	n := d.Queued()
	answer := make(chan error, 1)
	go func() { answer <- fn() }()
	for d.Queued() == n {
		runtime.Gosched() // the queue tells nobody that it has grown
	}
	return answer
}

func (d *desk) open() *Tx {
	d.t.Helper()
	tx, err := d.begin(context.Background())
	if err != nil {
		d.t.Fatal(err)
	}
	return tx
}

func (d *desk) commit(tx *Tx) {
	d.t.Helper()
	if _, err := tx.Commit(context.Background()); err != nil {
		d.t.Error(err)
	}
}

func TestUnitsBehindATransactionShareOneCommit(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	tx := d.open()
	var answers []<-chan error
	for _, sql := range []string{"INSERT INTO led VALUES (1, 'a')", "INSERT INTO led VALUES (2, 'b'); INSERT INTO led VALUES (3, 'b')"} {
		answers = append(answers, d.behind(func() error { return d.do(context.Background(), sql) }))
	}
	d.commit(tx)
	for _, a := range answers {
		if err := <-a; err != nil {
			t.Error(err)
		}
	}
	if g, u := d.counters.Groups.Load(), d.counters.GroupedUnits.Load(); g != 1 || u != 3 {
		t.Errorf("%d units in %d groups", u, g)
	}
	d.want("SELECT count(*) FROM led", "3")
	d.end()
}

// One that follows makes no COMMIT while it may wait, and shares the next one.
func TestFollow(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	follow := Unit{
		Run:    func(c *sqlite.Conn) error { return c.Exec("INSERT INTO led(who) VALUES ('follower')") },
		Atomic: true, Priority: Low, SQL: "x", Follow: true,
	}
	ctx, cancel := context.WithCancel(context.Background())
	alone := d.behind(func() error { return d.Do(ctx, follow) })
	cancel()
	if err := <-alone; !errors.Is(err, context.Canceled) || d.counters.Groups.Load() != 0 {
		t.Errorf("without company: %v, %d groups", err, d.counters.Groups.Load())
	}
	answer := d.behind(func() error { return d.Do(context.Background(), follow) })
	if err := d.do(context.Background(), "INSERT INTO led(who) VALUES ('somebody')"); err != nil {
		t.Error(err)
	}
	if err := <-answer; err != nil {
		t.Error(err)
	}
	if g, u := d.counters.Groups.Load(), d.counters.GroupedUnits.Load(); g != 1 || u != 2 {
		t.Errorf("%d units in %d groups", u, g)
	}
	d.want("SELECT count(*) FROM led", "2")

	answer = d.behind(func() error { return d.Do(context.Background(), follow) })
	if err := d.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-answer; !errors.Is(err, ErrClosed) {
		t.Errorf("a follower whose writer is closed: %v", err)
	}
	d.end()
}

// Each fails in its own way in the middle of a group; the others are in the
// table and the failed one is not.
func TestAFailingUnitHarmsNobody(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"statement":             "INSERT INTO led VALUES (1, 'twice')",
		"batch":                 "INSERT INTO led VALUES (50, 'x'); INSERT INTO led VALUES (1, 'twice')",
		"drops the transaction": "INSERT OR ROLLBACK INTO led VALUES (1, 'twice')",
		"batch that drops it":   "INSERT INTO led VALUES (50, 'x'); INSERT OR ROLLBACK INTO led VALUES (1, 'twice')",
		"deferred violation":    "INSERT INTO child VALUES (99)",
		"batch with violation":  "INSERT INTO led VALUES (50, 'x'); INSERT INTO child VALUES (99)",
		"syntax":                "INSRT INTO led",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			tx := d.open()
			first := d.behind(func() error { return d.do(context.Background(), "INSERT INTO led VALUES (1, 'a')") })
			bad := d.behind(func() error { return d.do(context.Background(), sql) })
			last := d.behind(func() error { return d.do(context.Background(), "INSERT INTO led VALUES (2, 'b')") })
			if _, err := tx.Rollback(); err != nil {
				t.Error(err)
			}
			if err := errors.Join(<-first, <-last); err != nil {
				t.Error(err)
			}
			if err := <-bad; err == nil {
				t.Error("no error")
			}
			d.want("SELECT group_concat(id) FROM (SELECT id FROM led ORDER BY id)", "1,2")
			d.want("SELECT count(*) FROM child", "0")
			d.end()
		})
	}
}

// A transaction that somebody else's failure undid must not hear that one's
// values.
func TestRolledBackWithTheGroupTellsNoValues(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	if err := d.do(context.Background(), "CREATE TRIGGER no BEFORE INSERT ON led WHEN new.who = 'canary' BEGIN SELECT RAISE(ROLLBACK, 'canary'); END"); err != nil {
		t.Fatal(err)
	}
	d.commit(d.open()) // makes the site known
	tx := d.open()
	bad := d.behind(func() error { return d.do(context.Background(), "INSERT INTO led VALUES (7, 'canary')") })
	if err := tx.Conn().Exec("INSERT INTO led VALUES (8, 'mine')"); err != nil {
		t.Fatal(err)
	}
	_, err := tx.Commit(context.Background())
	if !errors.Is(err, ErrRolledBack) {
		t.Errorf("the transaction's answer: %v", err)
	}
	if err != nil && strings.Contains(err.Error(), "canary") {
		t.Errorf("it tells the other's value: %v", err)
	}
	if sqlite.Code(err) != sqlite.ResultError {
		t.Errorf("it has the other's result code %v", sqlite.Code(err))
	}
	if err := <-bad; err == nil {
		t.Error("RAISE(ROLLBACK) went unnoticed")
	}
	d.want("SELECT count(*) FROM led", "0")
	d.end()
}

// A unit whose caller has left must never be handed the baton: nobody would
// pass it on.
func TestAUnitWhoseCallerHasLeftIsNotRunAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	gone := &task{kind: statement, state: executed, gone: true, ready: make(chan struct{}, 1)}
	here := &task{kind: statement, state: executed, ready: make(chan struct{}, 1)}
	owner := &task{kind: interactive, state: executed, ready: make(chan struct{}, 1)}
	d.runAgain([]*task{gone, here, owner}, errors.New("lost"))
	if d.queue.first() != here || d.Queued() != 1 || here.state != queued {
		t.Errorf("%d units are queued", d.Queued())
	}
	for name, x := range map[string]*task{"the one that left": gone, "the transaction": owner} {
		if x.state != answered || !errors.Is(x.err, ErrRolledBack) || len(x.ready) != 1 {
			t.Errorf("%s: state %d, %v", name, x.state, x.err)
		}
	}
	d.queue.drain()
	d.end()
}

func TestPanicOfAUnitIsItsCallersAlone(t *testing.T) {
	t.Parallel()
	for _, atomic := range []bool{true, false} {
		d := newDesk(t)
		tx := d.open()
		first := d.behind(func() error { return d.do(context.Background(), "INSERT INTO led VALUES (1, 'a')") })
		bad := d.behind(func() (err error) {
			defer func() {
				if v := recover(); v == "out of order" {
					err = errors.New("panicked")
				}
			}()
			return d.Do(context.Background(), Unit{Atomic: atomic, Run: func(c *sqlite.Conn) error {
				if err := c.Exec("INSERT INTO led VALUES (5, 'bad')"); err != nil {
					return err
				}
				panic("out of order")
			}})
		})
		last := d.behind(func() error { return d.do(context.Background(), "INSERT INTO led VALUES (2, 'b')") })
		if _, err := tx.Rollback(); err != nil {
			t.Error(err)
		}
		if err := errors.Join(<-first, <-last); err != nil {
			t.Error(err)
		}
		if err := <-bad; err == nil || err.Error() != "panicked" {
			t.Errorf("the panic did not reach its caller: %v", err)
		}
		d.want("SELECT group_concat(id) FROM (SELECT id FROM led ORDER BY id)", "1,2")
		d.end()
	}
}

func TestCommitRefusedByAConstraintIsRetriedApart(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	tx := d.open()
	refusals := 1
	tx.Conn().SetCommitHook(func() bool { refusals--; return refusals == 0 })
	a := d.behind(func() error { return d.do(context.Background(), "INSERT INTO led VALUES (1, 'a')") })
	b := d.behind(func() error { return d.do(context.Background(), "INSERT INTO led VALUES (2, 'b')") })
	if _, err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	if err := errors.Join(<-a, <-b); err != nil {
		t.Error(err)
	}
	if g := d.counters.Groups.Load(); g != 2 {
		t.Errorf("%d groups", g)
	}
	d.want("SELECT count(*) FROM led", "2")
	d.end()
}

func TestCommitFailuresAreToldApart(t *testing.T) {
	t.Parallel()
	for code, unknown := range map[sqlite.ResultCode]bool{
		sqlite.ResultIOErrFsync: true, sqlite.ResultIOErrWrite: true, sqlite.ResultNoMem: true,
		sqlite.ResultFull: false, sqlite.ResultBusy: false, sqlite.ResultConstraintForeignKey: false,
	} {
		d := newDesk(t)
		x := &task{kind: statement, state: executed, ready: make(chan struct{}, 1)}
		d.commit(d.open()) // opens the connection, and its log has nothing to hide
		d.commitFailed(&group{tasks: []*task{x}}, d.outcome(&sqlite.Error{Code: code, Offset: -1}))
		if got := errors.Is(x.err, ErrOutcomeUnknown); got != unknown {
			t.Errorf("%v: %v", code, x.err)
		}
		if got := d.counters.UnknownOutcomes.Load(); (got == 1) != unknown {
			t.Errorf("%v: %d unknown outcomes", code, got)
		}
		d.end()
	}
}

func TestFenceBetweenCommitAndAnswer(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	moved := errors.New("moved")
	calls := 0
	d.fenceErr = func() error {
		if calls++; calls == 2 { // the first is before the group
			return moved
		}
		return nil
	}
	if err := d.do(context.Background(), "INSERT INTO led VALUES (1, 'a')"); !errors.Is(err, moved) {
		t.Errorf("acknowledged into a file that nobody sees: %v", err)
	}
	d.fenceErr = func() error { return moved }
	if err := d.do(context.Background(), "INSERT INTO led VALUES (2, 'b')"); !errors.Is(err, moved) {
		t.Errorf("%v", err)
	}
	if _, err := d.begin(context.Background()); !errors.Is(err, moved) {
		t.Errorf("%v", err)
	}
	if _, err := d.Hold(context.Background(), Request{Priority: Normal}); !errors.Is(err, moved) {
		t.Errorf("%v", err)
	}
	d.end()
}

func TestOpenFailsAndRecovers(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	no := errors.New("no descriptors")
	d.openErr = func() error { return no }
	for _, err := range []error{
		d.do(context.Background(), "INSERT INTO led VALUES (1, 'a')"),
		second(d.begin(context.Background())),
		second(d.Hold(context.Background(), Request{Priority: Normal})),
	} {
		if !errors.Is(err, no) {
			t.Errorf("%v", err)
		}
	}
	d.openErr = func() error { return nil }
	if err := d.do(context.Background(), "INSERT INTO led VALUES (1, 'a')"); err != nil {
		t.Error(err)
	}
	d.end()
}

func second[T any](_ T, err error) error { return err }

// Close that gives up leaves the connection to whoever has the baton.
func TestCloseWhileATransactionIsOpen(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	tx := d.open()
	waiting := d.behind(func() error { return d.do(context.Background(), "INSERT INTO led VALUES (1, 'a')") })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := d.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v", err)
	}
	if err := <-waiting; !errors.Is(err, ErrClosed) {
		t.Errorf("queued: %v", err)
	}
	if err := d.do(context.Background(), "SELECT 1"); !errors.Is(err, ErrClosed) {
		t.Errorf("new: %v", err)
	}
	if err := tx.Conn().Exec("INSERT INTO led VALUES (2, 'b')"); err != nil {
		t.Error(err)
	}
	d.commit(tx)
	d.want("SELECT count(*) FROM led", "1")
	d.end() // counts the connections
}

func TestGiveAway(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, commit := range []bool{true, false} {
		tx := d.open()
		other := d.behind(func() error { return d.do(context.Background(), "INSERT INTO led(who) VALUES ('other')") })
		if err := tx.Conn().Exec("CREATE TEMP TABLE own(i); INSERT INTO own VALUES (1)"); err != nil {
			t.Fatal(err)
		}
		tx.GiveAway()
		end := tx.Rollback
		if commit {
			end = func() (*sqlite.Conn, error) { return tx.Commit(context.Background()) }
		}
		kept, err := end()
		if err != nil || kept == nil {
			t.Fatalf("%v, %v", kept, err)
		}
		n, err := kept.QueryInt64("SELECT count(*) FROM temp.sqlite_schema")
		if err != nil || (n == 1) != commit || !kept.Autocommit() {
			t.Errorf("the connection has %d objects, %v", n, err)
		}
		if err := <-other; err != nil {
			t.Error(err)
		}
		d.closed.Add(1) // by its new owner
		if err := kept.Close(); err != nil {
			t.Error(err)
		}
	}
	d.end()
}

// Whoever is in the queue when the writer is closed is answered by Close alone,
// also if his context ends at the same moment: a task that is used again must
// not find the answer of the one before.
func TestCloseWhileContextsEnd(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	tx := d.open()
	const units = 100
	ctx, cancel := context.WithCancel(context.Background())
	var answers []<-chan error
	for range units {
		answers = append(answers, d.behind(func() error { return d.do(ctx, "INSERT INTO led(who) VALUES ('a')") }))
	}
	closed := make(chan error, 1)
	go cancel()
	go func() { closed <- d.Close(context.Background()) }()
	for _, answer := range answers {
		if err := <-answer; !errors.Is(err, ErrClosed) && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if _, err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	for range units {
		if task := d.newTask(); len(task.ready) > 0 || task.state != queued || task.err != nil {
			t.Fatalf("a task to be used again has the answer %v", task.err)
		}
	}
	d.end()
}

// The look after a COMMIT serves for the next group, but not for a connection
// that has yet to be opened: it would be one to another file.
func TestFenceBeforeAConnectionIsOpened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // no time passes between the transactions
		d := newDesk(t)
		tx := d.open()
		tx.GiveAway()
		kept, err := tx.Commit(context.Background())
		if err = errors.Join(err, kept.Close()); err != nil {
			t.Fatal(err)
		}
		d.closed.Add(1)
		moved := errors.New("moved")
		d.fenceErr = func() error { return moved }
		opened := d.opened.Load()
		if err := d.do(t.Context(), "INSERT INTO led(who) VALUES ('a')"); !errors.Is(err, moved) {
			t.Error(err)
		}
		if d.opened.Load() != opened {
			t.Error("a file was opened that the fence had not been asked about")
		}
		d.want("SELECT count(*) FROM led", "0")
		d.end()
	})
}

func TestCommitOfALostTransaction(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	tx := d.open()
	if err := tx.Conn().Exec("INSERT INTO led VALUES (1, 'a'); INSERT OR ROLLBACK INTO led VALUES (1, 'b')"); err == nil {
		t.Fatal("no error")
	}
	if _, err := tx.Commit(context.Background()); !errors.Is(err, ErrRolledBack) {
		t.Errorf("%v", err)
	}
	d.want("SELECT count(*) FROM led", "0")
	d.end()
}
