package torture

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
)

// The load of the soak test is light on purpose: it has to find what grows, and
// has to leave the machine to others.
const (
	soakWriters = 8
	soakReaders = 4
	soakRate    = 500 // writes a second, all writers together
	soakSample  = 10 * time.Second

	// Four readers, whoever measures, the writer, maintenance and its check.
	soakConnections = soakReaders + 4

	// SQLite keeps the descriptor of a connection that is closed while others hold
	// locks, for the next one: closing it would drop theirs. So a moment with one
	// connection more than before leaves one descriptor, and ten such moments leave one.
	soakSpare = 2
)

// What it may show. A slope says nothing before it was measured for soakSlopeTime;
// a shorter run is held to an absolute growth.
const (
	soakSlope     = 1 << 20 // bytes an hour
	soakSlopeTime = 30 * time.Minute
	soakGrowth    = 16 << 20
	soakWarmUp    = 20 * time.Minute
)

func soak() Scenario {
	return Scenario{
		Name:  "soak",
		About: "hours of 500 writes a second beside readers: memory, descriptors and goroutines stay flat, rows are what was acknowledged",
		Tier:  Soak,
		Needs: []Need{Linux},
		Run:   runSoak,
	}
}

// soakConfig is what the child is told.
type soakConfig struct {
	writeConfig
	Every time.Duration `json:"every"`
}

// sample is what the child measures about itself, after a garbage collection that
// gave all free memory back.
type sample struct {
	Seconds     float64 `json:"seconds"` // since the start
	RSSBytes    int64   `json:"rss_bytes"`
	HeapBytes   int64   `json:"heap_bytes"`
	EngineBytes int64   `json:"engine_bytes"`
	FileBytes   int64   `json:"file_bytes"`
	WALBytes    int64   `json:"wal_bytes"`
	CacheBytes  int64   `json:"cache_bytes"` // of the engine's pages
	Connections int     `json:"connections"`
	Descriptors int     `json:"descriptors"`
	Goroutines  int     `json:"goroutines"`
	Threads     int     `json:"threads"`
	StackBytes  int64   `json:"stack_bytes"` // of goroutines and of threads
	Reads       int64   `json:"reads"`
	Commits     int64   `json:"commits"`
}

func runSoak(ctx context.Context, t *Trial) error {
	duration := t.Duration
	if duration == 0 {
		duration = [...]time.Duration{time.Minute, 5 * time.Minute, 2 * time.Hour}[t.Tier]
	}
	s := &soaking{t: t, path: filepath.Join(t.Dir, "soak.db"), warmUp: min(soakWarmUp, duration/4)}
	if err := create(ctx, s.path); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(t.Dir, "samples.jsonl"))
	if err != nil {
		return err
	}
	defer log.Close()
	s.log = json.NewEncoder(log)
	child, err := t.Child(ctx, "soak", soakConfig{
		writeConfig: writeConfig{Path: s.path, Seed: t.Rand.Uint64(), Goroutines: soakWriters, Readers: soakReaders, Sabotage: t.Sabotage},
		Every:       min(soakSample, duration/12),
	}, s.line)
	if err != nil {
		return err
	}
	end := time.NewTimer(duration)
	defer end.Stop()
	select {
	case <-end.C:
		child.Say("end")
	case <-child.Done():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-child.Done():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return errors.Join(child.Kill(), s.judge(ctx)) // it is dead: Kill tells how it ended
}

// soaking is the parent's side.
type soaking struct {
	t      *Trial
	path   string
	warmUp time.Duration
	ledger Ledger
	log    *json.Encoder

	mu      sync.Mutex
	samples []sample
	closed  *sample // after Close
	err     error
}

func (s *soaking) line(l Line) {
	mine, err := s.ledger.Line(l.Text)
	if !mine {
		err = s.measured(l.Text)
	}
	if err != nil {
		s.mu.Lock()
		s.err = errors.Join(s.err, err)
		s.mu.Unlock()
	}
}

func (s *soaking) measured(text string) error {
	word, rest, _ := strings.Cut(text, " ")
	var one sample
	if word != "sample" && word != "closed" {
		return nil
	}
	if err := json.Unmarshal([]byte(rest), &one); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if word == "closed" {
		s.closed = &one
		return s.log.Encode(one)
	}
	s.samples = append(s.samples, one)
	s.t.Figure("samples", int64(len(s.samples)))
	s.t.Figure("acked", s.ledger.Acked())
	s.t.Figure("reads", one.Reads)
	s.t.Figure("commits", one.Commits)
	s.t.Most("file_bytes", one.FileBytes)
	s.t.Most("wal_bytes", one.WALBytes)
	s.t.Figure("rss_bytes", one.RSSBytes)
	s.t.Most("rss_highest_bytes", one.RSSBytes)
	s.t.Figure("engine_bytes", one.EngineBytes)
	s.t.Most("threads", int64(one.Threads))
	s.t.Figure("cache_bytes", one.CacheBytes)
	s.t.Most("connections", int64(one.Connections))
	if warm := s.warm(); len(warm) > 2 {
		s.t.Figure("rss_bytes_per_hour", int64(slope(warm, rss)))
		s.t.Figure("engine_bytes_per_hour", int64(slope(warm, engine)))
	}
	return s.log.Encode(one)
}

