package metrics

import (
	"github.com/holdfastdb/holdfast/history"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"
)

// A distribution is one of DB.Histograms, by its names.
type distribution struct {
	name, key       string // of history.Histogram
	otel, attribute string
	unit, help      string
}

// distributions are all of them.
func distributions() []distribution {
	var wait dbconv.ClientConnectionWaitTime
	var use dbconv.ClientConnectionUseTime
	var create dbconv.ClientConnectionCreateTime
	pool := string(dbconv.ClientConnectionCountObservable{}.AttrClientConnectionPoolName("").Key)
	return []distribution{
		{"connection.wait", "pool", wait.Name(), pool, "s", "waits for a connection: of those who had to wait for a reader, and of all who wrote, with the queue and other processes"},
		{"connection.use", "pool", use.Name(), pool, "s", "from when somebody had a connection until it was given back; one in 256 short reads is timed and stands for all. Of the writer a transaction with all that share it"},
		{"connection.create", "pool", create.Name(), pool, "s", "time to open a connection and to prove its settings"},
		{"writer.group_units", "", "sqlite.write_queue.batch_size", "", "", "writes that shared a COMMIT"},
		{"lock.held", "kind", "sqlite.lock.held", "sqlite.lock.kind", "s", "how long locks were held: the write lock by the engine's transactions (write) and for what admits nobody else (exclusive work); by the program's (write transaction, read transaction), and by results that were read on (rows)"},
		{"wal.checkpoint", "mode", "sqlite.wal.checkpoint.duration", "sqlite.wal.checkpoint.mode", "s", "passes over the log that copied what they could"},
	}
}

// prometheus is what Prometheus calls it.
func (d distribution) prometheus() string {
	return figureName(history.Figure{Name: d.name, Unit: d.unit})
}

// attributes tell the histogram apart from others of its name. A pool has the database's
// name before its own.
func (d distribution) attributes(database string, h history.Histogram) []attribute.KeyValue {
	switch d.key {
	case "":
		return nil
	case "pool":
		return []attribute.KeyValue{attribute.String(d.attribute, database+"/"+h.Value)}
	}
	return []attribute.KeyValue{attribute.String(d.attribute, h.Value)}
}
