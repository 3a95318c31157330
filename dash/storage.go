package dash

import (
	"cmp"
	"context"
	"errors"
	"html/template"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/dash/internal/picture"
	"github.com/holdfastdb/holdfast/history"
)

func storagePage() page {
	return page{id: "storage", params: []string{"range", "sizes"}, view: func(ctx context.Context, v *visit) (any, error) { return v.storage(ctx) }}
}

// storageView is where the space goes.
type storageView struct {
	Sentences []sentence            `json:"sentences"`
	File      holdfast.FileHealth   `json:"file"`
	Volume    holdfast.VolumeHealth `json:"volume"`
	Pages     int64                 `json:"page_count"`
	PageSize  int64                 `json:"page_size"`
	FreeBytes int64                 `json:"free_bytes"` // of free pages in the file
	LogBytes  int64                 `json:"log_bytes"`
	Growth    growth                `json:"growth"`
	Sizes     sizesView             `json:"sizes"`
	Range     string                `json:"range"`
}

// growth is the size of the file in the course of time, and what is expected of it.
type growth struct {
	From     time.Time  `json:"from"`
	To       time.Time  `json:"to"` // the end of the forecast
	Now      time.Time  `json:"now"`
	Points   []point    `json:"points"`
	Forecast []expected `json:"forecast"` // none if too little is on record
	Rate     float64    `json:"bytes_per_day"`
	Why      string     `json:"why"`                       // there is no forecast
	Full     *float64   `json:"full_in_seconds,omitempty"` // at the expected rate; nil if never, or not known
	Room     int64      `json:"room_bytes"`                // the size at which the volume is full; 0 is not known
}

// expected is a forecast of one moment: of the usual growth, and of little and much.
type expected struct {
	At   time.Time `json:"at"`
	Low  float64   `json:"low"`
	Mid  float64   `json:"mid"`
	High float64   `json:"high"`
}

// sizesView is what each table and index takes, once somebody has asked for it.
type sizesView struct {
	Asked   bool                 `json:"asked"`
	At      time.Time            `json:"at,omitzero"`
	Partial bool                 `json:"partial"`
	Seconds float64              `json:"seconds"`
	Error   string               `json:"error,omitempty"`
	Tables  []holdfast.TableSize `json:"tables"` // the largest first
	More    int                  `json:"more"`   // that are not among them
}

// sizes remembers the last answer: the page is made every second, and reading the whole
// file is not for every second.
type sizes struct {
	mu   sync.Mutex
	last sizesView
}

const (
	sizesTime = 2 * time.Second // the longest that reading takes
	sizesKept = 5 * time.Minute
	mostSizes = 200
)

// look reads the file unless the last answer is young.
func (s *sizes) look(ctx context.Context, db *holdfast.DB, now time.Time) sizesView {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.last.At) < sizesKept {
		return s.last
	}
	begun := time.Now()
	r, err := db.Optimize(ctx, holdfast.WithoutChanges(), holdfast.WithoutStatistics(), holdfast.WithTableSizes(sizesTime))
	v := sizesView{Asked: true, At: now.UTC(), Seconds: time.Since(begun).Seconds(), Tables: []holdfast.TableSize{}}
	switch {
	case errors.Is(err, holdfast.ErrBusy): // it is asked again with the next look
		v.Error = err.Error()
		return v
	case err != nil:
		v.Error = err.Error()
	case r.Sizes != nil:
		v.Partial, v.Tables = r.Sizes.Partial, r.Sizes.Tables
	}
	slices.SortStableFunc(v.Tables, func(a, b holdfast.TableSize) int { return cmp.Compare(b.Bytes, a.Bytes) })
	if n := len(v.Tables) - mostSizes; n > 0 {
		v.Tables, v.More = v.Tables[:mostSizes], n
	}
	s.last = v
	return v
}

// known is the last answer, if there is one that is young.
func (s *sizes) known(now time.Time) sizesView {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.last.At) < sizesKept {
		return s.last
	}
	return sizesView{Tables: []holdfast.TableSize{}}
}

func (v *visit) storage(ctx context.Context) (*storageView, error) {
	h, err := v.watch.healthNow(ctx)
	if err != nil {
		return nil, err
	}
	s := &storageView{
		File: h.File, Volume: h.Volume, Pages: h.PageCount, PageSize: h.PageSize, FreeBytes: h.File.FreePages * h.PageSize, LogBytes: h.WAL.Bytes,
	}
	s.File.Path = fileName(h.File.Path, v.text.T("layout.memory"))
	if s.Growth, err = v.growth(ctx, h); err != nil {
		return nil, err
	}
	s.Range, _ = v.longStretch()
	if v.params.Get("sizes") != "" {
		s.Sizes = v.watch.sizes.look(ctx, v.db, v.now)
	} else {
		s.Sizes = v.watch.sizes.known(v.now)
	}
	s.Sentences = v.storageSentences(h, s)
	return s, nil
}

