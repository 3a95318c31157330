package writer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
)

func TestContextEndsAWaitAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		tx := d.open()
		for name, wait := range map[string]func(context.Context) error{
			"statement":   func(ctx context.Context) error { return d.do(ctx, "INSERT INTO led VALUES (1, 'a')") },
			"transaction": func(ctx context.Context) error { return second(d.begin(ctx)) },
			"hold":        func(ctx context.Context) error { return second(d.Hold(ctx, Request{Priority: Normal})) },
		} {
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			err := wait(ctx)
			cancel()
			if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 50*time.Millisecond {
				t.Errorf("%s: %v after %v", name, err, took)
			}
			start = time.Now()
			err = wait(t.Context())
			var busy *BusyError
			if took := time.Since(start); !errors.As(err, &busy) || busy.Holder.Kind != kindTransaction || took != budget {
				t.Errorf("%s: %v after %v", name, err, took)
			}
		}
		d.commit(tx)
		d.want("SELECT count(*) FROM led", "0")
		d.end()
	})
}

func TestForeignProcessHoldsTheLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		foreign, err := openFile(d.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := foreign.Exec("BEGIN IMMEDIATE"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		err = d.do(t.Context(), "INSERT INTO led VALUES (1, 'a')")
		var busy *BusyError
		if took := time.Since(start); !errors.As(err, &busy) || busy.Holder.Kind != kindForeign || busy.Attempts < 2 || took < budget || took > budget+10*time.Millisecond {
			t.Errorf("%v after %v", err, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start = time.Now()
		if err := second(d.begin(ctx)); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 50*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		answer := make(chan error, 1)
		go func() { answer <- d.do(t.Context(), "INSERT INTO led VALUES (2, 'b')") }()
		time.AfterFunc(time.Second, func() {
			if err := foreign.Exec("COMMIT"); err != nil {
				t.Error(err)
			}
		})
		if err := <-answer; err != nil {
			t.Error(err)
		}
		if err := foreign.Close(); err != nil {
			t.Error(err)
		}
		d.want("SELECT count(*) FROM led", "1")
		d.end()
	})
}

// A process that was stopped with the fair lock in its hand delays the others
// once, and not for ever.
func TestFairLockThatIsNeverFree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.turn.stuck.Store(true)
		for i, want := range []time.Duration{turnPatience, 0, 0} {
			start := time.Now()
			if err := d.do(t.Context(), "INSERT INTO led(who) VALUES ('a')"); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took != want {
				t.Errorf("write %d took %v, want %v", i, took, want)
			}
		}
		d.turn.stuck.Store(false)
		asked := d.turn.asked.Load()
		<-time.After(turnPause)
		if err := d.do(t.Context(), "INSERT INTO led(who) VALUES ('a')"); err != nil {
			t.Error(err)
		}
		if d.turn.asked.Load() != asked+1 {
			t.Error("the fair lock was not asked for again")
		}
		d.end()
	})
}

// Where turns take long, nobody leaves the queue as long as they go round; but half
// of the time is kept for BEGIN.
func TestSlowTurnsAreWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for turns, got := range map[int]bool{6: true, 100: false} {
			d := newDesk(t)
			d.turn.stuck.Store(true)
			d.turn.freed = make(chan struct{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				for n := range turns {
					d.turn.owner.Store(int64(1 + n%3))
					<-time.After(turnPatience / 5)
				}
				close(d.turn.freed)
			}()
			start := time.Now()
			if err := d.Do(t.Context(), Unit{Priority: Normal, Budget: 30 * time.Second, Run: func(c *sqlite.Conn) error {
				if d.Writer.turn != got {
					t.Errorf("%d turns: has it: %t", turns, d.Writer.turn)
				}
				return nil
			}}); err != nil {
				t.Error(err)
			}
			want := 15 * time.Second
			if got {
				want = time.Duration(turns) * turnPatience / 5
			}
			if took := time.Since(start); took != want {
				t.Errorf("%d turns: %v, want %v", turns, took, want)
			}
			<-done
			d.end()
		}
	})
}

// A caller whose context ends while somebody's transaction keeps the group open
// hears that the outcome is unknown, and the group goes on without him.
func TestHostageOfAJoinedTransaction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, end := range []string{"commit", "rollback", "lost"} {
			d := newDesk(t)
			d.commit(d.open()) // makes the site known
			first := d.open()
			ctx, cancel := context.WithCancel(t.Context())
			hostage := make(chan error, 1)
			go func() { hostage <- d.do(ctx, "INSERT INTO led VALUES (1, 'a')") }()
			synctest.Wait()
			var joined *Tx
			go func() { joined = d.open() }()
			synctest.Wait()
			d.behindCommit(first)
			synctest.Wait()
			cancel()
			if err := <-hostage; !errors.Is(err, ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", end, err)
			}
			want := "1"
			switch end {
			case "commit":
				d.commit(joined)
			case "rollback":
				if _, err := joined.Rollback(); err != nil {
					t.Error(err)
				}
			case "lost":
				if err := joined.Conn().Exec("INSERT OR ROLLBACK INTO led VALUES (1, 'twice')"); err == nil {
					t.Error("no error")
				}
				if _, err := joined.Rollback(); err != nil {
					t.Error(err)
				}
				want = "0" // its caller has gone: it is not run again
			}
			synctest.Wait()
			d.want("SELECT count(*) FROM led", want)
			if err := d.do(t.Context(), "INSERT INTO led(who) VALUES ('after')"); err != nil {
				t.Error(err)
			}
			d.end()
		}
	})
}

