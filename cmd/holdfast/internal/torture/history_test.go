package torture

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// told makes a history of lines.
func told(t *testing.T, lines ...string) *history {
	t.Helper()
	h := new(history)
	for _, line := range lines {
		if mine, err := h.line(line); !mine || err != nil {
			t.Fatalf("%q: %v, %v", line, mine, err)
		}
	}
	return h
}

func TestHistoriesOfRegisters(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines []string
		bad   bool
	}{
		"a read after a write": {lines: []string{"c 1 write 0 0 5 10", "d 1 20 0", "c 2 read 0 0 0 30", "d 2 40 5"}},
		"a read of what was before": {
			lines: []string{"c 1 write 0 0 5 10", "d 1 20 0", "c 2 read 0 0 0 30", "d 2 40 0"}, bad: true,
		},
		"a read beside a write": {lines: []string{"c 1 write 0 0 5 10", "c 2 read 0 0 0 15", "d 2 18 0", "d 1 20 0"}},
		"two swaps of one value": {
			lines: []string{"c 1 swap 0 0 5 10", "c 2 swap 0 0 6 11", "d 1 20 1", "d 2 21 1"}, bad: true,
		},
		"a swap that was refused without need": {lines: []string{"c 1 swap 0 0 5 10", "d 1 20 0"}, bad: true},
		"a write without an answer that came":  {lines: []string{"c 1 write 0 0 5 10", "c 2 read 0 0 0 30", "d 2 40 5"}},
		"a write without an answer that did not": {
			lines: []string{"c 1 write 0 0 5 10", "c 2 read 0 0 0 30", "d 2 40 0"},
		},
		"a value that went again": {
			lines: []string{"c 1 write 0 0 5 10", "c 2 read 0 0 0 30", "d 2 40 5", "c 2 read 0 0 0 50", "d 2 60 0"}, bad: true,
		},
		"a write that was rolled back": {lines: []string{"c 1 write 0 0 5 10", "x 1 none busy", "c 2 read 0 0 0 30", "d 2 40 0"}},
	} {
		if err := told(t, c.lines...).linearizable(10 * time.Second); (err != nil) != c.bad {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHistoriesOfTheList(t *testing.T) {
	t.Parallel()
	appended := func(client int, call, back, place int) []string {
		return []string{fmt.Sprintf("c %d append 0 0 0 %d", client, call), fmt.Sprintf("d %d %d %d", client, back, place)}
	}
	counted := func(client int, call, back, n int) []string {
		return []string{fmt.Sprintf("c %d count 0 0 0 %d", client, call), fmt.Sprintf("d %d %d %d", client, back, n)}
	}
	join := func(lists ...[]string) (all []string) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	for _, c := range []struct {
		lines []string
		bad   string
	}{
		{join(appended(1, 10, 20, 1), appended(2, 30, 40, 2), counted(3, 50, 60, 2)), ""},
		{join(appended(1, 10, 40, 2), appended(2, 20, 30, 1)), ""},
		{join(appended(1, 10, 20, 2), appended(2, 30, 40, 1)), "before it began the list had 2"},
		{join(appended(1, 10, 20, 1), appended(2, 30, 40, 1)), "the same place"},
		{join(appended(1, 10, 20, 1), counted(2, 30, 40, 0)), "a count saw 0"},
		{join(counted(2, 10, 20, 1), appended(1, 30, 40, 1)), "before it began the list had 1"},
	} {
		if err := told(t, c.lines...).ordered(); (err == nil) != (c.bad == "") || err != nil && !strings.Contains(err.Error(), c.bad) {
			t.Errorf("%q: want %q, got %v", c.lines, c.bad, err)
		}
	}
}
