package metrics

import (
	"encoding/json"
	"fmt"
)

// A panel is one picture of the board.
type panel struct {
	title, unit, help string
	lines             []line
}

type line struct{ expr, legend string }

// panels are what the board shows, two in a row. Each expression is of the databases
// that are chosen at its top.
var panels = []panel{
	{"Statements", "ops", "Statements and transactions each second.", []line{
		{`rate(holdfast_successful_operations_total{database=~"$database"}[$__rate_interval])`, "{{database}} well"},
		{`rate(holdfast_failed_operations_total{database=~"$database"}[$__rate_interval])`, "{{database}} failed"},
	}},
	{"Errors by kind", "ops", "Calls that returned an error.", []line{
		{`rate(holdfast_errors_total{database=~"$database"}[$__rate_interval])`, "{{database}} {{kind}}"},
	}},
	{"Time by statement", "s", "Seconds of work in each second, of the statements that cost most.", []line{
		{`topk(10, sum by (database, summary, query_id) (rate(holdfast_statement_duration_seconds_sum{database=~"$database"}[$__rate_interval])))`, "{{database}} {{summary}} {{query_id}}"},
	}},
	{"Duration, 95 % of calls", "s", "By statement, with waits.", []line{
		{`topk(10, histogram_quantile(0.95, sum by (database, summary, query_id, le) (rate(holdfast_statement_duration_seconds_bucket{database=~"$database"}[$__rate_interval]))))`, "{{database}} {{summary}} {{query_id}}"},
	}},
	{"Rows stepped over in scans", "ops", "Full scans; an index may be missing.", []line{
		{`topk(10, rate(holdfast_statement_full_scan_steps_total{database=~"$database"}[$__rate_interval]))`, "{{database}} {{summary}} {{query_id}}"},
	}},
	{"Page cache misses", "percentunit", "Pages read from the file or the log, of all that were wanted.", []line{
		{`sum by (database) (rate(holdfast_statement_page_misses_total{database=~"$database"}[$__rate_interval])) / (sum by (database) (rate(holdfast_statement_page_misses_total{database=~"$database"}[$__rate_interval])) + sum by (database) (rate(holdfast_statement_page_hits_total{database=~"$database"}[$__rate_interval])))`, "{{database}}"},
	}},
	{"Writes and COMMITs", "ops", "Writes that share a COMMIT are a group.", []line{
		{`rate(holdfast_writer_units_total{database=~"$database"}[$__rate_interval])`, "{{database}} writes"},
		{`rate(holdfast_writer_groups_total{database=~"$database"}[$__rate_interval])`, "{{database}} COMMITs"},
	}},
	{"Write queue", "short", "Callers who wait for the writer.", []line{
		{`holdfast_writer_queued{database=~"$database"}`, "{{database}}"},
	}},
	{"Wait for the writer", "s", "Mean of the waits, the longest that lasts, and how long the writer has been held.", []line{
		{`rate(holdfast_writer_wait_seconds_total{database=~"$database"}[$__rate_interval]) / rate(holdfast_writer_waits_total{database=~"$database"}[$__rate_interval])`, "{{database}} mean"},
		{`holdfast_writer_longest_wait_seconds{database=~"$database"}`, "{{database}} longest"},
		{`holdfast_writer_held_seconds{database=~"$database"}`, "{{database}} held"},
	}},
	{"Readers", "short", "In use, open, waiting, and the most there may be.", []line{
		{`holdfast_readers_in_use{database=~"$database"}`, "{{database}} in use"},
		{`holdfast_readers_open{database=~"$database"}`, "{{database}} open"},
		{`holdfast_readers_waiting{database=~"$database"}`, "{{database}} waiting"},
		{`holdfast_readers_max{database=~"$database"}`, "{{database}} max"},
	}},
	{"Lock conflicts and retries", "ops", "SQLITE_BUSY after a wait, snapshots that were too old, and repetitions.", []line{
		{`rate(holdfast_lock_conflicts_total{database=~"$database"}[$__rate_interval])`, "{{database}} conflicts"},
		{`rate(holdfast_retry_attempts_total{database=~"$database"}[$__rate_interval])`, "{{database}} retries"},
	}},
	{"Log: frames and frames copied", "short", "The difference is still to be copied into the database.", []line{
		{`holdfast_wal_frames{database=~"$database"}`, "{{database}} frames"},
		{`holdfast_wal_copied_frames{database=~"$database"}`, "{{database}} copied"},
	}},
	{"Oldest read", "s", "The log can't be emptied past its snapshot.", []line{
		{`holdfast_readers_oldest_seconds{database=~"$database"}`, "{{database}}"},
	}},
	{"Sizes", "bytes", "Database and log.", []line{
		{`holdfast_file_bytes{database=~"$database"}`, "{{database}} file"},
		{`holdfast_wal_file_bytes{database=~"$database"}`, "{{database}} log"},
	}},
	{"Wait for a connection, 95 %", "s", "Of those who waited for a reader, and of all who wrote.", []line{
		{`histogram_quantile(0.95, sum by (database, pool, le) (rate(holdfast_connection_wait_seconds_bucket{database=~"$database"}[$__rate_interval])))`, "{{database}} {{pool}}"},
	}},
	{"Locks held, 95 %", "s", "Write transactions as the engine sees them (write) and as the program does, reads that are kept open, and work that admits nobody else.", []line{
		{`histogram_quantile(0.95, sum by (database, kind, le) (rate(holdfast_lock_held_seconds_bucket{database=~"$database"}[$__rate_interval])))`, "{{database}} {{kind}}"},
	}},
	{"Checkpoints, 95 %", "s", "One pass over the log; and how many of the last got nowhere.", []line{
		{`histogram_quantile(0.95, sum by (database, mode, le) (rate(holdfast_wal_checkpoint_seconds_bucket{database=~"$database"}[$__rate_interval])))`, "{{database}} {{mode}}"},
		{`holdfast_wal_checkpoints_incomplete_in_a_row{database=~"$database"}`, "{{database}} got nowhere"},
	}},
	{"Room on the volume", "bytes", "What is free. Empty where the system doesn't tell.", []line{
		{`holdfast_volume_free_bytes{database=~"$database"}`, "{{database}}"},
	}},
	{"The volume's device", "percentunit", "Part of the time in which it had something to do, for all programs. Linux.", []line{
		{`rate(holdfast_volume_io_busy_seconds_total{database=~"$database"}[$__rate_interval])`, "{{database}}"},
	}},
	{"Memory", "bytes", "Page caches and all that SQLite has, of the process.", []line{
		{`holdfast_memory_granted_bytes{database=~"$database"}`, "{{database}} granted"},
		{`holdfast_memory_usable_bytes{database=~"$database"}`, "{{database}} usable"},
		{`holdfast_engine_bytes{database=~"$database"}`, "{{database}} engine"},
	}},
	{"Damaged or fenced", "short", "1 if writes are refused.", []line{
		{`holdfast_damaged{database=~"$database"}`, "{{database}} damaged"},
		{`holdfast_fenced{database=~"$database"}`, "{{database}} fenced"},
	}},
	{"Age of the last backup", "s", "And of the last restore for a check. Empty without any.", []line{
		{`time() - (holdfast_backup_last_backup_timestamp_seconds{database=~"$database"} > 0)`, "{{database}} backup"},
		{`time() - (holdfast_backup_last_verified_timestamp_seconds{database=~"$database"} > 0)`, "{{database}} restore"},
	}},
	{"Replication", "s", "How far the copy is behind.", []line{
		{`holdfast_replication_lag_seconds{database=~"$database"}`, "{{database}}"},
	}},
}

