package report

import "slices"

// Summary is what the rounds of one contestant come to. Runs with a problem are
// left out.
type Summary struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	// Ratio says how many times better the base is: the median of the ratios of
	// each round, in which both ran within seconds. Below 1 the base is worse. 0
	// if there is no round in which both got something done.
	Ratio float64 `json:"base_is_better_by,omitempty"`
	Done  int64   `json:"done"`

	Errors     int64   `json:"errors"`
	Retries    int64   `json:"retries"`
	Lost       int64   `json:"lost"`
	P50        float64 `json:"p50_seconds"`
	P99        float64 `json:"p99_seconds"`
	Longest    float64 `json:"max_seconds"` // of all rounds
	ReadP99    float64 `json:"read_p99_seconds,omitempty"`
	IdleP99    float64 `json:"idle_p99_seconds,omitempty"`
	CPU        float64 `json:"cpu_per_operation_seconds"`
	System     float64 `json:"system_cpu_per_operation_seconds,omitempty"`
	Faults     float64 `json:"page_faults_per_operation,omitempty"`
	WAL        int64   `json:"wal_bytes"`
	Share      float64 `json:"share,omitempty"`
	Least      float64 `json:"least_seconds,omitempty"` // of all rounds
	Allocs     float64 `json:"allocs_per_operation,omitempty"`
	Bytes      float64 `json:"bytes_per_operation,omitempty"`
	Resident   float64 `json:"resident_bytes,omitempty"`
	Live       float64 `json:"live_heap_bytes,omitempty"`
	Growth     float64 `json:"resident_growth_bytes,omitempty"`
	LiveGrowth float64 `json:"live_heap_growth_bytes,omitempty"`
}

// Summarize computes all summaries from the runs.
func (r *Report) Summarize() {
	for i := range r.Workloads {
		r.Workloads[i].summarize()
	}
}

func (w *Workload) summarize() {
	base := slices.IndexFunc(w.Contestants, func(c Contestant) bool { return c.Base })
	for i := range w.Contestants {
		c := &w.Contestants[i]
		c.Summary = summarize(c.Runs)
		if base >= 0 {
			c.Summary.Ratio = median(ratios(w.Contestants[base].Runs, c.Runs, w.Lower))
		}
	}
}

func summarize(runs []Run) Summary {
	runs = slices.DeleteFunc(slices.Clone(runs), func(r Run) bool { return r.Problem != "" })
	of := func(get func(Run) float64) []float64 {
		values := make([]float64, len(runs))
		for i, r := range runs {
			values[i] = get(r)
		}
		return values
	}
	var s Summary
	if len(runs) == 0 {
		return s
	}
	values := of(func(r Run) float64 { return r.Value })
	s.Median, s.Min, s.Max = median(values), slices.Min(values), slices.Max(values)
	for _, r := range runs {
		s.Done += r.Done
		s.Errors += r.Errors
		s.Retries += r.Retries
		s.Lost += r.Lost
		s.WAL = max(s.WAL, r.WAL)
	}
	s.P50 = median(of(func(r Run) float64 { return r.P50 }))
	s.P99 = median(of(func(r Run) float64 { return r.P99 }))
	s.Longest = slices.Max(of(func(r Run) float64 { return r.Max }))
	s.ReadP99 = median(of(func(r Run) float64 { return r.ReadP99 }))
	s.IdleP99 = median(of(func(r Run) float64 { return r.IdleP99 }))
	s.CPU = median(of(func(r Run) float64 { return r.CPU }))
	s.System = median(of(func(r Run) float64 { return r.System }))
	s.Faults = median(of(func(r Run) float64 { return r.Faults }))
	s.Least = slices.Min(of(func(r Run) float64 { return r.Least }))
	s.Allocs = median(of(func(r Run) float64 { return r.Allocs }))
	s.Bytes = median(of(func(r Run) float64 { return r.Bytes }))
	s.Resident = median(of(func(r Run) float64 { return float64(r.Resident) }))
	s.Live = median(of(func(r Run) float64 { return float64(r.Live) }))
	s.Growth = median(of(func(r Run) float64 { return r.Growth }))
	s.LiveGrowth = median(of(func(r Run) float64 { return r.LiveGrowth }))
	s.Share = median(of(func(r Run) float64 { return r.Share }))
	return s
}

// ratios pairs the runs of the same round.
func ratios(base, other []Run, lower bool) []float64 {
	values := map[int]float64{}
	for _, r := range base {
		if r.Problem == "" {
			values[r.Round] = r.Value
		}
	}
	var all []float64
	for _, r := range other {
		b := values[r.Round]
		switch {
		case r.Problem != "" || r.Value <= 0 || b <= 0:
		case lower:
			all = append(all, r.Value/b)
		default:
			all = append(all, b/r.Value)
		}
	}
	return all
}

// median is 0 if there are no values.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}
