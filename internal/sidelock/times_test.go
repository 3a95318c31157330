package sidelock

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestTimes(t *testing.T) {
	t.Parallel()
	path := lockPath(t)
	a := open(t, path)
	monday := time.Date(2030, 1, 7, 3, 4, 5, 0, time.FixedZone("", 3600))
	if got := a.Time("optimize"); !got.IsZero() {
		t.Errorf("nothing was noted, and it says %s", got)
	}
	set := func(name string, at time.Time) {
		t.Helper()
		if err := a.SetTime(name, at); err != nil {
			t.Error(err)
		}
	}
	set("optimize", monday)
	set("vacuum", monday.Add(time.Hour))
	set("optimize", monday.Add(24*time.Hour))
	acquire(t, a) // the note of who has the turn lies elsewhere
	release(t, a)
	for name, want := range map[string]time.Time{"optimize": monday.Add(24 * time.Hour), "vacuum": monday.Add(time.Hour), "opt": {}} {
		if got := a.Time(name); !got.Equal(want) {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if pid, ok := a.Holder(); ok && pid != os.Getpid() {
		t.Errorf("the holder of the turn is %d", pid)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.SetTime("optimize", monday); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if got := a.Time("optimize"); !got.IsZero() {
		t.Errorf("after Close: %s", got)
	}
	if got := open(t, path).Time("optimize"); !got.Equal(monday.Add(24 * time.Hour)) {
		t.Errorf("the next process reads %s", got)
	}
}

func TestTimesThatAreDamaged(t *testing.T) {
	t.Parallel()
	path := lockPath(t)
	now := time.Now().Truncate(time.Second)
	for _, text := range []string{"", "x", strings.Repeat("x", 2000), strings.Repeat("\n", 2000), strings.Repeat("a 2030-01-01 \n", 200), strings.Repeat("\x00", 540)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, path)
		if got := l.Time("vacuum"); !got.IsZero() {
			t.Errorf("%.20q: %s", text, got)
		}
		if err := l.SetTime("vacuum", now); err != nil {
			t.Errorf("%.20q: %v", text, err)
		}
		if got := l.Time("vacuum"); !got.Equal(now) {
			t.Errorf("%.20q: reads %s, want %s", text, got, now)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTimesHaveBounds(t *testing.T) {
	t.Parallel()
	l := open(t, lockPath(t))
	for i := range maxTimes {
		if err := l.SetTime(fmt.Sprint("task", i), time.Now()); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"one-too-many", "", "two words", strings.Repeat("x", timeName)} {
		if err := l.SetTime(name, time.Now()); err == nil {
			t.Errorf("%q was noted", name)
		}
	}
}

// FuzzTimes: anybody who may write the lock file can write these lines.
func FuzzTimes(f *testing.F) {
	f.Add([]byte("optimize           2026-11-27T17:15:08Z \n"))
	f.Add([]byte("a b c\n"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, text []byte) {
		var line [timeSize]byte
		copy(line[:], text)
		if name, _, ok := parseTime(line[:]); ok && (name == "" || strings.ContainsAny(name, " \n")) {
			t.Errorf("%q names %q", line, name)
		}
	})
}
