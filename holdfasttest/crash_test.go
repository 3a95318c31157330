package holdfasttest_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/holdfasttest"
)

// record runs 120 transactions of two rows that belong together, and returns
// what the disk has seen; mark n stands for the commit of transaction n.
func record(t *testing.T, d *holdfasttest.Disk, opts ...holdfast.Option) *holdfasttest.Recording {
	t.Helper()
	ctx := context.Background()
	r, err := d.Record()
	must(t, err)
	db, err := holdfast.Open(d.Context(ctx), filepath.Join(scratch(t), "app.db"), opts...)
	must(t, err)
	exec(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, half, body)")
	r.Mark()
	for i := range 120 {
		_, err := db.Batch(ctx, []holdfast.Statement{
			{SQL: "INSERT INTO t VALUES (?, 1, randomblob(2000))", Args: []any{2*i + 1}},
			{SQL: "INSERT INTO t VALUES (?, 2, randomblob(2000))", Args: []any{2*i + 2}},
		})
		must(t, err)
		r.Mark()
		if i%30 == 29 {
			exec(t, db, "PRAGMA wal_checkpoint(TRUNCATE)")
		}
	}
	must(t, db.Close())
	r.Stop()
	return r
}

// verdicts are what became of states.
type verdicts struct{ lost, torn, corrupt int }

func judge(t *testing.T, r *holdfasttest.Recording, states int, names holdfasttest.Metadata) (v verdicts) {
	t.Helper()
	dir := scratch(t)
	for seed := range uint64(states) {
		s := r.CrashState(seed, names)
		one := filepath.Join(dir, strconv.FormatUint(seed, 10))
		must(t, os.Mkdir(one, 0o700))
		must(t, s.WriteTo(one))
		rows, err := holdfasttest.Examine(filepath.Join(one, "app.db"), "SELECT count(*) FROM sqlite_schema")
		if err == nil && rows[0] == "1" {
			rows, err = holdfasttest.Examine(filepath.Join(one, "app.db"),
				"SELECT count(*) FROM t", "SELECT ifnull(max(id), 0) FROM t", "SELECT count(*) FROM t WHERE length(body) <> 2000")
		} else if err == nil && s.Marks > 0 {
			v.lost++
			rows = nil
		} else {
			rows = nil
		}
		switch {
		case err != nil:
			v.corrupt++
		case rows == nil:
		default:
			n, _ := strconv.Atoi(rows[0])
			if n%2 != 0 || rows[0] != rows[1] || rows[2] != "0" {
				v.torn++
			}
			if n/2+1 < s.Marks {
				v.lost++
			}
		}
		must(t, os.RemoveAll(one))
	}
	t.Logf("%d states of %d operations: %+v", states, r.Len(), v)
	return v
}

func states(t *testing.T) int {
	if testing.Short() {
		return 300
	}
	return 1000
}

func TestFullLosesNothing(t *testing.T) {
	r := record(t, newDisk(t))
	for _, names := range []holdfasttest.Metadata{holdfasttest.Journaled, holdfasttest.Strict} {
		if v := judge(t, r, states(t), names); v != (verdicts{}) {
			t.Errorf("%+v", v)
		}
	}
}

// Without a log a commit is the removal of the journal.
func TestFullLosesNothingWithoutALog(t *testing.T) {
	r := record(t, newDisk(t), func(c *holdfast.Config) { c.Database.EnableWALMode = holdfast.Off })
	for _, names := range []holdfasttest.Metadata{holdfasttest.Journaled, holdfasttest.Strict} {
		if v := judge(t, r, states(t), names); v != (verdicts{}) {
			t.Errorf("%+v", v)
		}
	}
}

func TestNormalNeverCorrupts(t *testing.T) {
	v := judge(t, record(t, newDisk(t), holdfast.WithSynchronous("NORMAL")), states(t), holdfasttest.Journaled)
	if v.corrupt+v.torn > 0 || v.lost == 0 {
		t.Errorf("%+v; some loss was expected, as the last commits aren't synced", v)
	}
}

// The model must be able to find something.
func TestALyingDiskCorrupts(t *testing.T) {
	d := newDisk(t)
	d.Inject(holdfasttest.Fault{Kind: holdfasttest.NoSync, Sticky: true})
	if v := judge(t, record(t, d), states(t), holdfasttest.Journaled); v.corrupt == 0 || v.lost == 0 {
		t.Errorf("%+v", v)
	}
}
