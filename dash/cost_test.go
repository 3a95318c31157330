package dash

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// BenchmarkPage is one look at a page of a program that has run 500 kinds of statements,
// made anew each time: with all that it asks for, and its bytes.
func BenchmarkPage(b *testing.B) {
	db, err := holdfast.Open(b.Context(), b.TempDir()+"/shop.db")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER, status TEXT)"); err != nil {
		b.Fatal(err)
	}
	for i := range 500 {
		if _, err := db.Exec(fmt.Sprintf("INSERT INTO orders(customer, status) VALUES (%d, 'x') RETURNING id AS c%d", i, i)); err != nil {
			b.Fatal(err)
		}
	}
	d := Handler(db)
	for _, p := range d.pages {
		if p.detail {
			continue
		}
		b.Run(p.id, func(b *testing.B) {
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				for _, s := range d.cache.slots {
					s.made = time.Time{}
				}
				for _, w := range d.watches { // a second passes
					w.healthAt = time.Time{}
					for i := range w.ring {
						w.ring[i].At = w.ring[i].At.Add(-time.Second)
					}
				}
				w := get(b, d, "/"+p.address())
				if w.Code != http.StatusOK {
					b.Fatal(w.Code)
				}
				size = w.Body.Len()
			}
			b.ReportMetric(float64(size), "bytes/page")
		})
	}
}
