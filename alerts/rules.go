package alerts

import (
	"slices"
	"time"
)

// Severity says how bad it is.
type Severity string

// The severities.
const (
	Warning  Severity = "warning"  // will hurt sooner or later
	Critical Severity = "critical" // data or service is lost, or about to be
)

// Text is a sentence in both languages.
type Text struct {
	EN string `json:"en"`
	DE string `json:"de"`
}

// In is the text in a language, "de" or English.
func (t Text) In(language string) string {
	if language == "de" {
		return t.DE
	}
	return t.EN
}

// Rule is one of the rules, with the thresholds that are in effect.
type Rule struct {
	ID      string  `json:"id"`   // "wal_too_big": stable, and the anchor of its runbook
	Name    string  `json:"name"` // "WALTooBig"
	Off     bool    `json:"off"`  // it is not looked at
	When    Text    `json:"when"` // it is true
	Next    Text    `json:"next"` // what to do about it
	Levels  []Level `json:"levels"`
	Runbook string  `json:"runbook_url"`
}

// AlertName is the name under which a rule is told, here and by Prometheus.
func (r *Rule) AlertName() string { return alertName(r.Name) }

func alertName(rule string) string { return "Holdfast" + rule }

// Level is one severity of a rule.
type Level struct {
	Severity   Severity      `json:"severity"`
	For        time.Duration `json:"-"`
	ForSeconds float64       `json:"for_seconds"`
	Thresholds []Threshold   `json:"thresholds"`
}

// Threshold is a value that can be configured.
type Threshold struct {
	Key   string  `json:"key"`   // "alert_load.wal_size"
	Text  string  `json:"text"`  // as the configuration writes it
	Value float64 `json:"value"` // in seconds, bytes, or as a part of 1
	Doc   string  `json:"doc"`
}

// Rules are all rules as c has them, in their order.
func Rules(c Config) []Rule {
	c, _ = c.complete()
	defaults := DefaultConfig()
	texts := map[string][2]string{}
	for _, v := range settings().Values(&c, &defaults, nil) {
		texts[v.Key] = [2]string{v.Value, v.Doc}
	}
	out := make([]Rule, 0, len(rules))
	for _, r := range rules {
		wait := *r.wait(&c.For)
		public := Rule{ID: r.id, Name: r.name, Off: wait < 0, When: r.when, Next: r.next, Runbook: c.runbook(r.id), Levels: []Level{}}
		for _, severity := range []Severity{Warning, Critical} {
			keys, ok := r.levels[severity]
			if !ok {
				continue
			}
			l := Level{Severity: severity, For: r.waits(&c, severity), Thresholds: []Threshold{}}
			l.ForSeconds = l.For.Seconds()
			for _, key := range keys {
				l.Thresholds = append(l.Thresholds, Threshold{Key: key, Text: texts[key][0], Value: thresholds[key](&c), Doc: texts[key][1]})
			}
			public.Levels = append(public.Levels, l)
		}
		out = append(out, public)
	}
	return out
}

// rule is a rule as the engine has it.
type rule struct {
	id, name   string
	when, next Text
	levels     map[Severity][]string // what has a severity, and the keys of its thresholds
	wait       func(*ForSettings) *time.Duration
	atOnce     bool // critical doesn't wait
	// check finds what is wrong. A slack below 1 asks for what is not well yet: the
	// thresholds are nearer to what is good by that factor. Nil is the engine's own.
	check func(o *observation, c *Config, slack float64) []verdict
}

func (r *rule) waits(c *Config, s Severity) time.Duration {
	if s == Critical && r.atOnce {
		return 0
	}
	return max(*r.wait(&c.For), 0)
}

func (r *rule) off(c *Config) bool { return *r.wait(&c.For) < 0 }

// verdict is one thing that is wrong.
type verdict struct {
	subject  string // where a rule can be true of several things of one database
	severity Severity
	value    float64
	summary  Text
	next     Text // where it is more than the rule's
}

