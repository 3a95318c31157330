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

	Errors  int64   `json:"errors"`
	Retries int64   `json:"retries"`
	Lost    int64   `json:"lost"`
	WAL     int64   `json:"wal_bytes"`
	Share   float64 `json:"share,omitempty"`
	Times           // medians, but Max and Least are of all rounds
	Costs
	Memory
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
	s.Share = median(of(func(r Run) float64 { return r.Share }))
	s.Times = Times{
		P50:     median(of(func(r Run) float64 { return r.P50 })),
		P99:     median(of(func(r Run) float64 { return r.P99 })),
		Max:     slices.Max(of(func(r Run) float64 { return r.Max })),
		Least:   slices.Min(of(func(r Run) float64 { return r.Least })),
		ReadP99: median(of(func(r Run) float64 { return r.ReadP99 })),
		IdleP99: median(of(func(r Run) float64 { return r.IdleP99 })),
	}
	s.Costs = Costs{
		CPU:    median(of(func(r Run) float64 { return r.CPU })),
		System: median(of(func(r Run) float64 { return r.System })),
		Faults: median(of(func(r Run) float64 { return r.Faults })),
		Allocs: median(of(func(r Run) float64 { return r.Allocs })),
		Bytes:  median(of(func(r Run) float64 { return r.Bytes })),
	}
	s.Memory = Memory{
		Resident:   median(of(func(r Run) float64 { return r.Resident })),
		Live:       median(of(func(r Run) float64 { return r.Live })),
		Growth:     median(of(func(r Run) float64 { return r.Growth })),
		LiveGrowth: median(of(func(r Run) float64 { return r.LiveGrowth })),
	}
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
