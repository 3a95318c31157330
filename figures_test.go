package holdfast_test

import (
	"encoding/json"
	"testing"

	"github.com/holdfastdb/holdfast"
)

// TestEveryNumberIsAFigure compares the figures with the JSON of the statistics.
func TestEveryNumberIsAFigure(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(holdfast.Stats{})
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	numbers := map[string]bool{}
	var walk func(prefix string, of map[string]any)
	walk = func(prefix string, of map[string]any) {
		for key, v := range of {
			switch v := v.(type) {
			case map[string]any:
				walk(prefix+key+".", v)
			case float64, bool:
				numbers[prefix+key] = true
			}
		}
	}
	walk("", tree)
	if len(numbers) < 40 {
		t.Errorf("only %d numbers", len(numbers))
	}
	for _, f := range (holdfast.Stats{}).Figures() {
		delete(numbers, f.Name)
		if f.Value != 0 || f.Help == "" {
			t.Errorf("%+v", f)
		}
	}
	for name := range numbers {
		t.Errorf("%s is no figure", name)
	}
}
