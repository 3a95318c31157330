package config

import (
	"strings"
	"testing"
)

func TestFileMistakes(t *testing.T) {
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
		_, wrong := load(tc.text)
		var lines []string
		for _, m := range wrong {
			where := strings.NewReplacer("line ", "", ", column ", ":").Replace(m.Where)
			lines = append(lines, where+": "+m.Problem)
		}
		if got := strings.Join(lines, "\n"); (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s\ngot  %s\nwant %s", tc.text, got, tc.want)
		}
	}
}
