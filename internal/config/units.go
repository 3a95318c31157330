package config

import (
	"math"
	"strconv"
	"strings"
	"time"
)

func unitDuration(unit string) time.Duration {
	if unit == "ms" {
		return time.Millisecond
	}
	return time.Second
}

func unitName(unit string) string {
	if unit == "ms" {
		return "milliseconds"
	}
	return "seconds"
}

// parseDuration reads a bare number of units or a Go duration. A time too short
// to be told from zero is refused: zero would mean the default.
func parseDuration(text, unit string) (int64, bool) {
	f, ok := parseDecimal(text)
	if !ok {
		d, err := time.ParseDuration(text)
		if err != nil || d == 0 && strings.ContainsAny(text, "123456789") {
			return 0, false
		}
		// Minus one nanosecond is how Go code says off. In a text -1 says it.
		return int64(d), d != ValueOff
	}
	ns := math.Round(f * float64(unitDuration(unit)))
	if math.Abs(ns) >= math.MaxInt64 || ns == 0 && f != 0 || ns == ValueOff {
		return 0, false
	}
	return int64(ns), true
}

// parseDecimal reads what JSON calls a number. strconv alone would also take
// hexadecimal, infinity and NaN.
func parseDecimal(text string) (float64, bool) {
	if text == "" || strings.Trim(text, "0123456789.eE+-") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}

// FormatDuration writes d as a setting takes it, without the zeros that
// Duration.String ends in: "168h", not "168h0m0s".
func FormatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// sizeUnits are in the order in which suffixes must be tried.
var sizeUnits = [...]struct {
	suffix string
	bytes  int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

// parseSize reads a whole number of bytes, or a number with a unit, "1.5GiB".
func parseSize(text string) (int64, bool) {
	number, unit := text, int64(1)
	for _, u := range sizeUnits {
		if at := len(text) - len(u.suffix); at >= 0 && strings.EqualFold(text[at:], u.suffix) {
			number, unit = strings.TrimSpace(text[:at]), u.bytes
			break
		}
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		product := n * unit
		return product, product/unit == n
	}
	f, ok := parseDecimal(number)
	f *= float64(unit)
	// Past 2^53 a float no longer tells one byte from the next.
	if !ok || unit == 1 || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

// FormatSize writes a number of bytes in the largest unit that divides it.
func FormatSize(n int64) string {
	for _, u := range sizeUnits[:4] {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}

// Quote shows a value in an error, not more of it than helps.
func Quote(text string) string {
	const most = 60
	if len(text) > most {
		return strconv.Quote(text[:most]) + "..."
	}
	return strconv.Quote(text)
}
