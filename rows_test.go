package holdfast_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// all reads rows through Collect's sibling for tests: every value of every row.
func all(t *testing.T, rows iter.Seq2[*holdfast.Row, error]) (out [][]any) {
	t.Helper()
	for row, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
		var values []any
		for i := range row.Len() {
			values = append(values, row.Value(i))
		}
		out = append(out, values)
	}
	return out
}

// The first row of a result is held in Go's memory and the others are the
// engine's: what a row says must not depend on which it is.
func TestRowsReadEveryType(t *testing.T) {
	t.Parallel()
	db := open(t)
	ctx := context.Background()
	const values = "SELECT 42, 2.5, 'text', x'00ff', NULL, '', x'', '17', '2.75', 1e300, -3.9"
	for row, err := range db.Rows(ctx, values+" UNION ALL "+values+" UNION ALL "+values) {
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := range row.Len() + 2 {
			got = append(got, fmt.Sprintf("%s %d %g %q %q nil=%v null=%v", row.Type(i), row.Int64(i), row.Float64(i), row.Text(i), row.Bytes(i), row.Bytes(i) == nil, row.IsNull(i)))
		}
		want := []string{
			`INTEGER 42 42 "42" "42" nil=false null=false`,
			`REAL 2 2.5 "2.5" "2.5" nil=false null=false`,
			`TEXT 0 0 "text" "text" nil=false null=false`,
			`BLOB 0 0 "\x00\xff" "\x00\xff" nil=false null=false`,
			`NULL 0 0 "" "" nil=true null=true`,
			`TEXT 0 0 "" "" nil=false null=false`,
			`BLOB 0 0 "" "" nil=false null=false`,
			`TEXT 17 17 "17" "17" nil=false null=false`,
			`TEXT 0 2.75 "2.75" "2.75" nil=false null=false`,
			fmt.Sprintf(`REAL %d 1e+300 "1e+300" "1e+300" nil=false null=false`, math.MaxInt64),
			`REAL -3 -3.9 "-3.9" "-3.9" nil=false null=false`,
			`NULL 0 0 "" "" nil=true null=true`,
			`NULL 0 0 "" "" nil=true null=true`,
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
	}
}

func TestRowsBindsArguments(t *testing.T) {
	t.Parallel()
	db := open(t)
	ctx := context.Background()
	when := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	got := all(t, db.Rows(ctx, "SELECT ?, ?, ?, ?, ?, ?, ?, ?", 1, int64(2), "three", []byte("four"), 5.5, nil, true, uint8(8)))
	want := [][]any{{int64(1), int64(2), "three", []byte("four"), 5.5, nil, int64(1), int64(8)}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	got = all(t, db.Rows(ctx, "SELECT :a, ?2, @b, typeof($c)", sql.Named("a", "A"), "second", sql.Named("b", sql.NullInt64{}), sql.Named("c", when)))
	if want := [][]any{{"A", "second", nil, "text"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	if got := all(t, db.Rows(ctx, "SELECT ?1, ?1", 7, "extra arguments are ignored")); !reflect.DeepEqual(got, [][]any{{int64(7), int64(7)}}) {
		t.Errorf("%v", got)
	}
}

func TestRowsRunAnewAndEndEarly(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3)")
	rows := db.Rows(context.Background(), "SELECT a FROM t ORDER BY a")
	for most := 1; most < 3; most++ {
		n := 0
		for _, err := range rows {
			if n++; err != nil || n == most {
				break
			}
		}
		if n != most {
			t.Errorf("the loop ended after %d rows", n)
		}
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is gone")
			}
		}()
		for row, err := range rows {
			if err != nil || row.Int64(0) == 2 {
				panic("in the loop")
			}
		}
	}()
	must(t, db, "DELETE FROM t WHERE a = 2")
	if got := all(t, rows); !reflect.DeepEqual(got, [][]any{{int64(1)}, {int64(3)}}) {
		t.Errorf("%v", got)
	}
	if got := all(t, db.Rows(context.Background(), "SELECT a FROM t WHERE a = 9")); got != nil {
		t.Errorf("%v", got)
	}
	if s := db.Stats(); s.Readers.InUse != 0 {
		t.Errorf("%d readers are out", s.Readers.InUse)
	}
}

func TestRowsFail(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3)")
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		ctx  context.Context
		sql  string
		args []any
		want error
		rows int
	}{
		{cancelled, "SELECT 1", nil, context.Canceled, 0},
		{nil, "SELEC 1", nil, nil, 0},
		{nil, "SELECT * FROM nowhere", nil, nil, 0},
		{nil, "", nil, holdfast.ErrInvalid, 0},
		{nil, "SELECT 1; SELECT 2", nil, holdfast.ErrInvalid, 0},
		{nil, "SELECT ?", nil, holdfast.ErrInvalid, 0},
		{nil, "SELECT ?", []any{make(chan int)}, holdfast.ErrInvalid, 0},
		{nil, "SELECT '\x00'", nil, holdfast.ErrInvalid, 0},
		{nil, "INSERT INTO t VALUES (4) RETURNING a", nil, holdfast.ErrRefused, 0},
		{nil, "BEGIN", nil, holdfast.ErrRefused, 0},
		{nil, "PRAGMA foreign_keys=0", nil, holdfast.ErrRefused, 0},
		{nil, "SELECT abs(-9223372036854775807 - (a > 2)) FROM t", nil, nil, 2},
		{nil, "SELECT abs(-9223372036854775807 - (a > 1)) FROM t", nil, nil, 1},
	} {
		if c.ctx == nil {
			c.ctx = context.Background()
		}
		rows, errs := 0, 0
		for row, err := range db.Rows(c.ctx, c.sql, c.args...) {
			if err == nil {
				rows++
				continue
			}
			errs++
			var e *holdfast.Error
			if row != nil || c.want != nil && !errors.Is(err, c.want) || c.ctx != cancelled && !errors.As(err, &e) {
				t.Errorf("%s: %v", c.sql, err)
			}
		}
		if rows != c.rows || errs != 1 {
			t.Errorf("%s: %d rows and %d errors", c.sql, rows, errs)
		}
	}
	if got := all(t, db.Rows(context.Background(), "SELECT count(*) FROM t; -- and a comment")); !reflect.DeepEqual(got, [][]any{{int64(3)}}) {
		t.Errorf("%v", got)
	}
	if s := db.Stats(); s.Readers.InUse != 0 {
		t.Errorf("%d readers are out", s.Readers.InUse)
	}
}

