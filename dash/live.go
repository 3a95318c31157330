package dash

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"time"
)

// A content has regions that change while it is looked at. They stand between
// {{live "NAME"}} and {{end_live}} in its template, and become:
//
//	<!--live NAME--><div id="live-NAME">...</div><!--/live-->
//
// The stream sends those that have changed, once a second, and dash.js puts them in.

var (
	liveBegin = []byte("<!--live ")
	liveEnd   = []byte("<!--/live-->")
)

// regions cuts a content into its regions: the inside of their elements, by name.
func regions(content []byte) map[string][]byte {
	all := map[string][]byte{}
	for {
		_, rest, found := bytes.Cut(content, liveBegin)
		if !found {
			return all
		}
		name, rest, _ := bytes.Cut(rest, []byte("-->"))
		inside, rest, _ := bytes.Cut(rest, liveEnd)
		if i := bytes.IndexByte(inside, '>'); i >= 0 {
			all[string(name)] = bytes.TrimSuffix(inside[i+1:], []byte("</div>"))
		}
		content = rest
	}
}

// news is what the stream sends.
type news struct {
	At      time.Time         `json:"at"`
	Clock   string            `json:"clock"`
	Problem string            `json:"problem"` // why At is a while ago
	Regions map[string]string `json:"regions"` // those that have changed
}

const (
	liveTick = time.Second
	// A stream ends after a while, and the page asks for another one: whoever may
	// not look any more is told so then.
	streamTime = 5 * time.Minute
)

func (d *Dashboard) serveLive(w http.ResponseWriter, r *http.Request, at place) {
	id := r.URL.Query().Get("page")
	p, ok := d.pageOf(at.db, page{id: id}.address())
	if !ok {
		d.fail(w, r, at, http.StatusNotFound, noPage(at))
		return
	}
	select {
	case d.streams <- struct{}{}:
		defer func() { <-d.streams }()
	default: // the page stays as it is, and asks again
		http.Error(w, "too many pages are kept up to date already", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep it back
	if r.Method == http.MethodHead {
		return
	}
	v := d.visit(r, at, p)
	stream := http.NewResponseController(w)
	sent := map[string][sha256.Size]byte{}
	tick := time.NewTicker(liveTick)
	defer tick.Stop()
	end := time.NewTimer(streamTime)
	defer end.Stop()
	for first := true; ; first = false {
		// A page that was just written need not be sent again: what differs is.
		message := d.newsOf(r, v, sent)
		if first {
			_, _ = w.Write([]byte("retry: 2000\n\n"))
		}
		_ = stream.SetWriteDeadline(time.Now().Add(10 * time.Second)) // where it can't be set the server's own holds
		if _, err := w.Write(message); err != nil || stream.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-d.closed:
			return
		case <-end.C:
			return
		case <-tick.C:
		}
		if !d.current(at) {
			return
		}
	}
}

// current reports whether the database of a stream is still the one under its name.
func (d *Dashboard) current(at place) bool { return d.databases()[at.name] == at.db }

func (d *Dashboard) newsOf(r *http.Request, v *visit, sent map[string][sha256.Size]byte) []byte {
	seen := *v // look sets its time
	e := d.look(r.Context(), &seen)
	n := news{At: e.at.UTC(), Clock: v.text.Clock(e.at, e.at), Regions: map[string]string{}}
	if e.err != nil {
		n.Problem = v.stale(e)
	}
	for name, inside := range regions(e.content) {
		if sum := sha256.Sum256(inside); sent[name] != sum {
			sent[name] = sum
			n.Regions[name] = string(inside)
		}
	}
	text, err := json.Marshal(n)
	if err != nil {
		return nil // strings and a time
	}
	return append(append([]byte("data: "), text...), "\n\n"...)
}
