package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// number writes a figure with three significant digits or all before the
// point, and groups of three.
func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return integer(int64(v + 0.5))
}

func integer(n int64) string {
	digits := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// seconds writes a duration with its unit.
func seconds(s float64) string {
	switch {
	case s <= 0:
		return "-"
	case s < 999.5e-9:
		return fmt.Sprintf("%.0f ns", s*1e9)
	case s < 999.5e-6:
		return fmt.Sprintf("%.3g us", s*1e6)
	case s < 999.5e-3:
		return fmt.Sprintf("%.3g ms", s*1e3)
	}
	return fmt.Sprintf("%.3g s", s)
}

func size(bytes int64) string {
	if bytes == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
}

// small writes a number of bytes, which may be less than one or below zero.
func small(bytes float64) string {
	switch {
	case bytes == 0:
		return "-"
	case math.Abs(bytes) < 999.5:
		return fmt.Sprintf("%.3g B", bytes)
	}
	return fmt.Sprintf("%.3g KB", bytes/1e3)
}

// times writes a ratio.
func times(r float64) string {
	switch {
	case r <= 0:
		return "-"
	case r < 9.995:
		return fmt.Sprintf("%.2fx", r)
	case r < 99.95:
		return fmt.Sprintf("%.1fx", r)
	}
	return integer(int64(r+0.5)) + "x"
}

// count writes how many of all operations, with their share.
func count(n, done int64) string {
	if n == 0 {
		return "0"
	}
	return fmt.Sprintf("%s (%.3g %%)", integer(n), 100*float64(n)/float64(n+done))
}