func TestRowsEndWithTheContext(t *testing.T) {
	t.Parallel()
	db := open(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var last error
	for row, err := range db.Rows(ctx, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n") {
		if last = err; err == nil && row.Int64(0) == 10 {
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("%v", last)
	}
}

// A row that is kept by mistake must not show what another query reads with the
// same statement.
func TestRowKeptAfterTheLoop(t *testing.T) {
	t.Parallel()
	db := open(t, holdfast.WithReaders(1))
	const query = "SELECT ?1 UNION ALL SELECT ?2 UNION ALL SELECT ?3"
	for _, last := range []int64{2, 3} {
		var kept *holdfast.Row
		for row, err := range db.Rows(context.Background(), query, 1, 2, 3) {
			if err != nil {
				t.Fatal(err)
			}
			if kept = row; row.Int64(0) == last {
				break
			}
		}
		for row, err := range db.Rows(context.Background(), query, 7, 8, 9) {
			if err != nil || row == kept || !kept.IsNull(0) || kept.Value(0) != nil {
				t.Errorf("%v, %v", kept.Value(0), err)
			}
		}
	}
}

// Steps that take hardly any instructions end with the context all the same.
func TestShortRowsEndWithTheContext(t *testing.T) {
	t.Parallel()
	db := open(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	rows, errs := 0, 0
	for _, err := range db.Rows(ctx, "VALUES (1), (2), (3), (4)") {
		if err == nil {
			rows++
			cancel()
		} else if errs++; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
	// The second row was read before the first was shown.
	if rows != 2 || errs != 1 {
		t.Errorf("%d rows and %d errors", rows, errs)
	}
}

// Loops that query in their body must not wait for each other, neither with
// short nor with long results.
func TestNestedRowsDoNotStarve(t *testing.T) {
	t.Parallel()
	db := open(t, holdfast.WithReaders(4))
	must(t, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20) INSERT INTO t SELECT i, 0 FROM n")
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			ctx := context.Background()
			for row, err := range db.Rows(ctx, "SELECT a FROM t") {
				if err != nil {
					t.Error(err)
					return
				}
				for inner, err := range db.Rows(ctx, "SELECT b FROM t WHERE a = ?", row.Int64(0)) {
					if err != nil || inner.IsNull(0) {
						t.Error(err)
						return
					}
					if _, err := db.ExecContext(ctx, "UPDATE t SET b = b + 1 WHERE a = ?", row.Int64(0)); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if got := all(t, db.Rows(context.Background(), "SELECT sum(b) FROM t")); !reflect.DeepEqual(got, [][]any{{int64(24 * 20)}}) {
		t.Errorf("%v", got)
	}
}

func TestRowsAreReportedAndEvicted(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	seen := make(chan string, 64)
	log.onLine = func(s string) { seen <- s }
	db := open(t, holdfast.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
		holdfast.WithLeakThreshold(5*time.Millisecond), holdfast.WithMaxLeaseAge(20*time.Millisecond))
	must(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3)")
	await := func(what string) {
		for line := range seen {
			if strings.Contains(line, what) && strings.Contains(line, "kind=rows") && strings.Contains(line, "rows_test.go:") {
				return
			}
		}
	}
	var last error
	n := 0
	for _, err := range db.Rows(context.Background(), "SELECT a FROM t") {
		last = err
		if n++; n == 1 {
			await("never closed")
			await("held longer than allowed")
		}
	}
	if !errors.Is(last, holdfast.ErrEvicted) {
		t.Errorf("%v", last)
	}
	if n := db.Stats().Evictions; n != 1 {
		t.Errorf("%d evictions", n)
	}
}

func TestRowsSeeTheNewestState(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES (0)")
	ctx := context.Background()
	for i := range int64(300) {
		if _, err := db.ExecContext(ctx, "UPDATE t SET a = a + 1"); err != nil {
			t.Fatal(err)
		}
		for range i % 3 {
			if got := all(t, db.Rows(ctx, "SELECT a FROM t")); got[0][0] != i+1 {
				t.Fatalf("read %v after %d", got[0][0], i+1)
			}
		}
	}
}

type person struct {
	ID     int64
	Name   string `db:"full_name"`
	Email  *string
	Score  float32
	Active bool
	Born   time.Time
	Photo  []byte
	Note   sql.NullString
	Any    any
	address
}

// levels has an X at two depths; the nearer one is meant, as in Go.
type levels struct {
	mid
	other
}

type mid struct{ inner }

type inner struct{ X, Y int }

type other struct{ X int }

type address struct {
	Street string
	Zip    uint16 `db:"zip"`
	Secret string `db:"-"`
}

func TestCollect(t *testing.T) {
	t.Parallel()
	db := open(t)
	ctx := context.Background()
	const sqlText = `SELECT 7 AS id, 'Ada' AS full_name, 'ada@example.org' AS EMAIL, 1.5 AS score, 1 AS active,
	'2026-01-02 03:04:05+00:00' AS born, x'01' AS photo, NULL AS note, 3 AS "any", 'Main' AS street, 1010 AS zip
	UNION ALL SELECT 8, 'Bob', NULL, 2, 0, '2026-01-02', NULL, 'n', NULL, '', 0`
	got, err := holdfast.Collect[person](db.Rows(ctx, sqlText))
	if err != nil {
		t.Fatal(err)
	}
	email := "ada@example.org"
	want := []person{
		{ID: 7, Name: "Ada", Email: &email, Score: 1.5, Active: true, Born: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Photo: []byte{1}, Any: int64(3), address: address{Street: "Main", Zip: 1010}},
		{ID: 8, Name: "Bob", Score: 2, Born: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), Note: sql.NullString{String: "n", Valid: true}},
	}
	for i := range got {
		got[i].Born = got[i].Born.UTC()
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got, err := holdfast.Collect[levels](db.Rows(ctx, "SELECT 1 AS x, 2 AS y")); err != nil || got[0].other.X != 1 || got[0].Y != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := holdfast.Collect[string](db.Rows(ctx, "SELECT 'a' UNION ALL SELECT 'b'")); err != nil || !reflect.DeepEqual(got, []string{"a", "b"}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := holdfast.Collect[*int](db.Rows(ctx, "SELECT NULL UNION ALL SELECT 5")); err != nil || got[0] != nil || *got[1] != 5 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := holdfast.Collect[int](db.Rows(ctx, "SELECT 1 WHERE 0")); err != nil || got == nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestWhatDoesNotFitIsAnErrorWithoutTheValue(t *testing.T) {
	t.Parallel()
	db := open(t)
	ctx := context.Background()
	type narrow struct{ A int8 }
	type Recursive struct {
		*Recursive
		A int
	}
	check := func(name string, err error) {
		t.Helper()
		if !errors.Is(err, holdfast.ErrInvalid) || strings.Contains(err.Error(), "4711") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := holdfast.Collect[narrow](db.Rows(ctx, "SELECT 4711 AS a"))
	check("overflow", err)
	_, err = holdfast.Collect[narrow](db.Rows(ctx, "SELECT 'hunter2' AS a"))
	check("text", err)
	_, err = holdfast.Collect[narrow](db.Rows(ctx, "SELECT NULL AS a"))
	check("NULL", err)
	_, err = holdfast.Collect[narrow](db.Rows(ctx, "SELECT 1 AS a, 4711 AS b"))
	check("no field", err)
	_, err = holdfast.Collect[Recursive](db.Rows(ctx, "SELECT 1 AS b"))
	check("recursive", err)
	_, err = holdfast.Collect[address](db.Rows(ctx, "SELECT 'hunter2' AS \"-\""))
	check("excluded", err)
	_, err = holdfast.Collect[narrow](db.Rows(ctx, "SELECT 1 AS a, 2 AS A"))
	check("one field, two columns", err)
	_, err = holdfast.Collect[float64](db.Rows(ctx, "SELECT 9007199254740993"))
	check("lost digits", err)
	_, err = holdfast.Collect[int](db.Rows(ctx, "SELECT 1, 2"))
	check("two columns", err)
	_, err = holdfast.Collect[bool](db.Rows(ctx, "SELECT 4711"))
	check("bool", err)
	_, err = holdfast.Collect[time.Time](db.Rows(ctx, "SELECT 'hunter2'"))
	check("time", err)
	_, err = holdfast.Collect[uint](db.Rows(ctx, "SELECT -4711"))
	check("negative", err)
	_, err = holdfast.Collect[int](db.Rows(ctx, "SELECT 4711.5"))
	check("fraction", err)
	for row, err := range db.Rows(ctx, "SELECT 1, 'hunter2'") {
		if err != nil {
			t.Fatal(err)
		}
		var n int
		var s string
		check("one variable", row.Scan(&n))
		check("no pointer", row.Scan(n, &s))
		check("nil", row.Scan((*int)(nil), &s))
		check("text", row.Scan(&n, &n))
		if err := row.Scan(&n, &s); err != nil || n != 1 || s != "hunter2" {
			t.Error(n, s, err)
		}
	}
	got, err := holdfast.Collect[Recursive](db.Rows(ctx, "SELECT 1 AS a"))
	if err != nil || got[0].A != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestRowsOfAReadOnlyHandle(t *testing.T) {
	t.Parallel()
	db := open(t)
	must(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2)")
	ro, err := holdfast.Open(context.Background(), db.Path(), holdfast.WithReadOnly())
	if err != nil {
		t.Fatal(err)
	}
	if got := all(t, ro.Rows(context.Background(), "SELECT a FROM t")); len(got) != 2 {
		t.Errorf("%v", got)
	}
	if err := ro.Close(); err != nil {
		t.Error(err)
	}
}

func ExampleDB_Rows() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()
	if _, err := db.ExecContext(ctx, "INSERT INTO account(owner, cents) VALUES ('ada', 500), ('bob', 20)"); err != nil {
		fmt.Println(err)
		return
	}
	for row, err := range db.Rows(ctx, "SELECT owner, cents FROM account WHERE cents > ? ORDER BY owner", 10) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(row.Text(0), row.Int64(1))
	}
	// Output:
	// ada 500
	// bob 20
}

func ExampleCollect() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()
	if _, err := db.ExecContext(ctx, "INSERT INTO account(owner, cents) VALUES ('ada', 500), ('bob', 20)"); err != nil {
		fmt.Println(err)
		return
	}
	type account struct {
		Owner string
		Cents int64
	}
	accounts, err := holdfast.Collect[account](db.Rows(ctx, "SELECT owner, cents FROM account ORDER BY owner"))
	fmt.Println(accounts, err)
	// Output: [{ada 500} {bob 20}] <nil>
}

// Whoever still reads or writes when the handle is closed is told so, and not
// that it has taken too long.
func TestCloseUnderALease(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(db *holdfast.DB, closing func()) error{
		"DB.Rows": func(db *holdfast.DB, closing func()) error {
			for _, err := range db.Rows(ctx(), endless+"SELECT i FROM n") {
				if err != nil {
					return err
				}
				closing()
			}
			return nil
		},
		"Query": func(db *holdfast.DB, closing func()) error {
			rows, err := db.Query(endless + "SELECT i FROM n")
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				closing()
			}
			return rows.Err()
		},
		"Tx": func(db *holdfast.DB, closing func()) error {
			tx, err := db.Begin()
			if err != nil {
				return err
			}
			defer tx.Rollback()
			closing()
			for err == nil {
				_, err = tx.Exec("CREATE TABLE IF NOT EXISTS t(a)")
			}
			return err
		},
	} {
		db := open(t)
		var all sync.WaitGroup
		closing := sync.OnceFunc(func() { // not by the reader itself: Close waits for it to come to its next row
			all.Go(func() {
				if err := db.Close(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		})
		if err := use(db, closing); !errors.Is(err, holdfast.ErrClosed) || strings.Contains(err.Error(), "max_lease_age") {
			t.Errorf("%s: %v", name, err)
		}
		all.Wait()
	}
}
