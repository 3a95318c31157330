package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDefaults(t *testing.T) {
	c := complete(t)
	var want sample
	want.Database.ConnectionTimeout, want.Database.BusyTimeout = 30*time.Second, 30*time.Second
	want.Database.EnableWALMode, want.Database.Synchronous = 1, "FULL"
	want.Database.MemoryBudget, want.Database.FileMode = 64<<20, "0600"
	want.ConnectionPool.MaxConnections, want.ConnectionPool.MaxLeaseAge = 8, -1
	want.RetryLogic.BaseWaitTime = 100 * time.Millisecond
	want.Writer.MaxGroup, want.Writer.QueueLimit, want.Writer.FairLock = 256, 100000, 1
	want.Writer.IdempotencyRetention = 7 * 24 * time.Hour
	if c != want {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if wrong := schema.Complete(&c); wrong != nil || c != want {
		t.Errorf("a second time: %+v, same %v", wrong, c == want)
	}
	if keys := schema.Changed(&c); keys != nil {
		t.Errorf("changed: %q", keys)
	}
	for _, v := range schema.Values(&c, &c, nil) {
		again := c
		l := schema.Loader(&again)
		l.Overrides(map[string]string{v.Key: v.Default})
		if l.Mistakes != nil || again != c {
			t.Errorf("%s: its printed default %q is not read back: %+v", v.Key, v.Default, l.Mistakes)
		}
	}
}

func TestWhatDiffers(t *testing.T) {
	a, b := complete(t), complete(t)
	b.Database.MaxConnections = 7 // computed: never changed, but not the same
	b.Database.Synchronous = "OFF"
	b.Writer.FairLock = 2
	if got, want := schema.Differing(&a, &b), []string{"database.max_connections", "database.synchronous", "writer.fair_lock"}; !slices.Equal(got, want) {
		t.Errorf("differing %q, want %q", got, want)
	}
	if got, want := schema.Changed(&b), []string{"database.synchronous", "writer.fair_lock"}; !slices.Equal(got, want) {
		t.Errorf("changed %q, want %q", got, want)
	}
}

func TestCompleteFindsWhatCannotBe(t *testing.T) {
	var c sample
	c.Database.Path = "a\x00b"
	c.Database.BusyTimeout = -time.Second
	c.Database.Synchronous = "sometimes"
	c.Database.CacheSize = -5
	c.Writer.MaxGroup = -1
	c.Writer.QueueLimit = ValueOff
	c.Writer.FairLock = 7
	var got []string
	for _, m := range schema.Complete(&c) {
		if m.Where != "" || !strings.HasPrefix(m.Problem, m.Key) {
			t.Errorf("%+v", m)
		}
		got = append(got, m.Problem)
	}
	want := []string{
		"database.path contains a NUL byte",
		"database.busy_timeout = -1s is negative; -1 turns it off",
		`database.synchronous: expected one of "FULL", "NORMAL", "EXTRA", "OFF", got "sometimes"`,
		"writer.max_group = -1 is negative",
		"writer.fair_lock is neither Default, On nor Off",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestSources(t *testing.T) {
	var c sample
	l := schema.Loader(&c)
	l.File([]byte(`{"database": {"busy_timeout": 1000, "synchronous": "normal", "enable_wal_mode": true}}`), "a.json")
	l.Environment([]string{
		"HOLDFAST_DATABASE_BUSY_TIMEOUT=2000", "HOLDFAST_DATABASE_BUSY_TIMEOUT=3s", // the last wins
		"HOLDFAST_WRITER_MAX_GROUP=", "HOLDFAST_HOME=/srv", "PATH=/bin", "nonsense",
		"HOLDFAST_WRITER_MAX_GRUP=5", "HOLDFAST_DATABASE_CACHE_SIZE=many",
	})
	l.Overrides(map[string]string{"database.synchronous": "EXTRA", "writer.fair_lock": "OFF", "writer.max": "5"})
	var want sample
	want.Database.BusyTimeout, want.Database.Synchronous, want.Database.EnableWALMode = 3*time.Second, "EXTRA", 1
	want.Writer.FairLock = 2
	if c != want {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	for key, want := range map[string]string{
		"database.busy_timeout": "environment", "database.synchronous": "flag", "database.enable_wal_mode": "file",
		"writer.fair_lock": "flag", "writer.max_group": "", "database.cache_size": "",
	} {
		if got := l.Origins[key]; got != want {
			t.Errorf("%s comes from %q, want %q", key, got, want)
		}
	}
	wrong := []Mistake{
		{"database.cache_size", "environment variable HOLDFAST_DATABASE_CACHE_SIZE", `database.cache_size: expected a whole number of pages, got "many"`},
		{"", "", "unknown environment variable HOLDFAST_WRITER_MAX_GRUP: did you mean HOLDFAST_WRITER_MAX_GROUP?"},
		{"writer.max", "flag", `unknown key "writer.max": did you mean "writer.max_group"?`},
	}
	if !slices.Equal(l.Mistakes, wrong) {
		t.Errorf("got  %+v\nwant %+v", l.Mistakes, wrong)
	}
}

func TestToJSONAndBack(t *testing.T) {
	full := complete(t)
	full.Database.Path = "data/<ü>.db"
	full.ConnectionPool.MaxLeaseAge = 3*time.Second + 1 // finer than a float of seconds
	full.Writer.FairLock = 2
	var some sample
	some.Database.BusyTimeout, some.Writer.MaxGroup = 5*time.Second, 9
	for _, c := range []sample{{}, full, some} {
		text := string(schema.JSON(&c))
		if back, wrong := load(text); wrong != nil || back != c {
			t.Errorf("%s comes back as %+v with %+v", text, back, wrong)
		}
	}
	if got, want := string(schema.JSON(&some)), `{"database":{"busy_timeout":5000},"writer":{"max_group":9}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestReference(t *testing.T) {
	page := schema.Reference([]string{"One rule.", "Another."}, "{}\n")
	for _, want := range []string{
		"\n- One rule.\n- Another.\n\n## Example\n\n```json\n{}\n```\n\n## database\n\nThe file.\n\n| key | value | default | meaning |\n|---|---|---|---|\n| `path` | text |  | A text. |\n",
		"\n| `max_connections` | count | what the owner says | A count without a default. At most 10000. |\n",
		"\n| `busy_timeout` | milliseconds | `30s` | Milliseconds. `-1`: never. At most 1h. |\n",
		"\n| `enable_wal_mode` | switch | `true` | A switch. |\n",
		"\n| `synchronous` | FULL, NORMAL, EXTRA, OFF | `FULL` | A choice. |\n",
		"\n| `cache_size` | pages | `0` | A count that may be negative. |\n",
		"\n| `memory_budget` | bytes | `64MiB` | A size. At least 1MiB. |\n",
		"\n| `read_only` | switch | `false` | A bool. |\n",
		"\n| `max_lease_age` | seconds | `off` | Off unless set. `-1`: a lease is never ended. |\n",
	} {
		if strings.Count(page, want) != 1 {
			t.Errorf("%q stands %d times in\n%s", want, strings.Count(page, want), page[strings.Index(page, "## Settings that"):])
		}
	}
}

// A wrong tag is found by whoever runs any test.
func TestWrongTagsPanic(t *testing.T) {
	for name, read := range map[string]func(){
		"a kind that is none": func() {
			New[struct {
				S struct {
					F float64 `json:"f"`
				} `json:"s"`
			}]()
		},
		"a default that is no value": func() {
			New[struct {
				S struct {
					D time.Duration `json:"d" unit:"s" default:"soon"`
				} `json:"s"`
			}]()
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is taken", name)
				}
			}()
			read()
		}()
	}
}
