package daemon

import (
	"container/list"
	"io"
	"net/http"
	"sync"
	"time"
)

// arrivals are the requests whose bodies are waited for. What has arrived of them takes
// memory, so there are as many at the most as requests may be worked on, and the one that
// is waited for longest makes room for the next. So slow clients take each other's
// places; an honest one is here for a moment.
type arrivals struct {
	most  func() int
	ended func() // is told of each that had to go

	mu      sync.Mutex
	list    list.List // of *arrival, the oldest first
	looking bool      // a timer is set that looks for who has to go
}

// arrival is a body on its way.
type arrival struct {
	io.ReadCloser
	all     *arrivals
	control *http.ResponseController
	begun   bool
	whole   bool

	// all.mu guards these.
	place *list.Element // nil: nobody waits for it
	since time.Time
}

// longAgo is a deadline that ends what waits.
var longAgo = time.Unix(1, 0)

func (as *arrivals) of(w http.ResponseWriter, body io.ReadCloser) *arrival {
	return &arrival{ReadCloser: body, all: as, control: http.NewResponseController(w)}
}

// Read counts a body from when the first byte is asked for: before, nothing is kept of it
// but what came with its header.
func (a *arrival) Read(p []byte) (int, error) {
	if !a.begun {
		a.begun = true
		a.all.add(a)
	}
	n, err := a.ReadCloser.Read(p)
	if err != nil {
		a.whole = a.whole || err == io.EOF
		a.all.remove(a)
	}
	return n, err
}

// answered is called before the first byte of the answer. If the body has not been read by
// then, nobody will: the connection ends, as net/http would wait for the rest of the body
// otherwise.
func (a *arrival) answered(h http.Header) {
	if !a.whole {
		h.Set("Connection", "close")
		_ = a.control.SetReadDeadline(longAgo)
	}
	a.all.remove(a)
}

func (as *arrivals) add(a *arrival) {
	as.mu.Lock()
	defer as.mu.Unlock()
	a.since = time.Now()
	a.place = as.list.PushBack(a)
	as.makeRoom()
}

func (as *arrivals) remove(a *arrival) {
	as.mu.Lock()
	defer as.mu.Unlock()
	if a.place != nil {
		as.list.Remove(a.place)
		a.place = nil
	}
}

// makeRoom ends those that are too many, if they have been waited for long enough to be
// called slow, and comes again for the others. as.mu is held.
func (as *arrivals) makeRoom() {
	for as.list.Len() > as.most() {
		oldest := as.list.Front().Value.(*arrival)
		if young := grace - time.Since(oldest.since); young > 0 {
			as.comeAgain(young)
			return
		}
		as.list.Remove(oldest.place)
		oldest.place = nil
		// Under the lock: its handler can't end meanwhile, and with it the right to do this.
		_ = oldest.control.SetReadDeadline(longAgo)
		as.ended()
	}
}

func (as *arrivals) comeAgain(after time.Duration) {
	if as.looking {
		return
	}
	as.looking = true
	time.AfterFunc(after, func() {
		as.mu.Lock()
		defer as.mu.Unlock()
		as.looking = false
		as.makeRoom()
	})
}
