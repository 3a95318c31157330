package integrity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/maintain/copy"
	"github.com/holdfastdb/holdfast/internal/maintain/pace"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Config is what a Verifier needs to know of its database.
type Config struct {
	// Open opens a connection that only reads. The verifier closes it.
	Open func(ctx context.Context) (*sqlite.Conn, error)
	// Path is the database, absolute. Copies are made beside it, and named after it.
	Path string
	// Unchanging says that nobody writes the file, so that a copy is good for nothing.
	Unchanging bool
	// Budget is how long the beginning of the read transaction waits for locks.
	Budget time.Duration
	// Free tells what the volume of a directory has left.
	Free func(dir string) (int64, error)
}

// Request is one verification.
type Request struct {
	Full      bool   // indexes and references too
	InPlace   bool   // don't copy: the log can't be emptied as long as it takes
	Directory string // of the copy; "" is that of the database
	// Progress is told on the caller's goroutine: first of "copy", then of "check",
	// in pages. It may be nil.
	Progress func(stage string, done, total int)
}

// Verdict is what a verification has found.
type Verdict struct {
	Full     bool
	Problems []string // damage
	Orphans  []string // rows that refer to missing ones
	Pages    int
	OnCopy   bool
	InPlace  string        // why it was not on a copy; "" if it was
	Pinned   time.Duration // how long a log could not be emptied
	Duration time.Duration
	At       time.Time // when it ended
}

func (d *Verdict) well() bool { return len(d.Problems)+len(d.Orphans) == 0 }

// Verifier reads whole databases. It is safe for concurrent use.
type Verifier struct {
	cfg  Config
	turn chan struct{}   // one at a time: two would only wait for the same disk
	over context.Context // ended by Close
	end  context.CancelFunc

	mu   sync.Mutex // guards last
	last *Verdict
}

// NewVerifier returns a verifier, which has nothing open between its runs.
func NewVerifier(cfg Config) *Verifier {
	v := &Verifier{cfg: cfg, turn: make(chan struct{}, 1)}
	v.over, v.end = context.WithCancel(context.Background())
	return v
}

// Last returns the last verdict, nil if nothing has been verified: it is not to be
// changed.
func (v *Verifier) Last() *Verdict {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.last
}

