package alerts

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/config"
)

// Config is what the rules and the deliveries go by. The zero value is the defaults; the
// tags say what each setting means, as in holdfast.Config, and are what LoadConfig reads.
type Config struct {
	Alerts Settings         `json:"alerts" doc:"Rules that are looked at by themselves, and who is told what they find; see docs/operator/alerts.md."`
	Mail   MailSettings     `json:"alert_mail" doc:"Alerts by mail. Without a server none is sent."`
	Load   LoadThresholds   `json:"alert_load" doc:"From when on load is too much: locks, busy errors, the log, the queue, statements."`
	Safety SafetyThresholds `json:"alert_safety" doc:"From when on data is at risk: disk, backups, replicas, memory, transactions that were forgotten."`
	For    ForSettings      `json:"alert_for" doc:"For how long a rule must be true before anybody is told. Off: the rule is not looked at."`

	// Logger gets what the engine itself has to say, and with alerts.log the
	// alerts. Nil is silent.
	Logger *slog.Logger `json:"-"`
}

// Settings are about the engine and its receivers.
type Settings struct {
	Enabled           holdfast.Switch `json:"enabled" default:"true" doc:"Look at the rules. False looks at none and tells nobody."`
	Interval          time.Duration   `json:"interval" unit:"s" default:"10s" min:"10ms" max:"10m" doc:"The time between two rounds."`
	Repeat            time.Duration   `json:"repeat" unit:"s" default:"4h" off:"an alert is told once" doc:"An alert that lasts is told again after this long."`
	ResolveAfter      time.Duration   `json:"resolve_after" unit:"s" default:"1m" min:"1ms" max:"24h" doc:"How long a value must have been good, by a tenth of its threshold, before its alert ends."`
	Window            time.Duration   `json:"window" unit:"s" default:"5m" min:"1ms" max:"1h" doc:"The time over which rates are taken: busy errors, waits for a reader."`
	Keep              int             `json:"keep" default:"500" min:"1" max:"100000" doc:"How many alerts that have ended are remembered, in memory."`
	SilencesFile      string          `json:"silences_file" doc:"A file of JSON that keeps silences over a restart. Empty: they end with the process."`
	ExternalURL       string          `json:"external_url" doc:"Where a browser finds this process, for the links in notifications."`
	Runbooks          string          `json:"runbooks" doc:"The page that the links to runbooks lead to. Empty: the one in Holdfast's own documentation."`
	Language          string          `json:"language" default:"en" values:"en|de" doc:"The language of notifications."`
	Log               holdfast.Switch `json:"log" default:"true" doc:"Write each notification to the log."`
	Webhook           string          `json:"webhook" doc:"URLs that get each notification as JSON in the shape of Alertmanager's webhook (version 4), separated by blanks. Without a user, a password or a token: alerts.webhook_token_file has that."`
	WebhookTokenFile  string          `json:"webhook_token_file" doc:"A file with the token that each webhook gets in its header Authorization: Bearer. Read anew for each delivery."`
	Exec              string          `json:"exec" doc:"A program, its path alone, that is run for each notification with the JSON on its standard input. No shell, and no arguments."`
	ExecEnvironment   string          `json:"exec_environment" doc:"Names of variables, separated by blanks, that this program gets from the environment besides PATH, HOME and others of that kind. The rest it does not get, since there may be tokens in it."`
	Timeout           time.Duration   `json:"timeout" unit:"s" default:"10s" min:"1ms" max:"5m" doc:"The longest that one delivery takes. What fails is tried again, with pauses from 1 s to 5 min, until it succeeds."`
	Heartbeat         string          `json:"heartbeat" doc:"A URL that is fetched as long as rounds are made and at least one receiver takes notifications, for a service that raises the alarm when it is not. Its path is never logged."`
	HeartbeatInterval time.Duration   `json:"heartbeat_interval" unit:"s" default:"1m" min:"10ms" max:"24h" doc:"How often."`
}

