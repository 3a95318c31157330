package history

import (
	"bytes"
	"os"
	"strconv"

	"github.com/holdfastdb/holdfast/history"
)

// processSamples reads /proc, see proc(5).
func processSamples() (all []Sample) {
	if text, err := os.ReadFile("/proc/self/stat"); err == nil {
		// The name, in brackets, may have anything in it.
		if f := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:]); len(f) > 12 {
			const ticks = 100 // a second, on every architecture that Go runs on
			all = append(all, Sample{"system.cpu_seconds", history.Counter, (number(f[11]) + number(f[12])) / ticks})
		}
	}
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := bytes.Fields(text); len(f) > 1 {
			all = append(all, Sample{"system.resident_bytes", history.Gauge, number(f[1]) * float64(os.Getpagesize())})
		}
	}
	if text, err := os.ReadFile("/proc/self/io"); err == nil {
		for line := range bytes.Lines(text) {
			key, value, _ := bytes.Cut(line, []byte(":"))
			if name := map[string]string{"read_bytes": "system.read_bytes", "write_bytes": "system.written_bytes"}[string(key)]; name != "" {
				all = append(all, Sample{name, history.Counter, number(bytes.TrimSpace(value))})
			}
		}
	}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		all = append(all, Sample{"system.open_files", history.Gauge, float64(len(open) - 1)}) // without that of ReadDir
	}
	return all
}

func number(text []byte) float64 {
	n, _ := strconv.ParseFloat(string(text), 64) // digits, says proc(5)
	return n
}
