package salvage_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/backup/salvage"
	"github.com/holdfastdb/holdfast/internal/maintain/copy"
)

// A page of each kind is lost. What is on the others comes back, and the report
// says how many rows don't.
func TestOnePage(t *testing.T) {
	t.Parallel()
	const n = 30_000
	for _, vacuum := range []string{"NONE", "INCREMENTAL"} {
		for _, index := range []string{"", "CREATE INDEX by_name ON t(name);", "CREATE INDEX covering ON t(name, group_no, data);"} {
			path := makeDB(t, "PRAGMA auto_vacuum="+vacuum+"; BEGIN;"+tableT+"CREATE TABLE other(a, b);"+rows(n)+
				"INSERT INTO other SELECT name, group_no FROM t LIMIT 3000; COMMIT;"+index)
			leaves := pages(t, path, "t", "leaf")
			inner := pages(t, path, "t", "internal")
			for _, c := range []struct {
				what string
				page int64
				lost int64 // rows that were on it
			}{
				{"leaf", leaves[len(leaves)/2], onPage(t, path, leaves[len(leaves)/2])},
				{"first leaf", leaves[0], onPage(t, path, leaves[0])},
				{"last leaf", leaves[len(leaves)-1], onPage(t, path, leaves[len(leaves)-1])},
				{"interior", inner[1], 0},
				{"root", inner[0], 0},
			} {
				t.Run(strings.Join([]string{vacuum, index, c.what}, " "), func(t *testing.T) {
					t.Parallel()
					damaged := copyOf(t, path)
					overwrite(t, damaged, c.page)
					dst, r := run(t, damaged, salvage.Options{})
					got, of := number(t, dst, "SELECT count(*) FROM t"), tableOf(t, r, "t")
					covering := strings.Contains(index, "covering")
					want := n - c.lost
					if covering {
						want = n
					}
					t.Logf("%d of %d rows, %d lost (exact: %v), %d of orphans, %d of indexes", got, n, of.RowsLost, of.LostExact, of.FromOrphans, of.FromIndexes)
					if got != want || of.Rows != want {
						t.Errorf("%d rows, the report says %d, want %d", got, of.Rows, want)
					}
					if index != "" && (!of.LostExact || of.RowsLost != n-want) {
						t.Errorf("lost %d (exact: %v), want %d", of.RowsLost, of.LostExact, n-want)
					}
					if off := of.RowsLost - (n - want); off > 30 || off < -30 {
						t.Errorf("lost %d, want about %d", of.RowsLost, n-want)
					}
					if len(of.DamagedPages) != 1 || int64(of.DamagedPages[0]) != c.page {
						t.Errorf("damaged pages: %v, want %d", of.DamagedPages, c.page)
					}
					if other := number(t, dst, "SELECT count(*) FROM other"); other != 3000 || tableOf(t, r, "other").RowsLost != 0 {
						t.Errorf("of the other table %d rows, lost %d", other, tableOf(t, r, "other").RowsLost)
					}
				})
			}
		}
	}
}

func onPage(t *testing.T, path string, page int64) int64 {
	return number(t, path, fmt.Sprintf("SELECT ncell FROM dbstat WHERE pageno=%d", page))
}

func copyOf(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	to := filepath.Join(t.TempDir(), "app.db")
	must(t, os.WriteFile(to, b, 0o600))
	return to
}

