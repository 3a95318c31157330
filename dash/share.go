package dash

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An incident is all pages in one file that needs nothing else: no script, no address, and
// no value of a statement, as on the pages.
type incident struct {
	*scene
	Style    template.CSS
	Chapters []chapter
}

// chapter is one page.
type chapter struct {
	ID, Title, About string
	Content          template.HTML
	Problem          string
}

const (
	shareTime     = 15 * time.Second
	sharedQueries = 5 // of those that took most, each has a chapter
)

// serveShare writes all pages of a database into one file.
func (d *Dashboard) serveShare(w http.ResponseWriter, r *http.Request, at place) {
	ctx, cancel := context.WithTimeout(r.Context(), shareTime)
	defer cancel()
	select {
	case d.working <- struct{}{}:
		defer func() { <-d.working }()
	case <-ctx.Done():
		d.fail(w, r, at, http.StatusServiceUnavailable, ctx.Err())
		return
	}
	now := time.Now()
	v := d.visit(r, at, page{id: "share", params: []string{"range"}})
	v.now, v.shared = now, map[string]bool{}
	v.watch.sample(ctx, now)
	visits := d.sharedVisits(v)
	for _, c := range visits {
		v.shared[chapterOf(c.page.id, c.params)] = true
	}
	s := incident{scene: d.bare(v), Style: template.CSS(d.assets["dash.css"].content)} //nolint:gosec // our own
	s.Title, s.At = v.text.T("share.title", d.subject(v)), now
	for i, c := range visits {
		s.Chapters = append(s.Chapters, d.chapter(ctx, c, i))
	}
	var b bytes.Buffer
	if err := d.views[v.text.lang][""].ExecuteTemplate(&b, "share", s); err != nil {
		d.fail(w, r, at, http.StatusServiceUnavailable, err)
		return
	}
	name := "holdfast-" + plainName(d.subject(v)) + "-" + now.UTC().Format("20060102T150405Z") + ".html"
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	_, _ = w.Write(b.Bytes())
}

// subject is what the database is called in a file about it.
func (d *Dashboard) subject(v *visit) string {
	if v.place.name != "" {
		return v.place.name
	}
	return d.nameOf(v)
}

var notPlain = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

func plainName(name string) string { return strings.Trim(notPlain.ReplaceAllString(name, "-"), "-.") }

// sharedVisits are the pages of an incident: those of the menu, and the statements that
// took most.
func (d *Dashboard) sharedVisits(v *visit) []*visit {
	var all []*visit
	add := func(p page, params url.Values) {
		c := *v
		c.page, c.params = p, url.Values{}
		for name, values := range params {
			if slices.Contains(p.params, name) {
				c.params[name] = values
			}
		}
		all = append(all, &c)
	}
	for _, p := range d.pagesOf(v.db) {
		if !p.detail && p.id != "actions" {
			add(p, v.params)
		}
	}
	report, err := v.watch.queries()
	if detail, ok := d.pageOf(v.db, "query"); ok && err == nil {
		report.Queries = slices.Clone(report.Queries)
		for _, q := range report.Top("time", sharedQueries) {
			add(detail, url.Values{"id": {q.ID}, "range": v.params["range"]})
		}
	}
	return all
}

// chapterOf is the ID of a page's chapter.
func chapterOf(id string, params url.Values) string {
	if of := params.Get("id"); of != "" {
		return id + "-" + of
	}
	return id
}

func (d *Dashboard) chapter(ctx context.Context, v *visit, n int) chapter {
	ctx, cancel := context.WithTimeout(ctx, pageTime)
	defer cancel()
	c := chapter{ID: chapterOf(v.page.id, v.params), Title: v.text.T(v.page.id + ".title"), About: v.text.T(v.page.id + ".about")}
	model, err := v.page.view(ctx, v)
	var content []byte
	if err == nil {
		content, err = d.render(v, v.page.id, model)
	}
	if err != nil {
		c.Problem = v.text.T("share.missing", err.Error())
		return c
	}
	if q, ok := model.(*queryView); ok {
		c.Title = excerpt(q.Statement, 60)
	}
	c.Content = template.HTML(apart(content, n)) //nolint:gosec // it was made by a template
	return c
}

var (
	ownIDs    = regexp.MustCompile(`( (?:id|for|aria-labelledby|aria-describedby)=")([^"]*)"`)
	inSVG     = regexp.MustCompile(`url\(#`)
	landmarks = regexp.MustCompile(`<section aria-labelledby="[^"]*"`)
	headings  = regexp.MustCompile(`(</?h)([2-5])\b`)
)

// apart makes the IDs of a chapter its own, and its headings those of a chapter. Text has
// no plain quotation marks and no <, so that attributes and tags are all that is met.
func apart(content []byte, n int) []byte {
	mark := "c" + strconv.Itoa(n) + "-"
	content = ownIDs.ReplaceAllFunc(content, func(m []byte) []byte {
		parts := ownIDs.FindSubmatch(m)
		ids := strings.Fields(string(parts[2]))
		for i := range ids {
			ids[i] = mark + ids[i]
		}
		return fmt.Appendf(nil, `%s%s"`, parts[1], strings.Join(ids, " "))
	})
	content = landmarks.ReplaceAll(content, []byte("<section")) // without a name it is none: there are too many
	content = inSVG.ReplaceAll(content, []byte("url(#"+mark))
	return headings.ReplaceAllFunc(content, func(m []byte) []byte {
		m = bytes.Clone(m)
		m[len(m)-1]++
		return m
	})
}
