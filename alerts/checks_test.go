package alerts

import (
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", 123456 * time.Nanosecond: "123µs", 1234567 * time.Nanosecond: "1.23ms", 39955907 * time.Microsecond: "40s", 2747866 * time.Microsecond: "2.75s",
		time.Minute: "1m", 130 * time.Second: "2m10s", time.Hour: "1h0m", 90 * time.Minute: "1h30m", 72 * time.Hour: "3 d",
	} {
		if got := span(d.Seconds()); got != want {
			t.Errorf("%v is written as %q, want %q", d, got, want)
		}
	}
}