// MailSettings are about mail, which the command delivers.
type MailSettings struct {
	Server       string `json:"server" doc:"The SMTP server, as host or host:port."`
	From         string `json:"from" doc:"The sender's address."`
	To           string `json:"to" doc:"The receivers' addresses, separated by commas."`
	User         string `json:"user" doc:"Who logs in. Empty: nobody."`
	PasswordFile string `json:"password_file" doc:"A file with the password, read anew for each mail."`
	TLS          string `json:"tls" default:"STARTTLS" values:"STARTTLS|TLS|NONE" doc:"STARTTLS: refused without. TLS: from the first byte. NONE: readable on the way, for a server on this machine."`
}

// LoadThresholds are about load.
type LoadThresholds struct {
	WriteLockWarning  time.Duration `json:"write_lock_warning" unit:"s" default:"5s" min:"1ms" doc:"Rule write_lock_held_long: the writer is held by one for longer."`
	WriteLockCritical time.Duration `json:"write_lock_critical" unit:"s" default:"30s" min:"1ms" doc:"The same, critical."`
	BusyWarning       int           `json:"busy_warning" unit:"permille" default:"10" min:"1" max:"1000" doc:"Rule busy_error_rate: of a thousand writes, more end with a busy error."`
	BusyCritical      int           `json:"busy_critical" unit:"permille" default:"50" min:"1" max:"1000" doc:"The same, critical."`
	ReaderWarning     time.Duration `json:"reader_warning" unit:"s" default:"1m" min:"1ms" doc:"Rule reader_pins_wal: the oldest read is older, while reader_frames of the log wait to be copied."`
	ReaderCritical    time.Duration `json:"reader_critical" unit:"s" default:"10m" min:"1ms" doc:"The same, critical."`
	ReaderFrames      int           `json:"reader_frames" default:"1000" min:"1" doc:"Frames of the log that are not copied."`
	WALSize           int64         `json:"wal_size" unit:"bytes" default:"64MiB" min:"1KiB" doc:"Rule wal_too_big: the log is larger than this and than wal_share of the database; critical, if it is larger than the database as well."`
	WALShare          int           `json:"wal_share" unit:"percent" default:"25" min:"1" doc:"The part of the database's size."`
	Checkpoints       int           `json:"checkpoints" default:"5" min:"1" doc:"Rule checkpoint_incomplete: so many checkpoints in a row did not copy the whole log."`
	Queue             int           `json:"queue" unit:"percent" default:"80" min:"1" max:"100" doc:"Rule write_queue_deep: the queue is fuller than this part of writer.queue_limit; critical, if writes are refused."`
	ReaderWait        time.Duration `json:"reader_wait" unit:"ms" default:"100ms" min:"1us" doc:"Rule pool_starved: of those who wait for a reader one in twenty waits for longer (without telemetry.enabled: all of them on average)."`
	Slowdown          int           `json:"slowdown" unit:"percent" default:"200" min:"101" doc:"Rule slow_query_regression: p95 of a statement in the last hour, as a part of that at the same hour of the last seven days."`
	SlowdownLeast     time.Duration `json:"slowdown_least" unit:"ms" default:"1ms" min:"1us" doc:"Statements whose p95 now is shorter are not looked at: that of some microseconds doubles with any load."`
	SlowdownCalls     int           `json:"slowdown_calls" default:"100" min:"1" doc:"Statements with fewer calls, now or then, are not looked at."`
}

