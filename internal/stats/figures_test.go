package stats

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/history"
)

func TestFiguresAreReadByTheirTags(t *testing.T) {
	t.Parallel()
	type inner struct {
		Waited float64   `json:"waited_seconds" figure:"counter,s" doc:"time waited"`
		Last   time.Time `json:"last,omitzero" figure:"gauge,s" doc:"when"`
		Never  time.Time `json:"never" figure:"gauge,s" doc:"when not"`
	}
	got := Figures(struct {
		Count int64    `json:"count" figure:"counter" doc:"how many"`
		On    bool     `json:"on" figure:"gauge" doc:"whether"`
		Names []string `json:"names" figure:"-"`
		Inner inner    `json:"inner"`
	}{3, true, []string{"x"}, inner{1.5, time.UnixMilli(2500), time.Time{}}})
	want := []history.Figure{
		{Name: "count", Kind: history.Counter, Help: "how many", Value: 3},
		{Name: "on", Kind: history.Gauge, Help: "whether", Value: 1},
		{Name: "inner.waited_seconds", Kind: history.Counter, Unit: "s", Help: "time waited", Value: 1.5},
		{Name: "inner.last", Kind: history.Gauge, Unit: "s", Help: "when", Time: true, Value: 2.5},
		{Name: "inner.never", Kind: history.Gauge, Unit: "s", Help: "when not", Time: true},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v\nwant\n%v", got, want)
	}
}

func TestAFigureSaysWhatItIs(t *testing.T) {
	t.Parallel()
	defer func() {
		if text := fmt.Sprint(recover()); !strings.Contains(text, "Count") {
			t.Error(text)
		}
	}()
	Figures(struct {
		Count int64 `json:"count"`
	}{})
}
