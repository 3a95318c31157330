package dash

import (
	"cmp"
	"context"
	"html/template"
	"os"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/dash/internal/picture"
	"github.com/holdfastdb/holdfast/locks"
)

func walPage() page {
	return page{id: "wal", params: []string{"range"}, view: func(ctx context.Context, v *visit) (any, error) { return v.wal(ctx) }}
}

// walView is the write-ahead log, and what became of its checkpoints.
type walView struct {
	Sentences   []sentence               `json:"sentences"`
	Log         logView                  `json:"log"`
	Stats       holdfast.WALStats        `json:"stats"`
	Checkpoints []holdfast.CheckpointRun `json:"checkpoints"`
	Range       string                   `json:"range"`
	Charts      []chart                  `json:"charts"`
}

// logView is the log now.
type logView struct {
	InUse      bool     `json:"in_use"` // the database has a log
	Bytes      int64    `json:"bytes"`
	LimitBytes int64    `json:"limit_bytes"`
	Frames     int64    `json:"frames"`
	Copied     int64    `json:"copied_frames"`
	PageSize   int64    `json:"page_size"`
	HandedOver bool     `json:"handed_over"`
	Pins       []logPin `json:"pins"`  // readers by slot, as far as it is known who has one
	Blind      string   `json:"blind"` // why it is not known who reads
}

// logPin is a slot of the log that somebody reads by.
type logPin struct {
	Slot     int     `json:"slot"`
	Frame    int64   `json:"snapshot_frame"` // the last one that its readers see
	PID      int     `json:"pid"`
	Program  string  `json:"program"`
	CallSite string  `json:"call_site"` // "" if it is not known, or nobody has it but an idle connection
	Kind     string  `json:"kind"`
	Seconds  float64 `json:"at_least_seconds"`
	Holds    bool    `json:"holds"` // frames after it are not copied
}

const frameHeader = 24 // bytes in the log before each page

// Measures of the log.
var (
	logFrames   = level("frames", "", "wal.frames", func(s *sample) float64 { return float64(s.Stats.WAL.Frames) })
	logCopied   = level("copied", "", "wal.copied_frames", func(s *sample) float64 { return float64(s.Stats.WAL.CopiedFrames) })
	checkpoints = rate("checkpoints", "wal.checkpoints", func(s *holdfast.Stats) int64 { return s.WAL.Checkpoints })
	restarts    = rate("restarts", "wal.restarts", func(s *holdfast.Stats) int64 { return s.WAL.Restarts })
)

func (v *visit) wal(ctx context.Context) (*walView, error) {
	h, err := v.watch.healthNow(ctx)
	if err != nil {
		return nil, err
	}
	held, err := v.watch.locks(ctx)
	if err != nil {
		return nil, err
	}
	w := &walView{Stats: h.ConnectionStats.WAL, Checkpoints: v.db.Maintenance().Checkpoints(), Log: v.log(ctx, h, held)}
	w.Sentences = v.logSentences(h, held, w)
	w.Range, _ = v.stretch()
	w.Charts, err = v.charts(ctx, plot{"log", "lines", []measure{logBytes}}, plot{"frames", "lines", []measure{logFrames, logCopied}},
		plot{"checkpoints", "lines", []measure{checkpoints, restarts}})
	return w, err
}

func (v *visit) log(ctx context.Context, h holdfast.Health, held holdfast.LockReport) logView {
	l := logView{
		InUse: h.WALModeEnabled, Bytes: h.WAL.Bytes, LimitBytes: held.WAL.LimitBytes, Frames: int64(h.WAL.Frames), Copied: int64(h.WAL.CopiedFrames),
		PageSize: h.PageSize, HandedOver: held.WAL.HandedOver, Pins: []logPin{},
	}
	o := v.outside(ctx)
	switch {
	case !o.Known:
		l.Blind = o.Why
	case h.WAL.ReadMarks == nil:
		l.Blind = v.text.T("wal.marks.unknown")
	default:
		l.Pins = pins(o.report, h.WAL.ReadMarks, held, v.now)
		for i := range l.Pins {
			l.Pins[i].Holds = l.Pins[i].Frame < l.Frames && l.Copied < l.Frames
		}
	}
	return l
}

