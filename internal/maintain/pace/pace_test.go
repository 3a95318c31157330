package pace

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const us = time.Microsecond

// work does n pieces of d under ctx and returns how long that took. In a bubble a
// sleep is work that takes exactly as long as it says.
func work(ctx context.Context, w *Work, n int, d time.Duration) time.Duration {
	start := time.Now()
	for range n {
		time.Sleep(d)
		w.Pause(ctx)
	}
	return time.Since(start)
}

func TestRestsWhileOthersWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := true
		p := New(Config{Busy: func() bool { return busy }})
		ctx, end, err := p.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w := Of(ctx)
		if took := work(ctx, w, 200, 25*us); took < 200*25*us*(Slower-1) || took > 200*25*us*Slower {
			t.Errorf("200 pieces of 25 us took %s", took)
		}
		if s := p.Stats(); s.Rests != 100 || s.Worked != 100*50*us || s.Rested != times*s.Worked {
			t.Errorf("%+v", s)
		}
		if took := work(ctx, w, 1, time.Second); took != time.Second+longest {
			t.Errorf("a piece of a second took %s", took)
		}
		busy = false
		if took := work(ctx, w, 200, 25*us); took != 200*25*us {
			t.Errorf("while nobody writes 200 pieces took %s", took)
		}
		end()
	})
}

// What can't be made in pieces is rare.
func TestApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Config{Busy: func() bool { return true }})
		start := time.Now()
		for range 3 {
			end, err := p.Apart(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
			end()
		}
		if took := time.Since(start); took != 3*time.Millisecond+2*apart {
			t.Errorf("%s", took)
		}
	})
}

// Works that are too short to rest in are no different from one that lasts.
func TestRestsBetweenShortWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := true
		p := New(Config{Busy: func() bool { return busy }})
		short := func(n int) time.Duration {
			start := time.Now()
			for range n {
				_, end, err := p.Begin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(100 * us)
				end()
			}
			return time.Since(start)
		}
		if took := short(1); took != 100*us {
			t.Errorf("the first took %s", took)
		}
		time.Sleep(100 * us * times)
		if took := short(1); took != 100*us {
			t.Errorf("one after the rest took %s", took)
		}
		if took := short(10); took != 10*100*us*Slower {
			t.Errorf("ten more took %s", took)
		}
		busy = false
		if took := short(10); took != 10*100*us {
			t.Errorf("ten while nobody writes took %s", took)
		}
	})
}

func TestWorkThatHoldsTheLogHurries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := 0.0
		p := New(Config{Busy: func() bool { return true }, Log: func() float64 { return log }})
		ctx, end, _ := p.Begin(t.Context())
		defer end()
		for _, w := range []*Work{Of(ctx).Holding(), Of(Holding(ctx))} {
			log = long - .01
			if took := work(ctx, w, 10, 200*us); took != 10*200*us*Slower {
				t.Errorf("while the log is short: %s", took)
			}
			log = long
			if took := work(ctx, w, 30, 100*us); took != 10*briskPiece*(briskTimes+1) || !w.Busy() {
				t.Errorf("while it is getting long: %s", took)
			}
			log = tooLong
			if !w.OthersWrite() {
				t.Error("nobody writes")
			}
			if took := work(ctx, w, 10, 200*us); took != 10*200*us || w.Busy() {
				t.Errorf("while it is long: %s", took)
			}
		}
		if took := work(ctx, Of(ctx), 10, 200*us); took != 10*200*us*Slower {
			t.Errorf("who does not hold it: %s", took)
		}
	})
}

func TestRestsEndWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Config{Busy: func() bool { return true }})
		parent, cancel := context.WithCancel(t.Context())
		ctx, end, _ := p.Begin(parent)
		time.AfterFunc(12*time.Millisecond, cancel)
		if took := work(ctx, Of(ctx), 1, 10*time.Millisecond); took != 12*time.Millisecond {
			t.Errorf("%s", took)
		}
		time.Sleep(time.Millisecond)
		end()
		if _, _, err := p.Begin(parent); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

func TestWithoutPacer(t *testing.T) {
	var p *Pacer
	ctx, end, err := p.Begin(t.Context())
	if err != nil || Of(ctx) != nil || Of(Holding(ctx)) != nil || Of(ctx).Busy() || Of(ctx).OthersWrite() || Of(ctx).Pause(ctx) != 0 || p.Stats() != (Stats{}) {
		t.Errorf("%v", err)
	}
	end()
	if end, err = p.Apart(t.Context()); err != nil {
		t.Error(err)
	}
	end()
	if New(Config{}).cfg.Busy() {
		t.Error("nobody can tell that others write")
	}
}
