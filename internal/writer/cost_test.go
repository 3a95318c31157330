package writer

import (
	"context"
	"sync"
	"testing"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// What a write costs, in numbers that are the same on every machine.

// With synchronous=FULL each COMMIT is one sync of the log, no less, which is
// what an answer promises, and no more, however many units share it.
func TestOneSyncForEachCommit(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	var syncs *sqlite.LogSyncs
	d.cfg.Open = func(context.Context) (*sqlite.Conn, error) {
		d.opened.Add(1)
		c, err := openFile(d.path)
		if err == nil {
			// The first write after a checkpoint syncs the head of the log too.
			err = c.Exec("PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; INSERT INTO led(who) VALUES ('first')")
		}
		if err == nil {
			syncs, err = c.CountLogSyncs()
		}
		return c, err
	}
	d.commit(d.open()) // opens the connection, and commits nothing
	if n := syncs.Count(); n != 0 {
		t.Errorf("%d syncs for an empty transaction", n)
	}
	tx := d.open()
	var answers []<-chan error
	for range 8 {
		answers = append(answers, d.behind(func() error { return d.do(context.Background(), "INSERT INTO led(who) VALUES ('x')") }))
	}
	d.commit(tx)
	for _, a := range answers {
		if err := <-a; err != nil {
			t.Error(err)
		}
	}
	if n := syncs.Count(); n != 1 {
		t.Errorf("%d syncs for one COMMIT", n)
	}
	const writers, each = 32, 20
	groups, before := d.counters.Groups.Load(), syncs.Count()
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range each {
				if err := d.do(context.Background(), "INSERT INTO led(who) VALUES ('y')"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if g, n := d.counters.Groups.Load()-groups, syncs.Count()-before; n != g {
		t.Errorf("%d syncs for %d COMMITs", n, g)
	}
	d.end()
}
