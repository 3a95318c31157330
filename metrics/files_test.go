package metrics_test

import (
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/alerts"
	"github.com/holdfastdb/holdfast/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
)

var update = flag.Bool("update", false, "write the files that tests compare with")

func TestFilesAreWhatTheListsSay(t *testing.T) {
	for path, want := range map[string]string{
		filepath.Join("..", "docs", "reference", "metrics.md"): metrics.Reference(),
		filepath.Join("grafana", "holdfast.json"):              string(metrics.GrafanaBoard()),
		filepath.Join("prometheus", "holdfast.rules.yml"):      string(metrics.PrometheusRules(alerts.Config{})),
	} {
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil || strings.ReplaceAll(string(got), "\r\n", "\n") != want {
			t.Errorf("%s is stale, %v: go test -update in metrics", path, err)
		}
	}
}

// scraped are the names that a real scrape has, and their labels. What is known of no
// database here, another one tells.
func scraped(t *testing.T) map[string]map[string]bool {
	t.Helper()
	db := open(t, "shop.db")
	work(t, db)
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(metrics.Prometheus(db))
	names := map[string]map[string]bool{}
	for _, f := range metrics.Listed() {
		if f.Unknown {
			names[metrics.FigureName(f)] = map[string]bool{"__name__": true, "database": true}
		}
	}
	for name, f := range gather(t, r) {
		labels := map[string]bool{"le": true, "__name__": true}
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels[l.GetName()] = true
		}
		names[name] = labels
		if f.GetType().String() == "HISTOGRAM" {
			for _, end := range []string{"_bucket", "_sum", "_count"} {
				names[name+end] = labels
			}
		}
	}
	return names
}

// mustBeTold looks for each metric and label of an expression in a scrape.
func mustBeTold(t *testing.T, where, expr string, names map[string]map[string]bool) {
	t.Helper()
	tree, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	seen := 0
	parser.Inspect(tree, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			seen++
			for _, m := range n.LabelMatchers {
				if names[n.Name] != nil && !names[n.Name][m.Name] {
					t.Errorf("%s: %s has no label %s", where, n.Name, m.Name)
				}
			}
			if names[n.Name] == nil && !strings.Contains(metrics.Reference(), "`"+n.Name+"`") { // what is not known now is not in a scrape
				t.Errorf("%s: no scrape has %s", where, n.Name)
			}
		}
		return nil
	})
	if seen == 0 {
		t.Errorf("%s asks for no metric: %s", where, expr)
	}
}

func TestEveryPanelShowsWhatIsTold(t *testing.T) {
	t.Parallel()
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(metrics.GrafanaBoard(), &board); err != nil || len(board.Panels) < 15 {
		t.Fatal(len(board.Panels), err)
	}
	names := scraped(t)
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "5m", "$database", ".*").Replace(target.Expr)
			mustBeTold(t, p.Title, expr, names)
		}
	}
}

