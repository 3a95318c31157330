package cluster_test

import (
	"context"
	"testing"

	"github.com/holdfastdb/holdfast"
	_ "github.com/holdfastdb/holdfast/cluster"
	"github.com/holdfastdb/holdfast/cluster/internal/faults"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a cluster and closes it at the end of the test.
func open(tb testing.TB, c *faults.Cluster, parameters string, opts ...holdfast.Option) *holdfast.DB {
	tb.Helper()
	db, err := holdfast.Open(context.Background(), c.Address(parameters), opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

func run(tb testing.TB, db *holdfast.DB, sql string, args ...any) {
	tb.Helper()
	if _, err := db.Exec(sql, args...); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}
