package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cluster/internal/wire"
)

// queue makes groups of what callers write: units that arrive while a request is under way go
// together into the next one. A request is one transaction, and its statements are an entry of
// the log that is flushed to disk once on each machine, however many there are.
//
// All of a group is applied, or nothing of it. If a unit fails, the server rolls back the whole
// group; the unit is sent again alone, so that its error is its own, and the others without it. So
// nobody is hurt by the failure of another, and no answer is passed on that belongs to a
// transaction that was rolled back.
//
// Without ?transaction the server would apply the statements one by one and say for each what
// became of it. But a statement that fails under ON CONFLICT FAIL, or by a trigger's RAISE(FAIL),
// leaves behind what it has done so far, and several statements can't belong together.
type queue struct {
	// seek finds the node that is to be sent to, or says why there is none.
	seek func(ctx context.Context) (node string, why *reply)
	// send is one attempt, the turn-th in a row of those that nobody took; atOnce: another one
	// may follow without a pause.
	send func(ctx context.Context, node string, turn int, body []byte, n int) (r reply, atOnce bool)

	mu      sync.Mutex // guards what follows, and the state of all units; nothing waits under it
	waiting []*unit
	running int // runs, one as long as requests come back
	stalled int // of them, those whose request has been out for long
	closed  bool
	enough  int           // how many that wait are worth a request
	filled  chan struct{} // gets one when so many do
	refused string        // why the last attempt was not taken; "" if it was

	life context.Context // ends when Close has no more patience
	end  context.CancelFunc
	runs sync.WaitGroup
}

// unit is what one caller writes: all of it or nothing.
type unit struct {
	ctx      context.Context
	body     []byte // its statements, as elements of the array that a request is
	n        int    // how many they are
	keyed    bool   // it needs the table of keys
	priority holdfast.Priority

	state state
	alone bool    // it goes without others
	flies *flight // while it is sent
	done  chan reply
}

type state uint8

const (
	queued state = iota
	sent
	settled // answered, or its caller is gone
)

// flight is one request under way.
type flight struct {
	units  []*unit
	left   int // callers who don't wait any more
	stop   context.CancelFunc
	landed bool
}

const (
	maxUnits      = 256
	maxStatements = 2048
	maxBody       = 1 << 20
	mostPatience  = time.Millisecond
	maxRuns       = 4
	stallAfter    = time.Second
)

var errQueueClosed = errors.New("the database was closed")

func newQueue(seek func(context.Context) (string, *reply), send func(context.Context, string, int, []byte, int) (reply, bool)) *queue {
	q := &queue{seek: seek, send: send, filled: make(chan struct{}, 1)}
	q.life, q.end = context.WithCancel(context.Background())
	return q
}

// do queues a unit and returns when it is settled or ctx ends: then nothing of it was sent, or
// its outcome is unknown. The results are those of the unit's own statements.
func (q *queue) do(u *unit) reply {
	u.done = make(chan reply, 1)
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return reply{verdict: notTaken, failed: -1, kind: holdfast.ErrClosed, text: errQueueClosed.Error()}
	}
	at := len(q.waiting)
	for at > 0 && q.waiting[at-1].priority < u.priority {
		at--
	}
	q.waiting = slices.Insert(q.waiting, at, u)
	if len(q.waiting) == q.enough {
		select {
		case q.filled <- struct{}{}:
		default:
		}
	}
	q.startRun()
	q.mu.Unlock()
	select {
	case r := <-u.done:
		return r
	case <-u.ctx.Done():
	}
	if q.isSent(u) { // it may just be refused, and would be called unknown
		moment := time.NewTimer(lastMoment)
		defer moment.Stop()
		select {
		case r := <-u.done:
			return r
		case <-moment.C:
		}
	}
	return q.leave(u)
}

// lastMoment is how long a caller whose context has ended still waits for the attempt under way.
const lastMoment = 10 * time.Millisecond

func (q *queue) isSent(u *unit) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return u.state == sent
}

