// Package alerts tells people when a database needs them: nineteen rules are looked at
// every ten seconds, and what they find is delivered by webhook, command, log or mail.
//
//	engine, err := alerts.New(alerts.Config{Alerts: alerts.Settings{Webhook: "http://127.0.0.1:9093/hook"}})
//	engine.Watch("orders", db)
//	defer engine.Close()
//
// A round reads what the library has counted anyway (DB.Health, DB.Stats, DB.Locks, now
// and then DB.QueryCounts and DB.History). It opens nothing, holds no snapshot and waits
// for no writer; a database that doesn't answer within CollectTimeout is left behind, and
// the rule MonitoringBlind says so.
//
// An alert begins when a rule has been true for its time (alert_for), and ends when the
// value has been better than nine tenths of its threshold for alerts.resolve_after: a value
// that trembles at its threshold makes one alert. What began, became worse or ended in a
// round is one notification for each database; what lasts is repeated (alerts.repeat).
//
// The rules for Prometheus that package metrics ships are made from Rules, so both say the
// same. Their texts are in docs/operator/runbooks.md.
package alerts
