package replicate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"sort"
	"time"

	"github.com/benbjohnson/litestream"
	"github.com/superfly/ltx"
)

// levels are those of Litestream: 0 has the transactions one by one, 9 the snapshots.
const levels = litestream.SnapshotLevel + 1

// ErrNoSuchTime: the target has no state of that time or transaction.
var ErrNoSuchTime = errors.New("the target has no such state")

// timeline is what a target has.
type timeline struct {
	client *client
	target target
	files  []*ltx.FileInfo
	points []point // in the order of their transactions
}

// point is a state that can be restored.
type point struct {
	last ltx.TXID
	file *ltx.FileInfo // the one that ends with it, of the lowest level, which knows its time best
}

// openTimeline lists the target.
func openTimeline(ctx context.Context, address string) (*timeline, error) {
	t, err := parseTarget(address)
	if err != nil {
		return nil, err
	}
	inner, err := t.connect(nil)
	if err != nil {
		return nil, err
	}
	inner.SetLogger(slog.New(slog.DiscardHandler))
	c := newClient(inner)
	if err := c.Init(ctx); err != nil {
		return nil, t.failed("reach", err)
	}
	l := &timeline{client: c, target: t}
	return l, l.list(ctx)
}

// list reads the names of all files. A target that is not there has none.
func (l *timeline) list(ctx context.Context) error {
	l.files = nil
	for level := range levels {
		itr, err := l.client.LTXFiles(ctx, level, 0, false)
		if err != nil {
			return l.target.failed("list", err)
		}
		for itr.Next() {
			l.files = append(l.files, itr.Item())
		}
	}
	if len(l.files) == 0 {
		return fmt.Errorf("%w: %s has no replica: look at the name; a target is what replication.target said, to the letter (%w)", ErrNoSuchTime, l.target.name, fs.ErrNotExist)
	}
	l.points = reachable(l.files)
	if len(l.points) == 0 {
		return fmt.Errorf("%w: the replica at %s lacks its beginning, so nothing of it can be restored", ErrNoSuchTime, l.target.name)
	}
	return nil
}

// ErrUnreachable: the target didn't answer, or not as it should. It may have all.
var ErrUnreachable = errors.New("the target can't be read")

func (t target) failed(what string, err error) error {
	if errors.Is(err, errDamaged) {
		return fmt.Errorf("%s %s: %w", what, t.name, err)
	}
	return fmt.Errorf("%w: %s %s: %w; look at the network, the endpoint and the credentials in the environment", ErrUnreachable, what, t.name, err)
}

// reachable are the states that files lead to without a gap: each begins at most one
// transaction behind a state that is reached.
func reachable(files []*ltx.FileInfo) (points []point) {
	files = slices.Clone(files)
	sort.Slice(files, func(i, j int) bool {
		if a, b := files[i], files[j]; a.MaxTXID != b.MaxTXID {
			return a.MaxTXID < b.MaxTXID
		}
		return files[i].Level < files[j].Level
	})
	var reached ltx.TXID
	for _, f := range files {
		if f.MaxTXID > reached && (f.MinTXID == 1 || reached > 0 && f.MinTXID <= reached+1) {
			points = append(points, point{f.MaxTXID, f})
			reached = f.MaxTXID
		}
	}
	return points
}

// find is the state to restore to. What the replication has removed since the list was
// read is looked up once more.
func (l *timeline) find(ctx context.Context, at At) (p point, when time.Time, err error) {
	for range 3 {
		if p, when, err = l.findOnce(ctx, at); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err := l.list(ctx); err != nil {
			return p, when, err
		}
	}
	return p, when, err
}

func (l *timeline) findOnce(ctx context.Context, at At) (point, time.Time, error) {
	switch {
	case at.Transaction != "":
		last, err := ltx.ParseTXID(at.Transaction)
		if err != nil {
			return point{}, time.Time{}, fmt.Errorf("%w: a transaction has 16 hexadecimal digits, as --list shows them", ErrNoSuchTime)
		}
		i, found := slices.BinarySearchFunc(l.points, last, func(p point, last ltx.TXID) int { return cmp.Compare(p.last, last) })
		if !found {
			return point{}, time.Time{}, l.none(ctx, "transaction "+at.Transaction)
		}
		when, err := l.time(ctx, l.points[i])
		return l.points[i], when, err
	case at.Time.IsZero():
		p := l.points[len(l.points)-1]
		when, err := l.time(ctx, p)
		return p, when, err
	}
	return l.findTime(ctx, at.Time)
}

// findTime is the last state before a time: of what was acknowledged by then
// nothing is missing, and of what began later nothing is there. Times are noted in milliseconds.
func (l *timeline) findTime(ctx context.Context, at time.Time) (point, time.Time, error) {
	at = at.Truncate(time.Millisecond)
	var failed error
	when := func(i int) time.Time {
		t, err := l.time(ctx, l.points[i])
		if err != nil && failed == nil {
			failed = err
		}
		return t
	}
	// A handful of headers is read, and not one for each file.
	i := sort.Search(len(l.points), func(i int) bool { return failed != nil || !when(i).Before(at) })
	switch {
	case failed != nil:
		return point{}, time.Time{}, failed
	case i == 0:
		return point{}, time.Time{}, l.none(ctx, at.UTC().Format(time.RFC3339Nano))
	}
	last := when(i - 1)
	return l.points[i-1], last, failed
}

// none says what there is instead.
func (l *timeline) none(ctx context.Context, what string) error {
	first, err := l.time(ctx, l.points[0])
	if err != nil {
		return err
	}
	last, err := l.time(ctx, l.points[len(l.points)-1])
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s; what %s has is from %s (%s) to %s (%s)", ErrNoSuchTime, what, l.target.name,
		first.Format(time.RFC3339Nano), l.points[0].last, last.Format(time.RFC3339Nano), l.points[len(l.points)-1].last)
}

// time is when the last transaction of a state was read from the log. It stands in the
// file: names and dates of files change when somebody copies them.
func (l *timeline) time(ctx context.Context, p point) (time.Time, error) {
	hdr, err := l.header(ctx, p.file)
	if err != nil {
		return time.Time{}, l.target.failed("read", err)
	}
	return hdrTime(hdr), nil
}

func hdrTime(hdr ltx.Header) time.Time { return time.UnixMilli(hdr.Timestamp).UTC() }

func (l *timeline) header(ctx context.Context, info *ltx.FileInfo) (ltx.Header, error) {
	r, err := l.client.OpenLTXFile(ctx, info.Level, info.MinTXID, info.MaxTXID, 0, ltx.HeaderSize)
	if err != nil {
		return ltx.Header{}, err
	}
	defer r.Close()
	var hdr ltx.Header
	text := make([]byte, ltx.HeaderSize)
	if _, err = io.ReadFull(r, text); err == nil {
		if err = hdr.UnmarshalBinary(text); err == nil {
			err = hdr.Validate()
		}
		if err != nil {
			err = fmt.Errorf("%w: %w", errDamaged, err)
		}
	} else if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: it is cut off", errDamaged)
	}
	return hdr, err
}

// plan are the files that make up a state: the newest snapshot before it, and what
// leads on, the longest steps first.
func (l *timeline) plan(ctx context.Context, p point) ([]*ltx.FileInfo, error) {
	files, err := litestream.CalcRestorePlan(ctx, l.client, p.last, time.Time{}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, l.target.failed("plan a restore of", err)
	}
	return files, nil
}
