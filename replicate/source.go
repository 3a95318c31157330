package replicate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
)

// errDamaged: a file of the replica isn't what it was when it was written.
var errDamaged = fmt.Errorf("the replica is damaged (%w)", holdfast.ErrCorrupt)

// At is the state that is restored: the last one by default.
type At struct {
	// Time is the last state before it, to the millisecond: of what was acknowledged by
	// then, in DURABLE mode, nothing is missing, and of what began later nothing is there.
	// What replication has merged since is restored as it was before the step.
	Time time.Time
	// Transaction is one of List. It wins over Time.
	Transaction string
}

// Point is a state that can be restored.
type Point struct {
	Transaction string    `json:"transaction"`
	Time        time.Time `json:"time,omitzero"` // when it was read from the log
	Level       int       `json:"level"`         // 0: a single upload; 1 to 3: merged, of 30 s, 5 minutes, an hour; 9: a snapshot
	Bytes       int64     `json:"bytes"`         // of the file
}

// Timeline is what a target has.
type Timeline struct {
	Target   string  `json:"target"`
	Earliest Point   `json:"earliest"`
	Latest   Point   `json:"latest"`
	Points   []Point `json:"points"` // the oldest first
	Bytes    int64   `json:"bytes"`  // of all files
}

// List tells to which states the database at a target can be restored. For times it
// reads the beginning of a file for each, unless withTimes is false: then only the first and
// the last have one. A target without a replica is ErrNoSuchTime.
func List(ctx context.Context, target string, withTimes bool) (Timeline, error) {
	l, err := openTimeline(ctx, target)
	if err != nil {
		return Timeline{}, err
	}
	out := Timeline{Target: l.target.name, Points: make([]Point, len(l.points))}
	for _, f := range l.files {
		out.Bytes += f.Size
	}
	for i, p := range l.points {
		out.Points[i] = Point{Transaction: p.last.String(), Level: p.file.Level, Bytes: p.file.Size}
		if withTimes || i == 0 || i == len(l.points)-1 {
			if out.Points[i].Time, err = l.time(ctx, p); err != nil {
				return out, err
			}
		}
	}
	out.Earliest, out.Latest = out.Points[0], out.Points[len(out.Points)-1]
	return out, nil
}

// IsReplica tells whether there is a replica at target, rather than backups, or nothing.
func IsReplica(ctx context.Context, target string) (bool, error) {
	_, err := openTimeline(ctx, target)
	if errors.Is(err, ErrNoSuchTime) {
		return false, nil
	}
	return err == nil, err
}

// Replica is a state of a replica, as a [backup.Source] for [backup.Restore].
type Replica struct {
	address string
	name    string
	at      At
	found   Point
}

var _ backup.Source = (*Replica)(nil)

// Source is the state at of the database that is replicated to target. What is wrong
// with the target is told when it is read.
func Source(target string, at At) *Replica {
	r := &Replica{address: target, name: "the replica", at: at}
	if t, err := parseTarget(target); err == nil {
		r.name = t.name
	}
	return r
}

// Name is the target, without anything secret.
func (r *Replica) Name() string { return r.name }

// Proven: each file of a replica ends with a checksum of all of it, which is compared.
func (r *Replica) Proven() bool { return true }

// Found is the state that was restored, after Unpack has begun.
func (r *Replica) Found() Point { return r.found }

// Unpack writes the database as it was. Files that there are too many of to be read
// at once are merged in a directory for temporary files.
func (r *Replica) Unpack(ctx context.Context, into func(holdfast.BackupInfo) (io.Writer, error)) error {
	l, err := openTimeline(ctx, r.address)
	if err != nil {
		return err
	}
	p, when, err := l.find(ctx, r.at)
	if err != nil {
		return err
	}
	hdr, err := l.header(ctx, p.file)
	if err != nil {
		return l.target.failed("read", err)
	}
	r.found = Point{Transaction: p.last.String(), Time: when, Level: p.file.Level, Bytes: p.file.Size}
	w, err := into(holdfast.BackupInfo{Source: l.target.name, TakenAt: when, Bytes: int64(hdr.Commit) * int64(hdr.PageSize)})
	if err != nil {
		return err
	}
	s := &states{timeline: l}
	defer s.close()
	readers, err := s.open(ctx, p)
	if err != nil {
		return err
	}
	return s.write(ctx, w, readers)
}
