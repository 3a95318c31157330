package faults

import (
	"strings"
	"time"
)

// timeOrText is what the server makes of text in a column that is declared as a time; one that
// it can't read is the zero time.
func timeOrText(declared, s string) any {
	if declared != "date" && declared != "datetime" && declared != "timestamp" {
		return asText(s)
	}
	s = strings.TrimSuffix(s, "Z")
	for _, f := range []string{
		"2006-01-02 15:04:05.999999999-07:00", "2006-01-02T15:04:05.999999999-07:00", "2006-01-02 15:04:05.999999999",
		"2006-01-02T15:04:05.999999999", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02",
	} {
		if t, err := time.ParseInLocation(f, s, time.UTC); err == nil {
			return t.Format(time.RFC3339Nano)
		}
	}
	return time.Time{}.Format(time.RFC3339Nano)
}
