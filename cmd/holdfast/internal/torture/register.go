package torture

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/holdfastdb/holdfast"
)

func linearizableRegisters() Scenario {
	return Scenario{
		Name: "histories",
		About: "processes read, write and swap registers and append to a list, and some are killed: the histories are linearizable " +
			"(porcupine), and the list has one order",
		Tier:     Quick,
		Sabotage: []string{NoLocks},
		Run:      runHistories,
	}
}

// The history of one database. Short, because the check of a longer one takes
// more than its share of the time, and many short ones have more endings.
const (
	registers        = 4
	historyProcesses = 4
	historyClients   = 4 // of each process
	historyActions   = 60
)

const createRegisters = `CREATE TABLE register(id INTEGER PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE list(id INTEGER PRIMARY KEY, client INTEGER NOT NULL);
INSERT INTO register(id, value) VALUES (0, 0), (1, 0), (2, 0), (3, 0)`

func runHistories(ctx context.Context, t *Trial) error {
	for n := range t.Rounds(12, 200, 2000) {
		path := filepath.Join(t.Dir, fmt.Sprintf("%d.db", n))
		if err := oneHistory(ctx, t, path); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		t.Count("histories", 1)
	}
	return nil
}

func oneHistory(ctx context.Context, t *Trial, path string) error {
	db, err := holdfast.Open(ctx, path)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, createRegisters)
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	h := new(history)
	g := &generation{t: t}
	var children []*Child
	for p := range historyProcesses {
		c, err := t.Child(ctx, "clients", clientsConfig{
			Path: path, Seed: t.Rand.Uint64(), FirstClient: p * historyClients, Clients: historyClients, Actions: historyActions,
			Synchronous: []string{"FULL", "NORMAL"}[t.Rand.IntN(2)], Sabotage: t.Sabotage,
		}, func(l Line) {
			_, err := h.line(l.Text)
			g.fail(err)
		})
		if err != nil {
			return err
		}
		children = append(children, c)
	}
	// One of them dies at some moment, every other time.
	if t.Rand.IntN(2) == 0 {
		victim := children[t.Rand.IntN(len(children))]
		if err := sleep(ctx, time.Duration(20+t.Rand.IntN(150))*time.Millisecond); err != nil {
			return err
		}
		if err := victim.Kill(); err != nil {
			return err
		}
		t.Count("kills", 1)
	}
	for _, c := range children {
		select {
		case <-c.Done():
			if err := c.Kill(); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := g.failure(); err != nil {
		return err
	}
	return judgeHistory(ctx, t, h, path)
}

func judgeHistory(ctx context.Context, t *Trial, h *history, path string) error {
	answered := int64(0)
	for _, e := range h.events {
		if e.answered {
			answered++
		}
	}
	t.Count("actions", answered)
	t.Count("unanswered_actions", int64(len(h.events))-answered)
	if len(h.errs) > 0 {
		return fmt.Errorf("actions failed: %q", h.errs[:min(3, len(h.errs))])
	}
	if err := errors.Join(h.linearizable(time.Minute), h.ordered()); err != nil {
		return err
	}
	return sameAsToldList(ctx, h, path)
}

// sameAsToldList compares the list with what was told about it: no place is empty,
// and each that was told is there.
func sameAsToldList(ctx context.Context, h *history, path string) (err error) {
	db, err := holdfast.Open(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := integrity(ctx, db); err != nil {
		return err
	}
	var n, last int64
	if err := db.QueryRowContext(ctx, "SELECT count(*), coalesce(max(id), 0) FROM list").Scan(&n, &last); err != nil {
		return err
	}
	if n != last {
		return fmt.Errorf("the list has %d entries, and the last place is %d", n, last)
	}
	for _, e := range h.events {
		if e.act == actAppend && e.answered && e.value > last {
			return fmt.Errorf("an append was told place %d, and the list has %d", e.value, last)
		}
	}
	return nil
}