// Damage that costs no row of a table, or only a part of one.
func TestOtherPages(t *testing.T) {
	t.Parallel()
	const n = 5000
	path := makeDB(t, "PRAGMA auto_vacuum=INCREMENTAL; BEGIN;"+tableT+"CREATE TABLE big(id INTEGER PRIMARY KEY, b BLOB); CREATE TABLE gone(a);"+rows(n)+
		"INSERT INTO big VALUES(1, randomblob(50000)),(2, randomblob(50000)); CREATE INDEX by_name ON t(name, data);"+
		"INSERT INTO gone SELECT data FROM t; COMMIT; DROP TABLE gone;")
	free, err := strconv.ParseInt(query(t, path, "PRAGMA freelist_count")[0], 10, 64)
	must(t, err)
	header, err := os.ReadFile(path)
	must(t, err)
	trunk := int64(header[32])<<24 | int64(header[33])<<16 | int64(header[34])<<8 | int64(header[35])
	for what, page := range map[string]int64{
		"index leaf":  pages(t, path, "by_name", "leaf")[5],
		"index root":  pages(t, path, "by_name", "internal")[0],
		"freelist":    trunk,
		"pointer map": 2,
	} {
		damaged := copyOf(t, path)
		overwrite(t, damaged, page)
		dst, r := run(t, damaged, salvage.Options{})
		if r.RowsLost != 0 || number(t, dst, "SELECT count(*) FROM t") != n || number(t, dst, "SELECT count(*) FROM big") != 2 {
			t.Errorf("%s: %+v", what, r)
		}
		if r.Aside > 0 || number(t, dst, "SELECT count(*) FROM pragma_index_list('t')") != 1 {
			t.Errorf("%s: %d rows aside, what was deleted is back, or an index is missing: %+v", what, r.Aside, r)
		}
		if free == 0 || (what == "freelist") != r.FreelistBad {
			t.Errorf("%s: freelist damaged is %v", what, r.FreelistBad)
		}
	}
	damaged := copyOf(t, path)
	overwrite(t, damaged, pages(t, path, "big", "overflow")[3])
	dst, r := run(t, damaged, salvage.Options{})
	big := tableOf(t, r, "big")
	if big.RowsLost != 1 || big.Rows != 1 || big.Aside != 1 || r.Verdict != "partial" || number(t, dst, "SELECT count(*) FROM lost_and_found WHERE table_name='big' AND id=1") != 1 {
		t.Errorf("overflow: %+v", r)
	}
}

func TestHeaderAndSchema(t *testing.T) {
	t.Parallel()
	const n = 3000
	path := makeDB(t, "PRAGMA auto_vacuum=INCREMENTAL; BEGIN;"+tableT+rows(n)+"COMMIT; CREATE INDEX by_name ON t(name);")
	header := copyOf(t, path)
	patch(t, header, 0, make([]byte, 100))
	dst, r := run(t, header, salvage.Options{})
	if number(t, dst, "SELECT count(*) FROM t") != n || r.HeaderWhole || r.PageSize != 4096 {
		t.Errorf("the header: %+v", r)
	}
	overwrite(t, header, 1)
	dst, r = run(t, header, salvage.Options{})
	if got := number(t, dst, "SELECT count(*) FROM lost_and_found WHERE id IS NOT NULL"); got != n || r.Verdict != "partial" {
		t.Errorf("page 1: %d rows aside, %+v", got, r)
	}
	dst, r = run(t, header, salvage.Options{SchemaFrom: path})
	if got := number(t, dst, "SELECT count(*) FROM t"); got != n || r.RowsLost != 0 || r.Aside != 0 {
		t.Errorf("page 1, with the schema of a backup: %d rows, %+v", got, r)
	}
	// A schema of many pages, one of them lost.
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, "CREATE TABLE table_%d(a INTEGER PRIMARY KEY, b, c /* %s */); INSERT INTO table_%d VALUES(%d, 'x', 'y');", i, strings.Repeat("x", 200), i, i)
	}
	many := makeDB(t, "BEGIN;"+b.String()+"COMMIT")
	overwrite(t, many, 1)
	_, r = run(t, many, salvage.Options{})
	if len(r.Tables) != 200 || r.Rows != 200 {
		t.Errorf("the root of the schema: %d tables, %d rows", len(r.Tables), r.Rows)
	}
	_, err := salvage.Run(t.Context(), makeFile(t, nil), filepath.Join(t.TempDir(), "out.db"), salvage.Options{})
	if err == nil {
		t.Error("an empty file was salvaged")
	}
	_, r = run(t, makeFile(t, []byte(strings.Repeat("no database ", 2000))), salvage.Options{})
	if r.Verdict != "nothing" {
		t.Errorf("a text: %+v", r)
	}
}

func makeFile(t *testing.T, b []byte) string {
	path := filepath.Join(t.TempDir(), "app.db")
	must(t, os.WriteFile(path, b, 0o600))
	return path
}