// startRun begins a run if there is none that will come for those who wait. q.mu is held.
func (q *queue) startRun() {
	if q.running == q.stalled && q.running < maxRuns && len(q.waiting) > 0 {
		q.running++
		q.runs.Add(1)
		go q.run()
	}
}

// attempt sends a group. A request that gets no answer, though its node still leads, holds
// nobody up but those in it: after a while another run may begin.
func (q *queue) attempt(ctx context.Context, node string, turn int, f *flight) (r reply, atOnce bool) {
	late := false
	timer := time.AfterFunc(stallAfter, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if !f.landed {
			late = true
			q.stalled++
			q.startRun()
		}
	})
	body, n := f.request()
	r, atOnce = q.send(ctx, node, turn, body, n)
	f.stop()
	timer.Stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	if f.landed = true; late {
		q.stalled--
	}
	return r, atOnce
}

// leave takes a unit back whose caller waits no longer.
func (q *queue) leave(u *unit) reply {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch u.state {
	case settled:
		return <-u.done
	case queued:
		q.waiting = slices.DeleteFunc(q.waiting, func(w *unit) bool { return w == u })
		u.state = settled
		why := q.refused
		if why == "" {
			why = "others were first"
		}
		return reply{verdict: notTaken, failed: -1, text: why, cause: u.ctx.Err()}
	}
	u.state = settled
	if u.flies.left++; u.flies.left == len(u.flies.units) {
		u.flies.stop() // nobody waits for it
	}
	return reply{failed: -1, text: "the answer was not waited for", cause: u.ctx.Err()}
}

// run sends groups until nobody waits. It belongs to the queue: close waits for it. Units stay in
// the queue until there is a node to send them to: who leaves before has sent nothing.
func (q *queue) run() {
	defer q.runs.Done()
	for turn, rounds := 1, 0; !q.over(); turn++ {
		node, why := q.seek(q.life)
		if why != nil {
			q.turnAway(*why)
			q.pause(rounds)
			rounds++
			continue
		}
		f, ctx := q.board()
		if f == nil {
			continue
		}
		start := time.Now()
		r, atOnce := q.attempt(ctx, node, turn, f)
		switch {
		case q.land(f, r):
			turn, rounds = 0, 0
			q.awaitReturns(len(f.units), time.Since(start))
		case !atOnce:
			q.pause(rounds)
			rounds++
		}
	}
}

// over ends a run if nobody waits, or nobody may wait any more.
func (q *queue) over() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.life.Err() != nil {
		for _, u := range q.waiting {
			q.settle(u, reply{verdict: notTaken, failed: -1, kind: holdfast.ErrClosed, text: errQueueClosed.Error()})
		}
		q.waiting = nil
	}
	if len(q.waiting) > 0 {
		return false
	}
	q.running--
	return true
}

// turnAway keeps why nobody can be sent to, for those whose time ends meanwhile. If the cluster
// lets us in nowhere, that is everybody's answer.
func (q *queue) turnAway(why reply) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refused = why.text
	if why.verdict == rejected {
		for _, u := range q.waiting {
			q.settle(u, why)
		}
		q.waiting = nil
	}
}

func (q *queue) pause(round int) {
	select {
	case <-time.After(pause(round)):
	case <-q.life.Done():
	}
}

// board takes the next group; nil if nobody waits any more.
func (q *queue) board() (*flight, context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f := &flight{}
	statements, bytes := 0, 0
	for _, u := range q.waiting {
		if len(f.units) > 0 && (u.alone || f.units[0].alone || len(f.units) == maxUnits || statements+u.n > maxStatements || bytes+len(u.body) > maxBody) {
			break
		}
		f.units = append(f.units, u)
		statements, bytes = statements+u.n, bytes+len(u.body)
	}
	if len(f.units) == 0 {
		return nil, nil
	}
	q.waiting = slices.Delete(q.waiting, 0, len(f.units))
	var ctx context.Context
	ctx, f.stop = context.WithCancel(q.life)
	for _, u := range f.units {
		u.state, u.flies = sent, f
	}
	return f, ctx
}