func rss(s sample) float64    { return float64(s.RSSBytes) }
func engine(s sample) float64 { return float64(s.EngineBytes) }

// descriptors leaves out the file and the log of each connection: one reader more is
// opened when as many reads coincide for the first time, which may take an hour.
func descriptors(s sample) float64 { return float64(s.Descriptors - 2*s.Connections) }
func goroutines(s sample) float64  { return float64(s.Goroutines) }

// warm returns the samples after the warm-up.
func (s *soaking) warm() []sample {
	for i, one := range s.samples {
		if one.Seconds >= s.warmUp.Seconds() {
			return s.samples[i:]
		}
	}
	return nil
}

// judge looks at the samples and the database when the child has ended.
func (s *soaking) judge(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	warm := s.warm()
	if s.err != nil || s.closed == nil || len(warm) < 6 {
		return errors.Join(s.err, fmt.Errorf("the soak test ended early, with %d samples", len(s.samples)))
	}
	var errs []error
	first, last := warm[:len(warm)/3], warm[len(warm)-len(warm)/3:]
	growth := mean(last, rss) - mean(first, rss)
	s.t.Figure("rss_growth_bytes", int64(growth))
	measured := time.Duration((warm[len(warm)-1].Seconds - warm[0].Seconds) * float64(time.Second))
	if up := slope(warm, rss); measured >= soakSlopeTime && up >= soakSlope {
		errs = append(errs, fmt.Errorf("memory grows by %.2f MiB an hour, measured over %s", up/(1<<20), measured))
	}
	if growth >= soakGrowth {
		errs = append(errs, fmt.Errorf("memory grew by %.1f MiB", growth/(1<<20)))
	}
	if most := slices.MaxFunc(warm, func(a, b sample) int { return cmp.Compare(a.Connections, b.Connections) }).Connections; most > soakConnections {
		errs = append(errs, fmt.Errorf("there were %d connections, of at most %d", most, soakConnections))
	}
	for what, of := range map[string]func(sample) float64{"descriptors": descriptors, "goroutines": goroutines} {
		s.t.Figure(what, int64(of(last[len(last)-1])))
		if up := mean(last, of) - mean(first, of); up > 1+soakSpare {
			errs = append(errs, fmt.Errorf("there are %.1f more %s in the last third than in the first", up, what))
		}
	}
	s.t.Figure("descriptors_after_close", int64(s.closed.Descriptors))
	s.t.Figure("goroutines_after_close", int64(s.closed.Goroutines))
	return errors.Join(append(errs, s.compare(ctx))...)
}

// compare holds the rows against the ledger: each write is one row here, and the
// child has ended in peace. A disk that stands still for longer than a write may
// wait makes errors; they are counted, and what they say has to be true.
func (s *soaking) compare(ctx context.Context) (err error) {
	db, err := holdfast.Open(ctx, s.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := integrity(ctx, db); err != nil {
		return err
	}
	total, there := int64(0), map[int]uint64{}
	for row, err := range db.Rows(ctx, "SELECT writer, count(*), count(DISTINCT seq) FROM entry GROUP BY writer") {
		if err != nil {
			return err
		}
		if row.Int64(1) != row.Int64(2) {
			return fmt.Errorf("writer %d has %d rows for %d writes", row.Int64(0), row.Int64(1), row.Int64(2))
		}
		there[int(row.Int64(0))] = uint64(row.Int64(1))
		total += row.Int64(1)
	}
	s.t.Figure("rows", total)
	s.t.Figure("acked", s.ledger.Acked())
	failed := 0
	s.ledger.each(func(writer int, begun uint64) {
		want, unacked := begun, s.ledger.unacked(writer)
		failed += len(unacked)
		for seq, fate := range unacked {
			n := uint64(0)
			if e := db.QueryRowContext(ctx, "SELECT count(*) FROM entry WHERE writer = ? AND seq = ?", writer, seq).Scan(&n); e != nil {
				err = errors.Join(err, e)
			}
			if n > 0 && fate == rolledBack {
				err = errors.Join(err, fmt.Errorf("write %d of writer %d is there and was told to be rolled back", seq, writer))
			}
			want -= 1 - n
		}
		if there[writer] != want {
			err = errors.Join(err, fmt.Errorf("writer %d has %d rows of %d", writer, there[writer], want))
		}
	})
	s.t.Figure("writes_failed", int64(failed))
	return err
}

// mean is the average of a measure.
func mean(samples []sample, of func(sample) float64) float64 {
	sum := 0.0
	for _, s := range samples {
		sum += of(s)
	}
	return sum / float64(len(samples))
}

// slope is by how much a measure rises in an hour, by least squares.
func slope(samples []sample, of func(sample) float64) float64 {
	n := float64(len(samples))
	var sx, sy, sxx, sxy float64
	for _, s := range samples {
		x, y := s.Seconds/3600, of(s)
		sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	if d := n*sxx - sx*sx; d > 0 {
		return (n*sxy - sx*sy) / d
	}
	return 0
}
