package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/doctor"
	"github.com/holdfastdb/holdfast/doctor/selftest"
	"github.com/holdfastdb/holdfast/locks"
)

func hostileFiles() Scenario {
	return Scenario{
		Name:  "hostile-files",
		About: "damaged databases, logs and shared memory are read, written and examined: errors, no panic, no hang",
		Tier:  Quick,
		Run:   runHostileFiles,
	}
}

// fileDeadline is what a child gives itself for one file. A file that takes
// twice as long has hung.
const fileDeadline = 5 * time.Second

// damageConfig is what a child is told: files First to Last of a seed.
type damageConfig struct {
	Dir   string `json:"dir"`
	Seed  uint64 `json:"seed"`
	First int    `json:"first"`
	Last  int    `json:"last"`
}

// runHostileFiles lets a child visit file after file. A panic, or a fault of the
// engine that nothing can catch, ends the child; another one goes on behind the
// file that it was at.
func runHostileFiles(ctx context.Context, t *Trial) error {
	c := damageConfig{Dir: t.Dir, Seed: t.Rand.Uint64(), Last: t.Rounds(300, 5000, 100_000)}
	var failures []error
	for c.First < c.Last && len(failures) < 5 {
		next, err := visitFiles(ctx, t, c)
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			failures = append(failures, fmt.Errorf("file %d of seed %d: %w", next-1, c.Seed, err))
		}
		c.First = next
	}
	return errors.Join(failures...)
}

// visitFiles runs one child and returns the number of the file behind the last
// one that it was at.
func visitFiles(ctx context.Context, t *Trial, c damageConfig) (next int, err error) {
	child, err := t.Child(ctx, "visit-damaged", c, nil)
	if err != nil {
		return c.First, err
	}
	next = c.First + 1
	for next <= c.Last {
		limited, cancel := context.WithTimeout(ctx, 2*fileDeadline)
		line, err := child.Expect(limited, "visited")
		hung := limited.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case hung:
			t.Count("hangs", 1)
			return next, errors.Join(fmt.Errorf("not done after %s", 2*fileDeadline), child.Kill())
		case err != nil:
			t.Count("crashes", 1)
			return next, err
		}
		outcome, micros, _ := strings.Cut(line.Text, " ")
		took, err := strconv.ParseInt(micros, 10, 64)
		if err != nil {
			return next, errors.Join(err, child.Kill())
		}
		t.Count("files", 1)
		t.Count("files_"+outcome, 1)
		t.Most("slowest_file_microseconds", took)
		next++
	}
	return c.Last, child.Finish(ctx)
}

// visitDamagedRole makes and visits the files, and tells "visited opened 1234".
func visitDamagedRole(ctx context.Context, p *Parent, config json.RawMessage) error {
	var c damageConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(c.Dir, "damaged-")
	if err != nil {
		return err
	}
	specimen, err := selftest.NewSpecimen(dir)
	if err != nil {
		return err
	}
	for n := c.First; n < c.Last; n++ {
		path := filepath.Join(dir, fmt.Sprintf("%d.db", n))
		r := rand.New(rand.NewPCG(c.Seed, uint64(n)))
		if err := specimen.Damaged(r, path); err != nil {
			return err
		}
		options := [][]holdfast.Option{nil, nil, {holdfast.WithUntrustedFile()}, {holdfast.WithUntrustedSQL()}}[r.IntN(4)]
		start := time.Now()
		outcome := visitDamaged(ctx, path, options)
		if err := p.Tell("visited %s %d", outcome, time.Since(start).Microseconds()); err != nil {
			return err
		}
		for _, suffix := range []string{"", "-wal", "-shm", "-journal", "-holdfast.lock", "-holdfast.sock"} {
			_ = os.Remove(path + suffix) // most are not there
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

// visitDamaged does what a program does with a database that somebody gave it, and
// then what an operator does. Every error is fine.
func visitDamaged(ctx context.Context, path string, options []holdfast.Option) (outcome string) {
	ctx, cancel := context.WithTimeout(ctx, fileDeadline)
	defer cancel()
	outcome = "refused"
	db, err := holdfast.Open(ctx, path, append(options, holdfast.WithBusyTimeout(50*time.Millisecond))...)
	if err == nil {
		outcome = "opened"
		for _, sql := range visitReads {
			for _, err := range db.Rows(ctx, sql) { // to the end
				_ = err
			}
			_, _ = db.ExecContext(ctx, sql)
		}
		for _, sql := range visitWrites {
			_, _ = db.ExecContext(ctx, sql)
		}
		_ = db.Close()
	}
	_, _ = doctor.Examine(ctx, path, doctor.Options{})
	_, _ = locks.Look(ctx, path)
	if ctx.Err() != nil {
		outcome = "timed_out"
	}
	return outcome
}

// visitReads and visitWrites go to every kind of page of a specimen.
var (
	visitReads = []string{
		"SELECT * FROM sqlite_schema",
		"SELECT * FROM t ORDER BY b",
		"SELECT * FROM t WHERE b > 'A' ORDER BY a DESC",
		"SELECT * FROM w",
		"SELECT *, snippet(f, 0, '', '', '', 5) FROM f WHERE f MATCH 'text OR word1*'",
		"SELECT * FROM r WHERE x0 BETWEEN 10 AND 100",
		"SELECT count(*) FROM t",
		"SELECT * FROM v",
		"PRAGMA table_info(t)",
		"PRAGMA foreign_key_check",
		"PRAGMA integrity_check(5)",
	}
	visitWrites = []string{
		"INSERT INTO t(b, c) VALUES ('new', zeroblob(3000))",
		"INSERT INTO w VALUES ('new', 5)",
		"INSERT INTO f VALUES ('new words')",
		"INSERT INTO r VALUES (1000, 1, 2)",
		"UPDATE t SET b = b || 'x' WHERE a < 50",
		"DELETE FROM t WHERE a > 100",
		"DELETE FROM w WHERE v % 2",
		"PRAGMA optimize",
		"ANALYZE",
		"REINDEX",
		"PRAGMA incremental_vacuum(5)",
		"INSERT INTO f(f) VALUES ('optimize')",
		"DROP TABLE r",
		"PRAGMA wal_checkpoint(TRUNCATE)",
		"VACUUM",
	}
)
