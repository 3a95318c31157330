package dash

import (
	"context"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"time"
)

// listed is a database in the list of several.
type listed struct {
	Name   string  `json:"name"`
	Status string  `json:"status"` // of DB.Health; "unknown" if it gives no answer
	Why    string  `json:"why"`    // the worst finding; "" if there is none
	Bytes  int64   `json:"bytes"`
	Log    int64   `json:"log_bytes"`
	Queued int     `json:"queued"`
	Held   float64 `json:"held_seconds"` // how long the writer has been held
	To     string  `json:"-"`
}

// serveList shows all databases.
func (d *Dashboard) serveList(w http.ResponseWriter, r *http.Request, at place) {
	v := d.visit(r, at, page{id: "list"})
	e := d.cache.get(r.Context(), v.key(), func(ctx context.Context) *entry {
		ctx, cancel := context.WithTimeout(ctx, pageTime)
		defer cancel()
		return d.list(ctx, v)
	})
	if wantsJSON(r) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(document{Schema: "holdfast.dash.databases/v1", At: e.at.UTC(), View: e.model})
		return
	}
	s := d.bare(v)
	s.Title, s.About, s.At = v.text.T("list.title"), v.text.T("list.about"), e.at
	s.Content = template.HTML(e.content) //nolint:gosec // it was made by a template
	d.write(w, http.StatusOK, "layout", s)
}

func (d *Dashboard) list(ctx context.Context, v *visit) *entry {
	e := &entry{at: time.Now()}
	v.now = e.at
	all := d.databases()
	lines := []listed{}
	for _, name := range d.names() {
		db := all[name]
		if db == nil {
			continue
		}
		here := place{path: v.place.path, name: name, base: "d/" + url.PathEscape(name) + "/", db: db}
		line := listed{Name: name, Status: "unknown"}
		if h, err := d.watchOf(here).healthNow(ctx); err != nil {
			line.Why = err.Error()
		} else {
			line.Status, line.Bytes, line.Log, line.Queued = h.Status, h.File.Bytes, h.WAL.Bytes, h.Writer.Queued
			if len(h.Findings) > 0 {
				line.Why = v.text.Summary(h.Findings[0])
			}
			if h.Writer.Holder != nil {
				line.Held = h.Writer.Holder.HeldSeconds
			}
		}
		to := *v
		to.place = here
		line.To = to.to("overview")
		lines = append(lines, line)
	}
	e.model = lines
	e.content, e.err = d.render(v, "list", lines)
	return e
}
