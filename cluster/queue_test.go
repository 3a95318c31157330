package cluster

import (
	"testing"

	"github.com/holdfastdb/holdfast/cluster/internal/wire"
)

// An error that one machine may have alone leaves a whole group in doubt. It is of one statement of one
// caller: the others are not told that theirs has failed.
func TestDoubtBlamesNobody(t *testing.T) {
	text := "disk I/O error"
	units := make([]*unit, 2)
	for i := range units {
		units[i] = &unit{n: 2, state: sent, done: make(chan reply, 1)}
	}
	q := &queue{}
	q.land(&flight{units: units}, reply{failed: 2, text: text, results: []wire.Result{{}, {}, {Error: &text}}})
	for i, u := range units {
		r := <-u.done
		if r.verdict != doubtful || r.failed != -1 || r.results != nil {
			t.Errorf("unit %d: %+v", i, r)
		}
	}
}