// Close ends a run that is under way and waits for it, or for ctx.
func (v *Verifier) Close(ctx context.Context) error {
	v.end()
	select {
	case v.turn <- struct{}{}:
		return nil // for good: nobody runs any more
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run verifies the database. Damage is a verdict; an error says that there is none,
// because ctx ended, the verifier was closed, or reading failed. A second run waits
// for the first.
func (v *Verifier) Run(ctx context.Context, r Request) (Verdict, error) {
	select {
	case v.turn <- struct{}{}:
	case <-ctx.Done():
		return Verdict{}, ctx.Err()
	case <-v.over.Done():
		return Verdict{}, ErrClosed
	}
	defer func() { <-v.turn }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(v.over, cancel)()
	start := time.Now()
	verdict, err := v.run(ctx, r)
	switch {
	case err != nil && v.over.Err() != nil:
		return Verdict{}, ErrClosed
	case err != nil && damaged(err): // not even a read transaction could be begun
		verdict.Problems = append(verdict.Problems, err.Error())
	case err != nil:
		return Verdict{}, err
	}
	verdict.Full, verdict.At = r.Full, time.Now()
	verdict.Duration = verdict.At.Sub(start)
	v.mu.Lock()
	defer v.mu.Unlock()
	// What a full check has found, a quick one that overlooks it doesn't take back.
	if v.last == nil || v.last.well() || !verdict.well() || r.Full || !v.last.Full {
		v.last = &verdict
	}
	return verdict, nil
}

func damaged(err error) bool {
	switch sqlite.Code(err).Primary() {
	case sqlite.ResultCorrupt, sqlite.ResultNotADB:
		return true
	}
	return false
}

func (v *Verifier) run(ctx context.Context, r Request) (d Verdict, err error) {
	c, err := v.cfg.Open(ctx)
	if err != nil {
		return d, err
	}
	defer func() { err = single(errors.Join(err, c.Close())) }()
	var h busy.Handler
	h.Arm(ctx, v.cfg.Budget, nil)
	c.SetBusyHandler(h.Busy)
	switch {
	case v.cfg.Unchanging:
		d.InPlace = "nobody writes it"
	case r.InPlace:
		d.InPlace = "as asked for"
	default:
		why, err := v.onCopy(ctx, c, r, &d)
		if why == "" {
			d.OnCopy = err == nil
			return d, err
		}
		d = Verdict{InPlace: why}
	}
	return d, v.inPlace(ctx, c, r, &d)
}

// inPlace checks by the connection to the database itself.
func (v *Verifier) inPlace(ctx context.Context, c *sqlite.Conn, r Request, d *Verdict) error {
	start := time.Now()
	pages, err := c.QueryInt64("PRAGMA main.page_count")
	if err != nil {
		return err
	}
	d.Pages = int(pages)
	err = r.check(pace.Holding(ctx), c, d)
	if !v.cfg.Unchanging {
		d.Pinned = time.Since(start)
	}
	return err
}

// check reads all of c's database.
func (r Request) check(ctx context.Context, c *sqlite.Conn, d *Verdict) (err error) {
	level := copy.Quick
	if r.Full {
		level = copy.Integrity
	}
	d.Problems, err = copy.Check(ctx, c, level, r.stage("check"))
	if err == nil && r.Full && len(d.Problems) == 0 { // what refers to what is in doubt in a damaged file
		d.Orphans, err = copy.References(ctx, c)
	}
	return err
}

func (r Request) stage(name string) func(done, total int) {
	if r.Progress == nil {
		return nil
	}
	return func(done, total int) { r.Progress(name, done, total) }
}

// onCopy copies the database and checks the copy. why is not "" if there can be
// none.
func (v *Verifier) onCopy(ctx context.Context, c *sqlite.Conn, r Request, d *Verdict) (why string, err error) {
	dir := r.Directory
	if dir == "" {
		dir = filepath.Dir(v.cfg.Path)
	}
	prefix := filepath.Base(v.cfg.Path) + "-holdfast-verify-"
	sweep(dir, prefix)
	name := filepath.Join(dir, prefix+fmt.Sprintf("%016x", rand.Uint64()))
	done, err := copy.To(ctx, c, name, copy.Config{Fleeting: true, Free: v.cfg.Free, Progress: r.stage("copy")})
	if err != nil {
		return r.noCopy(dir, err), err
	}
	d.Pages, d.Pinned = done.Pages, done.Duration
	defer func() { _ = os.Remove(name) }() // on Windows, where the file could not go below
	copied, err := copy.OpenFile(name)
	if err != nil {
		return "", err
	}
	defer func() { err = single(errors.Join(err, copied.Close())) }()
	// The name goes at once, and the file with the connection, whatever becomes of
	// this process.
	_ = os.Remove(name)
	return "", r.check(ctx, copied, d)
}

// noCopy says why there can be no copy in dir; "" if the error is about something
// else. A directory that was asked for has to be there.
func (r Request) noCopy(dir string, err error) string {
	switch {
	case errors.Is(err, copy.ErrNoSpace):
		return err.Error()
	case errors.Is(err, syscall.ENOSPC), sqlite.Code(err).Primary() == sqlite.ResultFull:
		return "the volume of " + dir + " became full"
	case r.Directory != "":
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EROFS):
		return "no file can be created in " + dir
	}
	return ""
}

// left is for how long a copy is left alone that nobody seems to write any more: on
// Unix it has no name while it is checked, so it is one of a process that was
// killed while it copied.
const left = 10 * time.Minute

// sweep removes the copies of processes that were killed.
func sweep(dir, prefix string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // the copy will say so
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) || !e.Type().IsRegular() {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > left {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// single unwraps a join of one error, so that its type stays visible.
func single(err error) error {
	if j, ok := err.(interface{ Unwrap() []error }); ok && len(j.Unwrap()) == 1 {
		return j.Unwrap()[0]
	}
	return err
}
