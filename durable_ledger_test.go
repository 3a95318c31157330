package holdfast_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// replica is what has arrived at a target: the entries that its uploads have
// read from the database, by a connection of their own, when they began.
type replica struct {
	path string
	mu   sync.Mutex // guards the rest
	conn *sqlite.Conn
	last int64 // rowid
	has  map[string]bool
}

func newReplica(t *testing.T, path string) *replica {
	t.Helper()
	c, err := sqlite.Open(path, sqlite.OpenReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return &replica{path: path, conn: c, has: map[string]bool{}}
}

// read returns what is new since the last upload that arrived.
func (r *replica) read() (ids []string, last int64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, _, err := r.conn.PrepareCached("SELECT rowid, id FROM entry WHERE rowid > ?1 ORDER BY rowid")
	if err != nil {
		return nil, 0, err
	}
	last = r.last
	if err = s.BindInt64(1, r.last); err == nil {
		for row := true; row; {
			if row, err = s.Step(); row && err == nil {
				last = s.ColumnInt64(0)
				ids = append(ids, string(s.ColumnText(1)))
			}
		}
	}
	return ids, last, errors.Join(err, s.Release())
}

func (r *replica) arrive(ids []string, last int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = max(r.last, last)
	for _, id := range ids {
		r.has[id] = true
	}
}

func (r *replica) holds(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.has[id]
}

var errLine = errors.New("the line is broken")

// unreliable is an upload that fails before or after it has arrived, is slow, or
// hangs until it is told to end.
func (r *replica) unreliable(ctx context.Context) error {
	ids, last, err := r.read()
	if err != nil {
		return err
	}
	switch n := rand.IntN(20); {
	case n < 3:
		return errLine
	case n < 6:
		r.arrive(ids, last)
		return errLine
	case n < 7:
		<-ctx.Done()
		return ctx.Err()
	case n < 12:
		select {
		case <-time.After(time.Duration(rand.IntN(2000)) * time.Microsecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.arrive(ids, last)
	return nil
}

const insertID = "INSERT INTO entry(id) VALUES (?)"

// ledgerWrites are ways to write one entry; those that are keyed may be repeated.
var ledgerWrites = []struct {
	name  string
	keyed bool
	write func(ctx context.Context, db *holdfast.DB, id string) error
}{
	{"Exec", false, func(ctx context.Context, db *holdfast.DB, id string) error {
		_, err := db.ExecContext(ctx, insertID, id)
		return err
	}},
	{"a transaction", false, func(ctx context.Context, db *holdfast.DB, id string) error {
		return inTx(db.BeginTx(ctx, nil))(func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, insertID, id)
			return err
		})
	}},
	{"Batch", true, func(ctx context.Context, db *holdfast.DB, id string) error {
		_, err := db.Batch(ctx, []holdfast.Statement{{SQL: insertID, Args: []any{id}}}, holdfast.IdempotencyKey(id))
		return err
	}},
	{"Update", true, func(ctx context.Context, db *holdfast.DB, id string) error {
		return db.Update(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, insertID, id)
			return err
		}, holdfast.IdempotencyKey(id))
	}},
}

// Under uploads that fail, hang and lie, and contexts that end, nothing is
// acknowledged before it is at the target; what is said to be unknown is here,
// what is said to have failed is not; and repeated with its key each write is
// there once.
func TestDurableLedger(t *testing.T) {
	t.Parallel()
	const workers = 8
	each := 150
	if testing.Short() {
		each = 30
	}
	target := newTarget(t)
	db := open(t, target.durable, func(c *holdfast.Config) { c.Replication.UploadTimeout = 20 * time.Millisecond })
	must(t, db, "CREATE TABLE entry(id TEXT)")
	r := newReplica(t, db.Path())
	target.uploads(r.unreliable)
	var counts struct {
		sync.Mutex
		acknowledged, unknown, failed int
	}
	type verdict int
	const (
		there verdict = iota
		notThere
		perhaps
	)
	ledger := make([]map[string]verdict, workers)
	var all sync.WaitGroup
	for w := range workers {
		ledger[w] = map[string]verdict{}
		all.Go(func() {
			for seq := range each {
				id := fmt.Sprintf("%d/%d", w, seq)
				kind := ledgerWrites[rand.IntN(len(ledgerWrites))]
				for first := true; ; first = false {
					ctx, cancel := t.Context(), func() {}
					if rand.IntN(4) == 0 {
						ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(3000))*time.Microsecond)
					}
					err := kind.write(ctx, db, id)
					cancel()
					counts.Lock()
					switch {
					case err == nil:
						counts.acknowledged++
						ledger[w][id] = there
						if !r.holds(id) {
							t.Errorf("%s of %s was acknowledged and is not at the target", kind.name, id)
						}
					case errors.Is(err, holdfast.ErrNotReplicated):
						counts.unknown++
						ledger[w][id] = there
						if !errors.Is(err, holdfast.ErrOutcomeUnknown) {
							t.Errorf("%s: %v", kind.name, err)
						}
					case errors.Is(err, holdfast.ErrOutcomeUnknown):
						counts.unknown++
						ledger[w][id] = perhaps
					default: // a repetition that never began takes nothing back
						counts.failed++
						if first {
							ledger[w][id] = notThere
						}
					}
					counts.Unlock()
					if err == nil || !kind.keyed {
						break
					}
				}
			}
		})
	}
	all.Wait()
	target.uploads(nil)
	t.Logf("%d acknowledged, %d unknown, %d failed", counts.acknowledged, counts.unknown, counts.failed)
	if counts.acknowledged == 0 || counts.unknown == 0 || counts.failed == 0 {
		t.Error("not all of the cases came about")
	}
	found := map[string]int{}
	for row, err := range db.Rows(t.Context(), "SELECT id, count(*) FROM entry GROUP BY id") {
		if err != nil {
			t.Fatal(err)
		}
		found[row.Text(0)] = int(row.Int64(1))
	}
	for _, part := range ledger {
		for id, v := range part {
			if n := found[id]; n > 1 || n == 0 && v == there || n == 1 && v == notThere {
				t.Errorf("%s is there %d times, verdict %s", id, n, strconv.Itoa(int(v)))
			}
		}
	}
}
