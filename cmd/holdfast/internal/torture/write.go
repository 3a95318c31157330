package torture

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
)

// writeConfig is the load of a child in the role "write": some goroutines, each a
// writer of its own.
type writeConfig struct {
	Path        string        `json:"path"`
	Seed        uint64        `json:"seed"`         // of the writes' content, the same for all children of a database
	FirstWriter int           `json:"first_writer"` // the goroutines are this writer and those after it
	Goroutines  int           `json:"goroutines"`
	Begun       []uint64      `json:"begun"` // how far each writer had come in an earlier life; may be empty
	Repeat      []repeat      `json:"repeat"`
	Synchronous string        `json:"synchronous"`
	Budget      time.Duration `json:"budget"` // busy_timeout; 0 is the default
	Pause       time.Duration `json:"pause"`  // between two writes of a goroutine, on average
	Limit       uint64        `json:"limit"`  // writes of each goroutine; 0 is no limit
	Readers     int           `json:"readers"`
	Checkpoints bool          `json:"checkpoints"` // one goroutine checkpoints all the time
	Tell        bool          `json:"tell"`        // of each checkpoint that begins
	Careless    bool          `json:"careless"`    // opens and closes the files beside SQLite
	SyncDelay   time.Duration `json:"sync_delay"`  // of the disk
	Sabotage    string        `json:"sabotage"`
}

// repeat is a write with a key that an earlier life had begun and got no answer
// to.
type repeat struct {
	Writer int    `json:"writer"`
	Seq    uint64 `json:"seq"`
}

func (c *writeConfig) open(ctx context.Context) (*database, error) {
	var cfg holdfast.Config
	cfg.Database.Path, cfg.Database.Synchronous, cfg.Database.BusyTimeout = c.Path, c.Synchronous, c.Budget
	return openDatabase(ctx, cfg, c.Sabotage, c.SyncDelay)
}

// writeRole writes until the parent closes the pipe or the limit is reached, and
// tells "open" first.
func writeRole(ctx context.Context, p *Parent, config json.RawMessage) (err error) {
	var c writeConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return err
	}
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := p.Tell("open"); err != nil {
		return err
	}
	w := &writing{db: db, parent: p, writeConfig: c}
	return w.run(ctx)
}

// writing is a child that writes.
type writing struct {
	writeConfig
	db     *database
	parent *Parent
}

func (w *writing) run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var writers, others sync.WaitGroup
	for i := range w.Goroutines {
		writers.Go(func() {
			if err := w.writer(ctx, i); err != nil && !errors.Is(err, errEnough) {
				stop(err)
			}
		})
	}
	for range w.Readers {
		others.Go(func() {
			if err := w.reader(ctx); err != nil {
				stop(err)
			}
		})
	}
	if w.Careless {
		others.Go(func() {
			if err := w.beCareless(ctx); err != nil {
				stop(err)
			}
		})
	}
	if w.Checkpoints {
		others.Go(func() {
			if err := w.checkpoints(ctx); err != nil {
				stop(err)
			}
		})
	}
	writers.Wait()
	if w.Goroutines == 0 {
		<-ctx.Done()
	}
	cause := context.Cause(ctx)
	stop(nil)
	others.Wait()
	if errors.Is(cause, context.Canceled) {
		return nil
	}
	return cause
}

// writer is one goroutine. It ends with ctx without an error.
func (w *writing) writer(ctx context.Context, i int) error {
	id := w.FirstWriter + i
	r := rand.New(rand.NewPCG(w.Seed, uint64(id)))
	for _, again := range w.Repeat {
		if again.Writer == id {
			if err := w.one(ctx, newWrite(w.Seed, id, again.Seq), r); err != nil {
				return err
			}
		}
	}
	seq := uint64(0)
	if i < len(w.Begun) {
		seq = w.Begun[i]
	}
	for n := uint64(0); ctx.Err() == nil && (w.Limit == 0 || n < w.Limit); n++ {
		seq++
		if err := w.one(ctx, newWrite(w.Seed, id, seq), r); err != nil {
			return err
		}
		if w.Pause > 0 && sleep(ctx, time.Duration(r.Int64N(int64(2*w.Pause)))) != nil {
			return nil
		}
	}
	return nil
}

