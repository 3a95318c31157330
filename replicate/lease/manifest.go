package lease

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/replicate/objects"
)

// Name is what the manifest is called, beside the epochs.
const Name = "leader.json"

// Manifest says who may acknowledge writes.
type Manifest struct {
	Schema   string    `json:"schema"`
	Epoch    int64     `json:"epoch"`   // 0: nobody ever owned it
	Session  string    `json:"session"` // of the owner, a new one each time; "" of an epoch that nobody has begun
	Node     string    `json:"node"`    // the machine of the owner, for people
	Address  string    `json:"address"` // where clients reach it; what replication.address said
	TTL      float64   `json:"ttl_seconds"`
	Renewals int64     `json:"renewals"`
	Renewed  time.Time `json:"renewed_at"` // by the owner's clock, for people: nothing is decided by it
	Released bool      `json:"released"`   // the owner has ended: nobody has to wait
	Leave    bool      `json:"leave"`      // the owner is asked to
}

const schema = "holdfast.lease/v1"

// State is a manifest as it was read.
type State struct {
	Manifest
	version string
}

// DefaultTTL is how long an owner that is silent is waited for.
const DefaultTTL = 3 * time.Second

// Options are of one machine. The zero value has the defaults.
type Options struct {
	TTL     time.Duration        // of a lease that is taken; 0: DefaultTTL
	Node    string               // "": the host's name
	Address string               // where clients reach this machine
	Clock   func() time.Duration // for tests: how long this machine runs; nil: its own clock, also through sleep
	Logger  *slog.Logger         // nil: none
}

// ErrHeld: somebody has the lease, and renews it. It is a *HeldError.
var ErrHeld = errors.New("another machine has the lease")

// HeldError says who. It answers to ErrHeld and to holdfast.ErrFenced.
type HeldError struct{ State State }

func (e *HeldError) Error() string {
	m := e.State.Manifest
	where := m.Node
	if m.Address != "" {
		where += " at " + m.Address
	}
	return fmt.Sprintf("%s owns epoch %d of this database and renews its lease: write there, or wait for it with holdfast standby", where, m.Epoch)
}

// Is ErrHeld and holdfast.ErrFenced.
func (e *HeldError) Is(target error) bool { return target == ErrHeld || target == holdfast.ErrFenced }

// Place is where the manifest of one database lies. Its methods may be called by several
// goroutines at once.
type Place struct {
	object objects.Versioned
	o      Options
}

// Open is the place below the target of a replication. It asks for nothing there yet. A
// target that can't be written to on condition is objects.ErrURL.
func Open(ctx context.Context, target string, o Options) (*Place, error) {
	object, err := objects.OpenVersioned(ctx, target, Name)
	if err != nil {
		return nil, err
	}
	if clock, ok := ctx.Value(clockKey{}).(func() time.Duration); ok {
		o.Clock = clock
	}
	return at(object, o), nil
}