// Files with random damage: no panic, no hang, the new database is well (run says
// so), and every row that SQLite itself can read is in it.
func TestRandomDamage(t *testing.T) {
	t.Parallel()
	rounds := 150
	if testing.Short() {
		rounds = 25
	}
	if n, err := strconv.Atoi(os.Getenv("HOLDFAST_TEST_DAMAGED_FILES")); err == nil {
		rounds = n
	}
	seed := uint64(1)
	if n, err := strconv.ParseUint(os.Getenv("HOLDFAST_TEST_SEED"), 10, 64); err == nil {
		seed = n
	}
	var base []string
	for _, setup := range []string{"PRAGMA page_size=512;", "PRAGMA page_size=1024; PRAGMA auto_vacuum=INCREMENTAL;", "PRAGMA page_size=1024; PRAGMA encoding='UTF-16le';"} {
		base = append(base, makeDB(t, setup+everything))
	}
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range rounds {
		path := copyOf(t, base[i%len(base)])
		how := hurt(t, r, path)
		dst := filepath.Join(t.TempDir(), "out.db")
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		_, err := salvage.Run(ctx, path, dst, salvage.Options{})
		cancel()
		if err != nil {
			t.Errorf("round %d of seed %d (%s): %v", i, seed, how, err)
			continue
		}
		if problems, err := copy.CheckFile(t.Context(), dst, copy.Integrity, nil); err != nil || len(problems) > 0 {
			t.Errorf("round %d of seed %d (%s): %v %s", i, seed, how, err, problems)
		}
		for _, lost := range unsalvaged(t, path, dst) {
			t.Errorf("round %d of seed %d (%s): SQLite reads %s", i, seed, how, lost)
		}
		if t.Failed() {
			if keep := os.Getenv("HOLDFAST_TEST_KEEP"); keep != "" {
				b, _ := os.ReadFile(path)
				_ = os.WriteFile(keep, b, 0o600)
			}
			t.FailNow()
		}
	}
}

// hurt damages a file as disks and programs do.
func hurt(t *testing.T, r *rand.Rand, path string) (how string) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	page := int(b[16])<<8 | int(b[17])
	n := len(b) / page
	for range 1 + r.IntN(4) {
		p := r.IntN(n)
		one := b[p*page : (p+1)*page]
		switch k := r.IntN(6); k {
		case 0:
			clear(one)
			how += fmt.Sprintf("zero %d; ", p+1)
		case 1:
			for i := range one {
				one[i] = byte(r.Uint32())
			}
			how += fmt.Sprintf("noise %d; ", p+1)
		case 2:
			for range 1 + r.IntN(8) {
				one[r.IntN(page)] ^= 1 << r.IntN(8)
			}
			how += fmt.Sprintf("bits %d; ", p+1)
		case 3:
			q := r.IntN(n)
			other := b[q*page : (q+1)*page]
			for i := range one {
				one[i], other[i] = other[i], one[i]
			}
			how += fmt.Sprintf("swap %d and %d; ", p+1, q+1)
		case 4:
			q := r.IntN(n)
			for i := range one {
				one[i] = b[q*page+i]
			}
			how += fmt.Sprintf("copy over %d; ", p+1)
		case 5:
			if r.IntN(4) == 0 {
				b = b[:max(page, r.IntN(len(b)))]
				n = len(b) / page
				how += fmt.Sprintf("cut to %d; ", len(b))
			} else {
				for i := range min(12, page) {
					one[i] = byte(r.Uint32())
				}
				how += fmt.Sprintf("head of %d; ", p+1)
			}
		}
	}
	must(t, os.WriteFile(path, b, 0o600))
	return how
}

// unsalvaged returns the rows of t that SQLite finds by their rowids in the damaged
// file, and that are neither in the table nor in lost_and_found of the new one.
func unsalvaged(t *testing.T, damaged, salvaged string) (lost []string) {
	t.Helper()
	c, err := copy.OpenFile(damaged)
	must(t, err)
	defer c.Close()
	new, err := copy.OpenFile(salvaged)
	must(t, err)
	defer new.Close()
	found := map[string]bool{}
	tables, _ := ask(new, "SELECT name FROM sqlite_schema WHERE type='table' AND name IN ('t', 'lost_and_found')")
	for _, name := range tables {
		sql := "SELECT id, name, group_no, hex(data) FROM t"
		if name != "t" {
			sql = "SELECT id, c1, c2, hex(c3) FROM " + name
		}
		all, err := ask(new, sql)
		if err != nil && !strings.Contains(err.Error(), "no such column") {
			t.Fatal(err)
		}
		for _, row := range all {
			found[row] = true
		}
	}
	for id := 1; id <= 2000; id++ {
		row, err := ask(c, fmt.Sprintf("SELECT id, name, group_no, hex(data) FROM t NOT INDEXED WHERE id=%d", id))
		if err == nil && len(row) == 1 && !found[row[0]] {
			lost = append(lost, fmt.Sprintf("row %d: %.120s", id, row[0]))
		}
	}
	return lost
}
