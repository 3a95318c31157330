package dash

import (
	"context"
	"math"
	"slices"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/queries"
)

func poolPage() page {
	return page{id: "pool", params: []string{"range"}, view: func(ctx context.Context, v *visit) (any, error) { return v.pool(ctx) }}
}

// poolView is about the readers and the write queue.
type poolView struct {
	Readers    holdfast.ReaderStats `json:"readers"`
	Writer     holdfast.WriterStats `json:"writer"`
	Sessions   int                  `json:"sessions"`
	Discarded  int64                `json:"connections_discarded"`
	Efficiency float64              `json:"connection_pool_efficiency"`
	Size       sizeAdvice           `json:"size_advice"`
	Writing    *holdfast.LockHolder `json:"writing"` // who has the writer
	Waiters    []waiterRow          `json:"waiters"` // for it, in their order; the first of them
	Waits      []waitRow            `json:"waits"`   // of calls of statements, by how long they waited
	Charts     []chart              `json:"charts"`
	Range      string               `json:"range"`
}

// sizeAdvice is how many readers there should be, and why.
type sizeAdvice struct {
	State  string `json:"state"` // "ok", "warning" or "unknown"
	Size   int    `json:"size"`  // connection_pool.max_connections; 0 if nothing can be said
	Reason string `json:"reason"`
}

type waiterRow struct {
	holdfast.LockWaiter
	Place int `json:"place"`
}

// waitRow is how many calls waited for longer than the row before has, up to a bound.
type waitRow struct {
	Bound float64 `json:"bound_seconds"`
	Calls uint64  `json:"calls"`
	Part  float64 `json:"part"` // of the largest row
}

// Measures of this page.
var (
	readersInUse = level("in_use", "", "readers.in_use", func(s *sample) float64 { return float64(s.Stats.Readers.InUse) })
	readersIdle  = measure{
		key: "idle", figures: []string{"readers.open", "readers.in_use"},
		now: func(_, s *sample) float64 { return float64(s.Stats.Readers.Open - s.Stats.Readers.InUse) },
		then: func(p pointOf, _ float64) float64 {
			return perPoint(p, "readers.open", history.Point.Mean) - perPoint(p, "readers.in_use", history.Point.Mean)
		},
	}
	readersWaiting = level("readers_waiting", "", "readers.waiting", func(s *sample) float64 { return float64(s.Stats.Readers.Waiting) })
	groupSize      = each("group", "", "writer.units", "writer.groups", func(s *holdfast.Stats) (float64, int64) { return float64(s.Writer.Units), s.Writer.Groups })
	writerWait     = each("writer_wait", "s", "writer.wait_seconds", "writer.waits", func(s *holdfast.Stats) (float64, int64) { return s.Writer.WaitSeconds, s.Writer.Waits })
	readerWait     = each("reader_wait", "s", "readers.wait_seconds", "readers.waits", func(s *holdfast.Stats) (float64, int64) { return s.Readers.WaitSeconds, s.Readers.Waits })
)

// shownWaiters is how many of those who wait are listed.
const shownWaiters = 20

func (v *visit) pool(ctx context.Context) (*poolView, error) {
	h, err := v.watch.healthNow(ctx)
	if err != nil {
		return nil, err
	}
	held, err := v.watch.locks(ctx)
	if err != nil {
		return nil, err
	}
	s := h.ConnectionStats
	p := &poolView{
		Readers: s.Readers, Writer: s.Writer, Sessions: s.Sessions, Discarded: s.ConnectionsDiscarded, Efficiency: h.Reliability.PoolEfficiency,
		Size: v.adviseSize(s.Readers), Waiters: []waiterRow{}, Waits: []waitRow{},
	}
	p.Range, _ = v.stretch()
	if len(held.Holders) > 0 && writes(held.Holders[0]) {
		p.Writing = &held.Holders[0]
	}
	for i, w := range held.Waiters[:min(len(held.Waiters), shownWaiters)] {
		p.Waiters = append(p.Waiters, waiterRow{w, i + 1})
	}
	if r, err := v.watch.queries(); err == nil {
		p.Waits = waitsOf(r)
	}
	p.Charts, err = v.charts(ctx,
		plot{"readers", "bars", []measure{readersInUse, readersIdle}},
		plot{"pool_waiting", "lines", []measure{queued, readersWaiting}},
		plot{"writes", "lines", []measure{written, commits}},
		plot{"group", "lines", []measure{groupSize}},
		plot{"pool_wait", "lines", []measure{writerWait, readerWait}},
	)
	return p, err
}

// writes reports whether a holder has the writer and not a reader.
func writes(h holdfast.LockHolder) bool { return h.Lock != "WAL_READ" && h.Lock != "SHARED" }

// adviseSize says how many readers there should be, by how many were in use at once and
// whether somebody waited.
func (v *visit) adviseSize(r holdfast.ReaderStats) sizeAdvice {
	number := func(n int) string { return v.text.Int(int64(n)) }
	switch {
	case r.MaxInUse == 0:
		return sizeAdvice{"unknown", 0, v.text.T("pool.size.unused")}
	case r.Waits > 0 || r.Beyond > 0:
		// The most in use is bounded by the size, so this much is a guess; that it is
		// too few is none.
		size := r.Max + max(2, r.Max/2)
		return sizeAdvice{"warning", size, v.text.T("pool.size.small", v.text.Int(r.Waits), v.text.Dur(r.WaitSeconds), v.text.Int(r.Beyond), number(r.Max), number(size))}
	case r.MaxInUse*4 <= r.Max:
		return sizeAdvice{"ok", r.Max, v.text.T("pool.size.large", number(r.MaxInUse), number(r.Max))}
	}
	return sizeAdvice{"ok", r.Max, v.text.T("pool.size.right", number(r.MaxInUse), number(r.Max))}
}

// waitsOf adds up how long calls waited, in rows of a factor of four.
func waitsOf(r queries.Report) []waitRow {
	all := new(queries.Histogram)
	all.Merge(r.Others.Wait)
	for i := range r.Queries {
		all.Merge(r.Queries[i].Wait)
	}
	rows := []waitRow{}
	by := map[int]uint64{}
	for b, n := range all.Buckets() {
		by[b>>(queries.Scale+1)] += n
	}
	if len(by) == 0 {
		return rows
	}
	lowest, highest, most := math.MaxInt, math.MinInt, uint64(0)
	for row, n := range by {
		lowest, highest, most = min(lowest, row), max(highest, row), max(most, n)
	}
	for row := lowest; row <= highest; row++ {
		rows = append(rows, waitRow{math.Exp2(float64(2 * (row + 1))), by[row], float64(by[row]) / float64(most)})
	}
	return slices.Clip(rows)
}
