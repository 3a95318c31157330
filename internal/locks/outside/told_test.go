package outside

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// The oldest reader has the oldest snapshot, and the writer the newest.
func TestWhoHasWhichLock(t *testing.T) {
	t.Parallel()
	at := time.Now()
	doing := func(name string, age time.Duration) Doing { return Doing{name, name + ".go:1", at.Add(-age)} }
	writer := doing("writer", time.Second)
	read := func(pid, slot int, frame uint32) Holder {
		return Holder{Process: Process{PID: pid}, Lock: Read, Slot: slot, SnapshotFrame: frame}
	}
	write := Holder{Process: Process{PID: 7}, Lock: Write, Slot: -1}
	for name, c := range map[string]struct {
		holders []Holder
		told    Told
		want    []string
	}{
		"a slot each":           {[]Holder{write, read(7, 1, 9), read(7, 2, 3)}, Told{Writer: &writer, Readers: []Doing{doing("old", 9)}}, []string{"writer", "writer", "old"}},
		"a slot shared":         {[]Holder{read(7, 1, 9)}, Told{Readers: []Doing{doing("old", 9), doing("young", 1)}}, []string{"old"}},
		"shared with a writer":  {[]Holder{write, read(7, 1, 9)}, Told{Writer: &writer, Readers: []Doing{doing("old", 9)}}, []string{"writer", "old"}},
		"an idle reader's slot": {[]Holder{write, read(7, 1, 3), read(7, 2, 9)}, Told{Writer: &writer}, []string{"writer", "", "writer"}},
		"idle readers only":     {[]Holder{read(7, 1, 3)}, Told{}, []string{""}},
		"another's":             {[]Holder{read(8, 1, 3), {Process: Process{PID: 8}, Lock: Write}}, Told{Writer: &writer, Readers: []Doing{doing("old", 9)}}, []string{"", ""}},
		"given back meanwhile":  {[]Holder{write}, Told{}, []string{""}},
		"rollback mode": {
			[]Holder{{Process: Process{PID: 7}, Lock: Pending}, {Process: Process{PID: 7}, Lock: Shared}},
			Told{Writer: &writer, Readers: []Doing{doing("old", 9)}},
			[]string{"writer", "old"},
		},
	} {
		c.told.PID = 7
		r := Report{JournalMode: ModeWAL, Holders: c.holders}
		r.hear([]Told{c.told})
		var got []string
		for _, h := range r.Holders {
			got = append(got, h.Statement)
			if (h.CallSite == "") != (h.Statement == "") || h.began.IsZero() != (h.Statement == "") {
				t.Errorf("%s: %+v", name, h)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Who waits inside of a process waits for that process, or for whom it waits.
func TestWhoWaitsInside(t *testing.T) {
	t.Parallel()
	since := time.Now().Add(-time.Minute)
	r := Report{JournalMode: ModeWAL, Holders: []Holder{{Process: Process{PID: 7, Program: "shopd"}, Lock: Write, Slot: -1}}}
	r.Openers = []Process{{PID: 7, Program: "shopd"}}
	waiting := []Doing{{"INSERT INTO t VALUES (?)", "a.go:1", since}}
	r.hear([]Told{{PID: 9, Program: "cron", Waiting: waiting, Queued: 1200, Blocked: true}, {PID: 7, Waiting: waiting, Queued: 1}})
	w := NewWatcher("")
	r.At = time.Now()
	w.date(&r, sight{}, 0)
	r.describe()
	if r.Queued != 1201 || len(r.Waiters) != 2 || len(r.Openers) != 2 {
		t.Fatalf("%+v", r)
	}
	for i, want := range []string{
		"cron (pid 9) waits for WAL_WRITE, which 7 holds; call site a.go:1; statement INSERT INTO t VALUES (?)",
		"shopd (pid 7) waits inside for the writer; call site a.go:1; statement INSERT INTO t VALUES (?)",
	} {
		if got := r.Waiters[i]; got.Text != want || !got.Since.Equal(since) || !slices.Equal(got.Behind, []int{7}) {
			t.Errorf("%+v, want %q", got, want)
		}
	}
}

// A time that is told counts if it is the earlier one.
func TestTimesThatAreTold(t *testing.T) {
	t.Parallel()
	w := NewWatcher("")
	at := time.Now()
	for _, c := range []struct{ told, want time.Time }{
		{at.Add(-time.Hour), at.Add(-time.Hour)},
		{at.Add(time.Hour), at},
		{time.Time{}, at},
	} {
		r := Report{At: at, Holders: []Holder{{Process: Process{PID: 7}, Lock: Write, Slot: -1, began: c.told}}}
		w.date(&r, sight{}, 0)
		if got := r.Holders[0].Since; !got.Equal(c.want) {
			t.Errorf("told %v: since %v, want %v", c.told, got, c.want)
		}
		r.describe()
		if strings.Contains(r.Holders[0].Text, "call site") {
			t.Errorf("%q", r.Holders[0].Text)
		}
	}
}
