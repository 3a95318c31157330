package metrics

import (
	"bytes"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler is promhttp.HandlerFor, but gathers once a second at most: who asks again
// before gets the same answer, so that many who scrape cost no more than one.
func Handler(from prometheus.Gatherer) http.Handler {
	return &handler{fresh: promhttp.HandlerFor(from, promhttp.HandlerOpts{}), answers: map[string]*answer{}}
}

// forms is how many forms of an answer are kept: text, protobuf, either compressed.
// A form of more is made anew each time.
const forms = 8

type handler struct {
	fresh   http.Handler
	mu      sync.Mutex // guards answers and, while one is made, keeps the others waiting for it
	answers map[string]*answer
}

// answer is what was answered to the same headers.
type answer struct {
	bytes.Buffer
	header http.Header
	status int
	at     time.Time
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) { a.status = status }

// ServeHTTP is of http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := h.answer(r)
	if a == nil {
		h.fresh.ServeHTTP(w, r)
		return
	}
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.Bytes()) // whoever asked is gone
}

// answer is nil for what is not kept. An answer that was given out doesn't change.
func (h *handler) answer(r *http.Request) *answer {
	form := r.Header.Get("Accept") + "\n" + r.Header.Get("Accept-Encoding")
	if r.Method != http.MethodGet || r.URL.RawQuery != "" {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.answers[form]
	if a != nil && time.Since(a.at) < every {
		return a
	}
	if a == nil && len(h.answers) >= forms {
		return nil
	}
	a = &answer{header: http.Header{}, status: http.StatusOK, at: time.Now()}
	h.fresh.ServeHTTP(a, r)
	h.answers[form] = a
	return a
}
