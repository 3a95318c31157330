package metrics

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/holdfastdb/holdfast/alerts"
)

const slow = `histogram_quantile(0.95, sum by (database, query_id, summary, le) (rate(holdfast_statement_duration_seconds_bucket[1h]%[1]s)))`

// expressions say in PromQL when a rule of package alerts is true, each with its thresholds
// in their order. What is a rule, its name, severity, times and texts are alerts.Rules.
var expressions = map[string]map[alerts.Severity]string{
	"db_unreachable":       {alerts.Critical: `holdfast_fenced > 0`},
	"integrity_failed":     {alerts.Critical: `holdfast_damaged > 0`},
	"write_lock_held_long": {alerts.Warning: `holdfast_writer_held_seconds > %[1]s`, alerts.Critical: `holdfast_writer_held_seconds > %[1]s`},
	"busy_error_rate":      {alerts.Warning: busyErrors, alerts.Critical: busyErrors},
	"reader_pins_wal":      {alerts.Warning: readerPins, alerts.Critical: readerPins},
	"wal_too_big": {
		alerts.Warning:  `holdfast_wal_file_bytes > %[1]s and holdfast_wal_file_bytes > %[2]s * holdfast_file_bytes`,
		alerts.Critical: `holdfast_wal_file_bytes > %[1]s and holdfast_wal_file_bytes > holdfast_file_bytes`,
	},
	"checkpoint_incomplete": {alerts.Warning: `holdfast_wal_checkpoints_incomplete_in_a_row >= %[1]s`},
	"write_queue_deep": {
		alerts.Warning:  `holdfast_writer_queued / (holdfast_writer_queue_limit > 0) > %[1]s`,
		alerts.Critical: `increase(holdfast_writer_rejected_total[5m]) > 0`,
	},
	"pool_starved": {alerts.Warning: `histogram_quantile(0.95, sum by (database, le) (rate(holdfast_connection_wait_seconds_bucket{pool="read"}[5m]))) > %[1]s`},
	"slow_query_regression": {
		alerts.Warning: fmt.Sprintf(slow, "") + ` >= %[1]s * ` + fmt.Sprintf(slow, " offset 1w") + ` and ` + fmt.Sprintf(slow, "") + ` >= %[2]s` +
			` and on (database, query_id) sum by (database, query_id) (increase(holdfast_statement_calls_total{query_id!=""}[1h])) >= %[3]s`,
	},
	"disk_full_soon": {
		alerts.Warning:  `holdfast_volume_full_in_seconds < %[1]s`,
		alerts.Critical: `holdfast_volume_free_bytes < %[1]s * holdfast_volume_total_bytes or holdfast_volume_free_bytes < 2 * holdfast_wal_file_bytes`,
	},
	"backup_stale": {alerts.Warning: backupAge, alerts.Critical: backupAge},
	"backup_not_verified": {
		alerts.Warning: `time() - holdfast_backup_last_verified_timestamp_seconds > %[1]s and holdfast_backup_last_backup_timestamp_seconds > 0`,
	},
	"replica_lag": {
		alerts.Warning:  `holdfast_replication_lag_seconds > %[1]s`,
		alerts.Critical: `holdfast_replication_lag_seconds > %[1]s or holdfast_replication_ended > 0`,
	},
	"two_primaries":      {alerts.Critical: `holdfast_replication_other_writer > 0`},
	"leaked_transaction": {alerts.Warning: `holdfast_watch_idle_transaction_seconds > %[1]s`},
	"pragma_drift":       {alerts.Warning: `holdfast_watch_pragma_drift > 0`},
	"memory_high":        {alerts.Warning: `holdfast_memory_process_used_bytes / holdfast_memory_process_limit_bytes > %[1]s`},
	"monitoring_blind":   {alerts.Critical: `absent(holdfast_build_info)`},
}

const (
	busyErrors = `rate(holdfast_writer_busy_errors_total[5m]) / (rate(holdfast_writer_busy_errors_total[5m]) + rate(holdfast_writer_units_total[5m])) > %[1]s`
	readerPins = `holdfast_readers_oldest_seconds > %[1]s and holdfast_wal_frames - holdfast_wal_copied_frames > %[2]s`
	backupAge  = `(time() - (holdfast_backup_last_backup_timestamp_seconds > 0)) / (holdfast_backup_every_seconds > 0) > %[1]s`
)

// PrometheusRules are the rules of package alerts, with the thresholds and texts of c, as a
// rule file of Prometheus. Those of the zero Config are metrics/prometheus/holdfast.rules.yml. A
// rule that is off is left out.
func PrometheusRules(c alerts.Config) []byte {
	var b strings.Builder
	b.WriteString("# Written by go test -update in metrics, or by holdfast alerts rules -o prometheus, from the rules of package alerts.\ngroups:\n  - name: holdfast\n    rules:\n")
	language := c.Alerts.Language
	for _, r := range alerts.Rules(c) {
		if r.Off {
			continue
		}
		for _, l := range r.Levels {
			fmt.Fprintf(&b, "      - alert: %s\n        expr: %s\n        for: %s\n        labels:\n          severity: %s\n          rule: %s\n        annotations:\n          summary: %q\n          description: %q\n          value: \"{{ $value }}\"\n          runbook_url: %q\n",
				r.AlertName(), yamlText(expression(&r, &l)), milliseconds(l.ForSeconds), l.Severity, r.ID, "{{ $labels.database }}: "+r.When.In(language), r.Next.In(language), r.Runbook)
		}
	}
	return []byte(b.String())
}

// expression is that of one level, with its thresholds.
func expression(r *alerts.Rule, l *alerts.Level) string {
	form := expressions[r.ID][l.Severity]
	if !strings.Contains(form, "%[") {
		return form
	}
	var values []any
	for _, t := range l.Thresholds {
		values = append(values, strconv.FormatFloat(t.Value, 'f', -1, 64))
	}
	return fmt.Sprintf(form, values...)
}

// milliseconds writes a time as Prometheus reads it.
func milliseconds(seconds float64) string {
	if ms := int64(seconds * 1000); ms%1000 != 0 {
		return fmt.Sprintf("%dms", ms)
	}
	return fmt.Sprintf("%ds", int64(seconds))
}

// yamlText is a text in single quotes, in which YAML has only the quote to be doubled.
func yamlText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
