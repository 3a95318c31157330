package stats

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/queries"
)

// evidence is what was seen of some calls.
type evidence struct {
	sites      []queries.CallSite
	otherSites int64
	samples    [][]string
	sampled    int64
	plan       queries.Plan
	planned    int64 // the version of the schema that plan is of, plus one
}

// Samples of parameters, and how many of each.
const (
	mostSamples    = 4
	mostParameters = 16
)

// Note is told where a call that Count was curious about came from, and what it
// was given, as far as that may be kept.
func (q *Query) Note(site string, parameters []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gone {
		return
	}
	at := slices.IndexFunc(q.sites, func(s queries.CallSite) bool { return s.Site == site })
	switch {
	case at >= 0:
		q.sites[at].Samples++
	case len(q.sites) < queries.MostSites:
		q.sites = append(q.sites, queries.CallSite{Site: site, Samples: 1})
	default:
		q.otherSites++
	}
	if len(parameters) == 0 {
		return
	}
	parameters = parameters[:min(len(parameters), mostParameters)]
	// Of all that were sampled each is kept with the same probability, without a
	// generator: the place goes through a fixed, scattered sequence.
	q.sampled++
	if len(q.samples) < mostSamples {
		q.samples = append(q.samples, parameters)
	} else if k := scatter(q.sampled) % uint64(q.sampled); k < mostSamples {
		q.samples[k] = parameters
	}
}

// scatter is the finalizer of SplitMix64.
func scatter(n int64) uint64 {
	z := uint64(n) * 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Unplanned returns up to n rows whose plan is not known, or of another version of
// the schema than this; those that took longest first.
func (t *Queries) Unplanned(version int64, n int) []*Query {
	t.mu.Lock()
	defer t.mu.Unlock()
	type candidate struct {
		q     *Query
		worth float64
	}
	var found []candidate
	for _, q := range t.rows {
		q.mu.Lock()
		stale := q.sql != "" && q.planned != version+1
		q.mu.Unlock()
		if worth := q.value(); stale && worth > 0 {
			found = append(found, candidate{q, worth})
		}
	}
	slices.SortFunc(found, func(a, b candidate) int { return int(math.Copysign(1, b.worth-a.worth)) })
	var out []*Query
	for _, c := range found[:min(n, len(found))] {
		out = append(out, c.q)
	}
	return out
}

// SQL is a statement of the row as a program wrote it, values and all. It must not go
// anywhere but to the engine.
func (q *Query) SQL() string { return q.sql }

// What is kept of a plan.
const (
	mostLines = 50
	mostLine  = 200 // bytes
)

// Planned is told the plan under a version of the schema; nil if there is none.
func (q *Query) Planned(version int64, lines []string) {
	lines = slices.Clone(lines[:min(len(lines), mostLines)])
	for i, line := range lines {
		lines[i] = line[:min(len(line), mostLine)]
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.planned = version + 1
	if q.gone || len(lines) == 0 || slices.Equal(lines, q.plan.Lines) {
		return
	}
	if len(q.plan.Lines) > 0 {
		q.plan.Changes++
	}
	q.plan.Lines, q.plan.Since = lines, time.Now().UTC()
	h := uint64(14695981039346656037) // FNV-1a
	for _, line := range lines {
		for _, c := range []byte(line + "\n") {
			h = (h ^ uint64(c)) * 1099511628211
		}
	}
	q.plan.Hash = fmt.Sprintf("%016x", h)
}