// pins says who reads by which slot: the kernel tells the process, the shared memory the
// frame, and of this process the oldest reader has the oldest snapshot.
func pins(r *locks.Report, marks []int64, held holdfast.LockReport, now time.Time) []logPin {
	all := []logPin{}
	for _, h := range r.Holders {
		if h.Lock != "WAL_READ" || h.Slot < 0 || h.Slot >= len(marks) {
			continue
		}
		p := logPin{Slot: h.Slot, Frame: max(marks[h.Slot], 0), PID: h.PID, Program: h.Program, Seconds: since(h.Since, now)}
		if h.PID != os.Getpid() {
			p.CallSite = h.CallSite
		}
		all = append(all, p)
	}
	slices.SortStableFunc(all, func(a, b logPin) int { return cmp.Or(cmp.Compare(a.Frame, b.Frame), cmp.Compare(a.Slot, b.Slot)) })
	i := 0
	for _, h := range held.Holders {
		if forWriting(h) {
			continue
		}
		for i < len(all) && all[i].PID != os.Getpid() {
			i++
		}
		if i == len(all) {
			break
		}
		all[i].CallSite, all[i].Kind, all[i].Seconds = h.CallSite, h.Kind, h.HeldSeconds
		i++
	}
	return all
}

func (v *visit) logSentences(h holdfast.Health, held holdfast.LockReport, w *walView) []sentence {
	t, l := v.text, w.Log
	var out []sentence
	say := func(state, key string, args ...any) { out = append(out, sentence{state, t.T(key, args...)}) }
	if !l.InUse {
		say("unknown", "wal.off")
		return out
	}
	left := l.Frames - l.Copied
	switch {
	case l.Frames == 0:
		say("ok", "wal.empty")
	case left == 0:
		say("ok", "wal.copied", t.Int(l.Frames))
	default:
		say("ok", "wal.left", t.Int(l.Frames), t.Int(l.Copied), t.Bytes(float64(left*(l.PageSize+frameHeader))))
	}
	if l.LimitBytes > 0 && l.Bytes > l.LimitBytes {
		say("warning", "wal.large", t.Bytes(float64(l.Bytes)), t.Bytes(float64(l.LimitBytes)))
	}
	switch r := held.WAL; {
	case r.PinnedPID != 0:
		say("warning", "wal.pinned", t.process(r.PinnedProgram, r.PinnedPID), t.Dur(r.PinnedSeconds))
	case r.PinnedSeconds > 10 && left > 0:
		state := by(h, "log-pinned")
		if r.PinnedSeconds > oldRead {
			state = "warning"
		}
		say(state, "wal.pinned", orUnknown(t, r.PinnedBy), t.Dur(r.PinnedSeconds))
	}
	if l.HandedOver {
		say("unknown", "wal.handed_over")
	}
	if len(w.Checkpoints) > 0 && w.Checkpoints[0].Error != "" {
		say("critical", "wal.failed", w.Checkpoints[0].Error)
	}
	return out
}

// drawLog is the bar of the log.
func drawLog(t *text, l logView) template.HTML {
	f := t.frame("pic-wal", t.T("wal.bar"), "")
	f.Empty = t.T("wal.bar.empty")
	f.Desc = t.T("wal.bar.desc", t.Int(l.Frames), t.Int(l.Copied), t.Int(int64(len(l.Pins))))
	p := picture.Log{
		Frames: l.Frames, Copied: l.Copied, CopiedName: t.T("wal.part.copied"), FreshName: t.T("wal.part.fresh"),
		LimitName: t.T("wal.part.limit", t.Bytes(float64(l.LimitBytes))),
	}
	if l.LimitBytes > 0 && l.PageSize > 0 {
		p.Limit = l.LimitBytes / (l.PageSize + frameHeader)
	}
	for _, pin := range l.Pins {
		label := t.process(pin.Program, pin.PID)
		if pin.CallSite != "" {
			label = pin.CallSite + " · " + label
		}
		p.Pins = append(p.Pins, picture.Pin{Frame: pin.Frame, Label: label})
	}
	return picture.WAL(f, p)
}
