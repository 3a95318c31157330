package table

import "testing"

func TestParseStat(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		state   string
		started uint64
	}{
		"7 (a) b) T 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987 1 1": {"stopped", 987},
		"7 (x) R": {"", 0},
		"":        {"", 0},
	} {
		if state, started := parseStat(text); state != want.state || started != want.started {
			t.Errorf("%q: %q, %d", text, state, started)
		}
	}
}

func FuzzMountTable(f *testing.F) {
	f.Add("36 35 98:0 /root /mount rw,noatime master:1 - ext3 /dev/root rw\n", "36")
	f.Fuzz(func(t *testing.T, table, mount string) { deviceOf(table, mount) })
}