func at(object objects.Versioned, o Options) *Place {
	if o.TTL <= 0 {
		o.TTL = DefaultTTL
	}
	if o.Clock == nil {
		o.Clock = running
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Node == "" {
		o.Node, _ = os.Hostname()
	}
	return &Place{object: object, o: o}
}

// Close gives up its connections.
func (p *Place) Close() error { return p.object.Close() }

// Path names the manifest, for people.
func (p *Place) Path() string { return p.object.Path() }

// Prove has the store refuse what it has to; see objects.Versioned.
func (p *Place) Prove(ctx context.Context) error { return p.object.Prove(ctx) }

// Others tells whether something lies beside the manifest whose name begins with prefix.
func (p *Place) Others(ctx context.Context, prefix string) (bool, error) {
	return p.object.Others(ctx, prefix)
}

// Read is the manifest as it is. Where there is none, its epoch is 0.
func (p *Place) Read(ctx context.Context) (State, error) {
	text, version, err := p.object.Read(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, err
	}
	s := State{version: version}
	if err := json.Unmarshal(text, &s.Manifest); err != nil || s.Schema != schema || s.Epoch <= 0 {
		return State{}, fmt.Errorf("%w: %s is no manifest of this version: look at what has written it", holdfast.ErrRefused, p.Path())
	}
	return s, nil
}

func (p *Place) write(ctx context.Context, m Manifest, version string) (string, error) {
	m.Schema = schema
	text, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	return p.object.Write(ctx, append(text, '\n'), version)
}

// Watch watches the lease by this machine's clock. It is for one goroutine.
type Watch struct {
	place *Place
	last  State
	since time.Duration
}

// Watch begins to watch: an owner is given up when nothing was heard of it for its whole TTL
// from now on.
func (p *Place) Watch() *Watch { return &Watch{place: p} }

// Look reads the manifest. free says that the lease may be taken; else it may be after
// left, if the owner stays silent.
func (w *Watch) Look(ctx context.Context) (s State, free bool, left time.Duration, err error) {
	if s, err = w.place.Read(ctx); err != nil {
		return s, false, 0, err
	}
	now := w.place.o.Clock()
	if s.version != w.last.version {
		w.last, w.since = s, now
	}
	left = w.since + time.Duration(s.TTL*float64(time.Second)) - now
	return s, s.Epoch == 0 || s.Released || left <= 0, left, nil
}

// Free returns when the lease may be taken. Of an owner that renews it is ErrHeld as
// soon as that is seen. It takes a TTL at most.
func (p *Place) Free(ctx context.Context) (State, error) {
	w := p.Watch()
	first, free, left, err := w.Look(ctx)
	for s := first; err == nil && !free; s, free, left, err = w.Look(ctx) {
		if s.version != first.version {
			return s, &HeldError{s}
		}
		if err := Rest(ctx, min(left, time.Duration(s.TTL*float64(time.Second))/6)); err != nil {
			return s, err
		}
	}
	return w.last, err
}

type clockKey struct{}

// WithClock has leases that are taken within ctx go by another clock, which is for tests.
func WithClock(ctx context.Context, clock func() time.Duration) context.Context {
	return context.WithValue(ctx, clockKey{}, clock)
}

// Rest waits, or returns why ctx has ended.
func Rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// NewSession names an ownership.
func NewSession() string { return rand.Text() }

// Take takes the next epoch, as a session that was never used before. It fails with
// objects.ErrChanged if the manifest is another than from by now. Whether from may be taken is for
// the caller to know.
func (p *Place) Take(ctx context.Context, from State, session string) (*Lease, error) {
	m := Manifest{
		Epoch: from.Epoch + 1, Session: session, Node: p.o.Node, Address: p.o.Address, TTL: p.o.TTL.Seconds(), Renewed: time.Now().UTC(),
	}
	sent := p.o.Clock()
	version, err := p.write(ctx, m, from.version)
	if err != nil && !errors.Is(err, objects.ErrChanged) {
		if s, e := p.Read(ctx); e == nil && s.Session == session { // its answer was lost
			version, err = s.version, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return newLease(p, m, version, sent), nil
}

// Depose ends the epoch without its owner: whoever waits may begin the next at once. In
// DURABLE mode nothing that was acknowledged is lost by that; in ASYNC mode what the owner had not
// shipped is.
func (p *Place) Depose(ctx context.Context) (State, error) {
	return p.change(ctx, func(m *Manifest) {
		*m = Manifest{Epoch: m.Epoch + 1, Node: p.o.Node, TTL: m.TTL, Renewed: time.Now().UTC(), Released: true}
	})
}

// Ask asks the owner to ship what is left and to end.
func (p *Place) Ask(ctx context.Context) (State, error) {
	return p.change(ctx, func(m *Manifest) { m.Leave = true })
}

// change repeats while the owner renews in between.
func (p *Place) change(ctx context.Context, f func(*Manifest)) (State, error) {
	for {
		s, err := p.Read(ctx)
		if err != nil {
			return s, err
		}
		if s.Epoch == 0 {
			return s, fmt.Errorf("%w: there is no manifest at %s: nobody has ever owned this database", holdfast.ErrRefused, p.Path())
		}
		m := s.Manifest
		f(&m)
		if s.version, err = p.write(ctx, m, s.version); err == nil {
			s.Manifest = m
			return s, nil
		} else if !errors.Is(err, objects.ErrChanged) {
			return s, err
		}
	}
}
