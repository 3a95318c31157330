package session

import (
	"database/sql/driver"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// column returns the value of column i of the current row. Text in a column
// declared DATE, DATETIME or TIMESTAMP comes back as time.Time if it is one.
func (b *boxes) column(s *sqlite.Stmt, i int, isTime bool) driver.Value {
	switch s.ColumnType(i) {
	case sqlite.TypeInteger:
		return b.integer(s.ColumnInt64(i))
	case sqlite.TypeFloat:
		return b.float(s.ColumnFloat(i))
	case sqlite.TypeText:
		text := s.ColumnText(i)
		if isTime {
			if t, ok := ParseTime(text); ok {
				return t
			}
		}
		return text
	case sqlite.TypeBlob:
		return s.ColumnBlob(i)
	}
	return nil
}

func isTimeType(decl string) bool {
	return decl == "DATE" || decl == "DATETIME" || decl == "TIMESTAMP"
}

// timeFormats are the texts that programs have left in time columns, the most
// frequent first. A missing zone means UTC.
var timeFormats = [...]string{
	timeFormat,
	"2006-01-02T15:04:05.999999999-07:00",
	"2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04",
	"2006-01-02T15:04",
	"2006-01-02",
}

// FormatTime is the text that a time is stored as.
func FormatTime(t time.Time) string { return t.Format(timeFormat) }

// ParseTime reads a text that programs have left in a time column; one without a
// zone is UTC.
func ParseTime(s string) (time.Time, bool) {
	if len(s) < len("2006-01-02") || s[0] < '0' || s[0] > '9' {
		return time.Time{}, false
	}
	trimmed := strings.TrimSuffix(s, "Z")
	for _, f := range timeFormats {
		if t, err := time.Parse(f, trimmed); err == nil {
			return t, true
		}
	}
	// What time.Time.String prints, with or without the monotonic clock.
	if k := strings.Index(s, " m="); k > 0 {
		s = s[:k]
	}
	if t, err := time.Parse("2006-01-02 15:04:05.999999999 -0700 MST", s); err == nil {
		return t, true
	}
	return time.Time{}, false
}