// GrafanaBoard is a board for Grafana 11 and later, as JSON to be imported:
// metrics/grafana/holdfast.json. It asks for a Prometheus data source.
func GrafanaBoard() []byte {
	source := map[string]string{"type": "prometheus", "uid": "${source}"}
	var shown []any
	for i, p := range panels {
		var targets []any
		for k, l := range p.lines {
			targets = append(targets, map[string]any{
				"refId": fmt.Sprintf("%c", 'A'+k), "datasource": source, "expr": l.expr, "legendFormat": l.legend,
			})
		}
		shown = append(shown, map[string]any{
			"id": i + 1, "type": "timeseries", "title": p.title, "description": p.help, "datasource": source, "targets": targets,
			"gridPos":     map[string]int{"x": i % 2 * 12, "y": i / 2 * 8, "w": 12, "h": 8},
			"fieldConfig": map[string]any{"defaults": map[string]any{"unit": p.unit, "min": 0}, "overrides": []any{}},
		})
	}
	variables := []any{
		map[string]any{"name": "source", "type": "datasource", "query": "prometheus", "label": "Data source"},
		map[string]any{
			"name": "database", "type": "query", "label": "Database", "datasource": source, "multi": true, "includeAll": true,
			"query": "label_values(holdfast_build_info, database)", "refresh": 2,
		},
	}
	text, err := json.MarshalIndent(map[string]any{
		"title": "Holdfast", "uid": "holdfast", "tags": []string{"sqlite", "holdfast"}, "schemaVersion": 39, "version": 1, "editable": true,
		"refresh": "30s", "time": map[string]string{"from": "now-6h", "to": "now"}, "timezone": "browser",
		"templating": map[string]any{"list": variables}, "panels": shown,
	}, "", "  ")
	if err != nil {
		panic(err) // strings and numbers
	}
	return append(text, '\n')
}
