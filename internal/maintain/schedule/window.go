package schedule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Windows are the hours in which maintenance may run. None at all means always.
type Windows struct {
	list []window
	zone *time.Location
}

// window is a stretch of clock time that begins on some days of the week.
type window struct {
	days     [7]bool // by time.Weekday
	from, to int     // minutes of the day; to <= from ends on the next
}

const dayMinutes = 24 * 60

// ParseWindows reads windows such as "02:00-05:00", "Sat,Sun 22:00-06:00" or
// "Mon-Fri 01:00-04:00; Sun 00:00-24:00"; "always" and nothing mean always. A window that ends before it begins
// ends on the next day; its days are those on which it begins. The zone is
// "Local", "UTC" or a name of the IANA database. Its clock counts: an hour that
// the change to summer time leaves out has no window.
func ParseWindows(text, zone string) (Windows, error) {
	var w Windows
	var err error
	switch {
	case zone == "" || strings.EqualFold(zone, "local"):
		w.zone = time.Local
	case strings.EqualFold(zone, "utc"):
		w.zone = time.UTC
	default:
		if w.zone, err = time.LoadLocation(zone); err != nil {
			return Windows{}, fmt.Errorf("%q is no time zone that this system knows", zone)
		}
	}
	if text = strings.TrimSpace(text); text == "" || strings.EqualFold(text, "always") {
		return w, nil
	}
	for part := range strings.SplitSeq(text, ";") {
		one, err := parseWindow(part)
		if err != nil {
			return Windows{}, err
		}
		w.list = append(w.list, one)
	}
	return w, nil
}

func parseWindow(text string) (w window, err error) {
	fields := strings.Fields(text)
	if len(fields) == 0 || len(fields) > 2 {
		return w, fmt.Errorf("%q is no window such as \"02:00-05:00\" or \"Sat,Sun 22:00-06:00\"", strings.TrimSpace(text))
	}
	if len(fields) == 1 {
		w.days = [7]bool{true, true, true, true, true, true, true}
	} else if w.days, err = parseDays(fields[0]); err != nil {
		return w, err
	}
	from, to, found := strings.Cut(fields[len(fields)-1], "-")
	ok := found
	if ok {
		w.from, ok = parseClock(from)
	}
	if ok {
		w.to, ok = parseClock(to)
	}
	switch {
	case !ok || w.from == dayMinutes:
		return w, fmt.Errorf("%q are no hours such as \"02:00-05:00\"", fields[len(fields)-1])
	case w.from == w.to:
		return w, fmt.Errorf("%q lasts no time; a whole day is \"00:00-24:00\"", fields[len(fields)-1])
	}
	return w, nil
}

var dayNames = [7]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func parseDays(text string) (days [7]bool, err error) {
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from := slices.Index(dayNames[:], strings.ToLower(first))
		to := slices.Index(dayNames[:], strings.ToLower(last))
		if from < 0 || to < 0 {
			return days, fmt.Errorf("%q are no days such as \"Sat,Sun\" or \"Mon-Fri\"", text)
		}
		for d := from; ; d = (d + 1) % 7 {
			days[d] = true
			if d == to {
				break
			}
		}
	}
	return days, nil
}

// parseClock reads "02:00", to "24:00".
func parseClock(text string) (minute int, ok bool) {
	hours, minutes, found := strings.Cut(text, ":")
	h, err1 := strconv.ParseUint(hours, 10, 8)
	m, err2 := strconv.ParseUint(minutes, 10, 8)
	if !found || err1 != nil || err2 != nil || len(hours) > 2 || len(minutes) != 2 || m > 59 || h > 24 || h == 24 && m > 0 {
		return 0, false
	}
	return int(h)*60 + int(m), true
}

// around returns the window that is open at a time: open is false if none is, and
// then it begins in the future. Always open, it begins and ends at the zero time.
func (w Windows) around(now time.Time) (begins, ends time.Time, open bool) {
	if len(w.list) == 0 {
		return time.Time{}, time.Time{}, true
	}
	now = now.In(w.zone)
	for day := -1; day <= 7; day++ { // one that began yesterday may be open, and each comes once a week
		for _, one := range w.list {
			b, e, ok := one.on(now, day)
			switch {
			case !ok || !now.Before(e):
			case !now.Before(b):
				if !open || e.After(ends) {
					begins, ends, open = b, e, true
				}
			case !open && (begins.IsZero() || b.Before(begins)):
				begins, ends = b, e
			}
		}
	}
	return begins, ends, open
}

// on is the window on a day, counted from today.
func (w window) on(now time.Time, day int) (begins, ends time.Time, ok bool) {
	y, m, d := now.Date()
	at := func(minute int) time.Time { return time.Date(y, m, d+day, 0, minute, 0, 0, now.Location()) }
	begins = at(w.from)
	to := w.to
	if to <= w.from {
		to += dayMinutes
	}
	// Noon has its weekday in every zone; midnight may have been left out.
	return begins, at(to), w.days[at(dayMinutes/2).Weekday()] && begins.Before(at(to))
}

// passed reports whether a whole window lies between two times.
func (w Windows) passed(from, to time.Time) bool {
	if len(w.list) == 0 || to.Sub(from) > 8*dayMinutes*time.Minute {
		return len(w.list) > 0
	}
	_, ends, open := w.around(from)
	return !open && !ends.After(to)
}
