package config

import (
	"testing"
	"time"
)

func TestDurationsAndSizes(t *testing.T) {
	for _, tc := range []struct {
		text, unit string
		want       time.Duration
	}{
		{"0.1", "s", 100 * time.Millisecond},
		{"30000", "ms", 30 * time.Second},
		{"1e3", "ms", time.Second},
		{"1h30m", "s", 90 * time.Minute},
		{".5s", "ms", 500 * time.Millisecond},
		{"0", "s", 0},
		{"0s", "s", 0},
		{"2.5E-3", "s", 2500 * time.Microsecond},
	} {
		if got, ok := parseDuration(tc.text, tc.unit); !ok || time.Duration(got) != tc.want {
			t.Errorf("%s %s: %v, %v", tc.text, tc.unit, time.Duration(got), ok)
		}
	}
	for _, text := range []string{"", "x", "1d", "Inf", "NaN", "0x10", "1_0", "1e400", "9e18", "0.4ns", "1e-10", "s", "--1"} {
		if got, ok := parseDuration(text, "s"); ok {
			t.Errorf("%s: %v", text, time.Duration(got))
		}
	}
	for text, want := range map[string]int64{
		"0": 0, "4096": 4096, "64MiB": 64 << 20, "64mib": 64 << 20, "64MB": 64e6, "1GiB": 1 << 30, "1.5 KiB": 1536, "7B": 7, "-3KiB": -3072,
		"9007199254740993": 1<<53 + 1,
	} {
		if got, ok := parseSize(text); !ok || got != want {
			t.Errorf("%s: %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "B", "MiB", "1.5", "0.3B", "1.0001KiB", "1e30GiB", "8388608TiB", "9223372036854775808", "NaN", "Infinity", "0x1MiB", "5 apples", "5M"} {
		if got, ok := parseSize(text); ok {
			t.Errorf("%s: %d", text, got)
		}
	}
	for d, want := range map[time.Duration]string{
		30 * time.Second: "30s", time.Hour: "1h", 90 * time.Minute: "1h30m", 168 * time.Hour: "168h", 10 * time.Minute: "10m",
		20 * time.Millisecond: "20ms", time.Hour + time.Second: "1h0m1s", 0: "0s", 100 * time.Second: "1m40s",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%v is written %s, want %s", time.Duration(d), got, want)
		}
	}
}
