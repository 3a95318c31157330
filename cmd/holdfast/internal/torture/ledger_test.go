package torture

import (
	"strings"
	"testing"
)

// script feeds a ledger with lines.
func script(t *testing.T, lines ...string) *Ledger {
	t.Helper()
	l := new(Ledger)
	for _, line := range lines {
		if mine, err := l.Line(line); !mine || err != nil {
			t.Fatalf("%q: %v, %v", line, mine, err)
		}
	}
	return l
}

func TestLedgerRemembersWhatWasAnswered(t *testing.T) {
	t.Parallel()
	l := script(t, "b 3 1", "a 3 1", "b 3 2", "b 4 1", "r 4 1 it was busy", "b 3 3", "u 3 3", "b 3 2", "a 3 2", "a 3 2")
	for _, c := range []struct {
		writer int
		seq    uint64
		want   fate
	}{
		{3, 1, acked}, {3, 2, acked}, {3, 3, unknown}, {3, 4, never}, {3, 0, never}, {4, 1, rolledBack}, {5, 1, never},
	} {
		if got := l.Fate(c.writer, c.seq); got != c.want {
			t.Errorf("write %d of writer %d: %d, want %d", c.seq, c.writer, got, c.want)
		}
	}
	if l.Acked() != 2 || l.Repeats != 1 || len(l.Open(3)) != 1 || len(l.Said) != 1 {
		t.Errorf("acked %d, repeats %d, open %v, said %q", l.Acked(), l.Repeats, l.Open(3), l.Said)
	}
	for _, bad := range []string{"b 3 9", "a 9 1", "b x 1", "a 3 x"} {
		if _, err := l.Line(bad); err == nil {
			t.Errorf("%q was believed", bad)
		}
	}
	if mine, err := l.Line("open"); mine || err != nil {
		t.Error(mine, err)
	}
}

func TestLedgerBelievesNoErrorOfARepetition(t *testing.T) {
	t.Parallel()
	l := script(t, "b 0 1", "u 0 1", "b 0 2", "a 0 2", "b 0 1", "r 0 1 it was busy")
	if got := l.Fate(0, 1); got != unknown {
		t.Errorf("the write is %d, and may have been made the first time", got)
	}
	if err := l.compare(7, present(7, place{0, 2}, place{0, 1})).err(); err != nil {
		t.Errorf("repeated after another: %v", err)
	}
	l = script(t, "b 0 1", "a 0 1", "b 0 2", "a 0 2", "b 0 3", "u 0 3")
	if n := l.holes(present(7, place{0, 3})); n != 2 {
		t.Errorf("%d holes", n)
	}
	begun, again := l.resume(7, 0, 2)
	if begun[0] != 3 || begun[1] != 0 || len(again) > 1 {
		t.Errorf("begun %d, again %v", begun, again)
	}
}

// present makes the rows of some writes as the database would have them.
func present(seed uint64, at ...place) (rows []entry) {
	for _, p := range at {
		w := newWrite(seed, p.writer, p.seq)
		rows = append(rows, w.rows()...)
	}
	for i := range rows {
		rows[i].id = int64(i + 1)
	}
	return rows
}

func TestCompareSeesEachKindOfHarm(t *testing.T) {
	t.Parallel()
	const seed = 7
	l := func() *Ledger { return script(t, "b 1 1", "a 1 1", "b 1 2", "a 1 2", "b 1 3", "b 2 1", "r 2 1") }
	healthy := present(seed, place{1, 1}, place{1, 2})
	if f := l().compare(seed, healthy); f.err() != nil || f.writes != 2 {
		t.Errorf("%+v", f)
	}
	if f := l().compare(seed, present(seed, place{1, 1}, place{1, 2}, place{1, 3})); f.err() != nil || f.unacked != 1 {
		t.Errorf("committed without an acknowledgement: %+v", f)
	}
	changed := present(seed, place{1, 1}, place{1, 2})
	changed[0].body = strings.ToUpper(changed[0].body) + "!"
	many := uint64(1)
	for newWrite(seed, 3, many).parts < 2 {
		many++
	}
	for name, rows := range map[string][]entry{
		"acknowledged and lost": present(seed, place{1, 1}),
		"there twice":           present(seed, place{1, 1}, place{1, 2}, place{1, 1}),
		"never begun":           present(seed, place{1, 1}, place{1, 2}, place{1, 4}),
		"rolled back":           present(seed, place{1, 1}, place{1, 2}, place{2, 1}),
		"other content":         changed,
		"order":                 present(seed, place{1, 2}, place{1, 1}),
	} {
		if err := l().compare(seed, rows).err(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	half := new(Ledger)
	for seq := uint64(1); seq <= many; seq++ {
		if err := half.Begin(3, seq); err != nil {
			t.Fatal(err)
		}
	}
	rows := present(seed, place{3, many})
	if err := half.compare(seed, rows[1:]).err(); err == nil || !strings.Contains(err.Error(), "in part") {
		t.Errorf("half a write: %v", err)
	}
}

func TestLinesAreCheckedByLength(t *testing.T) {
	t.Parallel()
	if got, err := unframe("5 a 3 1\n"); err != nil || got != "a 3 1" {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"a 3 1\n", "6 a 3 1\n", "4 a 3 1\n", "panic: no\n", "\n", "5\n"} {
		if got, err := unframe(bad); err == nil {
			t.Errorf("%q was read as %q", bad, got)
		}
	}
}
