package torture

import (
	"encoding/json"
	"io"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSlopeIsByTheHour(t *testing.T) {
	t.Parallel()
	var samples []sample
	for i := range 100 {
		// 3 MiB an hour, and a ripple that means nothing.
		samples = append(samples, sample{Seconds: 36 * float64(i), RSSBytes: 20<<20 + int64(i)*3<<20/100 + int64(i%2)<<16})
	}
	if got := slope(samples, rss) / (1 << 20); math.Abs(got-3) > 0.05 {
		t.Errorf("%.3f MiB an hour", got)
	}
	if got := slope(samples[:1], rss); got != 0 {
		t.Errorf("one sample has the slope %f", got)
	}
}

// TestSoakSeesWhatGrows gives the judge measurements of programs that leak.
func TestSoakSeesWhatGrows(t *testing.T) {
	t.Parallel()
	for want, grow := range map[string]func(i int, s *sample){
		"":                                 func(int, *sample) {},
		"memory grows by 2.00 MiB an hour": func(i int, s *sample) { s.RSSBytes += int64(i) * 2 << 20 / 360 },
		"more descriptors":                 func(i int, s *sample) { s.Descriptors += i / 60 },
		"there were 11 connections":        func(i int, s *sample) { s.Descriptors, s.Connections = s.Descriptors+i/60*2, 6+i/60 },
		"more goroutines":                  func(i int, s *sample) { s.Goroutines += i / 60 },
	} {
		trial := newTrial(soak(), *options(t), 1, t.TempDir())
		s := &soaking{t: trial, path: filepath.Join(trial.Dir, "soak.db"), warmUp: time.Minute, log: json.NewEncoder(io.Discard)}
		if err := create(t.Context(), s.path); err != nil {
			t.Fatal(err)
		}
		for i := range 360 {
			one := sample{Seconds: 10 * float64(i), RSSBytes: 24 << 20, Descriptors: 20, Goroutines: 19}
			grow(i, &one)
			s.samples = append(s.samples, one)
		}
		s.closed = &sample{}
		if err := s.judge(t.Context()); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
		if err := s.ledger.Begin(3, 1); err != nil {
			t.Fatal(err)
		}
		if err := s.ledger.Settle(3, 1, acked); err != nil {
			t.Fatal(err)
		}
		if err := s.compare(t.Context()); err == nil || !strings.Contains(err.Error(), "writer 3 has 0 rows of 1") {
			t.Errorf("a lost row was overlooked: %v", err)
		}
	}
}
