package metrics

import (
	"fmt"
	"strings"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/alerts"
	"github.com/holdfastdb/holdfast/history"
)

// Reference is docs/reference/metrics.md: every metric, by both names.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Metrics

Written by ` + "`go test -update`" + ` in ` + "`metrics`" + ` from the list that the metrics are made of. How to have them told is in
[the guide](../guide/metrics.md). All have the label ` + "`database`" + `, in OpenTelemetry the attributes ` + "`db.system.name`" + ` and ` + "`db.namespace`" + `.

## The database

| Prometheus | OpenTelemetry | kind | what it is |
| --- | --- | --- | --- |
`)
	row := func(prometheus, otel, kind, help string) {
		if prometheus != "" {
			prometheus = "`" + prometheus + "`"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s |\n", prometheus, otel, kind, help)
	}
	for _, f := range listed() {
		row(figureName(f), "sqlite."+f.Name, string(f.Kind), f.Help)
	}
	fmt.Fprintf(&b, "| `%s` | | gauge | %s |\n", buildName, buildHelp)
	b.WriteString(`
## Statements

Labels: ` + "`query_id`, `operation`, `summary`; attributes: `sqlite.query.id`, `db.operation.name`, `db.query.summary`" + `. What all statements cost that
have no series of their own is told with an empty id, as "other".

| Prometheus | OpenTelemetry | kind | what it is |
| --- | --- | --- | --- |
`)
	row(durationName, "db.client.operation.duration", "histogram", durationHelp)
	for _, f := range statementFigures {
		row(statementName(f), "sqlite.query."+f.name, "counter", f.help)
	}
	row(errorsName, "sqlite.errors", "counter", errorsHelp+" (label `kind`, attribute `error.type`)")
	b.WriteString(`
## Distributions

Histograms, of the database as a whole, with the label and the attribute that are named last. `)
	b.WriteString("Those of `db.client.connection.*` have the pools `NAME/read` and `NAME/write` there; the wait of `NAME/write` is that for the write queue.\n")
	b.WriteString(`They are there unless ` + "`telemetry.enabled`" + ` is false.

| Prometheus | OpenTelemetry | label, attribute | what it is |
| --- | --- | --- | --- |
`)
	for _, d := range distributions() {
		apart := ""
		if d.key != "" {
			apart = fmt.Sprintf("`%s`, `%s`", d.key, d.attribute)
		}
		row(d.prometheus(), d.otel, apart, d.help)
	}
	b.WriteString(`
## Pools, in OpenTelemetry only

With the attribute ` + "`db.client.connection.pool.name`: `NAME/read` and `NAME/write`" + `. In Prometheus they are ` + "`holdfast_readers_*`, `holdfast_writer_*`" + ` and,
of database/sql's own pool, ` + "`go_sql_*`" + `.

| OpenTelemetry | what it is |
| --- | --- |
| ` + "`db.client.connection.count`" + ` | connections, by ` + "`db.client.connection.state`: `idle` or `used`" + ` |
| ` + "`db.client.connection.max`" + ` | the most there may be |
| ` + "`db.client.connection.pending_requests`" + ` | who waits for one |
| ` + "`db.client.connection.timeouts`" + ` | waits for a reader that ended without one |

## Alerts

| alert | severity | holds for | when |
| --- | --- | --- | --- |
`)
	for _, r := range alerts.Rules(alerts.Config{}) {
		for _, l := range r.Levels {
			fmt.Fprintf(&b, "| [%s](../operator/runbooks.md#%s) | %s | %s | `%s` |\n", r.AlertName(), r.ID, l.Severity, milliseconds(l.ForSeconds), strings.ReplaceAll(expression(&r, &l), "|", `\|`))
		}
	}
	return b.String()
}

// listed are all figures of a database, without one.
func listed() []history.Figure { return append(holdfast.Stats{}.Figures(), beside{}.figures()...) }
