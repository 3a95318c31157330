package holdfast

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// FuzzLoadConfig: whatever the file, the environment and a flag say, the answer
// is a typed error or a configuration that is valid, complete, and the same
// when it is written and read again.
//
// Fuzzing instruments every package that is compiled, and the engine is too
// large for that. Run it over the files of the configuration alone, which
// therefore import nothing but the standard library:
//
//	go test -run '^$' -fuzz FuzzLoadConfig -fuzzminimizetime 20x config*.go
func FuzzLoadConfig(f *testing.F) {
	f.Add([]byte(specConfig), "5s", "database.busy_timeout", "5s")
	f.Add(ExampleConfig(), "", "writer.max_group", "off")
	f.Add([]byte("\ufeff{}"), "-1", "database.memory_budget", "1.5GiB")
	f.Add([]byte(`{"database": {"busy_timeout": 0.1, "path": "\ud800", "synchronous": "nOrMaL"}}`), "1e-3", "database.path", "\xff")
	f.Add([]byte(`{"limits": {"attached": "off"}, "writer": {"join_threshold": "1h"}}`), "9e99", "x.y", "")
	f.Add([]byte(`{"a": [[{"b": null}]], "database": {"path": {}}, "database": 5} x`), "1h1ns", "", "")
	f.Fuzz(func(t *testing.T, text []byte, env, key, value string) {
		c, report, err := LoadConfig(ConfigSource{
			Reader:    strings.NewReader(string(text)),
			Env:       []string{"HOLDFAST_DATABASE_BUSY_TIMEOUT=" + env, "HOLDFAST_WRITER_IDEMPOTENCY_RETENTION=" + env},
			Overrides: map[string]string{key: value},
		})
		if err != nil {
			if _, ok := errors.AsType[*ConfigError](err); !ok || err.Error() == "" || report != nil || c != (Config{}) {
				t.Fatalf("%#v with %v, %+v", err, report, c)
			}
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("loaded, but not valid: %v", err)
		}
		effective, _, err := c.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		if again, _, err := effective.withDefaults(); err != nil || again != effective {
			t.Fatalf("completed twice: %v\n%+v\n%+v", err, effective, again)
		}
		// JSON has no way to write a path that is not UTF-8.
		c.Database.Path = strings.ToValidUTF8(c.Database.Path, "?")
		effective.Database.Path = c.Database.Path
		for _, want := range []Config{c, effective} {
			written, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			var back Config
			if err := json.Unmarshal(written, &back); err != nil || back != want {
				t.Fatalf("%s: %v\ngot  %+v\nwant %+v", written, err, back, want)
			}
		}
		for _, v := range report.Values {
			if s, _ := settingNamed(v.Key); s.kind != kindText {
				if err := s.set(&Config{}, v.Value); err != nil {
					t.Fatalf("the reported value can't be set: %v", err)
				}
			}
		}
	})
}
