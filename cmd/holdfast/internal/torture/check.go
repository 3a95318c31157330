package torture

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfastdb/holdfast"
)

// findings is what a comparison of the database with the ledger has shown.
type findings struct {
	writes     int64 // that are there
	unacked    int64 // of these, committed without an acknowledgement: allowed
	lost       int64 // acknowledged, and not there
	duplicates int64 // there twice
	torn       int64 // there in part
	phantoms   int64 // there, and never begun
	undead     int64 // there, although the answer was that it was rolled back
	wrong      int64 // a row that says something else than was written
	disordered int64 // there before one that its writer had written earlier

	first []string // what was wrong, the first few
}

func (f *findings) note(n *int64, format string, args ...any) {
	*n++
	if len(f.first) < 5 {
		f.first = append(f.first, fmt.Sprintf(format, args...))
	}
}

// err puts into words what may never be.
func (f *findings) err() error {
	var bad []string
	for _, k := range []struct {
		n    int64
		what string
	}{
		{f.lost, "acknowledged and lost"},
		{f.duplicates, "there twice"},
		{f.torn, "there in part"},
		{f.phantoms, "there and never begun"},
		{f.undead, "there although the error said rolled back"},
		{f.wrong, "with other content than was written"},
		{f.disordered, "out of their writer's order"},
	} {
		if k.n > 0 {
			bad = append(bad, fmt.Sprintf("%d %s", k.n, k.what))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("writes %s (%s)", strings.Join(bad, ", "), strings.Join(f.first, "; "))
}

// count adds f to the figures of a trial.
func (f *findings) count(t *Trial) {
	t.Count("committed_unacked", f.unacked)
	t.Count("lost", f.lost)
	t.Count("duplicates", f.duplicates)
	t.Count("torn", f.torn+f.wrong)
	t.Count("phantoms", f.phantoms+f.undead)
}

// place is a write of the database.
type place struct {
	writer int
	seq    uint64
}

// compare holds the rows, in the order of their ids, against the ledger. A write
// is one transaction and its rows stand together; where they don't, it is there
// more than once, or in part.
func (l *Ledger) compare(seed uint64, rows []entry) *findings {
	f := new(findings)
	seen := make(map[place]int, len(rows)/4)
	last := map[int]uint64{}
	for i := 0; i < len(rows); {
		at := place{rows[i].writer, rows[i].seq}
		end := i + 1
		for end < len(rows) && rows[end].writer == at.writer && rows[end].seq == at.seq && rows[end].part > rows[end-1].part {
			end++
		}
		seen[at]++
		f.oneWrite(seed, l.Fate(at.writer, at.seq), at, rows[i:end], seen[at])
		if seen[at] == 1 {
			if at.seq < last[at.writer] && !l.repeated(at.writer, at.seq) {
				f.note(&f.disordered, "writer %d has %d after %d", at.writer, at.seq, last[at.writer])
			}
			last[at.writer] = max(last[at.writer], at.seq)
		}
		i = end
	}
	l.each(func(writer int, begun uint64) {
		for seq := uint64(1); seq <= begun; seq++ {
			if seen[place{writer, seq}] == 0 && l.Fate(writer, seq) == acked {
				f.note(&f.lost, "write %d of writer %d", seq, writer)
			}
		}
	})
	return f
}

func (f *findings) oneWrite(seed uint64, known fate, at place, rows []entry, times int) {
	f.writes++
	switch {
	case times > 1:
		f.note(&f.duplicates, "write %d of writer %d is there %d times", at.seq, at.writer, times)
		return
	case known == never:
		f.note(&f.phantoms, "write %d of writer %d was never begun", at.seq, at.writer)
		return
	case known == rolledBack:
		f.note(&f.undead, "write %d of writer %d was rolled back", at.seq, at.writer)
	case known == unknown:
		f.unacked++
	}
	x := newWrite(seed, at.writer, at.seq)
	want := x.rows()
	if len(want) != len(rows) {
		f.note(&f.torn, "write %d of writer %d has %d of %d rows", at.seq, at.writer, len(rows), len(want))
		return
	}
	for i := range want {
		if got := rows[i]; got.part != i || got.parts != want[i].parts || got.body != want[i].body {
			f.note(&f.wrong, "row %d, part %d of write %d of writer %d", got.id, i, at.seq, at.writer)
			return
		}
	}
}

// readEntries reads the whole table through Holdfast, in this process, after an
// integrity check. Nobody else may be writing.
func readEntries(ctx context.Context, path string) (rows []entry, err error) {
	db, err := holdfast.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := db.Close(); err == nil {
			err = e
		}
	}()
	if err := integrity(ctx, db); err != nil {
		return nil, err
	}
	for row, err := range db.Rows(ctx, selectEntries) {
		if err != nil {
			return nil, err
		}
		rows = append(rows, entry{
			id: row.Int64(0), writer: int(row.Int64(1)), seq: uint64(row.Int64(2)),
			part: int(row.Int64(3)), parts: int(row.Int64(4)), body: string(row.Bytes(5)),
		})
	}
	return rows, nil
}

var errNotIntact = errors.New("the database is damaged")

// integrity runs integrity_check.
func integrity(ctx context.Context, db *holdfast.DB) error {
	var answer string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&answer); err != nil {
		return fmt.Errorf("integrity_check: %w", err)
	}
	if answer != "ok" {
		return fmt.Errorf("%w: integrity_check of %s says: %s", errNotIntact, db.Path(), answer)
	}
	return nil
}

// create makes a database with the table of entries.
func create(ctx context.Context, path string) error {
	db, err := holdfast.Open(ctx, path)
	if err != nil {
		return err
	}
	if err := createEntries(ctx, db); err != nil {
		_ = db.Close()
		return err
	}
	return db.Close()
}

// verify compares a database with the ledger, when all who used it are gone. Where
// the sqlite3 command is, it reads first or second, as strangerFirst says, and must
// see the same rows: whoever is first recovers what the dead have left.
func (t *Trial) verify(ctx context.Context, l *Ledger, seed uint64, path string, strangerFirst bool) error {
	stranger := have(ctx, SQLite3)
	var theirs []entry
	var err error
	read := func() error {
		if theirs, err = readByStranger(ctx, path); err == nil {
			t.Count("checked_by_sqlite3", 1)
		}
		return err
	}
	if stranger && strangerFirst {
		if err := read(); err != nil {
			return err
		}
	}
	ours, err := readEntries(ctx, path)
	if err != nil {
		return err
	}
	if stranger && !strangerFirst {
		if err := read(); err != nil {
			return err
		}
	}
	if stranger && !slices.Equal(ours, theirs) {
		return fmt.Errorf("holdfast reads %d rows in %s, and sqlite3 reads %d, or others", len(ours), path, len(theirs))
	}
	f := l.compare(seed, ours)
	f.count(t)
	t.Count("acked", l.Acked())
	if len(l.Said) > 0 {
		return errors.Join(f.err(), fmt.Errorf("writes failed: %q", l.Said))
	}
	return f.err()
}
