package history

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/queries"
)

// points are what is free, every ten minutes.
func points(n int, free func(i int) float64) (all []history.Point) {
	for i := range n {
		v := free(i)
		all = append(all, history.Point{At: noon.Add(time.Duration(i) * lookEvery), Count: 1, Sum: v, Least: v, Most: v, Last: v})
	}
	return all
}

func TestFullAt(t *testing.T) {
	t.Parallel()
	const gb = 1e9
	shrinking := func(i int) float64 { return 1000*gb - float64(i)*gb }
	for name, c := range map[string]struct {
		points []history.Point
		want   time.Duration // after the last point; 0 is never
	}{
		"nothing":        {nil, 0},
		"half an hour":   {points(4, shrinking), 0},
		"a day":          {points(144, shrinking), 857 * lookEvery},
		"it grows":       {points(144, func(i int) float64 { return 100*gb + float64(i)*gb }), 0},
		"it stands":      {points(144, func(int) float64 { return 100 * gb }), 0},
		"in three years": {points(144, func(i int) float64 { return 100*gb - float64(i)*1e6/2 }), 0},
		"a copy for a hour": {points(144, func(i int) float64 {
			if i >= 60 && i < 66 {
				return shrinking(i) - 500*gb
			}
			return shrinking(i)
		}), 857 * lookEvery},
	} {
		got := fullAt(c.points)
		if c.want == 0 {
			if !got.IsZero() {
				t.Errorf("%s: %v", name, got)
			}
			continue
		}
		if off := got.Sub(c.points[len(c.points)-1].At) - c.want; off.Abs() > time.Minute {
			t.Errorf("%s: %v off", name, off)
		}
	}
}

// A program that fills its volume learns when it will be full, from the history alone: also
// what was there before it was started again.
func TestKeeperLooksAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		today()
		began := time.Now()
		k := startKeeper(t)
		free := 1000.0
		k.mu.Lock()
		k.cfg.Take = func() ([]history.Figure, queries.Report) {
			free = max(1000-time.Since(began).Minutes(), 0)
			return []history.Figure{{Name: room, Kind: history.Gauge, Value: free}}, queries.Report{}
		}
		k.mu.Unlock()
		time.Sleep(50 * time.Minute)
		synctest.Wait()
		if at := k.Full(); !at.IsZero() {
			t.Errorf("after less than an hour: %v", at)
		}
		time.Sleep(100 * time.Minute)
		synctest.Wait()
		if off := k.Full().Sub(began.Add(1000 * time.Minute)); off.Abs() > 2*time.Minute {
			t.Errorf("%v off", off)
		}
		k.Close()
		again := Start(k.cfg)
		time.Sleep(time.Minute)
		synctest.Wait()
		if off := again.Full().Sub(began.Add(1000 * time.Minute)); off.Abs() > 2*time.Minute {
			t.Errorf("started again: %v off", off)
		}
		again.Close()
	})
}
