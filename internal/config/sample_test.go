package config

import (
	"strings"
	"testing"
	"time"
)

// onOff is a switch.
type onOff int8

// sample has a setting of every kind, in sections as a database has them.
type sample struct {
	Database struct {
		Path              string        `json:"path" doc:"A text."`
		MaxConnections    int           `json:"max_connections" max:"10000" computed:"what the owner says" doc:"A count without a default."`
		ConnectionTimeout time.Duration `json:"connection_timeout" unit:"s" default:"30s" max:"1h" off:"for ever" doc:"Seconds."`
		BusyTimeout       time.Duration `json:"busy_timeout" unit:"ms" default:"30s" max:"1h" off:"never" doc:"Milliseconds."`
		EnableWALMode     onOff         `json:"enable_wal_mode" default:"true" doc:"A switch."`
		Synchronous       string        `json:"synchronous" default:"FULL" values:"FULL|NORMAL|EXTRA|OFF" doc:"A choice."`
		CacheSize         int           `json:"cache_size" unit:"pages" default:"0" min:"-2147483648" doc:"A count that may be negative."`
		MemoryBudget      int64         `json:"memory_budget" unit:"bytes" default:"64MiB" min:"1MiB" doc:"A size."`
		ReadOnly          bool          `json:"read_only" default:"false" doc:"A bool."`
		FileMode          string        `json:"file_mode" default:"0600" doc:"A text with a default."`
	} `json:"database" doc:"The file."`
	ConnectionPool struct {
		MaxConnections int           `json:"max_connections" default:"8" max:"10000" doc:"The same name again."`
		MaxLeaseAge    time.Duration `json:"max_lease_age" unit:"s" default:"off" off:"a lease is never ended" doc:"Off unless set."`
	} `json:"connection_pool" doc:"The readers."`
	RetryLogic struct {
		BaseWaitTime time.Duration `json:"base_wait_time" unit:"s" default:"100ms" max:"1h" doc:"A pause."`
	} `json:"retry_logic" doc:"The pauses."`
	Writer struct {
		MaxGroup             int           `json:"max_group" default:"256" max:"65536" doc:"A count."`
		QueueLimit           int           `json:"queue_limit" default:"100000" off:"no limit" doc:"A count that can be off."`
		FairLock             onOff         `json:"fair_lock" default:"true" doc:"A switch."`
		IdempotencyRetention time.Duration `json:"idempotency_retention" unit:"s" default:"168h" off:"for ever" doc:"A long time."`
	} `json:"writer" doc:"The queue."`

	Logger *strings.Builder `json:"-"`
}

var schema = New[sample]()

// load applies a file that has no name.
func load(text string) (sample, []Mistake) {
	var c sample
	l := schema.Loader(&c)
	l.File([]byte(text), "")
	return c, l.Mistakes
}

// complete are the defaults.
func complete(t *testing.T) sample {
	t.Helper()
	var c sample
	if wrong := schema.Complete(&c); wrong != nil {
		t.Fatalf("the zero value: %+v", wrong)
	}
	return c
}
