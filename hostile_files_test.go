package holdfast_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/doctor"
	"github.com/holdfastdb/holdfast/doctor/selftest"
	"github.com/holdfastdb/holdfast/locks"
)

// visit does what a program does with a database that somebody gave it, and then
// what an operator does. Every error is fine.
func visit(ctx context.Context, path string, opts ...holdfast.Option) error {
	db, err := holdfast.Open(ctx, path, append(opts, holdfast.WithBusyTimeout(50*time.Millisecond))...)
	if err == nil {
		for _, sql := range []string{
			"SELECT * FROM sqlite_schema", "SELECT * FROM t ORDER BY b", "SELECT * FROM t WHERE b > 'A' ORDER BY a DESC", "SELECT * FROM w",
			"SELECT *, snippet(f, 0, '', '', '', 5) FROM f WHERE f MATCH 'text OR word1*'", "SELECT * FROM r WHERE x0 BETWEEN 10 AND 100",
			"SELECT count(*) FROM t", "SELECT * FROM v", "PRAGMA table_info(t)", "PRAGMA foreign_key_check", "PRAGMA integrity_check(5)",
		} {
			_, _ = drainAll(ctx, db, sql)
			for _, err := range db.Rows(ctx, sql) { // to the end
				_ = err
			}
		}
		for _, sql := range []string{
			"INSERT INTO t(b, c) VALUES ('new', zeroblob(3000))", "INSERT INTO w VALUES ('new', 5)", "INSERT INTO f VALUES ('new words')",
			"INSERT INTO r VALUES (1000, 1, 2)", "UPDATE t SET b = b || 'x' WHERE a < 50", "DELETE FROM t WHERE a > 100", "DELETE FROM w WHERE v % 2",
			"PRAGMA optimize", "ANALYZE", "REINDEX", "PRAGMA incremental_vacuum(5)", "INSERT INTO f(f) VALUES ('optimize')", "DROP TABLE r",
			"PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM",
		} {
			_, _ = db.ExecContext(ctx, sql)
		}
		_ = db.Close()
	}
	_, _ = doctor.Examine(ctx, path, doctor.Options{})
	_, _ = locks.Look(ctx, path)
	return ctx.Err()
}

func TestDamagedFilesAreErrors(t *testing.T) {
	rounds, seed := 60, uint64(1)
	if testing.Short() {
		rounds = 15
	}
	if n, err := strconv.Atoi(os.Getenv("HOLDFAST_TEST_DAMAGE")); err == nil {
		rounds = n
	}
	if n, err := strconv.ParseUint(os.Getenv("HOLDFAST_TEST_SEED"), 10, 64); err == nil {
		seed = n
	}
	dir := t.TempDir()
	specimen, err := selftest.NewSpecimen(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rounds {
		path := filepath.Join(dir, fmt.Sprintf("%d.db", i))
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		if err := specimen.Damaged(r, path); err != nil {
			t.Fatal(err)
		}
		opts := [][]holdfast.Option{nil, nil, {holdfast.WithUntrustedFile()}, {holdfast.WithUntrustedSQL()}}[r.IntN(4)]
		func() {
			defer func() {
				if v := recover(); v != nil {
					t.Errorf("round %d of seed %d: panic: %v\n%s", i, seed, v, debug.Stack())
				}
			}()
			const deadline = 5 * time.Second
			ctx, cancel := context.WithTimeout(context.Background(), deadline)
			defer cancel()
			start := time.Now()
			_ = visit(ctx, path, opts...)
			if took := time.Since(start); took > 2*deadline {
				t.Errorf("round %d of seed %d took %s", i, seed, took)
			}
		}()
		for _, suffix := range []string{"", "-wal", "-shm", "-journal", "-holdfast.lock"} {
			_ = os.Remove(path + suffix)
		}
	}
}
