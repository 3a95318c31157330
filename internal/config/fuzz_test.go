package config

import (
	"strings"
	"testing"
)

// FuzzLoad: whatever the file, the environment and a flag say, what is not a
// mistake can be completed, stays itself when it is completed again, and is the
// same when it is written and read.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"database": {"path": "data/app.db", "max_connections": 5, "busy_timeout": 30000, "enable_wal_mode": true},
		"connection_pool": {"max_connections": 10, "max_lease_age": 3600}, "retry_logic": {"base_wait_time": 0.1}}`),
		"5s", "database.busy_timeout", "5s")
	f.Add([]byte("\ufeff{}"), "-1", "database.memory_budget", "1.5GiB")
	f.Add([]byte(`{"database": {"busy_timeout": 0.1, "path": "\ud800", "synchronous": "nOrMaL"}}`), "1e-3", "database.path", "\xff")
	f.Add([]byte(`{"writer": {"queue_limit": "off", "max_group": 0, "idempotency_retention": "1h"}}`), "9e99", "x.y", "")
	f.Add([]byte(`{"a": [[{"b": null}]], "database": {"path": {}}, "database": 5} x`), "1h1ns", "", "")
	f.Fuzz(func(t *testing.T, text []byte, env, key, value string) {
		var c sample
		l := schema.Loader(&c)
		l.File(text, "")
		l.Environment([]string{"HOLDFAST_DATABASE_BUSY_TIMEOUT=" + env, "HOLDFAST_WRITER_IDEMPOTENCY_RETENTION=" + env})
		l.Overrides(map[string]string{key: value})
		if len(l.Mistakes) > 0 {
			for _, m := range l.Mistakes {
				if m.Problem == "" {
					t.Fatalf("%+v says nothing", m)
				}
			}
			return
		}
		effective := c
		if wrong := schema.Complete(&effective); wrong != nil {
			t.Fatalf("loaded, but not valid: %+v", wrong)
		}
		again := effective
		if wrong := schema.Complete(&again); wrong != nil || again != effective {
			t.Fatalf("completed twice: %+v\n%+v\n%+v", wrong, effective, again)
		}
		values := schema.Values(&effective, &effective, l.Origins)
		// JSON has no way to write a path that is not UTF-8.
		c.Database.Path, c.Database.FileMode = strings.ToValidUTF8(c.Database.Path, "?"), strings.ToValidUTF8(c.Database.FileMode, "?")
		effective.Database.Path, effective.Database.FileMode = c.Database.Path, strings.ToValidUTF8(effective.Database.FileMode, "?")
		for _, want := range []sample{c, effective} {
			written := string(schema.JSON(&want))
			if back, wrong := load(written); wrong != nil || back != want {
				t.Fatalf("%s: %+v\ngot  %+v\nwant %+v", written, wrong, back, want)
			}
		}
		for _, v := range values {
			l := schema.Loader(&sample{})
			if l.Overrides(map[string]string{v.Key: v.Value}); l.Mistakes != nil {
				t.Fatalf("the reported value can't be set: %+v", l.Mistakes)
			}
		}
	})
}
