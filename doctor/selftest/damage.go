package selftest

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Specimen is a sound database with every kind of page, and a log whose commits
// are not in the file yet. It is to be damaged.
type Specimen struct{ file, wal []byte }

const specimenPage = 1024

// NewSpecimen makes a specimen. It needs dir for a moment.
func NewSpecimen(dir string) (*Specimen, error) {
	path := filepath.Join(dir, "specimen.db")
	c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		return nil, err
	}
	if err = c.Exec(specimenSQL); err == nil {
		_, err = c.DBConfig(sqlite.DBConfigNoCkptOnClose, true)
	}
	if e := c.Close(); err == nil {
		err = e
	}
	if err != nil {
		return nil, err
	}
	var s Specimen
	if s.file, err = os.ReadFile(path); err != nil {
		return nil, err
	}
	s.wal, err = os.ReadFile(path + "-wal")
	return &s, err
}

const specimenSQL = `PRAGMA page_size = 1024;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c BLOB);
CREATE INDEX i ON t(b, a);
CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
CREATE VIRTUAL TABLE f USING fts5(text);
CREATE VIRTUAL TABLE r USING rtree(id, x0, x1);
CREATE VIEW v AS SELECT count(*) AS n FROM t;
CREATE TRIGGER g AFTER INSERT ON w BEGIN UPDATE t SET b = new.k WHERE a = new.v; END;
WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < 200)
	INSERT INTO t SELECT x, hex(randomblob(x % 40)), zeroblob(x * 20) FROM n;
INSERT INTO w SELECT b || a, a FROM t;
INSERT INTO f SELECT 'word' || a || ' text ' || b FROM t;
INSERT INTO r SELECT a, a, a + 1 FROM t;
DELETE FROM t WHERE a % 7 = 0;
PRAGMA wal_checkpoint(TRUNCATE);
INSERT INTO t(b, c) SELECT b, c FROM t WHERE a % 3 = 0;
UPDATE w SET v = v + 1;`

// Damaged writes a damaged copy to path, mostly with a log, and sometimes with
// shared memory that says anything. What is damaged follows from r.
func (s *Specimen) Damaged(r *rand.Rand, path string) error {
	file, wal := s.file, s.wal
	what := r.IntN(10)
	if what != 0 {
		file = mutate(r, file, specimenPage)
	}
	switch {
	case what < 2:
		wal = mutate(r, wal, specimenPage+24)
	case what < 5:
		wal = nil
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		return err
	}
	if wal != nil {
		if err := os.WriteFile(path+"-wal", wal, 0o600); err != nil {
			return err
		}
	}
	if what != 2 && what != 6 {
		return nil
	}
	shm := make([]byte, 32768)
	for i := range 200 {
		shm[i] = byte(r.IntN(256))
	}
	return os.WriteFile(path+"-shm", shm, 0o600)
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
			if n == 0 { // it was cut before
				continue
			}
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
