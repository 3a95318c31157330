package conformance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfastdb/holdfast"
)

// shop is a small order system, as a program would have it that knows nothing of where its
// database is. All that it decides by is in its statements, so it needs no transaction that
// waits for it.
type shop struct {
	db                      *holdfast.DB
	article, orders, ledger string
	keys                    string // what its idempotency keys begin with, so that those of another run are others
}

var errSoldOut = errors.New("sold out")

func newShop(ctx context.Context, db *holdfast.DB, name string) (*shop, error) {
	s := &shop{db, name + "_article", name + "_orders", name + "_ledger", rand.Text()}
	if err := s.close(ctx); err != nil { // what a run that was ended has left
		return nil, err
	}
	_, err := db.Batch(ctx, []holdfast.Statement{
		{SQL: "CREATE TABLE " + s.article + "(id INTEGER PRIMARY KEY, name TEXT NOT NULL, price INTEGER NOT NULL, stock INTEGER NOT NULL CHECK (stock >= 0))"},
		{SQL: "CREATE TABLE " + s.orders + "(id TEXT PRIMARY KEY, customer TEXT NOT NULL, article INTEGER NOT NULL, number INTEGER NOT NULL, amount INTEGER NOT NULL)"},
		{SQL: "CREATE TABLE " + s.ledger + "(orders TEXT NOT NULL UNIQUE, amount INTEGER NOT NULL)"},
	})
	return s, err
}

func (s *shop) close(ctx context.Context) error {
	var list []holdfast.Statement
	for _, table := range []string{s.article, s.orders, s.ledger} {
		list = append(list, holdfast.Statement{SQL: "DROP TABLE IF EXISTS " + table})
	}
	_, err := s.db.Batch(ctx, list)
	return err
}

// order sells number of an article, once for its id, however often it is called.
func (s *shop) order(ctx context.Context, id, customer string, article, number int) error {
	_, err := s.db.Batch(ctx, []holdfast.Statement{
		{SQL: "UPDATE " + s.article + " SET stock = stock - ?1 WHERE id = ?2 AND stock >= ?1", Args: []any{number, article}, Expect: holdfast.Exactly(1)},
		{SQL: "INSERT INTO " + s.orders + " SELECT ?1, ?2, id, ?4, price * ?4 FROM " + s.article + " WHERE id = ?3", Args: []any{id, customer, article, number}, Expect: holdfast.Exactly(1)},
		{SQL: "INSERT INTO " + s.ledger + " SELECT id, amount FROM " + s.orders + " WHERE id = ?", Args: []any{id}, Expect: holdfast.Exactly(1)},
	}, holdfast.IdempotencyKey(s.keys+id))
	if errors.Is(err, holdfast.ErrGuardFailed) {
		return errSoldOut
	}
	return err
}

// figures are what was sold, what is left, and what came in.
func (s *shop) figures(ctx context.Context) (sold, left, income int, err error) {
	ctx = holdfast.WithReadLevel(ctx, holdfast.ReadLinearizable)
	err = s.db.QueryRowContext(ctx, "SELECT (SELECT coalesce(sum(number), 0) FROM "+s.orders+"), (SELECT sum(stock) FROM "+s.article+"), (SELECT coalesce(sum(amount), 0) FROM "+s.ledger+")").Scan(&sold, &left, &income)
	return sold, left, income, err
}

func testOrders(t *testing.T, db *holdfast.DB, table string) {
	const articles, stock, price, customers, each = 3, 20, 250, 8, 16
	s, err := newShop(t.Context(), db, table)
	if err != nil {
		t.Fatal(err)
	}
	for i := range articles {
		must(t, db, "INSERT INTO "+s.article+" VALUES (?, ?, ?, ?)", i+1, fmt.Sprintf("article %d", i+1), price, stock)
	}
	var wg sync.WaitGroup
	var sold, refused atomic.Int64
	for c := range customers {
		wg.Go(func() {
			for i := range each {
				id, number := fmt.Sprintf("%d-%d", c, i), 1+i%2
				err := s.order(t.Context(), id, fmt.Sprintf("customer %d", c), 1+i%articles, number)
				if err == nil && i%5 == 0 { // he presses the button twice
					err = s.order(t.Context(), id, fmt.Sprintf("customer %d", c), 1+i%articles, number)
				}
				switch {
				case err == nil:
					sold.Add(int64(number))
				case errors.Is(err, errSoldOut):
					refused.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	number, left, income, err := s.figures(t.Context())
	if err != nil || number != int(sold.Load()) || number+left != articles*stock || income != number*price || refused.Load() == 0 {
		t.Errorf("%d sold of %d that customers were told, %d left, income %d, %d refused (%v)", number, sold.Load(), left, income, refused.Load(), err)
	}
	if h, err := db.Health(t.Context()); err != nil || !h.DatabaseAccessible {
		t.Errorf("%+v (%v)", h, err)
	}
	path := filepath.Join(t.TempDir(), "shop.db")
	if info, err := db.Backup(t.Context(), path); err != nil || !info.Verified || info.Rows[s.ledger] != info.Rows[s.orders] {
		t.Errorf("%+v (%v)", info, err)
	}
	if err := s.close(t.Context()); err != nil {
		t.Error(err)
	}
}
