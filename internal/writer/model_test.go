package writer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// errInjected stands for whatever the surroundings fail with.
var errInjected = errors.New("injected")

// model checks a writer against a ledger outside the database: what each unit
// was told, and which rows it may have left.
type model struct {
	*desk
	inside atomic.Int64 // units using the connection: never more than one
	ids    atomic.Int64

	mu    sync.Mutex
	there map[int64]string // acknowledged
	open  map[int64]bool   // outcome unknown: there or not
}

func TestRandomUnitsAgainstALedger(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	d := newDesk(t)
	m := &model{desk: d, there: make(map[int64]string), open: make(map[int64]bool)}
	if err := d.do(context.Background(), "INSERT INTO led VALUES (0, 'taken')"); err != nil {
		t.Fatal(err)
	}
	m.there[0] = "taken"
	fail := func(oneIn uint32) func() error {
		var n atomic.Uint32
		return func() error {
			if (n.Add(1)*2654435761+uint32(seed))%oneIn == 0 {
				return errInjected
			}
			return nil
		}
	}
	d.openErr, d.fenceErr = fail(5), fail(40)
	var wg sync.WaitGroup
	for g := range uint64(12) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, g))
			for range 60 {
				m.step(r)
			}
		})
	}
	wg.Wait()
	d.openErr, d.fenceErr = func() error { return nil }, func() error { return nil }
	if err := d.do(context.Background(), "SELECT 1"); err != nil {
		t.Errorf("the writer is of no use any more: %v", err)
	}
	m.compare()
	d.end()
}

// step runs one random unit and enters the answer in the ledger.
func (m *model) step(r *rand.Rand) {
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if r.IntN(4) == 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(r.IntN(3000))*time.Microsecond)
	}
	defer cancel()
	prio := Priority(r.IntN(3))
	n := 1 + r.IntN(3)
	first := m.ids.Add(int64(n)) - int64(n) + 1
	ids := make([]int64, n)
	for i := range ids {
		ids[i] = first + int64(i)
	}
	switch kind := r.IntN(12); kind {
	case 0, 1, 2:
		m.enter("statement", ids[:1], m.unit(ctx, prio, true, insert(ids[:1], "")))
	case 3:
		m.refused("taken", ids, m.unit(ctx, prio, true, insert([]int64{ids[0], 0}, "")))
	case 4:
		m.refused("drops all", ids, m.unit(ctx, prio, true, insert([]int64{ids[0], 0}, "OR ROLLBACK")))
	case 5:
		err := m.unit(ctx, prio, true, insert([]int64{ids[0], 0}, "OR FAIL"))
		if sqlite.Code(err).Primary() == sqlite.ResultConstraint {
			err = nil // the row before the one that failed stays
		}
		m.enter("OR FAIL", ids[:1], err)
	case 6, 7:
		m.enter("batch", ids, m.unit(ctx, prio, false, insert(ids, "")+";"+insert([]int64{-first}, "")+fmt.Sprintf("; DELETE FROM led WHERE id = %d", -first)))
	case 8:
		m.refused("batch", ids, m.unit(ctx, prio, false, insert(ids, "")+"; INSERT INTO child VALUES (12345)"))
	case 9, 10:
		m.interactive(ctx, r, prio, ids)
	default:
		m.hold(ctx, prio, ids)
	}
}

func insert(ids []int64, or string) string {
	s := "INSERT " + or + " INTO led VALUES "
	for i, id := range ids {
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprintf("(%d, 'x')", id)
	}
	return s
}

func (m *model) alone(fn func() error) error {
	if n := m.inside.Add(1); n != 1 {
		m.t.Errorf("%d at once use the connection", n)
	}
	defer m.inside.Add(-1)
	return fn()
}

func (m *model) unit(ctx context.Context, prio Priority, atomic bool, sql string) error {
	return m.Do(ctx, Unit{Atomic: atomic, Priority: prio, SQL: fmt.Sprint(atomic), Run: func(c *sqlite.Conn) error {
		return m.alone(func() error { return c.Exec(sql) })
	}})
}

//go:noinline
func (m *model) interactive(ctx context.Context, r *rand.Rand, prio Priority, ids []int64) {
	tx, err := m.Begin(ctx, Request{Priority: prio, Site: quickSite, Alone: r.IntN(5) == 0})
	if err != nil {
		m.refused("begin", ids, err)
		return
	}
	err = m.alone(func() error {
		tx.Running(ctx, "x")
		defer tx.Running(nil, "") //nolint:staticcheck // nil says that no statement runs
		return tx.Conn().Exec(insert(ids, ""))
	})
	how := r.IntN(4)
	if err == nil && how == 0 {
		err = m.alone(func() error { return tx.Conn().Exec(insert([]int64{0}, "OR ROLLBACK")) })
	}
	switch {
	case err != nil:
		_, e := tx.Abort(err)
		m.refused("transaction", ids, e)
	case how == 1:
		if _, err := tx.Rollback(); err != nil {
			m.t.Error(err)
		}
	default:
		_, err := tx.Commit(ctx)
		m.enter("transaction", ids, err)
	}
}

func (m *model) hold(ctx context.Context, prio Priority, ids []int64) {
	h, err := m.Hold(ctx, Request{Priority: prio, SQL: "x"})
	if err != nil {
		m.refused("hold", ids, err)
		return
	}
	err = m.alone(func() error { return h.Conn().Exec(insert(ids[:1], "")) })
	h.Release(err)
	m.enter("hold", ids[:1], err)
}

// enter records an answer: nil is a promise, an error one as well unless it
// says that nobody knows.
func (m *model) enter(what string, ids []int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		switch {
		case err == nil:
			m.there[id] = what
		case errors.Is(err, ErrOutcomeUnknown), errors.Is(err, errInjected):
			m.open[id] = true // a fence that fails after COMMIT promises nothing
		}
	}
}

func (m *model) refused(what string, ids []int64, err error) {
	if err == nil {
		m.t.Errorf("%s %v: no error", what, ids)
	}
	m.enter(what, ids, err)
}

func (m *model) compare() {
	c, err := openFile(m.path)
	if err != nil {
		m.t.Fatal(err)
	}
	defer c.Close()
	s, _, err := c.Prepare("SELECT id FROM led")
	if err != nil {
		m.t.Fatal(err)
	}
	got := make(map[int64]bool)
	for {
		row, err := s.Step()
		if err != nil {
			m.t.Fatal(err)
		}
		if !row {
			break
		}
		got[s.ColumnInt64(0)] = true
	}
	if err := s.Finalize(); err != nil {
		m.t.Error(err)
	}
	for id, what := range m.there {
		if !got[id] {
			m.t.Errorf("%d (%s) was acknowledged and is not there", id, what)
		}
	}
	for id := range got {
		if m.there[id] == "" && !m.open[id] {
			m.t.Errorf("%d is there and was not acknowledged", id)
		}
	}
	m.t.Logf("%d acknowledged, %d unknown, %d rows, %d groups, %d units, %d run again", len(m.there), len(m.open), len(got),
		m.counters.Groups.Load(), m.counters.GroupedUnits.Load(), m.counters.Retries.Load())
}
