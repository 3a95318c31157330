package holdfast_test

import (
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/holdfastdb/holdfast"
)

// What one unit says about foreign keys is not what the next one meets, whether they
// share a COMMIT or a connection: SQLite ignores PRAGMA foreign_keys inside of a
// transaction, and PRAGMA defer_foreign_keys ends with it.
func TestForeignKeysOfOthersStayOn(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, `CREATE TABLE parent(id INTEGER PRIMARY KEY);
		CREATE TABLE child(who TEXT, p INTEGER NOT NULL REFERENCES parent);
		INSERT INTO parent VALUES (1)`)
	const insert = "INSERT INTO child VALUES (?, ?)"
	violates := func(err error) bool { return err != nil && strings.Contains(err.Error(), "FOREIGN KEY") }
	kinds := map[string]func(who string) error{
		"a pragma without effect": func(who string) error {
			return db.Update(ctx(), func(tx *sql.Tx) error {
				must(t, tx, "PRAGMA foreign_keys=OFF")
				if _, err := tx.Exec(insert, who, 99); !violates(err) {
					t.Errorf("%s: %v", who, err)
				}
				_, err := tx.Exec(insert, who, 1)
				return err
			})
		},
		"deferred": func(who string) error {
			return db.Update(ctx(), func(tx *sql.Tx) error {
				must(t, tx, "PRAGMA defer_foreign_keys=ON")
				must(t, tx, insert, who, 98)
				_, err := tx.Exec("UPDATE child SET p = 1 WHERE who = ?", who)
				return err
			})
		},
		"deferred in a batch": func(who string) error {
			_, err := db.Batch(ctx(), []holdfast.Statement{
				{SQL: "PRAGMA defer_foreign_keys=ON"},
				{SQL: insert, Args: []any{who, 97}},
				{SQL: "UPDATE child SET p = 1 WHERE who = ?", Args: []any{who}},
			})
			return err
		},
		"deferred and violated": func(who string) error {
			_, err := db.Batch(ctx(), []holdfast.Statement{{SQL: "PRAGMA defer_foreign_keys=ON"}, {SQL: insert, Args: []any{who, 96}}})
			if !violates(err) {
				t.Errorf("%s: %v", who, err)
			}
			_, err = db.Exec(insert, who, 1)
			return err
		},
		"violated at COMMIT": func(who string) error {
			err := db.Update(ctx(), func(tx *sql.Tx) error {
				must(t, tx, "PRAGMA defer_foreign_keys=ON")
				must(t, tx, insert, who, 93)
				return nil
			})
			if !violates(err) {
				t.Errorf("%s: %v", who, err)
			}
			_, err = db.Exec(insert, who, 1)
			return err
		},
		"told at once": func(who string) error {
			return db.Update(ctx(), func(tx *sql.Tx) error {
				if _, err := tx.Exec(insert, who, 95); !violates(err) {
					t.Errorf("%s: %v", who, err)
				}
				_, err := tx.Exec(insert, who, 1)
				return err
			})
		},
		"a statement": func(who string) error {
			if _, err := db.Exec(insert, who, 94); !violates(err) {
				t.Errorf("%s: %v", who, err)
			}
			_, err := db.Exec(insert, who, 1)
			return err
		},
	}
	const rounds = 20
	var all sync.WaitGroup
	for kind, write := range kinds {
		all.Go(func() {
			for i := range rounds {
				if err := write(fmt.Sprintf("%s %d", kind, i)); err != nil {
					t.Errorf("%s: %v", kind, err)
				}
			}
		})
	}
	all.Wait()
	if n := number(t, db, "SELECT count(DISTINCT who) FROM child"); n != int64(rounds*len(kinds)) {
		t.Errorf("%d of %d", n, rounds*len(kinds))
	}
	if n := number(t, db, "SELECT count(*) FROM pragma_foreign_key_check"); n != 0 {
		t.Errorf("%d violations", n)
	}
}
