package sqlite

import (
	"path/filepath"
	"strings"
	"testing"
)

const accounts = `CREATE TABLE t(a INTEGER PRIMARY KEY, b, pad);
	WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<2000)
	INSERT INTO t SELECT i, 100, hex(zeroblob(100)) FROM r;`

// TestBackupUnderWrites copies a database while another connection moves money
// between its accounts; the copy is one consistent state.
func TestBackupUnderWrites(t *testing.T) {
	db := newTestDB(t, accounts)
	src := db.open()
	path := filepath.Join(t.TempDir(), "copy.db")
	dst, err := Open(path, OpenReadWrite|OpenCreate)
	must(t, err)
	defer dst.Close()
	b, err := NewBackup(dst, "", src, "main")
	must(t, err)

	// For 20 steps a write comes between each two; then they run side by side.
	step, stop := make(chan struct{}), make(chan struct{})
	wrote, done := make(chan error), make(chan error)
	writer := db.open()
	must(t, writer.WALAutocheckpoint(50))
	go func() {
		move := "BEGIN IMMEDIATE; UPDATE t SET b=b-1 WHERE a=1+abs(random())%2000; UPDATE t SET b=b+1 WHERE a=1+abs(random())%2000; COMMIT"
		for range step {
			wrote <- writer.Exec(move)
		}
		for n := 0; n < 200; n++ {
			select {
			case <-stop:
				n = 200
			default:
				if err := writer.Exec(move); err != nil {
					done <- err
					return
				}
			}
		}
		done <- nil
	}()
	for range 20 {
		if complete, err := b.Step(5); complete || err != nil {
			t.Fatal(complete, err)
		}
		step <- struct{}{}
		must(t, <-wrote)
	}
	close(step)
	if b.PageCount() < 100 || b.Remaining() == 0 {
		t.Error(b.PageCount(), b.Remaining())
	}
	for complete := false; !complete; {
		complete, err = b.Step(1000)
		must(t, err)
	}
	close(stop)
	must(t, <-done)
	must(t, b.Finish())
	wantCode(t, b.Finish(), ResultMisuse)
	wantInt(t, dst, 200000, "SELECT sum(b) FROM t")
	wantText(t, dst, "ok", "PRAGMA integrity_check")
}

func TestBackupErrors(t *testing.T) {
	db := newTestDB(t, accounts)
	src, dst := db.open(), newConn(t, "")
	_, err := NewBackup(dst, "nowhere", src, "")
	if e := wantCode(t, err, ResultError); !strings.Contains(e.Msg, "nowhere") {
		t.Error(e)
	}
	_, err = NewBackup(src, "", src, "")
	wantCode(t, err, ResultError)

	mustExec(t, dst, "CREATE TABLE kept(a)")
	b, err := NewBackup(dst, "", src, "")
	must(t, err)
	_, err = b.Step(3)
	must(t, err)
	must(t, b.Finish())
	wantInt(t, dst, 0, "SELECT count(*) FROM kept") // rolled back

	other, err := Open(dst.Filename("main"), OpenReadWrite)
	must(t, err)
	mustExec(t, other, "BEGIN IMMEDIATE")
	b, err = NewBackup(dst, "", src, "")
	must(t, err)
	_, err = b.Step(1)
	wantCode(t, err, ResultBusy)
	must(t, other.Close())
	_, err = b.Step(1)
	must(t, err)
	// Closing a connection ends its backups. Cleanup closes src and dst.
}

func TestBackupEndsWithConnection(t *testing.T) {
	db := newTestDB(t, accounts)
	for _, closeSrc := range []bool{true, false} {
		src := db.open()
		dst, err := Open(":memory:", OpenReadWrite)
		must(t, err)
		b, err := NewBackup(dst, "", src, "")
		must(t, err)
		_, err = b.Step(3)
		must(t, err)
		if closeSrc {
			must(t, src.Close())
		} else {
			must(t, dst.Close())
		}
		_, err = b.Step(1)
		wantCode(t, err, ResultMisuse)
		if len(src.owned)+len(dst.owned) != 0 {
			t.Error("still owned")
		}
		must(t, src.Close())
		must(t, dst.Close())
	}
}

func TestSerialize(t *testing.T) {
	c := newConn(t, accounts)
	image, err := c.Serialize("")
	must(t, err)
	if !strings.HasPrefix(string(image), "SQLite format 3\x00") {
		t.Fatalf("%q", image[:16])
	}
	image[18], image[19] = 1, 1 // a database in memory has no -wal file
	m, err := Open(":memory:", OpenReadWrite)
	must(t, err)
	defer m.Close()
	for _, readOnly := range []bool{false, true} {
		must(t, m.Deserialize("main", image, readOnly))
		wantInt(t, m, 200000, "SELECT sum(b) FROM t")
		wantText(t, m, "ok", "PRAGMA integrity_check")
		err := m.Exec("INSERT INTO t(b, pad) SELECT 1, hex(zeroblob(3000)) FROM t LIMIT 100")
		if readOnly {
			wantCode(t, err, ResultReadOnly)
		} else {
			must(t, err)
		}
	}
	if again, err := m.Serialize("main"); string(again) != string(image) || err != nil {
		t.Error(len(again), len(image), err)
	}
	_, err = m.Serialize("nowhere")
	wantCode(t, err, ResultError)
	wantCode(t, m.Deserialize("nowhere", image, false), ResultError)
	must(t, m.Deserialize("", nil, false))
	wantInt(t, m, 0, "SELECT count(*) FROM sqlite_schema")
}
