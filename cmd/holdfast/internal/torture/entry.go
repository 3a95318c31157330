package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/holdfastdb/holdfast"
)

// A write is one transaction of one or more rows of the table entry. All that it
// consists of follows from the seed, the writer and its number, so that the
// parent knows what must be there without having seen it.
//
// No constraint keeps a row from being there twice: that is for the check to see.
const (
	createEntry = `CREATE TABLE IF NOT EXISTS entry(
	id INTEGER PRIMARY KEY, writer INTEGER NOT NULL, seq INTEGER NOT NULL, part INTEGER NOT NULL, parts INTEGER NOT NULL, body TEXT NOT NULL)`
	createEntryIndex = `CREATE INDEX IF NOT EXISTS entry_write ON entry(writer, seq)`
	insertEntry      = `INSERT INTO entry(writer, seq, part, parts, body) VALUES (?, ?, ?, ?, ?)`
	selectEntries    = `SELECT id, writer, seq, part, parts, body FROM entry ORDER BY id`
)

// how is the call by which a write is made.
type how int

const (
	byExec how = iota
	byUpdate
	byBatch
	byTx
	byKey // a Batch with an IdempotencyKey: it may be repeated
	hows
)

// write is one write.
type write struct {
	writer int
	seq    uint64
	how    how
	parts  int
	short  bool // no row needs an overflow page
	peer   bool // written by peer.py, whose rows are simpler
	bodies *rand.Rand
}

// entry is a row.
type entry struct {
	id          int64
	writer      int
	seq         uint64
	part, parts int
	body        string
}

// newWrite works out a write.
func newWrite(seed uint64, writer int, seq uint64) write {
	if writer >= firstPeer {
		return write{writer: writer, seq: seq, parts: 1 + int(seq%5), peer: true}
	}
	r := rand.New(rand.NewPCG(seed+uint64(writer)<<32, seq))
	w := write{writer: writer, seq: seq, how: how(r.IntN(int(hows))), parts: 1, bodies: r}
	if w.how != byExec {
		w.parts += r.IntN(8)
	}
	return w
}

// rows works out the rows, once.
func (w *write) rows() []entry {
	list := make([]entry, w.parts)
	for i := range list {
		if w.peer {
			list[i] = entry{writer: w.writer, seq: w.seq, part: i, parts: w.parts, body: fmt.Sprintf("peer %d %d %d", w.writer, w.seq, i)}
			continue
		}
		n := 8 + w.bodies.IntN(48)
		if !w.short && w.bodies.IntN(16) == 0 {
			n += w.bodies.IntN(6000) // overflow pages
		}
		list[i] = entry{writer: w.writer, seq: w.seq, part: i, parts: w.parts, body: body(w.bodies.Uint64(), n)}
	}
	return list
}

// body is a text of n bytes that no other row has.
func body(seed uint64, n int) string {
	word := strconv.FormatUint(seed|1<<63, 16) // 16 digits
	return strings.Repeat(word, n/len(word)+1)[:n]
}

func (e *entry) args() []any {
	return []any{e.writer, int64(e.seq), e.part, e.parts, e.body}
}

func (w *write) key() string {
	return "write-" + strconv.Itoa(w.writer) + "-" + strconv.FormatUint(w.seq, 10)
}

// createEntries makes the table.
func createEntries(ctx context.Context, db *holdfast.DB) error {
	_, err := db.Batch(ctx, []holdfast.Statement{{SQL: createEntry}, {SQL: createEntryIndex}})
	return err
}
