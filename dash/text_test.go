package dash

import (
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

var verbs = regexp.MustCompile(`%.`)

// TestTexts: each text is there in each language, with the same verbs, once.
func TestTexts(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(textFiles, "texts/*.json")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	seen := map[string]string{}
	for _, file := range files {
		content, err := textFiles.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var messages map[string]map[string]string
		if err := json.Unmarshal(content, &messages); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for key, said := range messages {
			if other := seen[key]; other != "" {
				t.Errorf("%s is in %s and in %s", key, other, file)
			}
			seen[key] = file
			if len(said) != len(choices["lang"]) || said["en"] == "" || said["de"] == "" {
				t.Errorf("%s: %s has not all languages: %v", file, key, said)
			}
			if en, de := strings.Join(verbs.FindAllString(said["en"], -1), ""), strings.Join(verbs.FindAllString(said["de"], -1), ""); en != de {
				t.Errorf("%s: %s has %q in English and %q in German", file, key, en, de)
			}
		}
	}
}

var (
	inTemplates = regexp.MustCompile(`\b(?:t|n) "([a-z0-9_.]+)"`)
	inCode      = regexp.MustCompile(`\.(T|N)\("([a-z0-9_.]+)"`)
)

// TestTextsAreThere: each key that a template or the code names has its text.
func TestTextsAreThere(t *testing.T) {
	t.Parallel()
	messages := catalogue()["en"].messages
	want := func(file, key string, counted bool) {
		for _, k := range map[bool][]string{false: {key}, true: {key + ".one", key + ".many"}}[counted] {
			if messages[k] == "" {
				t.Errorf("%s names the text %q, which is not there", file, k)
			}
		}
	}
	templates, _ := filepath.Glob("templates/*.html")
	code, _ := filepath.Glob("*.go")
	for _, file := range append(templates, code...) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, ".html") {
			for _, m := range inTemplates.FindAllStringSubmatch(string(content), -1) {
				want(file, m[1], strings.HasPrefix(m[0], "n "))
			}
			continue
		}
		for _, m := range inCode.FindAllStringSubmatch(string(content), -1) {
			if !strings.HasSuffix(m[2], ".") {
				want(file, m[2], m[1] == "N")
			}
		}
	}
	for _, p := range slices.Concat(pages(), clusterPages()) {
		want("pages", p.id+".title", false)
		want("pages", p.id+".about", false)
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	all := catalogue()
	en, de := all["en"], all["de"]
	for got, want := range map[string]string{
		en.Int(0): "0", en.Int(-1234567): "-1 234 567", en.Int(999): "999", en.Num(1234.5): "1 235", de.Num(1.25): "1,25", en.Num(0.00123): "0.0012",
		en.Num(math.NaN()): "–", en.Num(math.Inf(1)): "–", en.Num(99.96): "100", en.Num(9.96): "10.0", de.Bytes(1536): "1,50 KiB", en.Bytes(0): "0 B",
		en.Dur(0.0000015): "1.50 µs", en.Dur(0.25): "250 ms", en.Dur(90): "90 s", en.Dur(3600): "60 min", de.Dur(9000): "2,50 h", en.Dur(86400 * 3): "3 d",
		en.Pct(0.12345): "12.3 %", en.Unit("1/s", 5): "5/s", en.Unit("", 5): "5", en.Unit("rows", 5): "5 rows", en.Unit("%", 1): "100 %",
		en.N("overview.health.findings", 1): "There is one finding, below.", en.N("overview.health.findings", 2): "There are 2 findings, below.",
		de.Ago(time.Time{}, time.Now()): "nie", de.Ago(time.Unix(0, 0), time.Unix(90, 0)): "vor 90 s", en.T("no.such.key"): "no.such.key",
	} {
		if got := strings.ReplaceAll(got, thin, " "); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestFindingsHaveTexts: each finding that health.md lists has one.
func TestFindingsHaveTexts(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../docs/operator/health.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(content), "## Findings")
	de, n := catalogue()["de"], 0
	for _, row := range regexp.MustCompile("(?m)^\\| `([^|]*)` \\| (?:critical|warning|info)").FindAllStringSubmatch(list, -1) {
		for _, id := range strings.Split(row[1], "`, `") {
			n++
			if f := (holdfast.Finding{ID: id}); de.Summary(f) == "" {
				t.Errorf("the finding %q has no text", id)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d findings were seen", n)
	}
	if got := de.Summary(holdfast.Finding{ID: "newcomer", Summary: "as it is"}); got != "as it is" {
		t.Error(got)
	}
}
