package holdfast

import (
	"encoding/json"
	"errors"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// specConfig is the configuration that every version must read as it stands.
const specConfig = `{
  "database": {
    "path": "data/veritas.db",
    "max_connections": 5,
    "connection_timeout": 30,
    "busy_timeout": 30000,
    "enable_wal_mode": true,
    "enable_foreign_keys": true
  },
  "connection_pool": {
    "min_connections": 1,
    "max_connections": 10,
    "connection_lifetime": 3600,
    "idle_timeout": 300,
    "health_check_interval": 60
  },
  "retry_logic": {
    "max_retries": 5,
    "base_wait_time": 0.1,
    "max_wait_time": 5.0,
    "exponential_backoff": true,
    "jitter": true
  }
}`

// loadConfig reads a configuration that must be fine.
func loadConfig(t *testing.T, src ConfigSource) (Config, *ConfigReport) {
	t.Helper()
	c, report, err := LoadConfig(src)
	if err != nil {
		t.Fatal(err)
	}
	return c, report
}

func loadText(text string) (Config, *ConfigReport, error) {
	return LoadConfig(ConfigSource{Reader: strings.NewReader(text)})
}

// value is one line of the report.
func (r *ConfigReport) value(t *testing.T, key string) ConfigValue {
	t.Helper()
	i := slices.IndexFunc(r.Values, func(v ConfigValue) bool { return v.Key == key })
	if i < 0 {
		t.Fatalf("no %s in the report", key)
	}
	return r.Values[i]
}

func TestSpecConfigLoads(t *testing.T) {
	c, report := loadConfig(t, ConfigSource{Reader: strings.NewReader(specConfig)})
	want := Config{
		Database: DatabaseConfig{
			Path: "data/veritas.db", MaxConnections: 5, ConnectionTimeout: 30 * time.Second, BusyTimeout: 30 * time.Second,
			EnableWALMode: On, EnableForeignKeys: On,
		},
		ConnectionPool: PoolConfig{
			MinConnections: 1, MaxConnections: 10, ConnectionLifetime: time.Hour, IdleTimeout: 5 * time.Minute,
			HealthCheckInterval: time.Minute,
		},
		RetryLogic: RetryConfig{
			MaxRetries: 5, BaseWaitTime: 100 * time.Millisecond, MaxWaitTime: 5 * time.Second, ExponentialBackoff: On, Jitter: On,
		},
	}
	if c != want {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	notes := []string{"database.max_connections = 5 is ignored: connection_pool.max_connections = 10 decides"}
	if !slices.Equal(report.Notes, notes) {
		t.Errorf("notes: %q", report.Notes)
	}
	if v := report.value(t, "connection_pool.max_connections"); v.Value != "10" || v.Origin != "file" {
		t.Errorf("readers: %+v", v)
	}
	// But for the path and the readers the file asks for the defaults.
	defaults := DefaultConfig()
	got := c.conflicts(defaults)
	got = slices.DeleteFunc(got, func(k string) bool { return strings.HasSuffix(k, ".max_connections") })
	if len(got) > 0 {
		t.Errorf("differs from the defaults in %q", got)
	}
}

// withoutDefault are the settings that name something of the program's own.
var withoutDefault = []string{"telemetry.release", "backup.destination", "backup.format", "backup.keep", "database.path", "replication.target", "replication.address"}

func TestDefaultsAreCompleteAndQuiet(t *testing.T) {
	c, notes, err := Config{}.withDefaults()
	if err != nil || notes != nil {
		t.Fatalf("the zero value: %q, %v", notes, err)
	}
	again, notes, err := c.withDefaults()
	if err != nil || notes != nil || again != c {
		t.Errorf("a second time: %q, %v, same %v", notes, err, again == c)
	}
	if got, want := c.ConnectionPool.MaxConnections, max(8, runtime.NumCPU()); got != want {
		t.Errorf("%d readers, want %d", got, want)
	}
	for key, setting := range eachSetting(&c) {
		if text := setting.Tag.Get("default"); setting.value.IsZero() && text != "0" && text != "false" && !slices.Contains(withoutDefault, key) {
			t.Errorf("%s has no default", key)
		}
	}
}

// field is a setting in a Config.
type field struct {
	reflect.StructField
	value reflect.Value
}

// eachSetting goes through the settings of c by dotted key.
func eachSetting(c *Config) iter.Seq2[string, field] {
	return func(yield func(string, field) bool) {
		for section, block := range reflect.ValueOf(c).Elem().Fields() {
			if section.Tag.Get("json") == "-" {
				continue
			}
			for setting, value := range block.Fields() {
				if !yield(section.Tag.Get("json")+"."+setting.Tag.Get("json"), field{setting, value}) {
					return
				}
			}
		}
	}
}

func TestEverySettingIsDescribed(t *testing.T) {
	_, report := loadConfig(t, ConfigSource{})
	for key, setting := range eachSetting(&Config{}) {
		v := report.value(t, key)
		if !strings.HasSuffix(v.Doc, ".") {
			t.Errorf("%s: its doc is no sentence: %q", key, v.Doc)
		}
		if setting.Type == reflect.TypeFor[time.Duration]() && v.Unit != "s" && v.Unit != "ms" {
			t.Errorf("%s: a duration needs a unit", key)
		}
		if setting.Tag.Get("default") == "" && setting.Tag.Get("computed") == "" && !slices.Contains(withoutDefault, key) {
			t.Errorf("%s: no default tag", key)
		}
		_, again, err := LoadConfig(ConfigSource{Overrides: map[string]string{key: v.Default}})
		if err != nil {
			t.Errorf("%s: its printed default can't be read: %v", key, err)
		} else if got := again.value(t, key); got.Value != v.Default || got.Origin != "flag" {
			t.Errorf("%s: %s comes back as %+v", key, v.Default, got)
		}
	}
	for section := range reflect.TypeFor[Config]().Fields() {
		if section.Tag.Get("json") != "-" && section.Tag.Get("doc") == "" {
			t.Errorf("section %s has no doc", section.Name)
		}
	}
}

func TestLaterSourcesWin(t *testing.T) {
	src := ConfigSource{
		Reader: strings.NewReader(`{"database": {"busy_timeout": 1000, "synchronous": "normal", "enable_wal_mode": true, "cache_size": -2000}}`),
		Env: []string{
			"HOLDFAST_DATABASE_BUSY_TIMEOUT=2000", "HOLDFAST_DATABASE_BUSY_TIMEOUT=3s", // the last wins
			"HOLDFAST_DATABASE_SYNCHRONOUS=EXTRA", "HOLDFAST_WRITER_MAX_GROUP=", "HOLDFAST_HOME=/srv", "PATH=/bin", "nonsense",
			"HOLDFAST_CONNECTION_POOL_MAX_LEASE_AGE=OFF", "HOLDFAST_DATABASE_READ_ONLY=0",
		},
		Overrides: map[string]string{"database.synchronous": "full", "connection_pool.read_ahead_bytes": "1.5KiB"},
	}
	c, report := loadConfig(t, src)
	want := Config{
		Database:       DatabaseConfig{BusyTimeout: 3 * time.Second, Synchronous: "full", EnableWALMode: On, CacheSize: -2000},
		ConnectionPool: PoolConfig{MaxLeaseAge: -1, ReadAheadBytes: 1536},
	}
	if c != want {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	for key, want := range map[string]ConfigValue{
		"database.busy_timeout":            {Value: "3s", Default: "30s", Origin: "environment", Unit: "ms"},
		"database.synchronous":             {Value: "FULL", Default: "FULL", Origin: "flag"},
		"database.cache_size":              {Value: "-2000", Default: "0", Origin: "file", Unit: "pages"},
		"database.temp_store":              {Value: "FILE", Default: "FILE", Origin: "default"},
		"database.enable_wal_mode":         {Value: "true", Default: "true", Origin: "file"},
		"database.read_only":               {Value: "false", Default: "false", Origin: "environment"},
		"connection_pool.max_lease_age":    {Value: "off", Default: "off", Origin: "environment", Unit: "s"},
		"connection_pool.read_ahead_bytes": {Value: "1536", Default: "64KiB", Origin: "flag", Unit: "bytes"},
	} {
		got := report.value(t, key)
		want.Key, want.Doc = key, got.Doc
		if got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
	i := 0
	for key := range eachSetting(&c) {
		if i >= len(report.Values) || report.Values[i].Key != key {
			t.Fatalf("%s is not value %d of the report", key, i)
		}
		i++
	}
	if i != len(report.Values) {
		t.Errorf("%d values in the report, want %d", len(report.Values), i)
	}
}

func TestNumberOfReaders(t *testing.T) {
	for _, tc := range []struct {
		text, env   string
		want        int
		wantOrigin  string
		wantIgnored bool
	}{
		{`{}`, "", max(8, runtime.NumCPU()), "default", false},
		{`{"database": {"max_connections": 5}}`, "", 5, "file", false},
		{`{"connection_pool": {"max_connections": 10}}`, "", 10, "file", false},
		{`{"database": {"max_connections": 5}, "connection_pool": {"max_connections": 10}}`, "", 10, "file", true},
		{`{"database": {"max_connections": 5}, "connection_pool": {"max_connections": 5}}`, "", 5, "file", false},
		{`{"database": {"max_connections": 5}}`, "HOLDFAST_CONNECTION_POOL_MAX_CONNECTIONS=7", 7, "environment", true},
		{`{"connection_pool": {"max_connections": 10}}`, "HOLDFAST_DATABASE_MAX_CONNECTIONS=7", 10, "file", true},
	} {
		c, report := loadConfig(t, ConfigSource{Reader: strings.NewReader(tc.text), Env: []string{tc.env}})
		c, _, _ = c.withDefaults()
		if c.ConnectionPool.MaxConnections != tc.want || c.Database.MaxConnections != tc.want {
			t.Errorf("%s %s: %d and %d readers, want %d", tc.text, tc.env, c.ConnectionPool.MaxConnections, c.Database.MaxConnections, tc.want)
		}
		for _, key := range []string{"database.max_connections", "connection_pool.max_connections"} {
			if got := report.value(t, key).Origin; got != tc.wantOrigin {
				t.Errorf("%s %s: origin of %s is %s, want %s", tc.text, tc.env, key, got, tc.wantOrigin)
			}
		}
		if got := len(report.Notes) == 1; got != tc.wantIgnored {
			t.Errorf("%s %s: notes %q", tc.text, tc.env, report.Notes)
		}
	}
}

// What can be loaded is valid, complete in one step, and the same when it is
// written and read. Package config fuzzes the same without the rules.
func TestWhatLoadsStaysItself(t *testing.T) {
	for _, text := range []string{
		specConfig, string(ExampleConfig()), "\ufeff{}",
		`{"database": {"busy_timeout": 0.1, "path": "\ud800", "synchronous": "nOrMaL"}}`,
		`{"limits": {"attached": "off"}, "writer": {"join_threshold": "20ms"}}`,
		`{"limits": {"untrusted_sql": true, "untrusted_file": true}, "database": {"max_connections": 3}}`,
	} {
		c, _ := loadConfig(t, ConfigSource{Reader: strings.NewReader(text)})
		if err := c.Validate(); err != nil {
			t.Errorf("%s: loaded, but not valid: %v", text, err)
		}
		effective, _, err := c.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		if again, _, err := effective.withDefaults(); err != nil || again != effective {
			t.Errorf("%s: completed twice: %v\n%+v\n%+v", text, err, effective, again)
		}
		for _, want := range []Config{c, effective} {
			written, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			var back Config
			if err := json.Unmarshal(written, &back); err != nil || back != want {
				t.Errorf("%s: %v\ngot  %+v\nwant %+v", written, err, back, want)
			}
		}
	}
}

func TestErrorsComeTogetherAndTyped(t *testing.T) {
	_, report, err := LoadConfig(ConfigSource{
		Path:      "cfg.json",
		Reader:    strings.NewReader("{\"writer\": {\"max_group\": true,\n \"quue_limit\": 1}}"),
		Env:       []string{"HOLDFAST_WRITER_MAX_GRUP=5", "HOLDFAST_WRITER_FAIR_LOCK=maybe"},
		Overrides: map[string]string{"writer.max": "5", "retry_logic.jitter": "2"},
	})
	if report != nil {
		t.Error("a report of what can't be used")
	}
	want := []string{
		`cfg.json:1:13: writer.max_group: expected a whole number, got true or false`,
		`cfg.json:2:2: unknown key "writer.quue_limit": did you mean "writer.queue_limit"?`,
		`environment variable HOLDFAST_WRITER_FAIR_LOCK: writer.fair_lock: expected true or false, got "maybe"`,
		`unknown environment variable HOLDFAST_WRITER_MAX_GRUP: did you mean HOLDFAST_WRITER_MAX_GROUP?`,
		`flag: retry_logic.jitter: expected true or false, got "2"`,
		`flag: unknown key "writer.max": did you mean "writer.max_group"?`,
	}
	if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", err, strings.Join(want, "\n"))
	}
	first, ok := errors.AsType[*ConfigError](err)
	if !ok || first.Key != "writer.max_group" || first.Where != "cfg.json:1:13" {
		t.Errorf("first error: %+v", first)
	}
}

func TestConfigFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c, _ := loadConfig(t, ConfigSource{Path: write("cfg.json", `{"writer": {"max_group": 7}}`)})
	if c.Writer.MaxGroup != 7 {
		t.Errorf("max_group = %d", c.Writer.MaxGroup)
	}
	if _, _, err := LoadConfig(ConfigSource{Path: filepath.Join(dir, "none.json")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, _, err := LoadConfig(ConfigSource{Path: dir}); err == nil {
		t.Error("a directory was read")
	}
	if _, _, err := LoadConfig(ConfigSource{Reader: iotest.ErrReader(fs.ErrPermission)}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a broken reader: %v", err)
	}
	if _, _, err := loadText(strings.Repeat(" ", maxConfigSize) + "{}"); err == nil {
		t.Error("more than 1 MiB was read")
	}
	write("live-wal", "")
	for _, path := range []string{
		write("app.DB", "{}"), write("app.json-wal", "{}"), write("live", "{}"), write("big", strings.Repeat(" ", maxConfigSize+1)),
		filepath.Join(dir, "missing.sqlite"),
	} {
		_, _, err := LoadConfig(ConfigSource{Path: path})
		if err == nil || !strings.Contains(err.Error(), "not read as a configuration") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestValidateGoLiterals(t *testing.T) {
	for _, tc := range []struct {
		config Config
		want   string
	}{
		{Config{}, ""},
		{Config{Database: DatabaseConfig{BusyTimeout: -1}, Writer: WriterConfig{QueueLimit: -1}}, ""},
		{Config{Database: DatabaseConfig{BusyTimeout: -time.Second}}, "database.busy_timeout = -1s is negative; -1 turns it off"},
		{Config{Writer: WriterConfig{MaxGroupDuration: -1}}, "writer.max_group_duration = -1ns is negative"},
		{Config{Writer: WriterConfig{FairLock: 7}}, "writer.fair_lock is neither Default, On nor Off"},
		{Config{Writer: WriterConfig{FairLock: -1}}, "writer.fair_lock = false is negative"},
		{Config{Database: DatabaseConfig{Synchronous: "SOMETIMES"}}, `database.synchronous: expected one of`},
		{Config{Database: DatabaseConfig{Path: "a\x00b"}}, "database.path contains a NUL byte"},
		{Config{Limits: LimitsConfig{Attached: 11}}, "limits.attached = 11 is more than 10"},
		{Config{ConnectionPool: PoolConfig{MaxConnections: -1}}, "connection_pool.max_connections = -1 is negative"},
	} {
		err := tc.config.Validate()
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("got %v, want %q", err, tc.want)
		}
	}
}

func TestRules(t *testing.T) {
	for _, tc := range []struct{ set, note, err string }{
		{"connection_pool.min_connections=11 connection_pool.max_connections=10", "", "connection_pool.min_connections = 11 is more than the 10 readers of connection_pool.max_connections"},
		{"connection_pool.min_connections=off", "", ""},
		{"database.busy_timeout=45s", "database.busy_timeout = 45s is longer than database.connection_timeout = 30s: a statement may wait longer for a lock than for a connection", ""},
		{"database.busy_timeout=45s database.connection_timeout=off", "", ""},
		{"database.busy_timeout=30", `database.busy_timeout = 30ms is short: bare numbers are milliseconds here, "30s" says what it means`, ""},
		{"database.busy_timeout=-1", "", ""},
		{"database.cache_size=10000 database.max_connections=10", "database.cache_size = 10000 is for each of 11 connections: together they may use 429 MiB", ""},
		{"database.cache_size=-2000 database.max_connections=10", "", ""},
		{"database.cache_size=-2000 database.memory_budget=32MiB database.max_connections=10", "database.memory_budget is ignored: database.cache_size decides", ""},
		{"database.memory_budget=1MiB database.max_connections=20", "database.memory_budget = 1MiB leaves each of 21 connections less than 64KiB of page cache", ""},
		{"database.synchronous=off", "", "database.synchronous = OFF can corrupt the file on power loss; limits.allow_unsafe = true permits it"},
		{"database.synchronous=off limits.allow_unsafe=true", "", ""},
		{"database.synchronous=extra", "database.synchronous = EXTRA means FULL in WAL mode", ""},
		{"database.synchronous=normal database.enable_wal_mode=off", "database.synchronous = NORMAL without WAL mode can corrupt the file on power loss; FULL can't", ""},
		{"database.synchronous=normal", "", ""},
		{"database.page_size=5000", "", "database.page_size = 5000 is no power of two"},
		{"database.page_size=8KiB", "", ""},
		{"database.file_mode=rw", "", `database.file_mode: expected octal permissions such as "0600", got "rw"`},
		{"database.file_mode=0440", "", "database.file_mode = 0440 withholds the file from its owner"},
		{"database.file_mode=4755", "", "database.file_mode = 4755 grants more than reading and writing"},
		{"database.file_mode=660", "", ""},
		{"database.read_only=true", "", ""},
		{"database.read_only=true writer.max_group=5 retry_logic.jitter=off", "retry_logic.jitter, writer.max_group are ignored: database.read_only is set", ""},
		{"connection_pool.connection_lifetime=60", "", ""},
		{"connection_pool.connection_lifetime=60 connection_pool.idle_timeout=90", "connection_pool.idle_timeout is ignored: connection_pool.connection_lifetime = 1m ends a reader first", ""},
		{"connection_pool.leak_threshold=90 connection_pool.max_lease_age=80", "connection_pool.leak_threshold is ignored: connection_pool.max_lease_age = 1m20s ends a lease first", ""},
		{"connection_pool.read_ahead_rows=off connection_pool.read_ahead_bytes=1KiB", "connection_pool.read_ahead_bytes is ignored: connection_pool.read_ahead_rows is off", ""},
		{"connection_pool.read_ahead_bytes=off connection_pool.read_ahead_rows=5", "connection_pool.read_ahead_rows is ignored: connection_pool.read_ahead_bytes is off", ""},
		{"retry_logic.base_wait_time=6", "", "retry_logic.base_wait_time = 6s is longer than retry_logic.max_wait_time = 5s"},
		{"retry_logic.max_retries=off retry_logic.base_wait_time=1", "retry_logic.base_wait_time is ignored: retry_logic.max_retries is off", ""},
		{"retry_logic.exponential_backoff=off retry_logic.max_wait_time=1", "retry_logic.max_wait_time is ignored: without retry_logic.exponential_backoff every pause is base_wait_time", ""},
		{"writer.join_threshold=30", "writer.join_threshold = 30ms is longer than writer.max_group_duration = 20ms: one such transaction outlasts its group", ""},
		{"writer.max_group=1 writer.join_threshold=30", "writer.join_threshold is ignored: writer.max_group = 1 gives each unit its own COMMIT", ""},
	} {
		overrides := map[string]string{}
		for pair := range strings.FieldsSeq(tc.set) {
			key, value, _ := strings.Cut(pair, "=")
			overrides[key] = value
		}
		_, report, err := LoadConfig(ConfigSource{Overrides: overrides})
		switch {
		case tc.err != "":
			if err == nil || err.Error() != tc.err {
				t.Errorf("%s\ngot  %v\nwant %s", tc.set, err, tc.err)
			}
		case err != nil:
			t.Errorf("%s: %v", tc.set, err)
		case strings.Join(report.Notes, "\n") != tc.note:
			t.Errorf("%s\ngot  %q\nwant %q", tc.set, report.Notes, tc.note)
		}
	}
}

func TestZeroIsTheDefaultAndMinusOneIsOff(t *testing.T) {
	defaults := DefaultConfig()
	for key, setting := range eachSetting(&Config{}) {
		if setting.Type.Kind() != reflect.Int && setting.Type.Kind() != reflect.Int64 {
			continue
		}
		zero, _, err := LoadConfig(ConfigSource{Overrides: map[string]string{key: "0"}})
		if err != nil || zero.conflicts(defaults) != nil {
			t.Errorf("%s = 0: %v, differs in %q", key, err, zero.conflicts(defaults))
		}
		for _, text := range []string{"-1", "off"} {
			c, _, err := LoadConfig(ConfigSource{Overrides: map[string]string{key: text}})
			negative := strings.HasPrefix(setting.Tag.Get("min"), "-") && text == "-1"
			if mayBe := setting.Tag.Get("off") != "" || negative; mayBe != (err == nil) {
				t.Errorf("%s = %s: %v", key, text, err)
			}
			if err != nil {
				continue
			}
			for other, got := range eachSetting(&c) {
				if other == key && got.value.Int() != -1 {
					t.Errorf("%s = %s gives %d", key, text, got.value.Int())
				}
			}
		}
	}
	c, _, err := loadText(`{"writer": {"queue_limit": "off", "fence_interval": "off"}, "database": {"busy_timeout": -1}}`)
	if err != nil || c.Writer.QueueLimit != -1 || c.Writer.FenceInterval != -1 || c.Database.BusyTimeout != -1 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestConflicts(t *testing.T) {
	a := Config{Database: DatabaseConfig{Path: "app.db"}}
	b := DefaultConfig()
	b.Database.Path = "./app.db"
	b.Logger = slog.New(slog.DiscardHandler)
	if got := a.conflicts(b); got != nil {
		t.Errorf("the same settings differ in %q", got)
	}
	b.Database.Synchronous = "normal"
	b.Writer.FairLock = Off
	b.ConnectionPool.LeakThreshold = -1
	want := []string{"database.synchronous", "connection_pool.leak_threshold", "writer.fair_lock"}
	if got := a.conflicts(b); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestConfigToJSONAndBack(t *testing.T) {
	full := DefaultConfig()
	full.Database.Path = "data/<ü>.db"
	full.Database.FileMode = "0640"
	full.ConnectionPool.MaxLeaseAge = 3*time.Second + 1 // finer than a float of seconds
	full.Writer.IdempotencyRetention = 2160*time.Hour + 1
	full.Database.AllowHardLinks = true
	for _, c := range []Config{{}, full, {Writer: WriterConfig{MaxGroup: 5, FairLock: Off, QueueLimit: -1}}} {
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var back Config
		if err := json.Unmarshal(text, &back); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if back != c {
			t.Errorf("%s comes back as %+v", text, back)
		}
	}
	text, _ := json.Marshal(Config{Database: DatabaseConfig{BusyTimeout: 5 * time.Second}, Writer: WriterConfig{MaxGroup: 9}})
	if want := `{"database":{"busy_timeout":5000},"writer":{"max_group":9}}`; string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
	c := Config{Writer: WriterConfig{MaxGroup: 9, QueueLimit: 8}}
	if err := json.Unmarshal([]byte(`{"writer": {"max_group": 3, "nonsense": 1}}`), &c); err == nil || c.Writer.MaxGroup != 9 {
		t.Errorf("a bad text: %v, max_group = %d", err, c.Writer.MaxGroup)
	}
	if err := json.Unmarshal([]byte(`{"writer": {"max_group": 3}}`), &c); err != nil || c.Writer != (WriterConfig{MaxGroup: 3, QueueLimit: 8}) {
		t.Errorf("a good text: %v, %+v", err, c.Writer)
	}
}

func TestCachePragmaAndFileMode(t *testing.T) {
	for _, tc := range []struct {
		database DatabaseConfig
		want     int
	}{
		{DatabaseConfig{MaxConnections: 15}, -4096},
		{DatabaseConfig{MaxConnections: 15, MemoryBudget: 32 << 20}, -2048},
		{DatabaseConfig{MaxConnections: 99, MemoryBudget: 1 << 20}, -64},
		{DatabaseConfig{CacheSize: 10000}, 10000},
		{DatabaseConfig{CacheSize: -2000}, -2000},
	} {
		c, _, err := Config{Database: tc.database}.withDefaults()
		if err != nil || c.cachePragma() != tc.want {
			t.Errorf("%+v: %d, %v, want %d", tc.database, c.cachePragma(), err, tc.want)
		}
	}
	if got := DefaultConfig().Database.fileMode(); got != 0o600 {
		t.Errorf("file mode %v", got)
	}
}

// Sections stay small enough to read.
func TestConfigShape(t *testing.T) {
	for section := range reflect.TypeFor[Config]().Fields() {
		if section.Type.Kind() == reflect.Struct && section.Type.NumField() > 20 {
			t.Errorf("%s has %d fields", section.Name, section.Type.NumField())
		}
	}
}

// serving is a section as a program adds it.
type serving struct {
	Listen string `json:"listen" default:"127.0.0.1:1" doc:"A text."`
	Limit  int    `json:"limit" default:"5" max:"10" doc:"A count."`
}

func TestSeveralDatabasesAndSectionsOfTheProgram(t *testing.T) {
	var own serving
	src := ConfigSource{
		Databases: true, Sections: []ConfigSection{{Name: "serve", Doc: "How it is served.", Into: &own}},
		Reader: strings.NewReader(`{"writer": {"max_group": 9}, "serve": {"limit": 7},
			"databases": {"orders": {"database": {"path": "o.db"}}, "log": {"database": {"path": "l.db", "synchronous": "NORMAL"}, "writer": {"max_group": 1}}}}`),
		Env: []string{"HOLDFAST_SERVE_LISTEN=:2"}, Overrides: map[string]string{"database.busy_timeout": "5s"},
	}
	c, report := loadConfig(t, src)
	if own != (serving{":2", 7}) || c.Writer.MaxGroup != 9 || len(report.Databases) != 2 {
		t.Fatalf("%+v, %+v, %+v", own, c.Writer, report.Databases)
	}
	orders, journal := report.Databases[0], report.Databases[1]
	if orders.Name != "orders" || orders.Database.Path != "o.db" || orders.Writer.MaxGroup != 9 || orders.Database.BusyTimeout != 5*time.Second {
		t.Errorf("%+v", orders)
	}
	if journal.Name != "log" || journal.Database.Synchronous != "NORMAL" || journal.Writer.MaxGroup != 1 || journal.Database.BusyTimeout != 5*time.Second {
		t.Errorf("%+v", journal)
	}
	if v := report.value(t, "databases.log.writer.max_group"); v.Value != "1" || v.Origin != "file" || v.Default != "256" {
		t.Errorf("%+v", v)
	}
	if v := report.value(t, "serve.limit"); v.Value != "7" || v.Origin != "file" || v.Default != "5" {
		t.Errorf("%+v", v)
	}
	if tables := ConfigTables(src.Sections...); !strings.Contains(tables, "\n## serve\n\nHow it is served.\n") {
		t.Error(tables)
	}
}

func TestErrorsNameTheDatabase(t *testing.T) {
	_, _, err := LoadConfig(ConfigSource{Databases: true, Sections: []ConfigSection{{Name: "serve", Into: new(serving)}}, Reader: strings.NewReader(
		`{"serve": {"limit": 11}}`)})
	if e, ok := errors.AsType[*ConfigError](err); !ok || e.Key != "serve.limit" {
		t.Errorf("%v", err)
	}
	_, _, err = LoadConfig(ConfigSource{Databases: true, Reader: strings.NewReader(`{"databases": {"a": {"database": {"synchronous": "OFF"}}}}`)})
	if e, ok := errors.AsType[*ConfigError](err); !ok || e.Key != "databases.a.database.synchronous" {
		t.Errorf("%v", err)
	}
}