// request is the body of a group.
func (f *flight) request() (body []byte, n int) {
	size := 2 + len(prelude)
	for _, u := range f.units {
		size += len(u.body) + 1
	}
	body = append(make([]byte, 0, size), '[')
	if f.keyed() {
		body, n = append(append(body, prelude...), ','), preludeLength
	}
	for i, u := range f.units {
		if i > 0 {
			body = append(body, ',')
		}
		body, n = append(body, u.body...), n+u.n
	}
	return append(body, ']'), n
}

func (f *flight) keyed() bool {
	return slices.ContainsFunc(f.units, func(u *unit) bool { return u.keyed })
}

// land gives every unit of a group its answer, or its place in the queue back. It reports
// whether the attempt has brought anything on: otherwise there is a pause.
func (q *queue) land(f *flight, r reply) (progress bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := 0
	if f.keyed() {
		first = preludeLength
	}
	q.refused = ""
	switch r.verdict {
	case acknowledged:
		for _, u := range f.units {
			q.settle(u, reply{verdict: acknowledged, failed: -1, results: r.results[first : first+u.n : first+u.n]})
			first += u.n
		}
		return true
	case notTaken:
		if r.kind == nil {
			q.refused = r.text
			q.requeue(f.units)
			return false
		}
	case rejected:
		if len(f.units) > 1 {
			q.separate(f, r, first)
			return true
		}
		if r.failed >= first {
			r.failed -= first
			r.results = r.results[first:]
		}
	}
	if r.verdict == doubtful { // all are told the same, and the statement is of one of them
		r.failed = -1
	}
	if r.failed < 0 {
		r.results = nil
	}
	for _, u := range f.units {
		q.settle(u, r)
	}
	return true
}

// separate answers the unit that made a group fail, if it was the first of it, and lets it go alone
// otherwise: it may have failed by what was before it, which is rolled back now.
func (q *queue) separate(f *flight, r reply, first int) {
	if r.failed < first { // at COMMIT, or before all units: nobody knows whose fault it is
		for _, u := range f.units {
			u.alone = true
		}
		q.requeue(f.units)
		return
	}
	for i, u := range f.units {
		if r.failed >= first+u.n {
			first += u.n
			continue
		}
		rest := slices.Delete(slices.Clone(f.units), i, i+1)
		if i == 0 {
			r.results, r.failed = r.results[first:], r.failed-first
			q.settle(u, r)
		} else {
			u.alone = true
			rest = append(rest, u)
		}
		q.requeue(rest)
		return
	}
}

// requeue puts units back to the head of the queue, without those whose callers are gone.
func (q *queue) requeue(units []*unit) {
	back := make([]*unit, 0, len(units)+len(q.waiting))
	for _, u := range units {
		if u.state == sent {
			u.state, u.flies = queued, nil
			back = append(back, u)
		}
	}
	q.waiting = append(back, q.waiting...)
}

// settle answers a unit. q.mu is held.
func (q *queue) settle(u *unit, r reply) {
	if u.state != settled {
		u.state = settled
		u.done <- r
	}
}

// awaitReturns gives callers who were just answered an eighth of the time that their request took to
// come back with their next write. Without it the first to come back goes alone, and the others
// form groups that take turns, each of a part of the size.
func (q *queue) awaitReturns(answered int, took time.Duration) {
	q.mu.Lock()
	select {
	case <-q.filled:
	default:
	}
	alone := answered == 1 && len(q.waiting) == 0
	q.enough = len(q.waiting) + answered
	q.mu.Unlock()
	if alone {
		return
	}
	enough := time.NewTimer(min(took/8, mostPatience))
	defer enough.Stop()
	select {
	case <-q.filled:
	case <-enough.C:
	}
}

// close refuses new units, waits until those under way are settled or ctx ends, and leaves no
// goroutine.
func (q *queue) close(ctx context.Context) {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	stop := context.AfterFunc(ctx, q.end)
	q.runs.Wait()
	stop()
	q.end()
}

// rowsAffected is what a result says of a statement; one that answers with rows has affected these.
func rowsAffected(r *wire.Result, returning bool) int64 {
	if returning {
		return int64(len(r.Values))
	}
	return r.RowsAffected
}
