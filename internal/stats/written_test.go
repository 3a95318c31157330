package stats

import (
	"testing"
	"time"
)

// Calls of a COMMIT are counted as each by itself would be, whatever rows they are of,
// and whether these have a place.
func TestCommitCounts(t *testing.T) {
	t.Parallel()
	table := alone()
	a, b := table.Of("INSERT INTO a VALUES (?)", true, true), table.Of("INSERT INTO b VALUES (?)", true, true)
	at := epoch.Add(time.Minute)
	curious := 0
	const calls = 100
	for range calls {
		m := Committed(at)
		for i, q := range []*Query{a, a, b, a} {
			c := Written{Query: q, Rows: 2, Changed: int64(i)}
			m.Count(&c, at.Add(-time.Duration(i+1)*time.Millisecond), time.Duration(i)*time.Microsecond)
			if c.Curious {
				curious++
			}
		}
		m.End()
	}
	rows := map[string]int64{}
	for _, r := range table.Report().Queries {
		rows[r.Statement] = r.Calls
		calls, changed, waits, took := int64(3*calls), int64(4*calls), uint64(2*calls), 7*calls*time.Millisecond
		if r.Statement == b.text {
			calls, changed, waits, took = calls/3, changed/2, waits/2, 3*took/7
		}
		if r.Calls != calls || r.Rows != 2*calls || r.RowsChanged != changed || r.Wait.Count() != waits || r.Duration.Sum() != took ||
			r.Duration.Count() != uint64(calls) || !r.LastSeen.Equal(at.UTC()) || r.Attempts != 0 {
			t.Errorf("%d durations of %v, %d waits: %+v", r.Duration.Count(), r.Duration.Sum(), r.Wait.Count(), r)
		}
	}
	if len(rows) != 2 || curious != 8+5+8+3 { // and 16 to 256, and 16 to 64
		t.Errorf("%v, %d calls are asked about", rows, curious)
	}
	table.Of("INSERT INTO c VALUES (?)", true, true) // takes the place of the one worth least
	m := Committed(at)
	m.Count(&Written{Query: b}, at.Add(-time.Hour), 0)
	m.Count(&Written{Query: a}, at, 0)
	m.End()
	if r := table.Report(); r.Others.Calls != calls+1 || r.Queries[0].Calls != 3*calls+1 {
		t.Errorf("%d of others, %d of the one that has its place", r.Others.Calls, r.Queries[0].Calls)
	}
}