func (v *visit) storageSentences(h holdfast.Health, s *storageView) []sentence {
	t := v.text
	var out []sentence
	say := func(state, key string, args ...any) { out = append(out, sentence{state, t.T(key, args...)}) }
	if free := s.Volume.FreeBytes; free >= 0 && s.Volume.TotalBytes > 0 {
		say(by(h, "disk-full", "disk-low"), "storage.volume", t.Bytes(float64(free)), t.Pct(float64(free)/float64(s.Volume.TotalBytes)))
	} else {
		say("unknown", "storage.volume.unknown")
	}
	switch {
	case s.File.FreePages == 0:
		say("ok", "storage.pages.none")
	case s.File.AutoVacuum == "none":
		say("ok", "storage.pages.kept", t.Bytes(float64(s.FreeBytes)))
	default:
		say("ok", "storage.pages.some", t.Bytes(float64(s.FreeBytes)))
	}
	switch g := s.Growth; {
	case g.Why != "":
		say("unknown", "storage.growth.unknown", g.Why)
	case g.Full != nil && *g.Full < 24*3600:
		say("warning", "storage.growth.full", t.Bytes(g.Rate), t.Dur(*g.Full))
	case g.Full != nil:
		say("ok", "storage.growth.full", t.Bytes(g.Rate), t.Dur(*g.Full))
	case g.Rate > 0:
		say("ok", "storage.growth.some", t.Bytes(g.Rate))
	default:
		say("ok", "storage.growth.none")
	}
	return out
}

// growth is from the history: what is seen while somebody looks is too short for it.
func (v *visit) growth(ctx context.Context, h holdfast.Health) (growth, error) {
	_, length := v.longStretch()
	g := growth{From: v.now.Add(-length).UTC(), Now: v.now.UTC(), To: v.now.UTC(), Points: []point{}, Forecast: []expected{}}
	if h.Volume.FreeBytes >= 0 {
		g.Room = h.File.Bytes + h.Volume.FreeBytes
	}
	r, err := v.watch.course(ctx, v.db, history.Request{From: g.From, To: v.now, Step: length / mostPoints, Series: []string{"file.bytes"}}, v.now)
	switch {
	case errors.Is(err, holdfast.ErrRefused): // in memory
		g.Why = v.text.T("storage.growth.no_history")
		return g, nil
	case err != nil:
		return g, err
	}
	for _, s := range r.Series {
		for _, p := range s.Points {
			g.Points = append(g.Points, point{p.At.UTC(), p.Last})
		}
	}
	g.Points = thinned(g.Points)
	if n := len(g.Points); n == 0 || g.Points[n-1].At.Sub(g.Points[0].At) < 30*time.Minute {
		g.Why = v.text.T("storage.growth.short")
		return g, nil
	}
	g.forecast(length / 2)
	return g, nil
}

// forecast goes on as it went: by the median of all slopes between two points, which a
// single jump does not move (Theil and Sen), and for the range by those that a tenth of
// them are below, and above.
func (g *growth) forecast(ahead time.Duration) {
	var slopes []float64
	for i, a := range g.Points {
		for _, b := range g.Points[i+1:] {
			if s := b.At.Sub(a.At).Seconds(); s > 0 {
				slopes = append(slopes, (b.Value-a.Value)/s)
			}
		}
	}
	if len(slopes) == 0 {
		return
	}
	slices.Sort(slopes)
	at := func(part float64) float64 { return slopes[int(part*float64(len(slopes)-1))] }
	low, mid, high := at(0.1), at(0.5), at(0.9)
	last := g.Points[len(g.Points)-1]
	const steps = 12
	for i := range steps + 1 {
		s := ahead.Seconds() * float64(i) / steps
		g.Forecast = append(g.Forecast, expected{
			last.At.Add(time.Duration(s * float64(time.Second))), max(last.Value+low*s, 0), max(last.Value+mid*s, 0), max(last.Value+high*s, 0),
		})
	}
	g.To, g.Rate = g.Forecast[steps].At, mid*24*3600
	if mid > 0 && g.Room > 0 {
		full := math.Max((float64(g.Room)-last.Value)/mid, 0)
		if full < (10 * 365 * day).Seconds() {
			g.Full = &full
		}
	}
}

const day = 24 * time.Hour

// pasts are the stretches of time of what only the history knows.
var pasts = []string{"24h", "1h", "7d", "30d"}

func (v *visit) longStretch() (name string, length time.Duration) {
	name = v.choice("range", pasts...)
	return name, rangeLengths[name]
}

// Ranges are those that the page offers.
func (s *storageView) Ranges() []string { return ranges[1:] }

// Ranges are those that the page offers.
func (b *backupsView) Ranges() []string { return ranges[1:] }

func drawGrowth(t *text, g growth) template.HTML {
	f := t.frame("pic-growth", t.T("storage.growth"), "By")
	f.Empty, f.Desc = t.T("storage.growth.no_history"), t.T("storage.growth.desc", t.Int(int64(len(g.Points))))
	c := picture.Course{Name: t.T("storage.growth.past"), ForecastName: t.T("storage.growth.expected"), LimitName: t.T("storage.growth.room")}
	for _, p := range g.Points {
		c.Past = append(c.Past, picture.Sample{At: p.At, Value: p.Value})
	}
	for _, e := range g.Forecast {
		c.Forecast = append(c.Forecast, picture.Range{At: e.At, Low: e.Low, Mid: e.Mid, High: e.High})
	}
	// The end of the volume is drawn once it comes near: far away it would press the line flat.
	if n := len(g.Forecast); n > 0 && g.Room > 0 && g.Forecast[n-1].High > float64(g.Room)/3 {
		c.Limit = float64(g.Room)
	}
	return picture.Growth(f, picture.Window{From: g.From, To: g.To}, c)
}

func drawSizes(t *text, s sizesView) template.HTML {
	f := t.frame("pic-sizes", t.T("storage.sizes"), "By")
	f.Empty, f.Desc = t.T("storage.sizes.none"), t.T("storage.sizes.desc", t.Int(int64(len(s.Tables))))
	var tiles []picture.Tile
	for _, x := range s.Tables {
		tiles = append(tiles, picture.Tile{Label: x.Name, Value: float64(x.Bytes), Index: x.Table != ""})
	}
	return picture.Treemap(f, tiles)
}
