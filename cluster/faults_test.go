package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cluster/internal/faults"
)

// wait is how long a call waits for an answer that never comes.
const wait = 300 * time.Millisecond

func insert(id int) []holdfast.Statement {
	return []holdfast.Statement{{SQL: "INSERT INTO t(id) VALUES(?)", Args: []any{id}}}
}

// Every wrong answer, once, without a key: what the error says is true, and stays true.
func TestWrongAnswers(t *testing.T) {
	for _, f := range faults.List() {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			c := faults.New(t, 1)
			db := open(t, c, "")
			run(t, db, "CREATE TABLE t(id INTEGER)")
			c.Script(f)
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			if !f.Taken {
				ctx = t.Context() // it comes through
			}
			_, err := db.ExecContext(ctx, "INSERT INTO t(id) VALUES(1)")
			c.Settle()
			want := holdfast.Unknown
			switch {
			case !f.Taken:
				want = holdfast.Committed
			case f.Final:
				want = holdfast.RolledBack
			}
			rows := c.Ledger("SELECT count(*) FROM t")[0]
			got := holdfast.OutcomeOf(err)
			if got != want {
				t.Errorf("%s, want %s: %v", got, want, err)
			}
			if got == holdfast.Committed && rows != 1 || got == holdfast.RolledBack && rows != 0 || rows > 1 {
				t.Errorf("it is there %d times, and the answer was %s: %v", rows, got, err)
			}
			if f.Taken && f.Applied != (rows == 1) {
				t.Errorf("the fault applies: %t, and the row is there %d times", f.Applied, rows)
			}
		})
	}
}

// The same with a key: however it begins, it ends with one write, or with none that was refused.
func TestAKeySettlesWrongAnswers(t *testing.T) {
	for _, f := range faults.List() {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			c := faults.New(t, 1)
			db := open(t, c, "")
			run(t, db, "CREATE TABLE t(id INTEGER)")
			c.Script(f)
			var err error
			for n := 0; n < 5; n++ {
				ctx, cancel := context.WithTimeout(t.Context(), wait)
				if n > 0 || !f.Taken {
					ctx = t.Context()
				}
				var r holdfast.BatchResult
				r, err = db.Batch(ctx, insert(1), holdfast.IdempotencyKey("key"))
				cancel()
				if err == nil && (len(r.Results) != 1 || r.Results[0].RowsAffected != 1) {
					t.Errorf("%+v", r)
				}
				if holdfast.OutcomeOf(err) != holdfast.Unknown {
					break
				}
			}
			c.Settle()
			want, count := holdfast.Committed, int64(1)
			if f.Final {
				want, count = holdfast.RolledBack, 0
			}
			if got := holdfast.OutcomeOf(err); got != want {
				t.Errorf("%s, want %s: %v", got, want, err)
			}
			if rows := c.Ledger("SELECT count(*) FROM t")[0]; rows != count {
				t.Errorf("it is there %d times, want %d", rows, count)
			}
		})
	}
}

// acknowledgedBySomebodyElse is what the best known client takes for an acknowledgement of a
// write: status 200, JSON, and no result with an error.
func acknowledgedBySomebodyElse(resp *http.Response, err error) bool {
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return false
	}
	var answer struct {
		Results []struct{ Error string }
	}
	if json.Unmarshal(body, &answer) != nil {
		return false
	}
	for _, r := range answer.Results {
		if r.Error != "" {
			return false
		}
	}
	return true
}

// The control: the faults are real. A client that looks at status and results only takes
// several of them for an acknowledgement of what was never written.
func TestALenientClientIsDeceived(t *testing.T) {
	c := faults.New(t, 1)
	run(t, open(t, c, ""), "CREATE TABLE t(id INTEGER)")
	_, hosts, _ := strings.Cut(c.Address(""), "://")
	falsely := 0
	for i, f := range faults.List() {
		c.Script(f)
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+hosts+"/db/execute?transaction", strings.NewReader(fmt.Sprintf(`[["INSERT INTO t(id) VALUES(?)",%d]]`, i)))
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		acknowledged := acknowledgedBySomebodyElse(client.Do(req))
		cancel()
		c.Settle()
		if rows := c.Ledger(fmt.Sprintf("SELECT count(*) FROM t WHERE id = %d", i))[0]; acknowledged && rows == 0 {
			falsely++
		}
	}
	if falsely < 3 {
		t.Errorf("%d false acknowledgements: the faults deceive nobody, so the tests of this package prove nothing", falsely)
	}
	t.Logf("%d false acknowledgements of %d wrong answers", falsely, len(faults.List()))
}