// firing has for each alert and severity the series, one value each minute, that make it fire.
var firing = map[string]string{
	"DBUnreachable critical":     `holdfast_fenced{database="a"} 1x200`,
	"IntegrityFailed critical":   `holdfast_damaged{database="a"} 1x200`,
	"WriteLockHeldLong warning":  `holdfast_writer_held_seconds{database="a"} 6x200`,
	"WriteLockHeldLong critical": `holdfast_writer_held_seconds{database="a"} 31x200`,
	"BusyErrorRate warning": `holdfast_writer_busy_errors_total{database="a"} 0+2x200
 holdfast_writer_units_total{database="a"} 0+100x200`,
	"BusyErrorRate critical": `holdfast_writer_busy_errors_total{database="a"} 0+6x200
 holdfast_writer_units_total{database="a"} 0+100x200`,
	"ReaderPinsWAL warning": `holdfast_readers_oldest_seconds{database="a"} 61x200
 holdfast_wal_frames{database="a"} 2000x200
 holdfast_wal_copied_frames{database="a"} 900x200`,
	"ReaderPinsWAL critical": `holdfast_readers_oldest_seconds{database="a"} 601x200
 holdfast_wal_frames{database="a"} 2000x200
 holdfast_wal_copied_frames{database="a"} 900x200`,
	"WALTooBig warning": `holdfast_wal_file_bytes{database="a"} 70000000x200
 holdfast_file_bytes{database="a"} 100000000x200`,
	"WALTooBig critical": `holdfast_wal_file_bytes{database="a"} 70000000x200
 holdfast_file_bytes{database="a"} 60000000x200`,
	"CheckpointIncomplete warning": `holdfast_wal_checkpoints_incomplete_in_a_row{database="a"} 5x200`,
	"WriteQueueDeep warning": `holdfast_writer_queued{database="a"} 81x200
 holdfast_writer_queue_limit{database="a"} 100x200`,
	"WriteQueueDeep critical": `holdfast_writer_rejected_total{database="a"} 0+1x200`,
	"PoolStarved warning": `holdfast_connection_wait_seconds_bucket{database="a",pool="read",le="0.1"} 0+8x200
 holdfast_connection_wait_seconds_bucket{database="a",pool="read",le="1"} 0+10x200
 holdfast_connection_wait_seconds_bucket{database="a",pool="read",le="+Inf"} 0+10x200`,
	"SlowQueryRegression warning": `holdfast_statement_duration_seconds_bucket{database="a",query_id="q",operation="SELECT",summary="SELECT t",le="1"} 0+10x10140 101400+0x200
 holdfast_statement_duration_seconds_bucket{database="a",query_id="q",operation="SELECT",summary="SELECT t",le="4"} 0+10x10340
 holdfast_statement_duration_seconds_bucket{database="a",query_id="q",operation="SELECT",summary="SELECT t",le="+Inf"} 0+10x10340
 holdfast_statement_calls_total{database="a",query_id="q",operation="SELECT",summary="SELECT t"} 0+10x10340`,
	"DiskFullSoon warning": `holdfast_volume_full_in_seconds{database="a"} 80000x200`,
	"DiskFullSoon critical": `holdfast_volume_free_bytes{database="a"} 4x200
 holdfast_volume_total_bytes{database="a"} 100x200`,
	"BackupStale warning": `holdfast_backup_last_backup_timestamp_seconds{database="a"} 60x200
 holdfast_backup_every_seconds{database="a"} 6000x200`,
	"BackupStale critical": `holdfast_backup_last_backup_timestamp_seconds{database="a"} 60x200
 holdfast_backup_every_seconds{database="a"} 3600x200`,
	"BackupNotVerified warning": `holdfast_backup_last_verified_timestamp_seconds{database="a"} 0x10340
 holdfast_backup_last_backup_timestamp_seconds{database="a"} 1x10340`,
	"ReplicaLag warning":        `holdfast_replication_lag_seconds{database="a"} 31x200`,
	"ReplicaLag critical":       `holdfast_replication_ended{database="a"} 1x200`,
	"TwoPrimaries critical":     `holdfast_replication_other_writer{database="a"} 1x200`,
	"LeakedTransaction warning": `holdfast_watch_idle_transaction_seconds{database="a"} 301x200`,
	"PragmaDrift warning":       `holdfast_watch_pragma_drift{database="a"} 1x200`,
	"MemoryHigh warning": `holdfast_memory_process_used_bytes{database="a"} 81x200
 holdfast_memory_process_limit_bytes{database="a"} 100x200`,
	"MonitoringBlind critical": "other{} 1x200",
}

