package metrics

import (
	"fmt"
	"strings"
)

// A rule is one alert.
type rule struct {
	alert, severity, wait string // wait is how long it must hold
	expr, summary, next   string
}

const slow = `histogram_quantile(0.95, sum by (database, query_id, summary, le) (rate(holdfast_statement_duration_seconds_bucket[1h]%[1]s)))`

// rules are the alerts that there are figures for, the names and thresholds as the
// operator's handbook has them.
var rules = []rule{
	{
		"HoldfastNoMetrics", "critical", "2m", `absent(holdfast_build_info)`,
		"No database tells its figures", "See whether the program runs and whether its /metrics is scraped.",
	},
	{
		"HoldfastDamaged", "critical", "0s", `holdfast_damaged > 0`,
		"The database {{ $labels.database }} is damaged", "Stop the program and restore the last verified backup, or salvage what is readable: holdfast doctor FILE.",
	},
	{
		"HoldfastFenced", "critical", "0s", `holdfast_fenced > 0`,
		"Writes to {{ $labels.database }} are refused", "The file is not what was opened, or it is damaged: holdfast doctor FILE says which.",
	},
	{
		"HoldfastWriteLockHeldLong", "warning", "0s", `holdfast_writer_held_seconds > 5`,
		"The writer of {{ $labels.database }} has been held for {{ $value | humanizeDuration }}", "holdfast locks FILE names the holder and its call site.",
	},
	{
		"HoldfastWriteLockHeldVeryLong", "critical", "0s", `holdfast_writer_held_seconds > 30`,
		"The writer of {{ $labels.database }} has been held for {{ $value | humanizeDuration }}", "holdfast locks FILE names the holder and its call site.",
	},
	{
		"HoldfastBusyErrors", "warning", "5m", busyErrors + ` > 0.01`,
		"{{ $value | humanizePercentage }} of the writes to {{ $labels.database }} end with SQLITE_BUSY", "Another program holds the lock: holdfast locks FILE.",
	},
	{
		"HoldfastManyBusyErrors", "critical", "5m", busyErrors + ` > 0.05`,
		"{{ $value | humanizePercentage }} of the writes to {{ $labels.database }} end with SQLITE_BUSY", "Another program holds the lock: holdfast locks FILE.",
	},
	{
		"HoldfastReaderPinsWAL", "warning", "1m", `holdfast_readers_oldest_seconds > 60 ` + uncopied,
		"A read of {{ $value | humanizeDuration }} keeps the log of {{ $labels.database }} from being emptied", "holdfast locks FILE names its call site: close the rows or the transaction.",
	},
	{
		"HoldfastReaderPinsWALLong", "critical", "1m", `holdfast_readers_oldest_seconds > 600 ` + uncopied,
		"A read of {{ $value | humanizeDuration }} keeps the log of {{ $labels.database }} from being emptied", "holdfast locks FILE names its call site: close the rows or the transaction.",
	},
	{
		"HoldfastWALTooBig", "warning", "2m", `holdfast_wal_file_bytes > 67108864 and holdfast_wal_file_bytes > 0.25 * holdfast_file_bytes`,
		"The log of {{ $labels.database }} has {{ $value | humanize1024 }}B", "See who reads for long: holdfast locks FILE.",
	},
	{
		"HoldfastWALBiggerThanDatabase", "critical", "2m", `holdfast_wal_file_bytes > 67108864 and holdfast_wal_file_bytes > holdfast_file_bytes`,
		"The log of {{ $labels.database }} has {{ $value | humanize1024 }}B, more than the database", "See who reads for long: holdfast locks FILE.",
	},
	{
		"HoldfastWriteQueueSlow", "warning", "1m", `holdfast_writer_longest_wait_seconds > 5`,
		"A write to {{ $labels.database }} has waited for {{ $value | humanizeDuration }}", "holdfast locks FILE shows the queue and who holds the writer.",
	},
	{
		"HoldfastReadersStarved", "warning", "5m", `rate(holdfast_readers_wait_seconds_total[5m]) / rate(holdfast_readers_waits_total[5m]) > 0.1`,
		"Reads of {{ $labels.database }} wait for {{ $value | humanizeDuration }} for a reader", "Raise connection_pool.max_connections, or close rows earlier.",
	},
	{
		"HoldfastStatementSlower", "warning", "10m",
		fmt.Sprintf(slow, "") + ` >= 2 * ` + fmt.Sprintf(slow, " offset 1w") +
			` and on (database, query_id) sum by (database, query_id) (increase(holdfast_statement_calls_total{query_id!=""}[1h])) >= 100`,
		"{{ $labels.summary }} ({{ $labels.query_id }}) in {{ $labels.database }} takes twice as long as a week ago", "holdfast queries FILE shows its plan and what it costs.",
	},
	{
		"HoldfastBackupLate", "warning", "5m", `time() > (holdfast_backup_due_timestamp_seconds > 0)`,
		"The backup of {{ $labels.database }} is late", "holdfast backup list DIRECTORY, and the log of what runs it.",
	},
	{
		"HoldfastBackupNotVerified", "warning", "1h", `time() - holdfast_backup_last_verified_timestamp_seconds > 7 * 86400 and holdfast_backup_last_backup_timestamp_seconds > 0`,
		"No backup of {{ $labels.database }} was restored and checked for a week", "Let a drill run; see docs/guide/backup.md.",
	},
	{
		"HoldfastReplicaLag", "warning", "0s", `holdfast_replication_lag_seconds > 30`,
		"The copy of {{ $labels.database }} is {{ $value | humanizeDuration }} behind", "See replication.last_error of holdfast health FILE.",
	},
	{
		"HoldfastReplicaLagLong", "critical", "0s", `holdfast_replication_lag_seconds > 300`,
		"The copy of {{ $labels.database }} is {{ $value | humanizeDuration }} behind", "See replication.last_error of holdfast health FILE.",
	},
	{
		"HoldfastLeaks", "warning", "0s", `increase(holdfast_leaks_total[15m]) > 0`,
		"{{ $labels.database }}: something was held for longer than leak_threshold", "The log names the call site that took it.",
	},
	{
		"HoldfastMemoryShort", "warning", "10m", `holdfast_memory_usable_bytes < 0.8 * holdfast_memory_budget_bytes`,
		"Memory is short: the page caches of {{ $labels.database }} may take {{ $value | humanize1024 }}B", "Give the process more memory, or lower database.memory_budget.",
	},
}

const (
	busyErrors = `sum by (database) (rate(holdfast_errors_total{kind=~"SQLITE_BUSY.*"}[5m])) / sum by (database) (rate(holdfast_writer_units_total[5m]))`
	uncopied   = `and holdfast_wal_frames - holdfast_wal_copied_frames > 1000`
)

// PrometheusRules are alert rules, as a rule file of Prometheus: metrics/prometheus/holdfast.rules.yml.
func PrometheusRules() []byte {
	var b strings.Builder
	b.WriteString("# Written by go test -update in metrics; change rules.go instead.\ngroups:\n  - name: holdfast\n    rules:\n")
	for _, r := range rules {
		fmt.Fprintf(&b, "      - alert: %s\n        expr: %s\n        for: %s\n        labels:\n          severity: %s\n        annotations:\n          summary: %q\n          description: %q\n",
			r.alert, yamlText(r.expr), r.wait, r.severity, r.summary, r.next)
	}
	return []byte(b.String())
}

// yamlText is a text in single quotes, in which YAML has only the quote to be doubled.
func yamlText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
