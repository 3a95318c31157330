package holdfast_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/holdfastdb/holdfast"
)

// benchDB has 10,000 rows of 4 columns.
func benchDB(b *testing.B) *holdfast.DB {
	db, err := holdfast.Open(context.Background(), filepath.Join(b.TempDir(), "b.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	if _, err := db.Exec("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, n INTEGER, x REAL)"); err != nil {
		b.Fatal(err)
	}
	err = db.Update(context.Background(), func(tx *sql.Tx) error {
		for i := 1; i <= 10000; i++ {
			if _, err := tx.Exec("INSERT INTO t VALUES(?,?,?,?)", i, fmt.Sprintf("name %d of the row", i), i*7, float64(i)/3); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return db
}

func BenchmarkReadPoint(b *testing.B) {
	db := benchDB(b)
	ctx := context.Background()
	var name string
	var n int64
	i := 0
	for b.Loop() {
		i++
		if err := db.QueryRowContext(ctx, "SELECT name, n FROM t WHERE id = ?", i%10000+1).Scan(&name, &n); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	db := benchDB(b)
	ctx := context.Background()
	for b.Loop() {
		rows, err := db.QueryContext(ctx, "SELECT id, name, n, x FROM t")
		if err != nil {
			b.Fatal(err)
		}
		var id, n int64
		var name string
		var x float64
		c := 0
		for rows.Next() {
			if err := rows.Scan(&id, &name, &n, &x); err != nil {
				b.Fatal(err)
			}
			c++
		}
		rows.Close()
		if c != 10000 {
			b.Fatal(c)
		}
	}
}

func BenchmarkRowsPoint(b *testing.B) {
	db := benchDB(b)
	ctx := context.Background()
	i := 0
	for b.Loop() {
		i++
		for row, err := range db.Rows(ctx, "SELECT name, n FROM t WHERE id = ?", i%10000+1) {
			if err != nil || row.Int64(1) == 0 || len(row.Bytes(0)) == 0 {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkRowsScan(b *testing.B) {
	db := benchDB(b)
	ctx := context.Background()
	for b.Loop() {
		c := 0
		var sum float64
		for row, err := range db.Rows(ctx, "SELECT id, name, n, x FROM t") {
			if err != nil {
				b.Fatal(err)
			}
			sum += float64(row.Int64(0)) + float64(len(row.Bytes(1))) + float64(row.Int64(2)) + row.Float64(3)
			c++
		}
		if c != 10000 {
			b.Fatal(c)
		}
	}
}

func BenchmarkCollect(b *testing.B) {
	db := benchDB(b)
	ctx := context.Background()
	type item struct {
		ID   int64
		Name string
		N    int64
		X    float64
	}
	for b.Loop() {
		items, err := holdfast.Collect[item](db.Rows(ctx, "SELECT id, name, n, x FROM t"))
		if err != nil || len(items) != 10000 {
			b.Fatal(err)
		}
	}
}
