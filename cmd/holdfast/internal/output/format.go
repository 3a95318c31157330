package output

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Format is how results are written.
type Format string

// The formats.
const (
	Table    Format = "table"
	JSON     Format = "json"
	JSONL    Format = "jsonl"
	CSV      Format = "csv"
	Markdown Format = "md"
)

// Formats are the formats' names, the default first.
func Formats() []string {
	return []string{string(Table), string(JSON), string(JSONL), string(CSV), string(Markdown)}
}

// ParseFormat reads the name of a format.
func ParseFormat(name string) (Format, error) {
	if !slices.Contains(Formats(), name) {
		return "", fmt.Errorf("unknown output format %q: choose %s", name, strings.Join(Formats(), ", "))
	}
	return Format(name), nil
}

// Structured tells whether programs read the format as JSON.
func (f Format) Structured() bool { return f == JSON || f == JSONL }

// Printer writes results. It is used by one goroutine at a time.
type Printer struct {
	Out    io.Writer
	Format Format
	Width  int  // columns of the terminal behind Out; 0 if there is none
	ASCII  bool // draw with ASCII characters only
	Color  bool // emphasize with escape sequences
}

// terminal tells whether a person is looking.
func (p *Printer) terminal() bool { return p.Width > 0 }

func (p *Printer) ellipsis() string {
	if p.ASCII {
		return "..."
	}
	return "\u2026"
}