// quiet are the series of a database that is well.
const quiet = `load 1m
 holdfast_build_info{database="a"} 1x10340
 holdfast_damaged{database="a"} 0x10340
 holdfast_fenced{database="a"} 0x10340
 holdfast_writer_held_seconds{database="a"} 1x10340
 holdfast_writer_busy_errors_total{database="a"} 0x10340
 holdfast_writer_queued{database="a"} 5x10340
 holdfast_writer_queue_limit{database="a"} 100x10340
 holdfast_writer_rejected_total{database="a"} 7x10340
 holdfast_wal_checkpoints_incomplete_in_a_row{database="a"} 4x10340
 holdfast_volume_free_bytes{database="a"} 900000000x10340
 holdfast_volume_total_bytes{database="a"} 1000000000x10340
 holdfast_backup_every_seconds{database="a"} 0x10340
 holdfast_replication_ended{database="a"} 0x10340
 holdfast_replication_other_writer{database="a"} 0x10340
 holdfast_watch_idle_transaction_seconds{database="a"} 299x10340
 holdfast_watch_pragma_drift{database="a"} 0x10340
 holdfast_memory_process_used_bytes{database="a"} 79x10340
 holdfast_memory_process_limit_bytes{database="a"} 100x10340
 holdfast_writer_units_total{database="a"} 0+100x10340
 holdfast_readers_oldest_seconds{database="a"} 700x10340
 holdfast_wal_frames{database="a"} 1000x10340
 holdfast_wal_copied_frames{database="a"} 900x10340
 holdfast_wal_file_bytes{database="a"} 60000000x10340
 holdfast_file_bytes{database="a"} 10000000x10340
 holdfast_connection_wait_seconds_bucket{database="a",pool="read",le="0.1"} 0+10x10340
 holdfast_connection_wait_seconds_bucket{database="a",pool="read",le="+Inf"} 0+10x10340
 holdfast_statement_duration_seconds_bucket{database="a",query_id="q",operation="SELECT",summary="SELECT t",le="1"} 0+10x10340
 holdfast_statement_duration_seconds_bucket{database="a",query_id="q",operation="SELECT",summary="SELECT t",le="+Inf"} 0+10x10340
 holdfast_statement_calls_total{database="a",query_id="q",operation="SELECT",summary="SELECT t"} 0+10x10340
 holdfast_backup_due_timestamp_seconds{database="a"} 0x10340
 holdfast_backup_last_verified_timestamp_seconds{database="a"} 0x10340
 holdfast_backup_last_backup_timestamp_seconds{database="a"} 0x10340
 holdfast_replication_lag_seconds{database="a"} 5x10340
`

// fires evaluates an expression after the series of a load, at a minute of it.
func fires(t *testing.T, load, expr string, minute int) int {
	t.Helper()
	storage := promqltest.LoadedStorage(t, load)
	defer func() { _ = storage.Close() }()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e7, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{})})
	defer func() { _ = engine.Close() }()
	q, err := engine.NewInstantQuery(t.Context(), storage, nil, expr, time.Unix(int64(minute)*60, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	result := q.Exec(t.Context())
	vector, err := result.Vector()
	if err = errors.Join(result.Err, err); err != nil {
		t.Fatal(expr, err)
	}
	return len(vector)
}

func TestEveryRuleFiresAndIsQuiet(t *testing.T) {
	t.Parallel()
	groups, errs := rulefmt.Parse(metrics.PrometheusRules(alerts.Config{}), false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	names := scraped(t)
	rules := groups.Groups[0].Rules
	if len(rules) != len(firing) {
		t.Errorf("%d rules, %d of them have series", len(rules), len(firing))
	}
	for _, r := range rules {
		what := strings.TrimPrefix(r.Alert, "Holdfast") + " " + r.Labels["severity"]
		mustBeTold(t, what, r.Expr, names)
		for _, a := range []string{"summary", "description", "runbook_url"} {
			if r.Annotations[a] == "" {
				t.Errorf("%s has no %s", what, a)
			}
		}
		minute := 200
		if strings.Contains(firing[what], "10340") {
			minute = 10340
		}
		if n := fires(t, "load 1m\n "+firing[what], r.Expr, minute); n != 1 {
			t.Errorf("%s fires %d times", what, n)
		}
		if n := fires(t, quiet, r.Expr, 10330); n != 0 {
			t.Errorf("%s fires of a database that is well", what)
		}
	}
}

// The rules have the thresholds, times and language of a configuration, and leave out what
// is off in it.
func TestRulesFollowTheConfiguration(t *testing.T) {
	t.Parallel()
	text := string(metrics.PrometheusRules(alerts.Config{
		Alerts: alerts.Settings{Language: "de", Runbooks: "https://wiki.example/db"},
		Load:   alerts.LoadThresholds{WriteLockWarning: 1500 * time.Millisecond},
		For:    alerts.ForSettings{WALTooBig: -1, PragmaDrift: 1500 * time.Millisecond},
	}))
	if _, errs := rulefmt.Parse([]byte(text), false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler)); len(errs) > 0 {
		t.Fatal(errs)
	}
	for want, is := range map[string]bool{
		"holdfast_writer_held_seconds > 1.5": true, "https://wiki.example/db#pragma_drift": true, "for: 1500ms": true, "Jemand hält den Schreiber": true, "WALTooBig": false,
	} {
		if strings.Contains(text, want) != is {
			t.Errorf("%q: %v in\n%s", want, !is, text)
		}
	}
}
