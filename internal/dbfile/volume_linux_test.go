package dbfile

import (
	"testing"
	"time"
)

func TestDeviceCounters(t *testing.T) {
	t.Parallel()
	got, ok := parseDevice("  458360     4119  7694142   160582   250543   207086  6204680   199088        0   201576   478970        0        0        0        0   139424   119299\n")
	want := DeviceIO{Reads: 458360, ReadBytes: 7694142 * 512, Writes: 250543, WrittenBytes: 6204680 * 512, Busy: 201576 * time.Millisecond}
	if !ok || got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for _, text := range []string{"", "1 2 3", "1 2 3 4 5 6 7 8 9 10 x"} {
		if got, ok := parseDevice(text); ok {
			t.Errorf("%q: %+v", text, got)
		}
	}
}
