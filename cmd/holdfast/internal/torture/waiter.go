package torture

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast"
)

func waitBehindKilled() Scenario {
	return Scenario{
		Name:  "wait-behind-killed",
		About: "a process that waits for a writer which is killed in its transaction goes on within 250 ms (p99)",
		Tier:  Quick,
		Run:   runWaitBehindKilled,
	}
}

// waiterLimit is what 99 of 100 waits may take after the death.
const waiterLimit = 250 * time.Millisecond

// runWaitBehindKilled kills a holder while another process waits, again and again.
// The time is from the kill to the moment at which the parent reads the waiter's
// acknowledgement, its commit included; so the database is in memory, or a disk that
// is slow to sync would count as a slow waiter.
func runWaitBehindKilled(ctx context.Context, t *Trial) (err error) {
	dir, remove, err := inMemory(t.Dir)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, copyFiles(dir, t.Dir))
		}
		remove()
	}()
	h := &holding{t: t, path: filepath.Join(dir, "wait.db"), seed: t.Rand.Uint64()}
	if err := create(ctx, h.path); err != nil {
		return err
	}
	waiter, err := t.Child(ctx, "write-when-told", writeConfig{Path: h.path, Seed: h.seed}, nil)
	if err != nil {
		return err
	}
	if _, err := waiter.Expect(ctx, "open"); err != nil {
		return err
	}
	var took []time.Duration
	for n := range t.Rounds(40, 400, 2000) {
		d, err := h.once(ctx, waiter, n)
		if err != nil {
			return err
		}
		took = append(took, d)
		t.Count("kills", 1)
	}
	if err := waiter.Finish(ctx); err != nil {
		return err
	}
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	t.Figure("wait_p50_microseconds", took[len(took)/2].Microseconds())
	t.Figure("wait_p99_microseconds", p99.Microseconds())
	t.Figure("wait_longest_microseconds", took[len(took)-1].Microseconds())
	if err := t.verify(ctx, &h.ledger, h.seed, h.path, t.Rand.IntN(2) == 0); err != nil {
		return err
	}
	if p99 > waiterLimit {
		return fmt.Errorf("who waited for a killed writer went on after %s (p99), not within %s", p99, waiterLimit)
	}
	return nil
}

// holding is a database in which one process holds the write lock.
type holding struct {
	t      *Trial
	path   string
	seed   uint64
	ledger Ledger
}

// hold starts a process that keeps a write transaction open. It is a writer that
// nobody else is, and its write is never acknowledged.
func (h *holding) hold(ctx context.Context, writer int) (*Child, error) {
	child, err := h.t.Child(ctx, "hold", writeConfig{Path: h.path, Seed: h.seed, FirstWriter: writer}, nil)
	if err != nil {
		return nil, err
	}
	begun, err := child.Next(ctx)
	if err == nil {
		_, err = h.ledger.Line(begun.Text)
	}
	if err == nil {
		_, err = child.Expect(ctx, "holding")
	}
	return child, err
}

func (h *holding) once(ctx context.Context, waiter *Child, n int) (time.Duration, error) {
	holder, err := h.hold(ctx, 1+n) // the waiter is writer 0
	if err != nil {
		return 0, err
	}
	waiter.Say("write")
	begun, err := waiter.Next(ctx)
	if err == nil {
		_, err = h.ledger.Line(begun.Text)
	}
	// Waits of another length: what a waiter does between its looks differs.
	if err == nil {
		err = sleep(ctx, time.Duration(h.t.Rand.IntN(400))*time.Millisecond)
	}
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := holder.Kill(); err != nil {
		return 0, err
	}
	acked, err := waiter.Next(ctx)
	if err == nil {
		_, err = h.ledger.Line(acked.Text)
	}
	return acked.At.Sub(start), err
}

// holdRole begins a write transaction, inserts, tells "holding", and keeps it
// until the parent says "commit" or is gone.
func holdRole(ctx context.Context, p *Parent, config json.RawMessage) (err error) {
	var c writeConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return err
	}
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	x := newWrite(c.Seed, c.FirstWriter, 1)
	if err := p.Tell("%s %d %d", lineBegin, x.writer, x.seq); err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := insertRows(ctx, tx, x.rows()); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := p.Tell("holding"); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	switch line, err := p.Next(ctx); {
	case err != nil:
		if e := tx.Rollback(); !errors.Is(e, sql.ErrTxDone) { // the end of ctx has rolled back
			return e
		}
		return nil
	case line != "commit":
		return errors.Join(fmt.Errorf("the parent said %q", line), tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return p.Tell("%s %d %d %s", answer(ctx, err), x.writer, x.seq, err)
	}
	return p.Tell("%s %d %d", lineAck, x.writer, x.seq)
}

// writeWhenToldRole makes one write for each "write" that the parent says.
func writeWhenToldRole(ctx context.Context, p *Parent, config json.RawMessage) (err error) {
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
	for seq := uint64(1); ; seq++ {
		line, err := p.Next(ctx)
		switch {
		case err != nil:
			return nil // enough
		case line != "write":
			return fmt.Errorf("the parent said %q", line)
		}
		if err := w.told(ctx, newWrite(c.Seed, c.FirstWriter, seq)); err != nil {
			return err
		}
	}
}

// told makes a write, tells what became of it, and of an error also who was in
// the way.
func (w *writing) told(ctx context.Context, x write) error {
	if err := w.parent.Tell("%s %d %d", lineBegin, x.writer, x.seq); err != nil {
		return err
	}
	err := w.commit(ctx, x, x.rows())
	if err == nil {
		return w.parent.Tell("%s %d %d", lineAck, x.writer, x.seq)
	}
	holder := 0
	if e, ok := errors.AsType[*holdfast.Error](err); ok && e.Holder != nil {
		holder = e.Holder.PID
	}
	if err := w.parent.Tell("%s %d %d", answer(ctx, err), x.writer, x.seq); err != nil {
		return err
	}
	return w.parent.Tell("error busy=%t holder=%d %s", errors.Is(err, holdfast.ErrBusy), holder, err)
}