// SafetyThresholds are about what may be lost.
type SafetyThresholds struct {
	DiskForecast    time.Duration `json:"disk_forecast" unit:"s" default:"24h" min:"1m" doc:"Rule disk_full_soon: at the growth of the last day the disk is full sooner."`
	DiskFree        int           `json:"disk_free" unit:"percent" default:"5" min:"1" max:"99" doc:"Critical, if less of the disk is free than this, or than twice the log."`
	BackupWarning   int           `json:"backup_warning" unit:"percent" default:"150" min:"100" doc:"Rule backup_stale: the newest backup is older than this part of the time between two."`
	BackupCritical  int           `json:"backup_critical" unit:"percent" default:"300" min:"100" doc:"The same, critical."`
	BackupVerified  time.Duration `json:"backup_verified" unit:"s" default:"168h" min:"1ms" doc:"Rule backup_not_verified: there are backups, and none was restored and checked for longer."`
	ReplicaWarning  time.Duration `json:"replica_warning" unit:"s" default:"30s" min:"1ms" doc:"Rule replica_lag: the oldest commit that is not at the target is older."`
	ReplicaCritical time.Duration `json:"replica_critical" unit:"s" default:"5m" min:"1ms" doc:"The same, critical."`
	TransactionIdle time.Duration `json:"transaction_idle" unit:"s" default:"5m" min:"1ms" doc:"Rule leaked_transaction: a transaction is open and has run no statement for longer."`
	Memory          int           `json:"memory" unit:"percent" default:"80" min:"1" max:"100" doc:"Rule memory_high: the process has more of what it may have (a control group's limit or GOMEMLIMIT)."`
}

// ForSettings say how long each rule must be true.
type ForSettings struct {
	DBUnreachable        time.Duration `json:"db_unreachable" unit:"s" default:"30s" max:"24h" off:"the rule is off" doc:"DBUnreachable."`
	IntegrityFailed      time.Duration `json:"integrity_failed" unit:"s" default:"0s" max:"24h" off:"the rule is off" doc:"IntegrityFailed."`
	WriteLockHeldLong    time.Duration `json:"write_lock_held_long" unit:"s" default:"0s" max:"24h" off:"the rule is off" doc:"WriteLockHeldLong."`
	BusyErrorRate        time.Duration `json:"busy_error_rate" unit:"s" default:"5m" max:"24h" off:"the rule is off" doc:"BusyErrorRate."`
	ReaderPinsWAL        time.Duration `json:"reader_pins_wal" unit:"s" default:"1m" max:"24h" off:"the rule is off" doc:"ReaderPinsWAL."`
	WALTooBig            time.Duration `json:"wal_too_big" unit:"s" default:"2m" max:"24h" off:"the rule is off" doc:"WALTooBig."`
	CheckpointIncomplete time.Duration `json:"checkpoint_incomplete" unit:"s" default:"0s" max:"24h" off:"the rule is off" doc:"CheckpointIncomplete."`
	WriteQueueDeep       time.Duration `json:"write_queue_deep" unit:"s" default:"1m" max:"24h" off:"the rule is off" doc:"WriteQueueDeep, the warning: critical is told at once."`
	PoolStarved          time.Duration `json:"pool_starved" unit:"s" default:"5m" max:"24h" off:"the rule is off" doc:"PoolStarved."`
	SlowQueryRegression  time.Duration `json:"slow_query_regression" unit:"s" default:"10m" max:"24h" off:"the rule is off" doc:"SlowQueryRegression."`
	DiskFullSoon         time.Duration `json:"disk_full_soon" unit:"s" default:"1m" max:"24h" off:"the rule is off" doc:"DiskFullSoon."`
	BackupStale          time.Duration `json:"backup_stale" unit:"s" default:"0s" max:"24h" off:"the rule is off" doc:"BackupStale."`
	BackupNotVerified    time.Duration `json:"backup_not_verified" unit:"s" default:"0s" max:"24h" off:"the rule is off" doc:"BackupNotVerified."`
	ReplicaLag           time.Duration `json:"replica_lag" unit:"s" default:"0s" max:"24h" off:"the rule is off" doc:"ReplicaLag."`
	TwoPrimaries         time.Duration `json:"two_primaries" unit:"s" default:"0s" max:"24h" off:"the rule is off" doc:"TwoPrimaries."`
	LeakedTransaction    time.Duration `json:"leaked_transaction" unit:"s" default:"0s" max:"24h" off:"the rule is off" doc:"LeakedTransaction."`
	PragmaDrift          time.Duration `json:"pragma_drift" unit:"s" default:"0s" max:"24h" off:"the rule is off" doc:"PragmaDrift."`
	MemoryHigh           time.Duration `json:"memory_high" unit:"s" default:"5m" max:"24h" off:"the rule is off" doc:"MemoryHigh."`
	MonitoringBlind      time.Duration `json:"monitoring_blind" unit:"s" default:"1m" max:"24h" off:"the rule is off" doc:"MonitoringBlind."`
}

