package dash

import "html/template"

// drawings are the template functions that draw what is no chart.
func drawings(t *text) template.FuncMap {
	return template.FuncMap{
		"count":    func(key string, n any) string { return t.N(key, whole(n)) },
		"task":     func(name string) string { return taskName(t, name) },
		"timeline": func(l timeline) template.HTML { return drawTimeline(t, l) },
		"logbar":   func(l logView) template.HTML { return drawLog(t, l) },
		"growth":   func(g growth) template.HTML { return drawGrowth(t, g) },
		"treemap":  func(s sizesView) template.HTML { return drawSizes(t, s) },
		"moments":  func(m momentsView) template.HTML { return drawMoments(t, m) },
		"process":  t.process,
		"exact":    t.exact,
		"budget":   func(left float64) template.HTML { return drawBudget(left) },
		"calendar": func(c calendar) template.HTML { return drawCalendar(t, c) },
	}
}
