// Package history has what Holdfast remembers of a database over months: figures of
// holdfast.Stats minute by minute, and what each statement has cost. It is data
// alone; holdfast.DB.History and holdfast.ReadHistory return it.
package history

import (
	"time"

	"github.com/holdfastdb/holdfast/queries"
)

// Request asks for a stretch of time.
type Request struct {
	From, To time.Time // half open; a zero From is as far back as there is something, a zero To is now

	// Step is the wanted distance of points. 0, or less than is kept so far
	// back, is the finest that there is for all of the stretch; what is not a step
	// that is kept is the next coarser one.
	Step time.Duration

	// Series are the names of figures, as "writer.groups"; one that ends with a "*" is
	// all that begin so. None is none.
	Series []string

	// Queries asks for what each statement has cost in the whole stretch, Query for
	// the course of the one with this ID.
	Queries bool
	Query   string
}

// Report is the answer.
type Report struct {
	From  time.Time     `json:"from"` // of the first bucket
	To    time.Time     `json:"to"`
	Step  time.Duration `json:"-"`
	Since time.Time     `json:"since"` // the oldest that is kept at this step; zero if nothing is

	Series   []Series       `json:"series"`   // by name
	Queries  queries.Report `json:"queries"`  // those that took longest first; empty unless asked for
	Course   []Moment       `json:"course"`   // of the query that was asked for
	Releases []Release      `json:"releases"` // within the stretch, and the last one before it
}

// Kind is what the numbers of a series mean.
type Kind string

// The kinds.
const (
	Counter Kind = "counter" // grows; a point is by how much
	Gauge   Kind = "gauge"   // is; a point is what was seen
)

// Series is one figure in the course of time.
type Series struct {
	Name   string  `json:"name"`
	Kind   Kind    `json:"kind"`
	Points []Point `json:"points"` // the oldest first; there is none where no process was there
}

// Point is one figure in one bucket. Of a counter Sum is the increase, and Least and
// Most are the increases of single minutes. Of a gauge Sum divided by Count is the
// mean. Several processes on one database count together.
type Point struct {
	At    time.Time `json:"at"`    // the beginning of the bucket
	Count int64     `json:"count"` // of the samples in it
	Sum   float64   `json:"sum"`
	Least float64   `json:"least"`
	Most  float64   `json:"most"`
	Last  float64   `json:"last"`
}

// Mean is the mean of the samples.
func (p Point) Mean() float64 {
	if p.Count == 0 {
		return 0
	}
	return p.Sum / float64(p.Count)
}

// Moment is what one statement has cost in one bucket.
type Moment struct {
	At    time.Time     `json:"at"`
	Query queries.Query `json:"query"`
}

// Release is when a build of the program was seen first after another one.
type Release struct {
	At   time.Time `json:"at"`
	Name string    `json:"name"`
}

// Level is a resolution and for how long it is kept.
type Level struct {
	Step, Keep time.Duration
}

// Levels are the resolutions, the finest first. Each step is a multiple of the one
// before.
func Levels() []Level {
	const day = 24 * time.Hour
	return []Level{{time.Minute, 2 * day}, {10 * time.Minute, 14 * day}, {time.Hour, 400 * day}}
}

// Figure is one number of holdfast.Stats, with what is to be known of it.
type Figure struct {
	Name  string  `json:"name"` // the path of JSON keys: "writer.wait_seconds"
	Kind  Kind    `json:"kind"`
	Unit  string  `json:"unit"` // "s", "By", or "" for a plain number (https://ucum.org)
	Help  string  `json:"help"`
	Time  bool    `json:"time"`  // it is a moment, in seconds since 1970, 0 if it never was; no length of time
	Value float64 `json:"value"` // of a bool 0 or 1
	// Unknown: there is no such thing here, or nobody tells it. Value is 0 then, and means
	// nothing: it isn't recorded, and metrics leave it out.
	Unknown bool `json:"unknown,omitempty"`
}

// Histogram is how the values of one measure of a database are distributed, since it was
// opened. Several of one Name differ in the Value of their Key.
type Histogram struct {
	Name  string `json:"name"`  // "connection.wait"
	Key   string `json:"key"`   // "pool"; "" if there is only one
	Value string `json:"value"` // "read"
	Unit  string `json:"unit"`  // "s", or "" for plain numbers
	// Counts has durations. Of plain numbers each is a second: 8 is in it as 8 s.
	Counts *queries.Histogram `json:"counts"`
}
