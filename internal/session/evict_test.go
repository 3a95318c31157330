package session

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// prey runs transactions that a watchdog ends at any moment.
type prey struct {
	*bench
	acknowledged, ended atomic.Int64
}

// The watchdog ends transactions from a goroutine of its own while theirs use
// them: run with -race.
func TestEvictionRaces(t *testing.T) {
	t.Parallel()
	p := &prey{bench: newBench(t)}
	p.numbered(200)
	stop := make(chan struct{})
	var watch, wg sync.WaitGroup
	watch.Go(func() { p.hunt(stop) })
	work := []func() error{
		func() error { return p.write(sql.LevelDefault) },
		func() error { return p.write(sql.LevelSnapshot) },
		p.read,
		p.textual,
	}
	for i := range 6 {
		wg.Go(func() {
			for range 60 {
				if err := work[i%len(work)](); err != nil {
					p.ended.Add(1)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	watch.Wait()
	if v := p.number(p, "SELECT v FROM t WHERE id = 1"); v != p.acknowledged.Load() {
		t.Errorf("%d updates are there, %d were acknowledged", v, p.acknowledged.Load())
	}
	t.Logf("%d acknowledged, %d ended", p.acknowledged.Load(), p.ended.Load())
}

func (p *prey) hunt(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
			later := time.Now().Add(time.Hour)
			p.locks.Overdue(later, 0)
			p.locks.Snapshot()
			p.locks.EvictOlder(later, 0)
		}
	}
}

const bump = "UPDATE t SET v = v + 1 WHERE id = 1"

func (p *prey) write(level sql.IsolationLevel) error {
	tx, err := p.BeginTx(context.Background(), &sql.TxOptions{Isolation: level})
	if err != nil {
		p.t.Errorf("begin: %v", err) // nothing has been taken from it yet
		return nil
	}
	defer func() { _ = tx.Rollback() }() // over already, or nothing is kept
	rows, err := tx.Query("SELECT id FROM t")
	if err != nil {
		return err
	}
	defer rows.Close()
	rows.Next()
	if _, err = tx.Exec(bump); err != nil {
		return err
	}
	if err = tx.Commit(); err == nil {
		p.acknowledged.Add(1)
	}
	return err
}

func (p *prey) read() error {
	tx, err := p.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		p.t.Errorf("begin: %v", err)
		return nil
	}
	defer func() { _ = tx.Rollback() }() // over already, or nothing is kept
	rows, err := tx.Query("SELECT id FROM t")
	if err != nil {
		return err
	}
	n, err := drainRows(rows)
	if err == nil && n != 200 {
		p.t.Errorf("%d rows and no error", n)
	}
	return err
}

func (p *prey) textual() error {
	ctx := context.Background()
	c, err := p.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.ExecContext(ctx, "BEGIN"); err != nil {
		p.t.Errorf("begin: %v", err)
		return nil
	}
	_, err = c.ExecContext(ctx, bump)
	if err == nil {
		_, err = c.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		_, _ = c.ExecContext(ctx, "ROLLBACK") // COMMIT may have ended it
		return err
	}
	p.acknowledged.Add(1)
	return nil
}
