package schedule

import (
	"strings"
	"testing"
	"time"
)

func mustParse(t *testing.T, text, zone string) Windows {
	t.Helper()
	w, err := ParseWindows(text, zone)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// at reads a time of the week that begins on Sunday, 6 January 2030.
func at(t *testing.T, text string, zone *time.Location) time.Time {
	t.Helper()
	day, clock, _ := strings.Cut(text, " ")
	parsed, err := time.ParseInLocation("15:04", clock, zone)
	if err != nil {
		t.Fatal(err)
	}
	for d := range dayNames {
		if dayNames[d] == strings.ToLower(day) {
			return time.Date(2030, 1, 6+d, parsed.Hour(), parsed.Minute(), 0, 0, zone)
		}
	}
	t.Fatal("no such day: " + day)
	return time.Time{}
}

func TestWindows(t *testing.T) {
	for _, c := range []struct {
		windows, now string
		open         bool
		begins, ends string
	}{
		{"02:00-05:00", "Mon 01:59", false, "Mon 02:00", "Mon 05:00"},
		{"02:00-05:00", "Mon 02:00", true, "Mon 02:00", "Mon 05:00"},
		{"02:00-05:00", "Mon 04:59", true, "Mon 02:00", "Mon 05:00"},
		{"02:00-05:00", "Mon 05:00", false, "Tue 02:00", "Tue 05:00"},
		{"22:00-04:00", "Tue 03:00", true, "Mon 22:00", "Tue 04:00"},
		{"Mon 22:00-04:00", "Tue 03:00", true, "Mon 22:00", "Tue 04:00"},
		{"Mon 22:00-04:00", "Mon 03:00", false, "Mon 22:00", "Tue 04:00"},
		{"Sat,Tue 10:00-11:00", "Wed 00:00", false, "Sat 10:00", "Sat 11:00"},
		{"Fri-Mon 10:00-11:00", "Wed 00:00", false, "Fri 10:00", "Fri 11:00"},
		{"Wed 10:00-11:00; Thu 09:00-9:30", "Wed 12:00", false, "Thu 09:00", "Thu 09:30"},
		{"Mon 08:00-10:00;Mon 09:00-12:00", "Mon 09:30", true, "Mon 09:00", "Mon 12:00"},
		{"mon 00:00-24:00", "Mon 23:59", true, "Mon 00:00", "Tue 00:00"},
	} {
		w := mustParse(t, c.windows, "UTC")
		begins, ends, open := w.around(at(t, c.now, time.UTC))
		if open != c.open || !begins.Equal(at(t, c.begins, time.UTC)) || !ends.Equal(at(t, c.ends, time.UTC)) {
			t.Errorf("%q at %s: open %t, %s to %s; want %t, %s to %s",
				c.windows, c.now, open, begins.Format("Mon 15:04"), ends.Format("Mon 15:04"), c.open, c.begins, c.ends)
		}
	}
	for _, text := range []string{"", " ", "always"} {
		if _, _, open := mustParse(t, text, "").around(time.Now()); !open {
			t.Errorf("%q is not always open", text)
		}
	}
}

// The clock on the wall counts, whatever it is set to in summer.
func TestWindowsWhenTheClockIsPutForward(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zones here: " + err.Error())
	}
	w := mustParse(t, "01:00-04:00", "Europe/Berlin")
	begins, ends, open := w.around(time.Date(2030, 3, 31, 3, 30, 0, 0, zone)) // 02:00 to 03:00 is left out
	if !open || ends.Sub(begins) != 2*time.Hour {
		t.Errorf("open %t for %s, want 2h", open, ends.Sub(begins))
	}
	begins, _, open = mustParse(t, "02:00-02:30", "Europe/Berlin").around(time.Date(2030, 3, 31, 1, 0, 0, 0, zone))
	if open || begins.Before(time.Date(2030, 3, 31, 3, 0, 0, 0, zone)) {
		t.Errorf("the hour that is left out has a window: open %t, next %s", open, begins)
	}
	begins, ends, open = w.around(time.Date(2030, 10, 27, 3, 30, 0, 0, zone)) // 02:00 to 03:00 comes twice
	if !open || ends.Sub(begins) != 4*time.Hour {
		t.Errorf("open %t for %s, want 4h", open, ends.Sub(begins))
	}
}

func TestWindowsThatAreNone(t *testing.T) {
	for _, text := range []string{
		"night", "2-5", "02:00", "02:00-", "25:00-26:00", "02:60-03:00", "24:00-02:00", "02:00-02:00", "-1:00-02:00",
		"Foo 02:00-05:00", "Mon- 02:00-05:00", "Mon Tue 02:00-05:00", "02:00-05:00;", ";", "02:0-05:00", "002:00-05:00",
	} {
		if _, err := ParseWindows(text, ""); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
	if _, err := ParseWindows("", "Nowhere/Town"); err == nil {
		t.Error("a zone that isn't there was accepted")
	}
}

func FuzzParseWindows(f *testing.F) {
	for _, seed := range []string{"02:00-05:00", "Sat,Sun 22:00-06:00", "Mon-Fri 01:00-04:00; Sun 00:00-24:00", "Fri-Mon 0:00-0:01"} {
		f.Add(seed, int64(1_900_000_000))
	}
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		w, err := ParseWindows(text, "UTC")
		if err != nil || len(w.list) == 0 {
			return
		}
		now := time.Unix(unix%(1<<33), 0)
		begins, ends, open := w.around(now)
		if !begins.Before(ends) || open && (now.Before(begins) || !now.Before(ends)) || !open && !begins.After(now) {
			t.Errorf("%q at %s: open %t, %s to %s", text, now, open, begins, ends)
		}
		if !open {
			if _, _, later := w.around(begins); !later {
				t.Errorf("%q at %s: not open at %s, when it begins", text, now, begins)
			}
		}
	})
}
