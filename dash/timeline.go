package dash

import (
	"cmp"
	"fmt"
	"html/template"
	"os"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/dash/internal/picture"
)

// timeline is who had what in the last minutes, from the samples of once a second that
// are taken while somebody looks: what was over sooner shows by chance. Checkpoints are
// from the database's own record, and complete.
type timeline struct {
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Lanes []lane    `json:"lanes"`
}

// lane is one holder or waiter: a place in the program, or a process.
type lane struct {
	Name  string `json:"name"`
	Spans []hold `json:"spans"` // the oldest first
}

// hold is one thing that was held or waited for.
type hold struct {
	Kind      string    `json:"kind"` // "write", "read", "wait" or "checkpoint"
	Lock      string    `json:"lock"`
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	Open      bool      `json:"open"` // at the last look
	Statement string    `json:"statement"`
}

const (
	timelineLength = 3 * time.Minute
	timelineLanes  = 24
)

// lanes collects holds from looks, one after the other.
type lanes struct {
	order []string
	by    map[string]*lane
	spans map[grip]*hold
	at    time.Time // of the look
}

// grip is what makes a hold the same in two looks.
type grip struct {
	name, kind, lock string
	since            int64
}

// see notes that something was held when it was looked at.
func (l *lanes) see(name, kind, lock, statement string, since time.Time) {
	key := grip{name, kind, lock, since.UnixNano()}
	h := l.spans[key]
	if h == nil {
		if l.by[name] == nil {
			l.by[name] = &lane{Name: name}
			l.order = append(l.order, name)
		}
		// A place may hold the same twice since the same moment: that is one bar.
		h = &hold{Kind: kind, Lock: lock, From: since.UTC()}
		l.spans[key] = h
	}
	h.To, h.Statement = l.at.UTC(), statement
}

// timeline puts together what was seen in the last minutes.
func (v *visit) timeline() timeline {
	t := timeline{From: v.now.Add(-timelineLength).UTC(), To: v.now.UTC(), Lanes: []lane{}}
	l := &lanes{by: map[string]*lane{}, spans: map[grip]*hold{}}
	for _, s := range v.watch.samples(t.From) {
		l.at = s.At
		for _, h := range s.Locks.Holders {
			if h.Kind == anotherProcess {
				continue // it is seen from outside, too, and then with its own name
			}
			kind := "read"
			if forWriting(h) {
				kind = "write"
			}
			l.see(v.nameOf(h), kind, h.Lock, h.Statement, h.Since)
		}
		for _, w := range s.Locks.Waiters {
			l.see(orUnknown(v.text, w.CallSite), "wait", "WAL_WRITE", w.Statement, w.Since)
		}
	}
	for _, s := range v.watch.outside.seen(t.From) {
		l.at = s.At
		for _, h := range s.Holders {
			kind := "write"
			switch h.Lock {
			case "WAL_READ", "SHARED":
				kind = "read"
			case "WAL_CKPT":
				kind = "checkpoint"
			}
			l.see(v.text.process(h.Program, h.PID), kind, h.Lock, h.Statement, h.Since)
		}
		for _, w := range s.Waiters {
			l.see(v.text.process(w.Program, w.PID), "wait", w.Lock, w.Statement, w.Since)
		}
	}
	return v.laid(l, t)
}

// anotherProcess is the kind of a holder that DB.Locks knows to be outside.
const anotherProcess = "another process"

// laid makes lanes of what was seen, the one that was last busy first.
func (v *visit) laid(l *lanes, t timeline) timeline {
	for key, h := range l.spans {
		h.Open = h.To.After(v.now.Add(-2 * sampleEvery))
		l.by[key.name].Spans = append(l.by[key.name].Spans, *h)
	}
	for _, name := range l.order {
		one := l.by[name]
		slices.SortFunc(one.Spans, func(a, b hold) int { return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To)) })
		t.Lanes = append(t.Lanes, *one)
	}
	// Who writes is looked for first, then who holds longest.
	slices.SortStableFunc(t.Lanes, func(a, b lane) int {
		return cmp.Or(cmp.Compare(weight(b), weight(a)), cmp.Compare(longest(b), longest(a)))
	})
	t.Lanes = t.Lanes[:min(len(t.Lanes), timelineLanes)]
	own := lane{Name: v.text.T("locks.checkpoints", fmt.Sprint(os.Getpid()))}
	for _, r := range slices.Backward(v.db.Maintenance().Checkpoints()) {
		if end := r.At.Add(time.Duration(r.Seconds * float64(time.Second))); end.After(t.From) {
			own.Spans = append(own.Spans, hold{Kind: "checkpoint", Lock: "WAL_CKPT", From: r.At, To: end, Statement: checkpointName(r)})
		}
	}
	if len(own.Spans) > 0 {
		t.Lanes = append(t.Lanes, own)
	}
	return t
}

func checkpointName(r holdfast.CheckpointRun) string {
	if r.Mode == "" {
		return "wal_checkpoint"
	}
	return "wal_checkpoint(" + string(r.Mode) + ")"
}

func weight(l lane) int {
	n := 0
	for _, s := range l.Spans {
		switch s.Kind {
		case "write":
			n = max(n, 2)
		case "wait":
			n = max(n, 1)
		}
	}
	return n
}

func longest(l lane) time.Duration {
	var n time.Duration
	for _, s := range l.Spans {
		n = max(n, s.To.Sub(s.From))
	}
	return n
}

// drawTimeline is the picture of a timeline.
func drawTimeline(t *text, l timeline) template.HTML {
	f := t.frame("pic-timeline", t.T("locks.timeline"), "")
	f.Desc, f.Empty = t.T("locks.timeline.desc", t.Int(int64(len(l.Lanes)))), t.T("locks.timeline.empty")
	g := picture.Gantt{From: l.From, To: l.To, Names: map[picture.Kind]string{}}
	kinds := map[string]picture.Kind{"write": picture.Write, "read": picture.Read, "wait": picture.Wait, "checkpoint": picture.Checkpoint}
	for name, kind := range kinds {
		g.Names[kind] = t.T("locks.kind." + name)
	}
	for _, one := range l.Lanes {
		p := picture.Lane{Label: one.Name}
		for _, s := range one.Spans {
			label := t.T("locks.kind."+s.Kind) + " · " + t.Dur(s.To.Sub(s.From).Seconds()) + " · " + s.Statement
			p.Spans = append(p.Spans, picture.Span{From: s.From, To: s.To, Kind: kinds[s.Kind], Label: label})
		}
		g.Lanes = append(g.Lanes, p)
	}
	return picture.Timeline(f, g)
}
