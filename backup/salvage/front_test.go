package salvage_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfastdb/holdfast/backup/salvage"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// withLog makes a database of n rows of which m more are in the log alone.
func withLog(t *testing.T, n, m int) string {
	t.Helper()
	path := makeDB(t, "PRAGMA journal_mode=WAL; BEGIN;"+tableT+rows(n)+"COMMIT")
	c, err := sqlite.Open(path, sqlite.OpenReadWrite)
	must(t, err)
	must(t, c.WALAutocheckpoint(0))
	for i := range m {
		must(t, c.Exec(fmt.Sprintf("INSERT INTO t VALUES(%d, 'in the log', 0, NULL)", n+1+i)))
	}
	_, err = c.DBConfig(sqlite.DBConfigNoCkptOnClose, true)
	must(t, err)
	must(t, c.Close())
	return path
}

func TestLog(t *testing.T) {
	t.Parallel()
	const n, m = 1000, 40
	path := withLog(t, n, m)
	dst, r := run(t, path, salvage.Options{})
	if got := number(t, dst, "SELECT count(*) FROM t"); got != n+m || !r.Log.Applied || r.Verdict != "whole" {
		t.Errorf("%d rows, log %+v, %s", got, r.Log, r.Verdict)
	}
	dst, r = run(t, path, salvage.Options{WithoutLog: true})
	if got := number(t, dst, "SELECT count(*) FROM t"); got != n || r.Log.Applied {
		t.Errorf("without the log %d rows, log %+v", got, r.Log)
	}

	// A damaged frame ends it; what was committed before stands.
	info, err := os.Stat(path + "-wal")
	must(t, err)
	patch(t, path+"-wal", info.Size()/2, []byte{0x55, 0xaa, 0x55})
	dst, r = run(t, path, salvage.Options{})
	got := number(t, dst, "SELECT count(*) FROM t")
	if got <= n || got >= n+m || r.Log.FramesLost == 0 || !r.Log.Applied || r.Verdict != "partial" {
		t.Errorf("with half of the log %d rows, log %+v, %s", got, r.Log, r.Verdict)
	}

	// The log of another database has whole frames too.
	other := withLog(t, 30_000, 10)
	stranger := makeDB(t, "BEGIN; CREATE TABLE a(x); CREATE TABLE b(x);"+tableT+rows(5000)+"COMMIT")
	log, err := os.ReadFile(other + "-wal")
	must(t, err)
	must(t, os.WriteFile(stranger+"-wal", log, 0o600))
	dst, r = run(t, stranger, salvage.Options{})
	if got := number(t, dst, "SELECT count(*) FROM t"); got != 5000 || r.Log.Applied || r.Log.DamageWith <= r.Log.DamageWithout {
		t.Errorf("with the log of another database %d rows, log %+v", got, r.Log)
	}
}

// A transaction that was under way without a log is rolled back.
func TestJournal(t *testing.T) {
	t.Parallel()
	const n = 3000
	path := makeDB(t, "BEGIN;"+tableT+rows(n)+"COMMIT")
	c, err := sqlite.Open(path, sqlite.OpenReadWrite)
	must(t, err)
	must(t, c.Exec("PRAGMA cache_size=2; PRAGMA cache_spill=2; BEGIN; UPDATE t SET name='changed'; DELETE FROM t WHERE id>1000"))
	crashed := filepath.Join(t.TempDir(), "app.db")
	for _, ending := range []string{"", "-journal"} { // before this test's own connection has any use for its locks
		b, err := os.ReadFile(path + ending)
		must(t, err)
		must(t, os.WriteFile(crashed+ending, b, 0o600))
	}
	must(t, c.Close())
	dst, r := run(t, crashed, salvage.Options{})
	if got := number(t, dst, "SELECT count(*) FROM t WHERE name<>'changed'"); got != n || r.JournalPages == 0 || r.Verdict != "whole" {
		t.Errorf("%d rows, %d pages of the journal, %s", got, r.JournalPages, r.Verdict)
	}
}
