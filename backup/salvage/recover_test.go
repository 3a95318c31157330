package salvage_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/holdfastdb/holdfast/backup/salvage"
)

// Side by side with .recover of the sqlite3 command, where there is one that has it
// (many are built without sqlite_dbpage): as many rows of the table that were in
// the file before come back, or more.
func TestAsManyAsRecover(t *testing.T) {
	t.Parallel()
	shell := os.Getenv("HOLDFAST_TEST_RECOVER")
	if shell == "" {
		shell = "sqlite3"
	}
	base := makeDB(t, "PRAGMA page_size=1024; PRAGMA auto_vacuum=INCREMENTAL; BEGIN;"+tableT+rows(4000)+"COMMIT; CREATE INDEX t_group ON t(group_no)")
	if out, err := exec.CommandContext(t.Context(), shell, base, ".recover").CombinedOutput(); err != nil || bytes.Contains(out, []byte("sql error")) {
		t.Skip("no sqlite3 command whose .recover works; HOLDFAST_TEST_RECOVER names one")
	}
	before := map[string]bool{}
	const all = "SELECT id, name, group_no, hex(data) FROM t"
	for _, row := range query(t, base, all) {
		before[row] = true
	}
	count := func(path string) (n, changed int) {
		found := map[string]bool{}
		for _, name := range query(t, path, "SELECT name FROM sqlite_schema WHERE name IN ('t', 'lost_and_found')") {
			sql := all
			if name != "t" {
				if len(query(t, path, "SELECT 1 FROM pragma_table_info('lost_and_found') WHERE name='c3'")) == 0 {
					continue
				}
				sql = "SELECT id, c1, c2, hex(c3) FROM lost_and_found"
			}
			for _, row := range query(t, path, sql) {
				if name == "t" && !before[row] {
					changed++
				} else if before[row] {
					found[row] = true
				}
			}
		}
		return len(found), changed
	}
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	r := rand.New(rand.NewPCG(7, 7))
	var ours, theirs, ourChanged, theirChanged, better int
	for i := range rounds {
		path := copyOf(t, base)
		how := hurt(t, r, path)
		dst, _ := run(t, path, salvage.Options{})
		script, err := exec.CommandContext(t.Context(), shell, path, ".recover").Output()
		must(t, err)
		other := filepath.Join(t.TempDir(), "recovered.db")
		load := exec.CommandContext(t.Context(), shell, other)
		load.Stdin = bytes.NewReader(script)
		_ = load.Run() // it goes on after rows that a table doesn't take
		a, ca := count(dst)
		b, cb := 0, 0
		if _, err := os.Stat(other); err == nil {
			b, cb = count(other)
		}
		if a < b {
			t.Errorf("round %d (%s): %d rows, .recover has %d", i, how, a, b)
		}
		if a > b {
			better++
		}
		ours, theirs, ourChanged, theirChanged = ours+a, theirs+b, ourChanged+ca, theirChanged+cb
	}
	t.Logf("%d files of %d rows: %d rows here, %d of .recover; %d files with more rows here; rows that are not as before: %d and %d",
		rounds, len(before), ours, theirs, better, ourChanged, theirChanged)
}