// settings is what the tags of Config say.
var settings = sync.OnceValue(config.New[Config])

// Sections are the names of the sections of Config in a configuration file.
func Sections() []string {
	return []string{"alerts", "alert_mail", "alert_load", "alert_safety", "alert_for"}
}

// DefaultConfig is the Config that the zero value stands for.
func DefaultConfig() Config {
	c, _ := Config{}.complete()
	return c
}

// Validate says what is wrong with c, as joined *holdfast.ConfigError. It opens no file.
func (c Config) Validate() error {
	_, err := c.complete()
	return err
}

// complete has no zero left that stands for a default.
func (c Config) complete() (Config, error) {
	if err := mistakes(settings().Complete(&c)); err != nil {
		return c, err
	}
	var errs []error
	fail := func(key, format string, args ...any) {
		errs = append(errs, &holdfast.ConfigError{Key: key, Problem: key + fmt.Sprintf(format, args...)})
	}
	for _, address := range strings.Fields(c.Alerts.Webhook) {
		if why := refusedURL(address); why != "" {
			fail("alerts.webhook", ": %s", why)
		}
	}
	if c.Alerts.Heartbeat != "" {
		if why := refusedURL(c.Alerts.Heartbeat); why != "" {
			fail("alerts.heartbeat", ": %s", why)
		}
	}
	if c.Mail.Server != "" && (c.Mail.From == "" || c.Mail.To == "") {
		fail("alert_mail.server", " needs alert_mail.from and alert_mail.to")
	}
	for _, pair := range []struct {
		name              string
		warning, critical int64
	}{
		{"alert_load.write_lock", int64(c.Load.WriteLockWarning), int64(c.Load.WriteLockCritical)},
		{"alert_load.busy", int64(c.Load.BusyWarning), int64(c.Load.BusyCritical)},
		{"alert_load.reader", int64(c.Load.ReaderWarning), int64(c.Load.ReaderCritical)},
		{"alert_safety.backup", int64(c.Safety.BackupWarning), int64(c.Safety.BackupCritical)},
		{"alert_safety.replica", int64(c.Safety.ReplicaWarning), int64(c.Safety.ReplicaCritical)},
	} {
		if pair.warning > pair.critical {
			fail(pair.name+"_warning", " is above %s_critical, so nobody would be warned", pair.name)
		}
	}
	return c, errors.Join(errs...)
}

// refusedURL says what is wrong with an address, without quoting it: it may be a secret.
func refusedURL(address string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "expected URLs that begin with http:// or https://"
	case u.User != nil:
		return "a URL has a user or a password in it: put a token into alerts.webhook_token_file"
	}
	return ""
}

func mistakes(wrong []config.Mistake) error {
	errs := make([]error, 0, len(wrong))
	for _, m := range wrong {
		e := holdfast.ConfigError(m)
		errs = append(errs, &e)
	}
	return errors.Join(errs...)
}

// runbooks is where the runbooks are.
const runbooks = "https://github.com/holdfastdb/holdfast/blob/main/docs/operator/runbooks.md"

func (c Config) runbook(rule string) string {
	page := c.Alerts.Runbooks
	if page == "" {
		page = runbooks
		if c.Alerts.Language == "de" {
			page = strings.TrimSuffix(runbooks, ".md") + ".de.md"
		}
	}
	return page + "#" + rule
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}
