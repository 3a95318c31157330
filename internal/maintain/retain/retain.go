// Package retain reads the rules by which old backups are kept. The configuration
// checks them without knowing who keeps backups.
package retain

import (
	"fmt"
	"strconv"
	"strings"
)

// Rules is how many backups are kept, as backup.Retention explains it.
type Rules struct {
	Last, Hourly, Daily, Weekly, Monthly int
}

// Parse reads "last=3,daily=7,weekly=4".
func Parse(text string) (r Rules, err error) {
	fields := map[string]*int{"last": &r.Last, "hourly": &r.Hourly, "daily": &r.Daily, "weekly": &r.Weekly, "monthly": &r.Monthly}
	for part := range strings.SplitSeq(text, ",") {
		name, number, _ := strings.Cut(strings.TrimSpace(part), "=")
		field := fields[name]
		n, err := strconv.Atoi(number)
		if field == nil || err != nil || n < 1 {
			return Rules{}, fmt.Errorf("%q is no rule of retention: write last=3,hourly=24,daily=7,weekly=4,monthly=12, or some of these", part)
		}
		if *field != 0 {
			return Rules{}, fmt.Errorf("%s stands twice", name)
		}
		*field = n
	}
	return r, nil
}