// Many writers, faults all the time: nothing that was acknowledged is lost, nothing is there twice,
// and nothing is there that was said to be rolled back.
func TestWritersUnderFaults(t *testing.T) {
	const writers, each = 8, 12
	c := faults.New(t, 3)
	db := open(t, c, "")
	run(t, db, "CREATE TABLE t(id INTEGER, keyed INTEGER)")
	list := faults.List()
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(1, 2))
	c.Pick(func() *faults.Fault {
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(4) > 0 {
			return nil
		}
		return &list[random.IntN(len(list))]
	})
	var outcomes [writers * each * 2]holdfast.Outcome
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			for n := range each {
				id := (w*each + n) * 2
				ctx, cancel := context.WithTimeout(t.Context(), wait)
				_, err := db.ExecContext(ctx, "INSERT INTO t(id, keyed) VALUES(?, 0)", id)
				cancel()
				outcomes[id] = holdfast.OutcomeOf(err)
				outcomes[id+1] = holdfast.Unknown
				for outcomes[id+1] == holdfast.Unknown {
					ctx, cancel := context.WithTimeout(t.Context(), 3*wait)
					_, err = db.Batch(ctx, []holdfast.Statement{{SQL: "INSERT INTO t(id, keyed) VALUES(?, 1)", Args: []any{id + 1}}}, holdfast.IdempotencyKey(fmt.Sprint(id+1)))
					cancel()
					outcomes[id+1] = holdfast.OutcomeOf(err)
				}
			}
		})
	}
	running.Wait()
	c.Settle()
	there := map[int64]int{}
	for _, id := range c.Ledger("SELECT id FROM t") {
		there[id]++
	}
	counts := map[holdfast.Outcome]int{}
	for id, o := range outcomes {
		counts[o]++
		n := there[int64(id)]
		if n > 1 || o == holdfast.Committed && n != 1 || o == holdfast.RolledBack && n != 0 {
			t.Errorf("write %d is there %d times and was said to be %s", id, n, o)
		}
	}
	if counts[holdfast.Committed] < writers*each {
		t.Errorf("only %v", counts)
	}
	t.Logf("%v in %d requests", counts, c.Requests())
}

// Writes that come while a request is under way go together into the next one; one that fails hurts
// nobody else.
func TestUnitsGoTogether(t *testing.T) {
	c := faults.New(t, 1)
	db := open(t, c, "")
	run(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY)")
	run(t, db, "INSERT INTO t VALUES(7)")
	before := c.Requests()
	arrived, goOn := make(chan struct{}), make(chan struct{})
	c.Script(faults.Fault{Answer: func(x *faults.Exchange) {
		close(arrived)
		<-goOn
		x.Answer(http.StatusOK, string(x.Apply()))
	}})
	var running sync.WaitGroup
	running.Go(func() { run(t, db, "INSERT INTO t VALUES(1000)") })
	<-arrived
	var failed atomic.Int32
	var queued sync.WaitGroup
	for i := range callers {
		queued.Add(1)
		running.Go(func() {
			queued.Done()
			_, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES(?)", i)
			switch {
			case i == 7 && (holdfast.OutcomeOf(err) != holdfast.RolledBack || codeOf(err) != 19):
				t.Errorf("a row that is there already: %v", err)
			case i == 7:
				failed.Add(1)
			case err != nil:
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	queued.Wait()
	close(goOn)
	running.Wait()
	if failed.Load() != 1 {
		t.Error("the one that fails did not")
	}
	if n := c.Ledger("SELECT count(*) FROM t")[0]; n != callers+1 {
		t.Errorf("%d rows", n)
	}
	if n := c.Requests() - before; n > callers/2 { // 4 if all of them were in the queue in time
		t.Errorf("%d requests for %d writes", n, callers+1)
	} else {
		t.Logf("%d requests for %d writes", n, callers+1)
	}
}

func codeOf(err error) int {
	var e *holdfast.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}
