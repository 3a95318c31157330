package sidelock

import (
	"context"
	"errors"
	"time"
)

// The queue is a row of bytes in the lock file. Whoever holds byte 0 has the
// turn, byte 1 is next, and so on. One joins at the first place that has only
// free ones behind it, and moves up by taking the byte ahead and then giving
// back one's own, so nobody in the queue can be overtaken. Waiters beyond the
// last place wait outside without order.
//
// Two bytes, "next" and "turn", would do if the kernel kept waiters in order,
// but a wait in the kernel can't be ended by a context, and with polling the
// race for "next" is luck: four processes had longest waits of 52 to 171 ms
// where eight places give 4 to 9 ms, at nearly the same throughput.
const (
	turn   = 0
	next   = 1
	places = 8
)

// A waiter looks at once, then when it gets a hint, and in any case every
// hintPause, since a process that is killed gives none.
//
// Where there are no hints, it looks when the place is likely to be free: when
// most of a usual turn is over, and then, if it is the next, often.
const (
	hintPause  = time.Millisecond
	shortPause = 20 * time.Microsecond
	longPause  = time.Millisecond
)

// queue is one waiter's way to the turn. It belongs to whoever is in Acquire.
type queue struct {
	file  *lockFile
	hints hints
	timer timer         // for want of hints
	step  time.Duration // how long a place usually takes: the length of a turn
}

// skip takes the turn if nobody has it and nobody waits.
func (q *queue) skip() (bool, error) {
	if rangesSplit {
		return q.takeWithRest(turn)
	}
	// The way of wait, from the end, as long as each place is free.
	for place := int64(places - 1); ; place-- {
		ok, err := q.file.tryLock(place, 1)
		if place < places-1 {
			err = errors.Join(err, q.file.unlock(place+1, 1))
		}
		switch {
		case err != nil && ok:
			return false, errors.Join(err, q.file.unlock(place, 1))
		case !ok || err != nil || place == turn:
			return ok, err
		}
	}
}

// takeWithRest takes a place and all behind it in one step, which succeeds only
// if all are free, and keeps the place.
func (q *queue) takeWithRest(place int64) (bool, error) {
	ok, err := q.file.tryLock(place, places-place)
	if !ok || err != nil || place == places-1 {
		return ok, err
	}
	if err := q.file.unlock(place+1, places-place-1); err != nil {
		return false, errors.Join(err, q.file.unlock(place, places-place))
	}
	return true, nil
}

// wait joins and moves up to the turn. If it returns an error, it holds no
// place.
func (q *queue) wait(ctx context.Context) error {
	defer q.hints.rest(q.file)
	var place int64
	err := q.poll(ctx, places, func() (ok bool, err error) {
		place, ok, err = q.join()
		return ok, err
	})
	for ; err == nil && place > turn; place-- {
		start := time.Now()
		err = q.poll(ctx, place-1, func() (bool, error) { return q.file.tryLock(place-1, 1) })
		q.step += (min(time.Since(start), 8*longPause) - q.step) / 4
		// Either the place behind is not needed any more, or the walk ends here.
		if uerr := q.file.unlock(place, 1); uerr != nil {
			if err == nil {
				uerr = errors.Join(uerr, q.file.unlock(place-1, 1))
			}
			err = errors.Join(err, uerr)
		}
	}
	return err
}

// join takes the first place that has only free ones behind it.
func (q *queue) join() (place int64, ok bool, err error) {
	place = turn
	if !rangesSplit {
		place = places - 1
	}
	for ; place < places; place++ {
		if ok, err := q.takeWithRest(place); ok || err != nil {
			return place, ok, err
		}
	}
	return 0, false, nil
}

// poll calls try, which is for the given place, until it succeeds or fails, or
// ctx ends.
func (q *queue) poll(ctx context.Context, place int64, try func() (bool, error)) error {
	if ok, err := try(); ok || err != nil {
		return err
	}
	event := uint32(passedOn)
	pause, shorter := q.step*3/4, q.step/4
	if place == turn {
		event = givenBack
		shorter = q.step / 16
	}
	hinted := ctx.Err() == nil && q.hints.expect(q.file, event)
	for {
		// Also once after expect: the event may have been before.
		if ok, err := try(); ok || err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if hinted {
			q.hints.wait(hintPause)
			continue
		}
		q.timer.sleep(max(shortPause, min(pause, longPause)))
		pause = shorter
		shorter += shorter / 8
	}
}

func (q *queue) close() error { return errors.Join(q.hints.close(), q.timer.close()) }