func seconds(d time.Duration) float64 { return d.Seconds() }

// thresholds are the numbers behind the keys.
var thresholds = map[string]func(c *Config) float64{
	"alert_load.write_lock_warning":  func(c *Config) float64 { return seconds(c.Load.WriteLockWarning) },
	"alert_load.write_lock_critical": func(c *Config) float64 { return seconds(c.Load.WriteLockCritical) },
	"alert_load.busy_warning":        func(c *Config) float64 { return float64(c.Load.BusyWarning) / 1000 },
	"alert_load.busy_critical":       func(c *Config) float64 { return float64(c.Load.BusyCritical) / 1000 },
	"alert_load.reader_warning":      func(c *Config) float64 { return seconds(c.Load.ReaderWarning) },
	"alert_load.reader_critical":     func(c *Config) float64 { return seconds(c.Load.ReaderCritical) },
	"alert_load.reader_frames":       func(c *Config) float64 { return float64(c.Load.ReaderFrames) },
	"alert_load.wal_size":            func(c *Config) float64 { return float64(c.Load.WALSize) },
	"alert_load.wal_share":           func(c *Config) float64 { return float64(c.Load.WALShare) / 100 },
	"alert_load.checkpoints":         func(c *Config) float64 { return float64(c.Load.Checkpoints) },
	"alert_load.queue":               func(c *Config) float64 { return float64(c.Load.Queue) / 100 },
	"alert_load.reader_wait":         func(c *Config) float64 { return seconds(c.Load.ReaderWait) },
	"alert_load.slowdown":            func(c *Config) float64 { return float64(c.Load.Slowdown) / 100 },
	"alert_load.slowdown_least":      func(c *Config) float64 { return seconds(c.Load.SlowdownLeast) },
	"alert_load.slowdown_calls":      func(c *Config) float64 { return float64(c.Load.SlowdownCalls) },
	"alert_safety.disk_forecast":     func(c *Config) float64 { return seconds(c.Safety.DiskForecast) },
	"alert_safety.disk_free":         func(c *Config) float64 { return float64(c.Safety.DiskFree) / 100 },
	"alert_safety.backup_warning":    func(c *Config) float64 { return float64(c.Safety.BackupWarning) / 100 },
	"alert_safety.backup_critical":   func(c *Config) float64 { return float64(c.Safety.BackupCritical) / 100 },
	"alert_safety.backup_verified":   func(c *Config) float64 { return seconds(c.Safety.BackupVerified) },
	"alert_safety.replica_warning":   func(c *Config) float64 { return seconds(c.Safety.ReplicaWarning) },
	"alert_safety.replica_critical":  func(c *Config) float64 { return seconds(c.Safety.ReplicaCritical) },
	"alert_safety.transaction_idle":  func(c *Config) float64 { return seconds(c.Safety.TransactionIdle) },
	"alert_safety.memory":            func(c *Config) float64 { return float64(c.Safety.Memory) / 100 },
}

func ruleOf(id string) *rule {
	return &rules[slices.IndexFunc(rules, func(r rule) bool { return r.id == id })]
}

