package locks

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfastdb/holdfast/internal/locks/table"
)

func TestLockNames(t *testing.T) {
	t.Parallel()
	lock := func(write bool, first, last int64) table.Row {
		return table.Row{Write: write, First: first, Last: last}
	}
	const p = 1 << 30
	for _, c := range []struct {
		got, want string
	}{
		{walLock(lock(true, 120, 120)), "WAL_WRITE"},
		{walLock(lock(true, 120, 122)), "WAL_WRITE"},
		{walLock(lock(true, 121, 121)), "WAL_CKPT"},
		{walLock(lock(true, 121, 122)), "WAL_RECOVER"},
		{walLock(lock(false, 124, 124)), ""},
		{walLock(lock(false, 128, 128)), ""},
		{fileLock(lock(false, p+2, p+511), true), ""},
		{fileLock(lock(false, p+2, p+511), false), "SHARED"},
		{fileLock(lock(true, p+1, p+1), false), "RESERVED"},
		{fileLock(lock(true, p, p+1), false), "PENDING"},
		{fileLock(lock(true, p, p+511), true), "EXCLUSIVE"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestNobodyIsForeign(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "app.db")
	for range 2 {
		if p, ok := Foreign(context.Background(), db, db+"-shm"); ok {
			t.Errorf("%+v", p)
		}
		if err := os.WriteFile(db, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	if p := Describe(os.Getpid(), "WAL_WRITE"); p.Program != "locks.test" || p.State == "" || p.Lock != "WAL_WRITE" {
		t.Errorf("%+v", p)
	}
	if p := Describe(-7, ""); p != (Process{PID: -7}) {
		t.Errorf("%+v", p)
	}
}
