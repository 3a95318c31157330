package main

import (
	"time"

	"github.com/holdfastdb/holdfast/locks"
)

// locksAnswer is what locks --json prints.
type locksAnswer struct {
	Schema      string          `json:"schema"`
	Database    string          `json:"database"`
	At          string          `json:"at"`
	JournalMode string          `json:"journal_mode"`
	PageSize    int             `json:"page_size_bytes"`
	Size        int64           `json:"size_bytes"`
	WAL         *walDetails     `json:"wal"`
	Holders     []lockDetails   `json:"holders"`
	Waiters     []waitDetails   `json:"waiters"`
	Queued      int             `json:"queued"`
	Openers     []openerDetails `json:"openers"`
	Blind       []string        `json:"blind"`
}

type walDetails struct {
	Bytes        int64     `json:"bytes"`
	Frames       uint32    `json:"frames"`
	CopiedFrames uint32    `json:"copied_frames"`
	ReadMarks    []*uint32 `json:"read_marks"` // null: not in use
	Reset        bool      `json:"reset"`
}

type openerDetails struct {
	PID         int    `json:"pid"`
	Program     string `json:"program"`
	User        string `json:"user"`
	State       string `json:"state"`
	Connections int    `json:"connections"`
}

type lockDetails struct {
	openerDetails
	Lock          string  `json:"lock"`
	Slot          int     `json:"slot"` // -1: not a slot's
	SnapshotFrame uint32  `json:"snapshot_frame"`
	HeldAtLeast   float64 `json:"held_at_least_seconds"`
	Statement     string  `json:"statement"`
	CallSite      string  `json:"call_site"`
	Text          string  `json:"text"`
}

type waitDetails struct {
	openerDetails
	Lock         string  `json:"lock"`
	Behind       []int   `json:"behind"`
	WaitsAtLeast float64 `json:"waits_at_least_seconds"`
	Statement    string  `json:"statement"`
	CallSite     string  `json:"call_site"`
	Text         string  `json:"text"`
}

func newLocksAnswer(r *locks.Report) locksAnswer {
	answer := locksAnswer{
		Schema: "holdfast.locks/v1", Database: r.Path, At: r.At.UTC().Format(time.RFC3339Nano), JournalMode: r.JournalMode, PageSize: r.PageSize, Size: r.Size,
		Holders: []lockDetails{}, Waiters: []waitDetails{}, Queued: r.Queued, Openers: []openerDetails{}, Blind: append([]string{}, r.Blind...),
	}
	if r.WAL != nil {
		answer.WAL = &walDetails{Bytes: r.WAL.Bytes, Frames: r.WAL.Frames, CopiedFrames: r.WAL.CopiedFrames, Reset: r.WAL.Reset}
		for _, mark := range r.WAL.ReadMarks {
			const unused = 1<<32 - 1
			if mark == unused {
				answer.WAL.ReadMarks = append(answer.WAL.ReadMarks, nil)
				continue
			}
			answer.WAL.ReadMarks = append(answer.WAL.ReadMarks, &mark)
		}
	}
	for _, h := range r.Holders {
		answer.Holders = append(answer.Holders, lockDetails{
			openerDetails: openerDetails(h.Process), Lock: h.Lock, Slot: h.Slot, SnapshotFrame: h.SnapshotFrame,
			HeldAtLeast: seconds(r.At.Sub(h.Since)), Statement: h.Statement, CallSite: h.CallSite, Text: h.Text,
		})
	}
	for _, w := range r.Waiters {
		answer.Waiters = append(answer.Waiters, waitDetails{
			openerDetails: openerDetails(w.Process), Lock: w.Lock, Behind: append([]int{}, w.Behind...),
			WaitsAtLeast: seconds(r.At.Sub(w.Since)), Statement: w.Statement, CallSite: w.CallSite, Text: w.Text,
		})
	}
	for _, p := range r.Openers {
		answer.Openers = append(answer.Openers, openerDetails(p))
	}
	return answer
}