// rules are the nineteen, in the order of the handbook. The table is never written to.
var rules = []rule{
	{
		id: "db_unreachable", name: "DBUnreachable", check: unreachable,
		levels: map[Severity][]string{Critical: nil},
		wait:   func(f *ForSettings) *time.Duration { return &f.DBUnreachable },
		when:   Text{"The database can't be read", "Die Datenbank kann nicht gelesen werden"},
		next:   Text{"holdfast doctor FILE says why", "holdfast doctor DATEI nennt den Grund"},
	},
	{
		id: "integrity_failed", name: "IntegrityFailed", check: integrity,
		levels: map[Severity][]string{Critical: nil},
		wait:   func(f *ForSettings) *time.Duration { return &f.IntegrityFailed },
		when:   Text{"The database is damaged, or a check has found something", "Die Datenbank ist beschädigt, oder eine Prüfung hat etwas gefunden"},
		next: Text{
			"Keep FILE with its -wal and -shm, and restore the last verified backup: holdfast restore; holdfast salvage copies what can be read",
			"DATEI mit -wal und -shm aufheben und die letzte geprüfte Sicherung zurückspielen: holdfast restore; holdfast salvage rettet, was lesbar ist",
		},
	},
	{
		id: "write_lock_held_long", name: "WriteLockHeldLong", check: writeLock,
		levels: map[Severity][]string{Warning: {"alert_load.write_lock_warning"}, Critical: {"alert_load.write_lock_critical"}},
		wait:   func(f *ForSettings) *time.Duration { return &f.WriteLockHeldLong },
		when:   Text{"One holder has had the writer for long, and everybody else waits", "Jemand hält den Schreiber schon lange, und alle anderen warten"},
		next:   Text{"holdfast locks FILE names the holder and its call site: shorten that transaction, or set writer.max_transaction_age", "holdfast locks DATEI nennt den Halter und seine Programmstelle: die Transaktion kürzen oder writer.max_transaction_age setzen"},
	},
	{
		id: "busy_error_rate", name: "BusyErrorRate", check: busyErrors,
		levels: map[Severity][]string{Warning: {"alert_load.busy_warning"}, Critical: {"alert_load.busy_critical"}},
		wait:   func(f *ForSettings) *time.Duration { return &f.BusyErrorRate },
		when:   Text{"Writes end with \"database is locked\"", "Schreibvorgänge enden mit „database is locked“"},
		next:   Text{"Another program holds the lock, or a transaction lasts longer than database.busy_timeout: holdfast locks FILE --watch", "Ein anderes Programm hält die Sperre, oder eine Transaktion dauert länger als database.busy_timeout: holdfast locks DATEI --watch"},
	},
	{
		id: "reader_pins_wal", name: "ReaderPinsWAL", check: readerPins,
		levels: map[Severity][]string{Warning: {"alert_load.reader_warning", "alert_load.reader_frames"}, Critical: {"alert_load.reader_critical", "alert_load.reader_frames"}},
		wait:   func(f *ForSettings) *time.Duration { return &f.ReaderPinsWAL },
		when:   Text{"An old read keeps the log from being emptied", "Ein altes Lesen hindert das Log daran, geleert zu werden"},
		next:   Text{"Close the rows or the transaction at that place; connection_pool.max_lease_age ends such ones", "Das Ergebnis oder die Transaktion an dieser Stelle schließen; connection_pool.max_lease_age beendet solche"},
	},
	{
		id: "wal_too_big", name: "WALTooBig", check: walTooBig,
		levels: map[Severity][]string{Warning: {"alert_load.wal_size", "alert_load.wal_share"}, Critical: {"alert_load.wal_size"}},
		wait:   func(f *ForSettings) *time.Duration { return &f.WALTooBig },
		when:   Text{"The log is larger than it should be, and reads get slower", "Das Log ist größer als es sein sollte, und Lesen wird langsamer"},
		next:   Text{"holdfast locks FILE says who reads for long; then holdfast exec FILE 'PRAGMA wal_checkpoint(TRUNCATE)'", "holdfast locks DATEI sagt, wer lange liest; danach holdfast exec DATEI 'PRAGMA wal_checkpoint(TRUNCATE)'"},
	},
	{
		id: "checkpoint_incomplete", name: "CheckpointIncomplete", check: checkpoints,
		levels: map[Severity][]string{Warning: {"alert_load.checkpoints"}},
		wait:   func(f *ForSettings) *time.Duration { return &f.CheckpointIncomplete },
		when:   Text{"Checkpoints get nowhere", "Checkpoints kommen nicht voran"},
		next:   Text{"holdfast locks FILE says who reads in the log; the program's own log has the errors of checkpoints", "holdfast locks DATEI sagt, wer im Log liest; das eigene Protokoll hat die Fehler der Checkpoints"},
	},
	{
		id: "write_queue_deep", name: "WriteQueueDeep", check: queueDeep, atOnce: true,
		levels: map[Severity][]string{Warning: {"alert_load.queue"}, Critical: nil},
		wait:   func(f *ForSettings) *time.Duration { return &f.WriteQueueDeep },
		when:   Text{"The queue of writes is almost full; critical: writes are refused", "Die Warteschlange der Schreibvorgänge ist fast voll; kritisch: Schreibvorgänge werden abgewiesen"},
		next:   Text{"holdfast locks FILE shows who holds the writer and who waits; write less at once, or raise writer.queue_limit", "holdfast locks DATEI zeigt, wer den Schreiber hält und wer wartet; weniger auf einmal schreiben oder writer.queue_limit anheben"},
	},
	{
		id: "pool_starved", name: "PoolStarved", check: starved,
		levels: map[Severity][]string{Warning: {"alert_load.reader_wait"}},
		wait:   func(f *ForSettings) *time.Duration { return &f.PoolStarved },
		when:   Text{"Reads wait for a reader", "Lesende warten auf eine Leseverbindung"},
		next:   Text{"Close rows and read transactions sooner, or raise connection_pool.max_connections", "Ergebnisse und Lesetransaktionen früher schließen oder connection_pool.max_connections anheben"},
	},
	{
		id: "slow_query_regression", name: "SlowQueryRegression", check: slower,
		levels: map[Severity][]string{Warning: {"alert_load.slowdown", "alert_load.slowdown_least", "alert_load.slowdown_calls"}},
		wait:   func(f *ForSettings) *time.Duration { return &f.SlowQueryRegression },
		when:   Text{"A statement takes much longer than at this hour of the last seven days", "Eine Anweisung dauert viel länger als zu dieser Stunde der letzten sieben Tage"},
		next:   Text{"holdfast queries FILE shows its plan and what it costs; holdfast optimize FILE renews the statistics", "holdfast queries DATEI zeigt ihren Plan und ihre Kosten; holdfast optimize DATEI erneuert die Statistiken"},
	},
	{
		id: "disk_full_soon", name: "DiskFullSoon", check: diskFull, atOnce: true,
		levels: map[Severity][]string{Warning: {"alert_safety.disk_forecast"}, Critical: {"alert_safety.disk_free"}},
		wait:   func(f *ForSettings) *time.Duration { return &f.DiskFullSoon },
		when:   Text{"The disk is full soon; critical: it almost is", "Die Platte ist bald voll; kritisch: sie ist es fast"},
		next:   Text{"Make room on the volume, or move backups away; a full disk loses nothing, but nothing can be written", "Auf dem Datenträger Platz schaffen oder Sicherungen auslagern; eine volle Platte verliert nichts, aber nichts kann geschrieben werden"},
	},
	{
		id: "backup_stale", name: "BackupStale", check: backupStale,
		levels: map[Severity][]string{Warning: {"alert_safety.backup_warning"}, Critical: {"alert_safety.backup_critical"}},
		wait:   func(f *ForSettings) *time.Duration { return &f.BackupStale },
		when:   Text{"A backup that was promised was not made", "Eine zugesagte Sicherung wurde nicht gemacht"},
		next:   Text{"holdfast health FILE has the last error; holdfast backup FILE DIRECTORY makes one now", "holdfast health DATEI hat den letzten Fehler; holdfast backup DATEI VERZEICHNIS macht jetzt eine"},
	},
	{
		id: "backup_not_verified", name: "BackupNotVerified", check: backupNotVerified,
		levels: map[Severity][]string{Warning: {"alert_safety.backup_verified"}},
		wait:   func(f *ForSettings) *time.Duration { return &f.BackupNotVerified },
		when:   Text{"No backup was restored and checked for long", "Lange wurde keine Sicherung zurückgespielt und geprüft"},
		next:   Text{"Set backup.drill_every, or restore one by hand: holdfast restore", "backup.drill_every setzen oder eine von Hand zurückspielen: holdfast restore"},
	},
	{
		id: "replica_lag", name: "ReplicaLag", check: replicaLag,
		levels: map[Severity][]string{Warning: {"alert_safety.replica_warning"}, Critical: {"alert_safety.replica_critical"}},
		wait:   func(f *ForSettings) *time.Duration { return &f.ReplicaLag },
		when:   Text{"The copy is behind: what it lacks is lost with this machine", "Die Kopie liegt zurück: was ihr fehlt, geht mit dieser Maschine verloren"},
		next:   Text{"See that the target can be reached, has room, and takes the credentials in the environment", "Prüfen, ob das Ziel erreichbar ist, Platz hat und die Zugangsdaten der Umgebung annimmt"},
	},
	{
		id: "two_primaries", name: "TwoPrimaries", check: twoPrimaries,
		levels: map[Severity][]string{Critical: nil},
		wait:   func(f *ForSettings) *time.Duration { return &f.TwoPrimaries },
		when:   Text{"Somebody else writes to the target of the replication", "Jemand anderes schreibt in das Ziel der Replikation"},
		next:   Text{"End one of the two at once, decide whose writes count, and give the other a new target", "Einen der beiden sofort beenden, entscheiden, wessen Daten gelten, und dem anderen ein neues Ziel geben"},
	},
	{
		id: "leaked_transaction", name: "LeakedTransaction", check: leaked,
		levels: map[Severity][]string{Warning: {"alert_safety.transaction_idle"}},
		wait:   func(f *ForSettings) *time.Duration { return &f.LeakedTransaction },
		when:   Text{"A transaction is open and does nothing", "Eine Transaktion ist offen und tut nichts"},
		next:   Text{"Commit or roll back at that place, on every path: defer tx.Rollback() after Begin", "An dieser Stelle auf jedem Weg Commit oder Rollback rufen: defer tx.Rollback() nach Begin"},
	},
	{
		id: "pragma_drift", name: "PragmaDrift", check: drift,
		levels: map[Severity][]string{Warning: nil},
		wait:   func(f *ForSettings) *time.Duration { return &f.PragmaDrift },
		when:   Text{"synchronous, journal_mode or foreign_keys is not what the configuration says", "synchronous, journal_mode oder foreign_keys ist nicht, was eingestellt ist"},
		next:   Text{"Find who sets the PRAGMA (another program, or a connection of this one) and take it out; holdfast doctor FILE", "Finden, wer das PRAGMA setzt (ein anderes Programm oder eine Verbindung von diesem), und es entfernen; holdfast doctor DATEI"},
	},
	{
		id: "memory_high", name: "MemoryHigh", check: memoryHigh,
		levels: map[Severity][]string{Warning: {"alert_safety.memory"}},
		wait:   func(f *ForSettings) *time.Duration { return &f.MemoryHigh },
		when:   Text{"The process has almost all memory that it may have", "Der Prozess hat fast allen Speicher, den er haben darf"},
		next:   Text{"Raise the limit, lower database.memory_budget, or find what takes it: holdfast top FILE", "Die Grenze anheben, database.memory_budget senken oder finden, was ihn braucht: holdfast top DATEI"},
	},
	{
		id: "monitoring_blind", name: "MonitoringBlind",
		levels: map[Severity][]string{Critical: nil},
		wait:   func(f *ForSettings) *time.Duration { return &f.MonitoringBlind },
		when:   Text{"A database gives no figures, or alerts can't be delivered", "Eine Datenbank liefert keine Zahlen, oder Alarme können nicht zugestellt werden"},
		next:   Text{"holdfast alerts list has the last error of each receiver", "holdfast alerts list hat den letzten Fehler jedes Empfängers"},
	},
}
