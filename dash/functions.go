package dash

import (
	"embed"
	"fmt"
	"html/template"
	"maps"
	"math"
	"time"
)

//go:embed templates/*.html
var templateFiles embed.FS

// parseViews makes the templates of one language: under "" the layout and the error page's
// content, under a page's id its content. Each can use all that parts.html defines.
func parseViews(pages []page, t *text) map[string]*template.Template {
	base := template.Must(template.New("").Funcs(functions(t)).ParseFS(templateFiles, "templates/layout.html", "templates/share.html", "templates/parts.html"))
	views := map[string]*template.Template{"": base}
	ids := []string{"error", "list"}
	for _, p := range pages {
		ids = append(ids, p.id)
	}
	for _, id := range ids {
		views[id] = template.Must(template.Must(base.Clone()).ParseFS(templateFiles, "templates/"+id+".html"))
	}
	return views
}

// functions are what templates can call.
func functions(t *text) template.FuncMap {
	all := template.FuncMap{
		"t": t.T, "n": t.N, "num": t.Num, "unit": t.Unit, "clock": t.Clock, "kind": t.Kind, "summary": t.Summary, "said": t.Said, "known": t.Known, "ago": t.Ago,
		"int":   func(n any) string { return t.Int(whole(n)) },
		"bytes": func(n any) string { return t.Bytes(float64(whole(n))) },
		"stateOf": func(outcome string) string {
			if outcome == "done" {
				return "ok"
			}
			return "critical"
		},
		"dur":     t.Dur,
		"excerpt": excerpt,
		"double":  func(part float64) float64 { return math.Round(144*min(max(part, 0), 1)*10) / 10 },
		"quotient": func(n, by int64) string {
			if by == 0 {
				return "–"
			}
			return t.Num(float64(n) / float64(by))
		},
		"share": func(part float64) float64 { return math.Round(72*min(max(part, 0), 1)*10) / 10 },
		"pct":   t.Pct,
		"list":  func(items ...any) []any { return items },
		"dict":  dict,
		"iso":   func(at time.Time) string { return at.UTC().Format(time.RFC3339) },
		"live": func(name string) template.HTML {
			return template.HTML(fmt.Sprintf(`<!--live %s--><div id="live-%s">`, name, name)) //nolint:gosec // a name in a template
		},
		"end_live": func() template.HTML { return "</div><!--/live-->" },
	}
	for _, more := range []template.FuncMap{pictures(t), drawings(t)} {
		maps.Copy(all, more)
	}
	return all
}

// whole is any whole number.
func whole(n any) int64 {
	switch n := n.(type) {
	case int64:
		return n
	case int:
		return int64(n)
	case uint64:
		return int64(n) //nolint:gosec // counts
	case float64:
		return int64(n)
	}
	return 0
}

// dict gives a template several things: {{template "x" (dict "A" .A "B" .B)}}.
func dict(pairs ...any) (map[string]any, error) {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("%v is no name", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}