// behindCommit commits on another goroutine: the answer comes with the group's.
func (d *desk) behindCommit(tx *Tx) {
	go func() { _, _ = tx.Commit(context.Background()) }()
}

// Without WAL a transaction that outgrows the page cache would like the file to
// itself before its COMMIT. SQLite goes on without, so nobody needs to wait in
// the middle of a statement; COMMIT waits for the reader.
func TestLargeTransactionBesideAReaderWithoutWAL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		open := func(cache string) *sqlite.Conn {
			c, err := sqlite.Open(d.path, sqlite.OpenReadWrite)
			if err == nil {
				err = c.Exec("PRAGMA journal_mode=DELETE; PRAGMA cache_size=" + cache)
			}
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		reader := open("100")
		d.cfg.Open = func(context.Context) (*sqlite.Conn, error) {
			d.opened.Add(1)
			return open("5"), nil
		}
		for _, kind := range []string{"statement", "transaction"} {
			if err := reader.Exec("BEGIN; SELECT * FROM led"); err != nil {
				t.Fatal(err)
			}
			const large = "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i < 200) INSERT INTO led(who) SELECT hex(randomblob(1000)) FROM s"
			answer := make(chan error, 1)
			if kind == "statement" {
				go func() { answer <- d.do(t.Context(), large) }()
			} else {
				go func() {
					tx := d.open()
					tx.Running(t.Context(), large)
					err := tx.Conn().Exec(large)
					tx.Running(nil, "") //nolint:staticcheck // nil says that no statement runs
					d.commit(tx)
					answer <- err
				}()
			}
			<-time.After(time.Second)
			if err := reader.Exec("COMMIT"); err != nil {
				t.Fatal(err)
			}
			if err := <-answer; err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
		d.end()
	})
}

// Waits that end one after the other don't each cost a look at all of them.
func TestManyLateWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		tx := d.open()
		const waits, apart = 3000, 10 * time.Microsecond
		start := time.Now()
		ended := make(chan time.Duration, waits)
		for i := range waits {
			patience := time.Second + time.Duration(i)*apart
			go func() {
				err := d.Do(t.Context(), Unit{Priority: Normal, Budget: patience, Run: func(*sqlite.Conn) error { return nil }})
				took := time.Since(start)
				var busy *BusyError
				if late := took - patience; !errors.As(err, &busy) || late < 0 || late > longestPause {
					t.Errorf("a wait of %v: %v after %v", patience, err, took)
				}
				ended <- took
			}()
		}
		looks := map[time.Duration]bool{} // each at a time of its own
		for range waits {
			looks[<-ended] = true
		}
		if len(looks) > waits/10 {
			t.Errorf("%d looks at the queue for %d waits", len(looks), waits)
		}
		d.commit(tx)
		d.end()
	})
}

// A statement that was bad company once is given another chance.
func TestBadCompanyIsForgiven(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const slow, quick = "INSERT INTO led(who) VALUES ('slow')", "INSERT INTO led(who) VALUES ('quick')"
	shared := func() bool { // do they share a COMMIT?
		tx := d.open()
		before := d.counters.Groups.Load()
		var answers []<-chan error
		for _, sql := range []string{quick, slow} {
			answers = append(answers, d.behind(func() error { return d.do(t.Context(), sql) }))
		}
		if _, err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		for _, a := range answers {
			if err := <-a; err != nil {
				t.Error(err)
			}
		}
		return d.counters.Groups.Load()-before == 1
	}
	d.setApart(slow)
	if shared() {
		t.Error("they share a COMMIT at once")
	}
	again := false
	for range 50 { // one that is descheduled for 10 ms is bad company again, rightly
		for range apartFor - 1 {
			if err := d.do(t.Context(), slow); err != nil {
				t.Fatal(err)
			}
		}
		if again = shared(); again {
			break
		}
	}
	if !again {
		t.Errorf("they don't share a COMMIT after %d quick runs", apartFor)
	}
	d.end()
}

// Who still waits after its context has ended looks now and then whether it has to go, also just
// when the answers are given.
func TestAnswersWhileCallersLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &Writer{}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		queries := stats.NewQueries(stats.QueriesConfig{})
		query := queries.Of("DELETE FROM led", true, false)
		tasks := make([]*task, 64)
		outcomes := make(chan error, len(tasks))
		for i := range tasks {
			tasks[i] = &task{ctx: ctx, state: executed, ready: make(chan struct{}, 2), written: &stats.Written{Query: query}}
			go func() { outcomes <- w.awaitOutcome(tasks[i]) }()
		}
		time.Sleep(hostageGrace) // of the bubble: all of them look now
		w.answerAll(tasks)
		for range tasks {
			if err := <-outcomes; err != nil {
				t.Error(err)
			}
		}
		if n := queries.Report().Queries[0].Calls; n != int64(len(tasks)) {
			t.Errorf("%d calls were counted", n)
		}
	})
}
