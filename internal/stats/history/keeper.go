package history

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/queries"
)

// Suffix is what the name of a database's history ends with.
const Suffix = "-holdfast.telemetry"

// KeeperConfig is what a Keeper needs to know.
type KeeperConfig struct {
	Store    Config
	Database string // whose sizes are recorded
	Log      string // its write-ahead log
	Release  string // the build of the program; see Build

	// Take returns what is counted since the beginning. It is called without any lock of
	// the Keeper's that a statement could wait for.
	Take func() ([]history.Figure, queries.Report)

	Logger *slog.Logger
}

// Keeper records a database, each minute from a minute after Start on: a short program
// leaves no file behind. It is on a timer and no goroutine; nobody but Close waits for
// it.
type Keeper struct {
	Store *Store // for readers, too

	cfg      KeeperConfig
	recorder *Recorder
	process  process

	mu       sync.Mutex // guards the rest, and is held for a whole write
	timer    *time.Timer
	began    time.Time
	over     bool
	written  bool
	failures int
	looked   time.Time       // ahead
	told     map[string]bool // the causes that were logged

	failing atomic.Int64 // failures, and when the volume is full, for who doesn't wait for a write
	full    atomic.Int64 // seconds since 1970; 0 if it won't be
}

const every = time.Minute

// Start begins to record, until Close.
func Start(cfg KeeperConfig) *Keeper {
	store := New(cfg.Store)
	k := &Keeper{Store: store, cfg: cfg, recorder: NewRecorder(store, cfg.Release), began: time.Now(), told: map[string]bool{}}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = time.AfterFunc(every, k.tick)
	return k
}

func (k *Keeper) tick() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over {
		return
	}
	k.record(time.Now())
	// At the same second of each minute, or some would have two and some none. After
	// a failure it is left alone for up to 16 minutes; no count is lost by that.
	k.timer.Reset(every<<min(k.failures, 4) - time.Since(k.began)%every)
}

// Close records the rest of a program that has been recorded before. It waits
// for a write that is under way, 2 s or so if another process has the file.
func (k *Keeper) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over {
		return
	}
	k.over = true
	k.timer.Stop()
	if k.written && k.failures == 0 {
		k.record(time.Now())
	}
}

// Record writes what was added since the last time. Whatever becomes of it, it is nobody's
// error.
func (k *Keeper) Record(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.record(now)
}

func (k *Keeper) record(now time.Time) {
	if now.Year() < 2020 {
		return // the clock is not set: it would be thrown away when it is
	}
	figures, report := k.cfg.Take()
	samples := append(k.process.samples(), fileSamples(k.cfg.Database, k.cfg.Log)...)
	for _, f := range figures {
		if !f.Time && !f.Unknown {
			samples = append(samples, Sample{f.Name, f.Kind, f.Value})
		}
	}
	err := k.recorder.Record(now, samples, report)
	if err == nil {
		k.written, k.failures = true, 0
		k.failing.Store(0)
		k.lookAhead(now)
		return
	}
	k.failures++
	k.failing.Store(int64(k.failures))
	if cause := causeOf(err); !k.told[cause] {
		k.told[cause] = true
		k.cfg.Logger.Warn("holdfast: the history could not be written, and is tried again", "path", k.cfg.Store.Path, "error", err,
			"next", "make room for it, or let this user write it; telemetry.history = false turns it off")
	}
}

// Failures is how many writes have failed since the last that did not.
func (k *Keeper) Failures() int64 { return k.failing.Load() }

// causeOf tells failures apart that an operator does different things about.
func causeOf(err error) string {
	var engine *sqlite.Error
	var file *fs.PathError
	switch {
	case errors.As(err, &engine):
		return engine.Code.String()
	case errors.As(err, &file):
		return file.Err.Error()
	case errors.Is(err, ErrVersion):
		return "version"
	}
	return "other"
}

// Build is the name of the program and of its build, "app v1.2.3", or "" if the build
// has none. A version that is not "" is what the program itself says.
func Build(version string) string {
	program := filepath.Base(os.Args[0])
	if b, ok := debug.ReadBuildInfo(); ok {
		program = path.Base(b.Path)
		if version == "" && b.Main.Version != "(devel)" {
			version = b.Main.Version
		}
	}
	if version == "" {
		return ""
	}
	return program + " " + version
}
