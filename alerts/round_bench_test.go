package alerts

import (
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/holdfasttest"
)

// BenchmarkRound is what a round costs for one database, without the comparison of
// statements, which reads the history every five minutes.
func BenchmarkRound(b *testing.B) {
	db := holdfasttest.New(b, holdfasttest.WithSchema("CREATE TABLE t(a)"))
	e, err := newEngine(Config{For: ForSettings{SlowQueryRegression: -1}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	e.Watch("shop", db)
	e.round(time.Now())
	b.ReportAllocs()
	for b.Loop() {
		e.round(time.Now())
	}
}
