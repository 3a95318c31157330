package holdfast

import (
	"encoding/json"
	"errors"
	"io/fs"
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
	for _, s := range settings() {
		if s.name == "database.path" {
			continue
		}
		if s.field(&c).IsZero() && s.defaultText != "0" && s.defaultText != "false" {
			t.Errorf("%s has no default", s.name)
		}
	}
}

func TestEverySettingIsDescribed(t *testing.T) {
	defaults := DefaultConfig()
	for _, s := range settings() {
		if s.doc == "" || !strings.HasSuffix(s.doc, ".") {
			t.Errorf("%s: its doc is no sentence: %q", s.name, s.doc)
		}
		if s.kind == kindDuration && s.unit != "s" && s.unit != "ms" {
			t.Errorf("%s: a duration needs a unit", s.name)
		}
		if s.defaultText == "" && s.computed == "" && s.name != "database.path" {
			t.Errorf("%s: no default tag", s.name)
		}
		var c Config
		if err := s.set(&c, s.text(&defaults)); err != nil {
			t.Errorf("%s: its printed default can't be read: %v", s.name, err)
		} else if s.text(&c) != s.text(&defaults) {
			t.Errorf("%s: %s comes back as %s", s.name, s.text(&defaults), s.text(&c))
		}
	}
	for _, s := range sections() {
		if s.doc == "" {
			t.Errorf("section %s has no doc", s.name)
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
	if got, want := len(report.Values), len(settings()); got != want {
		t.Errorf("%d values in the report, want %d", got, want)
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

func TestFileErrors(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{`{"database": {"busy_timout": 1}}`, `1:15: unknown key "database.busy_timout": did you mean "database.busy_timeout"?`},
		{"{\n  \"database\": {\n    \"pfad\": \"x\"}}", `3:5: unknown key "database.pfad": did you mean "database.path"?`},
		{`{"Database": {}}`, `1:2: unknown key "Database": did you mean "database"?`},
		{`{"busy_timeout": 5}`, `unknown key "busy_timeout": did you mean "database.busy_timeout"?`},
		{`{"writer": {"busyTimeout": 5}}`, `unknown key "writer.busyTimeout": did you mean "database.busy_timeout"?`},
		{`{"pool": {"x": {"y": [1, {}]}}, "writer": {"max_group": 0}}`, `unknown key "pool": did you mean "connection_pool"?`},
		{`{"writer": {"idempotency": 5}}`, `did you mean "writer.idempotency_retention"?`},
		{`{"writer": {"max_group": 1, "max_group": 2}}`, `1:29: duplicate key "writer.max_group"`},
		{`{"writer": {}, "writer": {"max_group": 2}}`, `1:16: duplicate key "writer"`},
		{`{"writer": 5}`, `1:12: writer: expected an object, got a number`},
		{`[]`, `1:1: the configuration: expected an object, got an array`},
		{`{"writer": {"max_group": "5"}}`, `1:13: writer.max_group: expected a whole number, got a string`},
		{`{"writer": {"max_group": 5.5}}`, `writer.max_group: expected a whole number, got "5.5"`},
		{`{"writer": {"max_group": 1e99}}`, `writer.max_group: expected a whole number, got "1e99"`},
		{`{"writer": {"max_group": null}}`, `writer.max_group: expected a whole number, got null`},
		{`{"writer": {"max_group": -1}}`, `writer.max_group = -1 is negative`},
		{`{"writer": {"queue_limit": -2}}`, `writer.queue_limit = -2 is negative; -1 turns it off`},
		{`{"writer": {"fair_lock": 1}}`, `writer.fair_lock: expected true or false, got a number`},
		{`{"database": {"path": {"secret": "hunter2"}}}`, `database.path: expected a string, got an object`},
		{`{"database": {"path": "a\u0000b"}}`, `database.path contains a NUL byte`},
		{`{"database": {"synchronous": "fast"}}`, `database.synchronous: expected one of "FULL", "NORMAL", "EXTRA", "OFF", got "fast"`},
		{`{"database": {"connection_timeout": 30000}}`, `database.connection_timeout = 8h20m is more than 1h; a bare number counts seconds`},
		{`{"database": {"busy_timeout": "5 minutes"}}`, `database.busy_timeout: expected a duration such as "1m30s", or a number of milliseconds, or -1 for off, got "5 minutes"`},
		{`{"database": {"busy_timeout": "NaN"}}`, `got "NaN"`},
		{`{"database": {"busy_timeout": "-3s"}}`, `database.busy_timeout = -3s is negative; -1 turns it off`},
		{`{"database": {"busy_timeout": "-1ns"}}`, `got "-1ns"`},
		{`{"database": {"busy_timeout": 1e-9}}`, `got "1e-9"`},
		{`{"database": {"busy_timeout": 1e300}}`, `got "1e300"`},
		{`{"database": {"memory_budget": "64MiBs"}}`, `got "64MiBs"`},
		{`{"database": {"memory_budget": "9000000TiB"}}`, `got "9000000TiB"`},
		{`{"database": {"memory_budget": "900TiB"}}`, ``},
		{`{"database": {"memory_budget": 1000}}`, `database.memory_budget = 1000 is less than 1MiB`},
		{`{"database": {"file_mode": 600}}`, `database.file_mode: expected a string, got a number`},
		{`{"retry_logic": {"base_wait_time": -1}}`, `retry_logic.base_wait_time = -1s is negative`},
		{`{"database": {"path": "` + strings.Repeat("x", 80) + `", "synchronous": "` + strings.Repeat("y", 80) + `"}}`, `got "` + strings.Repeat("y", 60) + `"...`},
		{`{"` + strings.Repeat("k", 5000) + `": 1}`, `unknown key "` + strings.Repeat("k", 100) + `...": did you mean`},
		{`{} {}`, `1:4: not JSON: invalid character '{' after top-level value`},
		{"{\n\"database\": {\n}", `not JSON: unexpected end of JSON input`},
		{`{"database": {}, // no comments
		}`, `1:18: not JSON: invalid character '/'`},
		{"", "the text is empty"},
		{" \n", "the text is empty"},
		{"\ufeff", "the text is empty"},
		{"{\"database\": {\"path\": \"\xff\"}}", "the text is not valid UTF-8"},
		{"\ufeff{}\n", ""},
	} {
		_, _, err := loadText(tc.text)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.text, err)
		case tc.want != "" && (err == nil || !strings.Contains(strings.Replace(err.Error(), "line 1, column ", "1:", 1), tc.want) &&
			!strings.Contains(strings.Replace(err.Error(), "line 3, column ", "3:", 1), tc.want)):
			t.Errorf("%s\ngot  %v\nwant %s", tc.text, err, tc.want)
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
		{"database.memory_budget=1MiB database.max_connections=20", "database.memory_budget = 1MiB is exceeded: each of 21 connections has at least 64KiB", ""},
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
	for _, s := range settings() {
		if s.kind != kindCount && s.kind != kindSize && s.kind != kindDuration {
			continue
		}
		zero, _, err := LoadConfig(ConfigSource{Overrides: map[string]string{s.name: "0"}})
		if err != nil || zero.conflicts(defaults) != nil {
			t.Errorf("%s = 0: %v, differs in %q", s.name, err, zero.conflicts(defaults))
		}
		for _, text := range []string{"-1", "off"} {
			var c Config
			err := s.set(&c, text)
			if mayBe := s.off != "" || s.min < 0 && text == "-1"; mayBe != (err == nil) {
				t.Errorf("%s = %s: %v", s.name, text, err)
			}
			if err == nil && s.number(&c) != valueOff {
				t.Errorf("%s = %s gives %d", s.name, text, s.number(&c))
			}
		}
	}
	c, _, err := loadText(`{"writer": {"queue_limit": "off", "fence_interval": "off"}, "database": {"busy_timeout": -1}}`)
	if err != nil || c.Writer.QueueLimit != -1 || c.Writer.FenceInterval != -1 || c.Database.BusyTimeout != -1 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestDurationsAndSizes(t *testing.T) {
	for _, tc := range []struct {
		text, unit string
		want       time.Duration
	}{
		{"0.1", "s", 100 * time.Millisecond},
		{"30000", "ms", 30 * time.Second},
		{"1e3", "ms", time.Second},
		{"1h30m", "s", 90 * time.Minute},
		{".5s", "ms", 500 * time.Millisecond},
		{"0", "s", 0},
		{"0s", "s", 0},
		{"2.5E-3", "s", 2500 * time.Microsecond},
	} {
		if got, ok := parseDuration(tc.text, tc.unit); !ok || time.Duration(got) != tc.want {
			t.Errorf("%s %s: %v, %v", tc.text, tc.unit, time.Duration(got), ok)
		}
	}
	for _, text := range []string{"", "x", "1d", "Inf", "NaN", "0x10", "1_0", "1e400", "9e18", "0.4ns", "1e-10", "s", "--1"} {
		if got, ok := parseDuration(text, "s"); ok {
			t.Errorf("%s: %v", text, time.Duration(got))
		}
	}
	for text, want := range map[string]int64{
		"0": 0, "4096": 4096, "64MiB": 64 << 20, "64mib": 64 << 20, "64MB": 64e6, "1GiB": 1 << 30, "1.5 KiB": 1536, "7B": 7, "-3KiB": -3072,
		"9007199254740993": 1<<53 + 1,
	} {
		if got, ok := parseSize(text); !ok || got != want {
			t.Errorf("%s: %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "B", "MiB", "1.5", "0.3B", "1.0001KiB", "1e30GiB", "8388608TiB", "9223372036854775808", "NaN", "Infinity", "0x1MiB", "5 apples", "5M"} {
		if got, ok := parseSize(text); ok {
			t.Errorf("%s: %d", text, got)
		}
	}
	for d, want := range map[time.Duration]string{
		30 * time.Second: "30s", time.Hour: "1h", 90 * time.Minute: "1h30m", 168 * time.Hour: "168h", 10 * time.Minute: "10m",
		20 * time.Millisecond: "20ms", time.Hour + time.Second: "1h0m1s", 0: "0s", 100 * time.Second: "1m40s",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v is written %s, want %s", time.Duration(d), got, want)
		}
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
