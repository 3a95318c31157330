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

// Only statements that were called often and take little are brisk.
func TestBrisk(t *testing.T) {
	t.Parallel()
	table := alone()
	q, slow := table.Of("SELECT 1", false, true), table.Of("SELECT a", false, true)
	countTimed(q, timedAlways, time.Microsecond)
	countTimed(slow, 2*timedAlways, 20*time.Microsecond)
	if q.Brisk() || slow.Brisk() {
		t.Errorf("brisk: %v after ten thousand calls, %v although it takes long", q.Brisk(), slow.Brisk())
	}
	now := 10 * time.Second
	brisk := func(took, after time.Duration) bool {
		now += after
		q.Count(&Call{Took: took, Ended: now, Attempts: 1})
		return q.Brisk()
	}
	if !brisk(time.Microsecond, time.Microsecond) {
		t.Error("not brisk")
	}
	if !brisk(time.Hour, time.Microsecond) {
		t.Error("one call that takes long is no change")
	}
	if brisk(time.Microsecond, time.Second) {
		t.Error("brisk although it is called once a second")
	}
	if !brisk(time.Microsecond, time.Microsecond) {
		t.Error("not brisk again")
	}
	for range 100 {
		brisk(20*time.Microsecond, time.Microsecond)
	}
	if q.Brisk() {
		t.Error("brisk although it takes long by now")
	}
	for range 200 {
		brisk(time.Microsecond, time.Microsecond)
	}
	if !q.Brisk() {
		t.Error("not brisk although it takes little again")
	}
	table.Reset()
	if q.Brisk() {
		t.Error("brisk after a reset")
	}
	setAside(q, 5) // of before it, by somebody who had not heard
	if r := table.Report().Queries[0]; r.Calls != 5 || r.FirstSeen.Before(epoch) || r.LastSeen.Before(r.FirstSeen) {
		t.Errorf("%+v", r)
	}
}

// A row that makes place is not brisk: its calls are told as they come.
func TestBriskRowMakesPlace(t *testing.T) {
	t.Parallel()
	table := alone()
	q := table.Of("SELECT 1", false, true)
	countTimed(q, timedAlways+1, time.Microsecond)
	table.Of("SELECT a", false, true).Count(&Call{Took: time.Hour, Attempts: 1})
	was := q.Brisk()
	table.Of("SELECT b", false, true)
	if !was || q.Brisk() {
		t.Errorf("brisk: %v before, %v after", was, q.Brisk())
	}
	setAside(q, 5)
	if r := table.Report(); r.Others.Calls != timedAlways+6 || r.Others.Rows != timedAlways+6 {
		t.Errorf("%+v", r.Others)
	}
}

func TestTurn(t *testing.T) {
	t.Parallel()
	var turn Turn
	if !turn.Due() {
		t.Error("the first is not due")
	}
	gaps := map[int]int{}
	for range 10_000 {
		n := 1
		for !turn.Due() {
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
