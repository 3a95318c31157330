package dash

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast"
)

// TestShare: the file stands alone, its links lead to its own chapters, and each ID is there
// once.
func TestShare(t *testing.T) {
	t.Parallel()
	db := open(t)
	load(t, db)
	d := Databases(func() map[string]*holdfast.DB { return map[string]*holdfast.DB{`a "b"/ü`: db} })
	for _, lang := range []string{"en", "de"} {
		w := get(t, d, "/d/a%20%22b%22%2F%C3%BC/share?range=5m&lang="+lang)
		text := w.Body.String()
		if w.Code != http.StatusOK || !regexp.MustCompile(`^attachment; filename="holdfast-a-b-20\d{6}T\d{6}Z\.html"$`).MatchString(w.Header().Get("Content-Disposition")) {
			t.Fatalf("%d %v", w.Code, w.Header())
		}
		_, body, _ := strings.Cut(text, "</style>")
		for _, bad := range []string{"<script", "<link", " src=", "secret", "ZgotmplZ", "%!"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s: it has %s", lang, bad)
			}
		}
		ids := map[string]int{}
		for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(body, -1) {
			ids[m[1]]++
			if ids[m[1]] > 1 {
				t.Errorf("%s: the ID %s is there twice", lang, m[1])
			}
		}
		for _, m := range regexp.MustCompile(`(?:href="#|url\(#|aria-labelledby="|aria-describedby=")([^")]*)[")]`).FindAllStringSubmatch(body, -1) {
			for _, id := range strings.Fields(m[1]) {
				if ids[id] == 0 {
					t.Errorf("%s: %s leads nowhere", lang, m[0])
				}
			}
		}
		for _, m := range hrefs.FindAllStringSubmatch(body, -1) {
			if !strings.HasPrefix(m[1], "#") && !strings.HasPrefix(m[1], "https://") { // runbooks
				t.Errorf("%s: it has the address %s", lang, m[1])
			}
		}
		for _, p := range d.pages {
			if !p.detail && p.id != "actions" && !strings.Contains(body, `<article class="chapter" id="`+p.id+`"`) {
				t.Errorf("%s: no chapter about %s", lang, p.id)
			}
		}
		if n := strings.Count(body, `id="query-`); n != sharedQueries {
			t.Errorf("%s: %d statements have a chapter", lang, n)
		}
		levels(t, "share", body)
	}
}