// one makes a write and tells the parent, before and after. The error is the
// pipe's: that of the write is told.
func (w *writing) one(ctx context.Context, x write, r *rand.Rand) error {
	if err := w.parent.Tell("%s %d %d", lineBegin, x.writer, x.seq); err != nil {
		return err
	}
	if w.Sabotage == EarlyAck {
		if err := w.parent.Tell("%s %d %d", lineAck, x.writer, x.seq); err != nil {
			return err
		}
	}
	rows := x.rows()
	err := w.commit(ctx, x, rows)
	// A client whose answer got lost asks again. What the first answer said
	// stays true, whatever becomes of the question.
	for again := err; again == nil && x.how == byKey && r.IntN(8) == 0; {
		again = w.commit(ctx, x, rows)
	}
	switch {
	case err != nil && w.Sabotage != SwallowCommitError:
		if e := w.parent.Tell("%s %d %d %s", answer(ctx, err), x.writer, x.seq, err); e != nil {
			return e
		}
		if errors.Is(err, holdfast.ErrFenced) {
			return errors.Join(w.parent.Tell("fenced"), errEnough)
		}
		_ = sleep(ctx, time.Millisecond) // an error that comes at once would fill the pipe
		return nil
	case w.Sabotage == EarlyAck:
		return nil
	}
	return w.parent.Tell("%s %d %d", lineAck, x.writer, x.seq)
}

// errEnough ends a writer without ending the others.
var errEnough = errors.New("no write can succeed any more")

// answer is the word for an error of a write: whether it says that nothing of the
// write is there. A fenced one may be in the file that has gone.
func answer(ctx context.Context, err error) string {
	if errors.Is(err, holdfast.ErrOutcomeUnknown) || errors.Is(err, holdfast.ErrFenced) || ctx.Err() != nil {
		return lineUnknown
	}
	return lineRolledBack
}

// commit makes a write in its way.
func (w *writing) commit(ctx context.Context, x write, rows []entry) error {
	switch x.how {
	case byExec:
		_, err := w.db.ExecContext(ctx, insertEntry, rows[0].args()...)
		return err
	case byUpdate:
		return w.db.Update(ctx, func(tx *sql.Tx) error { return insertRows(ctx, tx, rows) })
	case byTx:
		tx, err := w.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if err := insertRows(ctx, tx, rows); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		return tx.Commit()
	}
	batch := make([]holdfast.Statement, len(rows))
	for i := range rows {
		batch[i] = holdfast.Statement{SQL: insertEntry, Args: rows[i].args()}
	}
	var options []holdfast.BatchOption
	if x.how == byKey && w.Sabotage != LostIdempotency {
		options = append(options, holdfast.IdempotencyKey(x.key()))
	}
	_, err := w.db.Batch(ctx, batch, options...)
	return err
}

func insertRows(ctx context.Context, tx *sql.Tx, rows []entry) error {
	for i := range rows {
		if _, err := tx.ExecContext(ctx, insertEntry, rows[i].args()...); err != nil {
			return err
		}
	}
	return nil
}

// reader reads until ctx ends, and looks for what no snapshot may show: half a
// transaction, a gap, or a state that is older than one seen before.
func (w *writing) reader(ctx context.Context) error {
	last := int64(0)
	for ctx.Err() == nil {
		n, err := readState(ctx, w.db.DB)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case n < last:
			return fmt.Errorf("a reader saw %d rows after %d", n, last)
		}
		last = n
		if sleep(ctx, 10*time.Millisecond) != nil {
			return nil
		}
	}
	return nil
}

// readState counts the rows of one snapshot and compares their number with the
// last row's: rows are never deleted, so they differ only if one is missing. The
// last write must be there as a whole.
func readState(ctx context.Context, db *holdfast.DB) (last int64, err error) {
	err = db.View(ctx, func(tx *sql.Tx) error {
		var n, part, parts int64
		if err := tx.QueryRowContext(ctx, "SELECT count(*), coalesce(max(id), 0) FROM entry").Scan(&n, &last); err != nil {
			return err
		}
		if n != last {
			return fmt.Errorf("a snapshot has %d rows, and the last is %d", n, last)
		}
		if last == 0 {
			return nil
		}
		if err := tx.QueryRowContext(ctx, "SELECT part, parts FROM entry WHERE id = ?", last).Scan(&part, &parts); err != nil {
			return err
		}
		if part+1 != parts {
			return fmt.Errorf("a snapshot ends with part %d of %d", part+1, parts)
		}
		return nil
	})
	return last, err
}

// checkpoints empties the log again and again.
func (w *writing) checkpoints(ctx context.Context) error {
	for ctx.Err() == nil {
		if w.Tell {
			if err := w.parent.Tell("checkpoint"); err != nil {
				return err
			}
		}
		_, err := w.db.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
		if err != nil && ctx.Err() == nil && !errors.Is(err, holdfast.ErrBusy) {
			return fmt.Errorf("checkpoint: %w", err)
		}
		if sleep(ctx, 5*time.Millisecond) != nil {
			return nil
		}
	}
	return nil
}
