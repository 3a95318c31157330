package writer

import (
	"context"
	"errors"
	"testing"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// PRAGMA defer_foreign_keys lives until COMMIT. Whoever comes after a unit that has set it
// would be told of a violation at the end only, and not by the statement that makes it.
func TestDeferredForeignKeysEndWithTheirUnit(t *testing.T) {
	t.Parallel()
	const defers = "PRAGMA defer_foreign_keys=1"
	for name, unit := range map[string]struct {
		sql   string
		fails bool
	}{
		"that succeeds": {sql: defers + "; INSERT INTO led VALUES (1, 'a')"},
		"that fails":    {sql: defers + "; INSERT INTO led VALUES (1, 'a'), (1, 'b')", fails: true},
		"that violates": {sql: defers + "; INSERT INTO strict VALUES (99)", fails: true},
		"of one pragma": {sql: defers},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.commit(d.open()) // from now on its call site may join a group
			tx := d.open()
			first := d.behind(func() error { return d.do(context.Background(), unit.sql) })
			var refused error
			second := d.behind(func() error {
				return d.Do(context.Background(), Unit{Priority: Normal, SQL: "x", Run: func(c *sqlite.Conn) error {
					refused = c.Exec("INSERT INTO strict VALUES (98)")
					return nil
				}})
			})
			interactive := make(chan error, 1)
			third := d.behind(func() error {
				tx, err := d.begin(context.Background())
				if err != nil {
					return err
				}
				interactive <- tx.Conn().Exec("INSERT INTO strict VALUES (97)")
				_, err = tx.Rollback()
				return err
			})
			d.commit(tx)
			if err := <-first; (err != nil) != unit.fails {
				t.Errorf("the unit: %v", err)
			}
			if err := errors.Join(<-second, <-third); err != nil {
				t.Error(err)
			}
			for who, err := range map[string]error{"a unit": refused, "a transaction": <-interactive} {
				if sqlite.Code(err) != sqlite.ResultConstraintForeignKey {
					t.Errorf("%s behind it was not told of its violation: %v", who, err)
				}
			}
			d.want("SELECT count(*) FROM strict", "0")
			d.end()
		})
	}
}
