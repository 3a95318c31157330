package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Schema is the schema of every answer.
const Schema = "holdfast.control/v1"

// Request is what can be asked.
type Request string

// The requests.
const (
	RequestLocks      Request = "locks"
	RequestStats      Request = "stats"
	RequestStatements Request = "statements"
	RequestHealth     Request = "health"
	RequestQueries    Request = "queries"
	// RequestQueriesReset is RequestQueries, and then all counts begin anew.
	RequestQueriesReset Request = "queries reset"
)

// envelope is an answer as it is sent: what was asked for stands under the name
// of the request.
type envelope struct {
	Schema     string `json:"schema"`
	PID        int    `json:"pid"`
	Program    string `json:"program"`
	Error      string `json:"error,omitempty"`
	Locks      any    `json:"locks,omitempty"`
	Stats      any    `json:"stats,omitempty"`
	Statements any    `json:"statements,omitempty"`
	Health     any    `json:"health,omitempty"`
	Queries    any    `json:"queries,omitempty"`
}

// Answer is what one process has answered. Of Locks, Stats, Statements, Health and
// Queries it has the one that was asked for.
type Answer struct {
	Schema     string          `json:"schema"`
	PID        int             `json:"pid"` // as this process sees it: see Ask
	Program    string          `json:"program"`
	Error      string          `json:"error"`
	Locks      *Locks          `json:"locks"`
	Stats      json.RawMessage `json:"stats"`
	Statements list[Statement] `json:"statements"`
	Health     json.RawMessage `json:"health"`
	Queries    json.RawMessage `json:"queries"`
}

// Locks is the part of holdfast.LockReport that is of use to others. That type
// is out of reach here: whoever looks from outside does without the engine.
type Locks struct {
	Holders        list[Holder] `json:"holders"` // who has the writer, then who has readers, the oldest first
	Waiters        list[Waiter] `json:"waiters"`
	Queued         int          `json:"queued"`
	ReadersWaiting int          `json:"readers_waiting"`
}

// What is believed of a list and of one of its items. No process that runs this
// library has more to tell, except by labels; but whoever has a socket may tell
// anything, and root asks everybody: five million empty waiters fit into 16 MB,
// and took 5 GB here.
const (
	maxItems = 1000
	maxItem  = 64 << 10
)

// list is a list of which the first thousand items are kept.
type list[T any] []T

// UnmarshalJSON implements json.Unmarshaler.
func (l *list[T]) UnmarshalJSON(b []byte) error {
	*l = nil
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return err // what is no list has no items
	}
	for d.More() && len(*l) < maxItems {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return err
		}
		if len(raw) > maxItem {
			return fmt.Errorf("an item of %d bytes is too long", len(raw))
		}
		var item T
		if err := json.Unmarshal(raw, &item); err != nil {
			return err
		}
		*l = append(*l, item)
	}
	return nil
}

// AnotherProcess is the Kind of a Holder that is another process: the writer
// waits for it.
const AnotherProcess = "another process"

// Holder is who has the writer or a reader.
type Holder struct {
	Kind      string    `json:"kind"`
	Lock      string    `json:"lock"`
	CallSite  string    `json:"call_site"`
	Statement string    `json:"statement"`
	Since     time.Time `json:"since"`
	PID       int       `json:"pid"` // of another process that the writer waits for; else 0
}

// Waiter is who waits for the writer.
type Waiter struct {
	Kind      string    `json:"kind"`
	CallSite  string    `json:"call_site"`
	Statement string    `json:"statement"`
	Since     time.Time `json:"since"`
}

// Statement is one statement that the process has run.
type Statement struct {
	Text   string `json:"statement"` // without literals
	Writes bool   `json:"writes"`
}

// Places is how many processes can have a socket beside one database.
const Places = 8

// Name is the path of the socket that the process in a place (0 to Places-1)
// has.
func Name(database string, place int) string {
	if place == 0 {
		return database + "-holdfast.sock"
	}
	return fmt.Sprintf("%s-holdfast.%d.sock", database, place+1)
}
