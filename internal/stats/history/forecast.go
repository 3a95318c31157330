package history

import (
	"context"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/history"
)

// room is the figure that is looked ahead of: what is free on the volume.
const room = "volume.free"

// What is looked ahead from. Less than an hour says nothing of a day, and what is more
// than a year ahead nothing at all.
const (
	lookBack  = 24 * time.Hour
	leastSpan = time.Hour
	farAhead  = 400 * 24 * time.Hour
	lookEvery = 10 * time.Minute
)

// lookAhead notes when the volume will be full, every ten minutes. Called with mu held.
func (k *Keeper) lookAhead(now time.Time) {
	if !k.looked.IsZero() && now.Sub(k.looked) < lookEvery {
		return
	}
	k.looked = now
	r, err := k.Store.Read(context.Background(), now, history.Request{From: now.Add(-lookBack), Step: lookEvery, Series: []string{room}})
	full := int64(0)
	if err == nil && len(r.Series) == 1 { // else the next minute's write tells what is wrong
		full = fullAt(r.Series[0].Points).Unix()
	}
	k.full.Store(max(full, 0))
}

// Full is when the volume will be full if it goes on as in the last 24 hours; zero if it
// won't, or nobody knows.
func (k *Keeper) Full() time.Time {
	if at := k.full.Load(); at > 0 {
		return time.Unix(at, 0)
	}
	return time.Time{}
}

// fullAt follows the median of the slopes between all pairs of points (Theil and Sen): a
// copy that was made and removed again, up to a quarter of the time, doesn't change it.
func fullAt(points []history.Point) time.Time {
	if len(points) == 0 {
		return time.Time{}
	}
	last := points[len(points)-1]
	if last.At.Sub(points[0].At) < leastSpan {
		return time.Time{}
	}
	slopes := make([]float64, 0, len(points)*(len(points)-1)/2)
	for i, a := range points {
		for _, b := range points[i+1:] {
			slopes = append(slopes, (b.Mean()-a.Mean())/b.At.Sub(a.At).Seconds())
		}
	}
	slices.Sort(slopes)
	median := slopes[len(slopes)/2]
	if median >= 0 || last.Last/-median > farAhead.Seconds() {
		return time.Time{}
	}
	return last.At.Add(time.Duration(last.Last / -median * float64(time.Second)))
}
