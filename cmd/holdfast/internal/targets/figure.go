package targets

import "time"

// Figure is one figure of the specification, measured.
type Figure struct {
	Name      string `json:"name"`      // "connection_creation"
	Load      string `json:"load"`      // during which it was measured: "alone", "mix of 8", "crowd of 32", "2 x 8 on a row"
	Statistic string `json:"statistic"` // what is compared with the target: "p99", "mean" or "share"

	// Of durations; the other of each pair is 0.
	TargetSeconds   float64 `json:"target_seconds,omitempty"` // to stay below
	MeasuredSeconds float64 `json:"measured_seconds,omitempty"`
	P50Seconds      float64 `json:"p50_seconds,omitempty"`
	P99Seconds      float64 `json:"p99_seconds,omitempty"`
	MaxSeconds      float64 `json:"max_seconds,omitempty"`

	// Of shares, 0 to 1.
	TargetShare   float64 `json:"target_share,omitempty"` // to stay above
	MeasuredShare float64 `json:"measured_share,omitempty"`

	Samples int64 `json:"samples"`
	Met     bool  `json:"met"`
}

// took judges durations by their 99th percentile: most are far below the target,
// and a mean hides what users notice.
func took(name, load string, target time.Duration, t *timing) Figure {
	p99 := t.quantile(0.99)
	return Figure{
		Name: name, Load: load, Statistic: "p99", TargetSeconds: target.Seconds(), MeasuredSeconds: p99.Seconds(), Samples: t.count,
		P50Seconds: t.quantile(0.5).Seconds(), P99Seconds: p99.Seconds(), MaxSeconds: t.longest.Seconds(),
		Met: t.count > 0 && p99 < target,
	}
}

// share judges a share; of nothing it is not met, for nothing was shown.
func share(name, load string, target float64, measured float64, samples int64) Figure {
	return Figure{
		Name: name, Load: load, Statistic: "share", TargetShare: target, MeasuredShare: measured,
		Samples: samples, Met: samples > 0 && measured > target,
	}
}
