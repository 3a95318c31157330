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
	type embedded struct {
		Whole int `json:"whole" figure:"gauge" doc:"as if it stood outside"`
	}
	type small struct {
		Size int `json:"size" figure:"gauge" doc:"how large"`
	}
	got := Figures(struct {
		Count int64    `json:"count" figure:"counter" doc:"how many"`
		On    bool     `json:"on" figure:"gauge" doc:"whether"`
		Names []string `json:"names" figure:"-"`
		Inner inner    `json:"inner"`
		embedded
		There   *small   `json:"there"`
		Nowhere *small   `json:"nowhere"`
		Nothing *float64 `json:"nothing" figure:"gauge" doc:"perhaps"`
	}{3, true, []string{"x"}, inner{1.5, time.UnixMilli(2500), time.Time{}}, embedded{7}, &small{8}, nil, nil})
	want := []history.Figure{
		{Name: "count", Kind: history.Counter, Help: "how many", Value: 3},
		{Name: "on", Kind: history.Gauge, Help: "whether", Value: 1},
		{Name: "inner.waited_seconds", Kind: history.Counter, Unit: "s", Help: "time waited", Value: 1.5},
		{Name: "inner.last", Kind: history.Gauge, Unit: "s", Help: "when", Time: true, Value: 2.5},
		{Name: "inner.never", Kind: history.Gauge, Unit: "s", Help: "when not", Time: true},
		{Name: "whole", Kind: history.Gauge, Help: "as if it stood outside", Value: 7},
		{Name: "there.size", Kind: history.Gauge, Help: "how large", Value: 8},
		{Name: "nowhere.size", Kind: history.Gauge, Help: "how large", Unknown: true},
		{Name: "nothing", Kind: history.Gauge, Help: "perhaps", Unknown: true},
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
