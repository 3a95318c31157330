package main

import (
	"context"
	"net/http"
	"strings"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/daemon"
	"github.com/holdfastdb/holdfast/locks"
)

// remoteLooks are looks at a daemon's database, through what it tells of itself.
func (a *app) remoteLooks(ctx context.Context, name string) (func() (*locks.Report, error), error) {
	r, err := a.remote(ctx, name)
	if err != nil {
		return nil, err
	}
	return func() (*locks.Report, error) {
		var told daemon.LocksAnswer
		if err := r.ask(ctx, http.MethodGet, "/locks", &told); err != nil {
			return nil, err
		}
		return seenInside(&told), nil
	}, nil
}

// notTold is what only a look at the file itself shows.
const notTold = "which part of the log each reader sees, and who else has the database open: run top on the daemon's machine, with the file's name"

// unusedMark is a read mark that is not in use; a daemon tells of none.
const unusedMark = 1<<32 - 1

// seenInside is what a daemon tells, in the form of a look from outside.
func seenInside(told *daemon.LocksAnswer) *locks.Report {
	self := locks.Process{PID: told.PID, Program: told.Program}
	mode := "unknown"
	if told.JournalMode == "wal" {
		mode = "wal"
	} else if told.JournalMode != "" {
		mode = "rollback"
	}
	r := &locks.Report{
		Path: told.Path, At: told.At, JournalMode: mode, PageSize: int(told.PageSize), Size: told.Bytes,
		Queued: told.Locks.Queued, Openers: []locks.Process{self}, Blind: []string{notTold},
	}
	if mode == "wal" {
		wal := told.Locks.WAL
		r.WAL = &locks.WAL{Bytes: wal.Bytes, Frames: uint32(wal.Frames), CopiedFrames: uint32(wal.CopiedFrames)}
		for i := range r.WAL.ReadMarks {
			r.WAL.ReadMarks[i] = unusedMark
		}
	}
	for _, part := range []*holdfast.LockReport{&told.Locks, &told.Reads} { // the writer comes first
		for i := range part.Holders {
			holder := holderInside(&part.Holders[i], self, r.WAL)
			holder.Slot = -1 - len(r.Holders) // none, and another row each
			r.Holders = append(r.Holders, holder)
		}
	}
	behind := []int{}
	if len(r.Holders) > 0 {
		behind = []int{r.Holders[0].PID}
	}
	for _, w := range told.Locks.Waiters {
		text := self.Name() + " waits inside for the writer: " + w.Kind
		r.Waiters = append(r.Waiters, locks.Waiter{
			Process: self, Lock: "WAL_WRITE", Behind: behind, Since: w.Since, Statement: w.Statement, CallSite: w.CallSite, Text: details(text, w.CallSite, w.Statement),
		})
	}
	return r
}

func holderInside(h *holdfast.LockHolder, self locks.Process, wal *locks.WAL) locks.Holder {
	p := self
	if h.PID != 0 {
		p = locks.Process{PID: h.PID, Program: h.Program, State: h.State}
	}
	statement := h.Statement
	if statement == "" {
		statement = h.FirstStatement
	}
	out := locks.Holder{Process: p, Lock: h.Lock, Since: h.Since, Statement: statement, CallSite: h.CallSite}
	if wal != nil { // which snapshot a reader has is not told: none is called the one that keeps the log
		out.SnapshotFrame = wal.Frames
	}
	out.Text = details(p.Name()+" holds "+h.Lock+": "+h.Kind, h.CallSite, statement)
	return out
}

func details(text, callSite, statement string) string {
	if callSite != "" {
		text += "; call site " + callSite
	}
	if statement != "" {
		text += "; statement " + strings.TrimSpace(statement)
	}
	return text
}
