package stats

import (
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/queries"
)

// countTimed counts calls that were timed, and ended one microsecond after the other until
// the tenth second.
func countTimed(q *Query, n int, took time.Duration) {
	for i := range n {
		q.Count(&Call{Took: took, Ended: 10*time.Second - time.Duration(n-i)*time.Microsecond, Rows: 1, Attempts: 1, Effort: queries.Effort{VMSteps: 7}})
	}
}

// setAside counts calls that were not timed, as a connection tells of them.
func setAside(q *Query, n int64) {
	q.Count(&Call{timing: timing{Untimed: true, Aside: n - 1}, Rows: n, Attempts: n, Effort: queries.Effort{VMSteps: 7 * n}})
}

// alone is a Queries with one part, so that which calls are together is no matter of chance.
func alone() *Queries {
	t := newQueries(2)
	t.parts = 1
	return t
}

// Of calls that are not timed everything else is exact, and the next one that is timed stands for
// them, if nothing made it unlike the others.
func TestUntimedCalls(t *testing.T) {
	t.Parallel()
	table := alone()
	q := table.Of("SELECT ?", false, true)
	countTimed(q, 10, time.Microsecond)
	setAside(q, 15)
	q.Count(&Call{timing: timing{Unusual: true}, Took: time.Second, Waited: time.Second, Ended: 11 * time.Second, Rows: 1, Attempts: 1, Effort: queries.Effort{VMSteps: 7}})
	if r := table.Report().Queries[0]; r.Calls != 26 || r.Duration.Count() != 11 || r.MaxSeconds != 1 || r.WaitSeconds != 1 {
		t.Errorf("%d calls, %d durations: %+v", r.Calls, r.Duration.Count(), r)
	}
	// One that is among those set aside, and that then turned out to fail.
	q.Count(&Call{timing: timing{Untimed: true, Counted: true}, Code: 5})
	setAside(q, 1)
	q.Count(&Call{timing: timing{Aside: 3}, Took: 3 * time.Microsecond, Ended: 11 * time.Second, Rows: 4, Attempts: 4, Effort: queries.Effort{VMSteps: 28}})
	r := table.Report().Queries[0]
	if r.Calls != 31 || r.Rows != 31 || r.Attempts != 31 || r.VMSteps != 7*31 || r.Errors["CODE_5"] != 1 || r.Duration.Count() != 31 {
		t.Errorf("%d durations: %+v", r.Duration.Count(), r)
	}
	if want := time.Second + 10*time.Microsecond + 20*3*time.Microsecond; r.Duration.Sum() < want-time.Microsecond || r.Duration.Sum() > want {
		t.Errorf("they took %v, want %v", r.Duration.Sum(), want)
	}
}

// caller makes calls of one statement, each so long after the one before, and counts them as
// a session does that has a connection of its own.
type caller struct {
	q     *Query
	turn  Turn
	now   time.Duration
	aside int64
	timed int
}

func (k *caller) call(took, after time.Duration) {
	k.now += after
	if step := k.q.Step(); step != 0 && !k.turn.Due(step) {
		k.aside++
		return
	}
	n := k.aside
	k.q.Count(&Call{timing: timing{Aside: n}, Took: took, Ended: k.now, Rows: n + 1, Attempts: n + 1, Effort: queries.Effort{VMSteps: 7 * (n + 1)}})
	k.aside, k.timed = 0, k.timed+1
}

// Only a part of the calls of statements that come often is timed, and that only while they do.
func TestStep(t *testing.T) {
	t.Parallel()
	table := alone()
	k := caller{q: table.Of("SELECT 1", false, true), now: time.Minute}
	part := func(n int, after time.Duration) float64 {
		before := k.timed
		for i := range n {
			k.call(time.Microsecond+time.Duration(i%100)*time.Nanosecond, after)
		}
		return float64(k.timed-before) / float64(n)
	}
	if p := part(10_000, 300*time.Microsecond); p != 1 {
		t.Errorf("%v of the calls are timed of a statement that comes 3,300 times a second", p)
	}
	part(20_000, time.Microsecond)
	if p := part(1_000_000, time.Microsecond); p < 0.035 || p > 0.045 { // 1 of 26
		t.Errorf("%v of a million in a second that take a microsecond each", p)
	}
	if p := part(500_000, 10*time.Microsecond); p < 0.038 || p > 0.048 { // 4096 of 100,000
		t.Errorf("%v of those of a statement that comes 100,000 times a second", p)
	}
	part(100, time.Millisecond) // until it is noticed
	if p := part(100, time.Millisecond); p != 1 {
		t.Errorf("%v of a statement that comes no more often", p)
	}
	part(1_000_000, time.Microsecond)
	table.Reset()
	if k.q.Step() != 0 {
		t.Error("not all are timed after a reset")
	}
	setAside(k.q, 5) // of before it, by somebody who had not heard
	if r := table.Report().Queries[0]; r.Calls != 5 || r.FirstSeen.Before(epoch) || r.LastSeen.Before(r.FirstSeen) {
		t.Errorf("%+v", r)
	}
}

// All calls are timed of a row that makes place: they are told as they come.
func TestRowThatMakesPlaceIsTimed(t *testing.T) {
	t.Parallel()
	table := alone()
	k := caller{q: table.Of("SELECT 1", false, true), now: time.Minute}
	for range 100_000 {
		k.call(time.Microsecond, time.Microsecond)
	}
	setAside(k.q, k.aside+1)
	table.Of("SELECT a", false, true).Count(&Call{Took: time.Hour, Attempts: 1})
	was := k.q.Step()
	table.Of("SELECT b", false, true)
	if was == 0 || k.q.Step() != 0 {
		t.Errorf("step %d before, %d after", was, k.q.Step())
	}
	setAside(k.q, 5)
	if r := table.Report(); r.Others.Calls != 100_006 || r.Others.Rows != 100_006 {
		t.Errorf("%+v", r.Others)
	}
}

func TestTurn(t *testing.T) {
	t.Parallel()
	var turn Turn
	if !turn.Due(wholeTurn / 16) {
		t.Error("the first is not due")
	}
	gaps := map[int]int{}
	for range 10_000 {
		n := 1
		for !turn.Due(wholeTurn / 16) {
			n++
		}
		gaps[n]++
	}
	for n := range gaps {
		if n < 8 || n > 24 {
			t.Errorf("%d calls apart", n)
		}
	}
	if len(gaps) < 10 {
		t.Errorf("in a rhythm: %v", gaps)
	}
}
