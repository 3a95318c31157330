package locks

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

func TestParseLock(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]rangeLock{
		"1: POSIX  ADVISORY  WRITE 4711 08:01:131 120 120":             {pid: 4711, file: inode{0x801, 131}, write: true, first: 120, last: 120},
		"2: OFDLCK ADVISORY  READ  -1 103:0a:7 1073741826 1073742335":  {pid: -1, file: inode{0x1030a, 7}, first: 1 << 30, last: 1073742335},
		"12: POSIX  ADVISORY  READ  1 00:2a:12345 0 EOF\n":             {pid: 1, file: inode{0x2a, 12345}, last: 1<<64 - 1},
		" 1: OFDLCK ADVISORY  WRITE -1 08:1ff:9 128 128":               {pid: -1, file: inode{0x1008ff, 9}, write: true, first: 128, last: 128},
		"1: -> POSIX  ADVISORY  WRITE 4711 08:01:131 120 120":          {},
		"3: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF":               {},
		"4: POSIX  ADVISORY  WRITE x 08:01:131 0 EOF":                  {},
		"5: POSIX  ADVISORY  WRITE 4711 08:131 0 EOF":                  {},
		"6: POSIX  ADVISORY  WRITE 4711 08:01:131 0 -5":                {},
		"7: POSIX  ADVISORY  WRITE 4711 <none>:131 120 120 and so on ": {},
		"": {},
	} {
		if want.first == 1<<30 {
			want.first += 2
		}
		if got, ok := parseLock(line); ok != (want != rangeLock{}) || ok && got != want {
			t.Errorf("%q: %+v, %v", line, got, ok)
		}
	}
}

func TestLockNames(t *testing.T) {
	t.Parallel()
	lock := func(write bool, first, last uint64) rangeLock {
		return rangeLock{write: write, first: first, last: last}
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
