package table

import "testing"

// FuzzStat: the name of a process is anything that it likes to call itself.
func FuzzStat(f *testing.F) {
	f.Add("4711 (holdfast) S 1 4711 4711 0 -1 4194304 100 0 0 0 1 1 0 0 20 0 5 0 123456 1 1")
	f.Add("1 (a) R (b) ) D 1 1 1 0 -1 4194304 100 0 0 0 1 1 0 0 20 0 5 0 99 1 1")
	f.Add("1 () x")
	f.Add(")")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = parseStat(text) // of whatever
		const whole = "4711 (%) S 1 4711 4711 0 -1 4194304 100 0 0 0 1 1 0 0 20 0 5 0 123456 1 1"
		if state, started := parseStat("4711 (" + text + whole[6:]); state != "sleeping" || started != 123456 {
			t.Errorf("a process called %q is %q and began at %d", text, state, started)
		}
	})
}
