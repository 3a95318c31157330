package torture

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/holdfastdb/holdfast"
)

// clientsConfig is what a child in the role "clients" is told.
type clientsConfig struct {
	Path        string `json:"path"`
	Seed        uint64 `json:"seed"`
	FirstClient int    `json:"first_client"`
	Clients     int    `json:"clients"`
	Actions     int    `json:"actions"` // of each client
	Synchronous string `json:"synchronous"`
	Sabotage    string `json:"sabotage"`
}

// clientsRole acts on the registers and the list, and tells before and after.
func clientsRole(ctx context.Context, p *Parent, config json.RawMessage) (err error) {
	var c clientsConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return err
	}
	db, err := (&writeConfig{Path: c.Path, Synchronous: c.Synchronous, Sabotage: c.Sabotage}).open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	errs := make([]error, c.Clients)
	var all sync.WaitGroup
	for i := range c.Clients {
		all.Go(func() {
			k := &client{db: db, parent: p, id: c.FirstClient + i, rand: rand.New(rand.NewPCG(c.Seed, uint64(i)))}
			for range c.Actions {
				if errs[i] == nil {
					errs[i] = k.act(ctx)
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

type client struct {
	db     *database
	parent *Parent
	id     int
	rand   *rand.Rand
	seen   [registers]int64 // what it read last, so that a swap has a chance
}

// act does one thing. The error is the pipe's.
func (k *client) act(ctx context.Context) error {
	e := event{register: k.rand.IntN(registers), new: k.rand.Int64()}
	e.old = k.seen[e.register]
	e.act = []action{actRead, actRead, actRead, actWrite, actSwap, actSwap, actAppend, actCount}[k.rand.IntN(8)]
	if err := k.parent.Tell("c %d %s %d %d %d %d", k.id, e.act, e.register, e.old, e.new, now()); err != nil {
		return err
	}
	value, err := k.do(ctx, e)
	at := now()
	if err != nil {
		outcome := "none"
		if answer(ctx, err) == lineUnknown {
			outcome = "unknown"
		}
		return k.parent.Tell("x %d %s %s", k.id, outcome, err)
	}
	if e.act == actRead {
		k.seen[e.register] = value
	}
	return k.parent.Tell("d %d %d %d", k.id, at, value)
}

const (
	readRegister  = "SELECT value FROM register WHERE id = ?"
	writeRegister = "UPDATE register SET value = ? WHERE id = ?"
	appendList    = "INSERT INTO list(client) VALUES (?)"
	countList     = "SELECT count(*) FROM list"
)

// do does one thing, in one of the ways in which a program could.
func (k *client) do(ctx context.Context, e event) (value int64, err error) {
	switch e.act {
	case actRead:
		return k.read(ctx, readRegister, e.register)
	case actCount:
		return k.read(ctx, countList)
	case actWrite:
		if k.rand.IntN(2) == 0 {
			_, err = k.db.ExecContext(ctx, writeRegister, e.new, e.register)
		} else {
			_, err = k.db.Batch(ctx, []holdfast.Statement{{SQL: writeRegister, Args: []any{e.new, e.register}}})
		}
		return 0, err
	case actAppend:
		if k.rand.IntN(2) == 0 {
			r, err := k.db.Batch(ctx, []holdfast.Statement{{SQL: appendList, Args: []any{k.id}}})
			if err != nil {
				return 0, err
			}
			return r.Results[0].LastInsertID, nil
		}
		r, err := k.db.ExecContext(ctx, appendList, k.id)
		if err != nil {
			return 0, err
		}
		return r.LastInsertId()
	case actSwap:
		return k.swap(ctx, e)
	}
	return 0, fmt.Errorf("there is no action %q", e.act)
}

func (k *client) read(ctx context.Context, query string, args ...any) (value int64, err error) {
	switch k.rand.IntN(3) {
	case 0:
		err = k.db.View(ctx, func(tx *sql.Tx) error { return tx.QueryRowContext(ctx, query, args...).Scan(&value) })
	case 1:
		for row, e := range k.db.Rows(ctx, query, args...) {
			if e != nil {
				return 0, e
			}
			value = row.Int64(0)
		}
	default:
		err = k.db.QueryRowContext(ctx, query, args...).Scan(&value)
	}
	return value, err
}

// swap is a transaction that reads and then writes, on the writer or optimistic.
func (k *client) swap(ctx context.Context, e event) (done int64, err error) {
	var options []holdfast.TxOption
	if k.rand.IntN(2) == 0 {
		options = append(options, holdfast.Optimistic())
	}
	err = k.db.Update(ctx, func(tx *sql.Tx) error {
		done = 0
		var v int64
		if err := tx.QueryRowContext(ctx, readRegister, e.register).Scan(&v); err != nil || v != e.old {
			return err
		}
		done = 1
		_, err := tx.ExecContext(ctx, writeRegister, e.new, e.register)
		return err
	}, options...)
	return done, err
}
