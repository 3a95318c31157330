package holdfast_test

import (
	"context"
	"encoding/binary"
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
	"github.com/holdfastdb/holdfast/locks"
)

// specimen is a sound database of every kind of page, and its log with commits
// that are not in the file yet.
func specimen(t *testing.T) (file, wal []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sound.db")
	cfg := holdfast.Config{}
	cfg.Database.Path, cfg.Database.PageSize = path, 1024
	db, err := holdfast.OpenConfig(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c BLOB)",
		"CREATE INDEX i ON t(b, a)",
		"CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID",
		"CREATE VIRTUAL TABLE f USING fts5(text)",
		"CREATE VIRTUAL TABLE r USING rtree(id, x0, x1)",
		"CREATE VIEW v AS SELECT count(*) AS n FROM t",
		"CREATE TRIGGER g AFTER INSERT ON w BEGIN UPDATE t SET b = new.k WHERE a = new.v; END",
		"WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < 200) INSERT INTO t SELECT x, hex(randomblob(x % 40)), zeroblob(x * 20) FROM n",
		"INSERT INTO w SELECT b || a, a FROM t",
		"INSERT INTO f SELECT 'word' || a || ' text ' || b FROM t",
		"INSERT INTO r SELECT a, a, a + 1 FROM t",
		"DELETE FROM t WHERE a % 7 = 0",
		"PRAGMA wal_checkpoint(TRUNCATE)",
		"INSERT INTO t(b, c) SELECT b, c FROM t WHERE a % 3 = 0",
		"UPDATE w SET v = v + 1",
	} {
		must(t, db, sql)
	}
	if file, err = os.ReadFile(path); err == nil { // nobody relies on this database's locks
		wal, err = os.ReadFile(path + "-wal")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return file, wal
}

// mutate damages a file in one to four ways.
func mutate(r *rand.Rand, b []byte, page int) []byte {
	b = append([]byte(nil), b...)
	for range 1 + r.IntN(4) {
		if len(b) < 200 {
			return b
		}
		at := r.IntN(len(b))
		switch r.IntN(12) {
		case 0:
			b[at] ^= 1 << r.IntN(8)
		case 1:
			b[r.IntN(100)] = byte(r.IntN(256)) // the header
		case 2:
			clear(b[at:min(len(b), at+1+r.IntN(300))])
		case 3:
			b = b[:at]
		case 4: // two pages change places
			n := len(b) / page
			i, j := r.IntN(n)*page, r.IntN(n)*page
			one := append([]byte(nil), b[i:i+page]...)
			copy(b[i:i+page], b[j:j+page])
			copy(b[j:j+page], one)
		case 5: // the header of a page: type, free block, cells, start of content
			b[min(len(b)-1, at/page*page+r.IntN(12))] = byte(r.IntN(256))
		case 6: // a huge number
			if at+4 < len(b) {
				binary.BigEndian.PutUint32(b[at:], []uint32{0xffffffff, 0x7fffffff, 0x80000000, 0}[r.IntN(4)])
			}
		case 7: // a cell pointer
			if p := at/page*page + 8 + 2*r.IntN(20); p+2 < len(b) {
				binary.BigEndian.PutUint16(b[p:], uint16(r.IntN(65536)))
			}
		case 8: // page size, reserved bytes, format numbers
			binary.BigEndian.PutUint16(b[16:], []uint16{512, 1024, 4096, 1, 3, 0, 32768}[r.IntN(7)])
			b[18+r.IntN(3)] = byte(r.IntN(256))
		case 9: // counts of the header: pages, first free page, free pages, schema, largest root
			binary.BigEndian.PutUint32(b[[]int{24, 28, 32, 36, 40, 52, 64, 92}[r.IntN(8)]:], r.Uint32()>>r.IntN(32))
		case 10:
			for i := at; i < min(len(b), at+1+r.IntN(60)); i++ {
				b[i] = byte(r.IntN(256))
			}
		case 11:
			b = append(b, b[at:]...)
		}
	}
	return b
}

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
			for range db.Rows(ctx, sql) { //nolint:revive // read to the end
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
	file, wal := specimen(t)
	dir := t.TempDir()
	for i := range rounds {
		path := filepath.Join(dir, fmt.Sprintf("%d.db", i))
		opts, err := damage(rand.New(rand.NewPCG(seed, uint64(i))), path, file, wal)
		if err != nil {
			t.Fatal(err)
		}
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

// damage writes a damaged file, mostly with a log, and says how to open it.
func damage(r *rand.Rand, path string, file, wal []byte) ([]holdfast.Option, error) {
	const page = 1024
	what := r.IntN(10)
	if what != 0 {
		file = mutate(r, file, page)
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		return nil, err
	}
	switch {
	case what < 2:
		wal = mutate(r, wal, page+24)
	case what < 5:
		wal = nil
	}
	if wal != nil {
		if err := os.WriteFile(path+"-wal", wal, 0o600); err != nil {
			return nil, err
		}
	}
	if what == 2 || what == 6 { // shared memory that a stranger has left
		shm := make([]byte, 32768)
		for i := range 200 {
			shm[i] = byte(r.IntN(256))
		}
		if err := os.WriteFile(path+"-shm", shm, 0o600); err != nil {
			return nil, err
		}
	}
	switch r.IntN(4) {
	case 0:
		return []holdfast.Option{holdfast.WithUntrustedFile()}, nil
	case 1:
		return []holdfast.Option{holdfast.WithUntrustedSQL()}, nil
	}
	return nil, nil
}
