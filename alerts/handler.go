package alerts

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
)

// Answer is what Handler tells of an engine at /alerts.
type Answer struct {
	Schema   string    `json:"schema"` // "holdfast.alerts/v1"
	Active   []Alert   `json:"active"`
	History  []Alert   `json:"history"`
	Silences []Silence `json:"silences"`
	Status   Status    `json:"status"`
}

// RulesAnswer is what it tells at /alerts/rules.
type RulesAnswer struct {
	Schema string `json:"schema"` // "holdfast.alerts.rules/v1"
	Rules  []Rule `json:"rules"`
}

// TestAnswer is what came of POST /alerts/test.
type TestAnswer struct {
	Schema  string       `json:"schema"` // "holdfast.alerts.test/v1"
	Results []TestResult `json:"results"`
}

// Handler serves an engine as JSON. It knows nobody: who mounts it decides who may ask,
// and who may POST and DELETE.
//
//	GET    /alerts                        Answer
//	GET    /alerts/rules                  RulesAnswer
//	GET    /alerts/objectives?database=D  Objectives
//	POST   /alerts/test                   TestAnswer
//	POST   /alerts/silences               a Silence, answered with its ID
//	DELETE /alerts/silences/{id}
//
// Errors are {"error": "..."}. What is posted must say that it is application/json, which
// no form of another site can.
func Handler(e *Engine) http.Handler {
	mux := http.NewServeMux()
	list := func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, Answer{"holdfast.alerts/v1", e.Active(), e.History(), e.Silences(), e.Status()})
	}
	mux.HandleFunc("GET /alerts", list)
	mux.HandleFunc("GET /alerts/{$}", list)
	mux.HandleFunc("GET /alerts/rules", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, RulesAnswer{"holdfast.alerts.rules/v1", e.Rules()})
	})
	mux.HandleFunc("GET /alerts/objectives", func(w http.ResponseWriter, r *http.Request) {
		o, err := e.Objectives(r.Context(), r.URL.Query().Get("database"))
		if err != nil {
			refuse(w, http.StatusNotFound, err)
			return
		}
		reply(w, http.StatusOK, o)
	})
	mux.HandleFunc("POST /alerts/test", posted(func(w http.ResponseWriter, r *http.Request) {
		results, err := e.Test(r.Context())
		if err != nil {
			refuse(w, http.StatusServiceUnavailable, err)
			return
		}
		reply(w, http.StatusOK, TestAnswer{"holdfast.alerts.test/v1", results})
	}))
	mux.HandleFunc("POST /alerts/silences", posted(func(w http.ResponseWriter, r *http.Request) {
		var s Silence
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
		d.DisallowUnknownFields()
		if err := d.Decode(&s); err != nil {
			refuse(w, http.StatusBadRequest, errors.New("expected a silence as JSON: reason, until, and perhaps rule, database, by, from"))
			return
		}
		s, err := e.Silence(s)
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		reply(w, http.StatusCreated, s)
	}))
	mux.HandleFunc("DELETE /alerts/silences/{id}", func(w http.ResponseWriter, r *http.Request) {
		switch err := e.Unsilence(r.PathValue("id")); {
		case errors.Is(err, ErrNoSilence):
			refuse(w, http.StatusNotFound, err)
		case err != nil:
			refuse(w, http.StatusInternalServerError, err)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})
	return mux
}

// posted lets only JSON through.
func posted(f http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || !strings.EqualFold(kind, "application/json") {
			refuse(w, http.StatusUnsupportedMediaType, errors.New("expected Content-Type: application/json"))
			return
		}
		f(w, r)
	}
}

func reply(w http.ResponseWriter, status int, what any) {
	text, err := json.MarshalIndent(what, "", "  ")
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error": "the answer could not be written"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, string(text)+"\n") // who has gone doesn't read it
}

func refuse(w http.ResponseWriter, status int, err error) {
	reply(w, status, struct {
		Error string `json:"error"`
	}{err.Error()})
}
