package dbfile

import (
	"errors"
	"strings"
	"testing"
)

func TestParseName(t *testing.T) {
	private := Name{Memory: true}
	for _, c := range []struct {
		name string
		want Name
	}{
		// Paths are literal.
		{"app.db", Name{Path: "app.db"}},
		{"/var/lib/app/app.db", Name{Path: "/var/lib/app/app.db"}},
		{"a?b=c&d#e%20f.db", Name{Path: "a?b=c&d#e%20f.db"}},
		{"my data base.db", Name{Path: "my data base.db"}},
		{"Größe/日本.db", Name{Path: "Größe/日本.db"}},
		{"a:b", Name{Path: "a:b"}},
		{"FILE:app.db", Name{Path: "FILE:app.db"}},
		{"./file:app.db", Name{Path: "./file:app.db"}},
		{"sqlite:///app.db", Name{Path: "sqlite:///app.db"}},
		{`C:\data\app.db`, Name{Path: `C:\data\app.db`}},
		{":memory", Name{Path: ":memory"}},
		{":MEMORY:", Name{Path: ":MEMORY:"}},
		{" :memory:", Name{Path: " :memory:"}},

		// In memory.
		{":memory:", private},
		{"file::memory:", private},
		{"file:%3Amemory%3a", private},
		{"file::memory:?cache=private", private},
		{"file::memory:?mode=memory", private},
		{"file::memory:?mode=rwc", private},
		{"file:?mode=memory", private},
		{"file:x?mode=memory&cache=private", private},
		{"file::memory:?cache=shared", Name{Memory: true, Shared: ":memory:"}},
		{"file:x?mode=memory", Name{Memory: true, Shared: "x"}},
		{"file:x?mode=memory&cache=shared", Name{Memory: true, Shared: "x"}},
		{"file:x?cache=shared&mode=memory", Name{Memory: true, Shared: "x"}},
		{"file:a%20b?mode=memory#why", Name{Memory: true, Shared: "a b"}},
		{"file:/x?mode=memory", Name{Memory: true, Shared: "/x"}},

		// Files by URI.
		{"file:app.db", Name{Path: "app.db"}},
		{"file:dir/app.db", Name{Path: "dir/app.db"}},
		{"file:/abs/app.db", Name{Path: "/abs/app.db"}},
		{"file:///abs/app.db", Name{Path: "/abs/app.db"}},
		{"file://localhost/abs/app.db", Name{Path: "/abs/app.db"}},
		{"file:////server/share/app.db", Name{Path: "//server/share/app.db"}},
		{"file:/C:/data/app.db", Name{Path: "/C:/data/app.db"}},
		{"file:my%20data%3fbase%23.db", Name{Path: "my data?base#.db"}},
		{"file:Gr%C3%B6%C3%9fe.db", Name{Path: "Größe.db"}},
		{"file:100%.db", Name{Path: "100%.db"}},
		{"file:a%2", Name{Path: "a%2"}},
		{"file:a%zz.db", Name{Path: "a%zz.db"}},
		{"file:%%41", Name{Path: "%A"}},
		{"file:app.db#fragment?mode=ro", Name{Path: "app.db"}},
		{"file:app.db?", Name{Path: "app.db"}},
		{"file:app.db?&&mode=rwc&", Name{Path: "app.db"}},
		{"file:app.db?mode=rwc", Name{Path: "app.db"}},
		{"file:app.db?mode=rw", Name{Path: "app.db", MustExist: true}},
		{"file:app.db?mode=ro", Name{Path: "app.db", ReadOnly: true, MustExist: true}},
		{"file:app.db?m%6fde=r%6f", Name{Path: "app.db", ReadOnly: true, MustExist: true}},
		{"file:app.db?cache=private&mode=ro", Name{Path: "app.db", ReadOnly: true, MustExist: true}},
		{"file:app.db?immutable=1", Name{Path: "app.db", ReadOnly: true, MustExist: true, Immutable: true}},
		{"file:app.db?immutable=YES&mode=ro", Name{Path: "app.db", ReadOnly: true, MustExist: true, Immutable: true}},
		{"file:app.db?immutable=0", Name{Path: "app.db"}},
	} {
		got, err := parseName(c.name, false)
		if err != nil || got != c.want {
			t.Errorf("%q:\n got %+v, %v\nwant %+v", c.name, got, err, c.want)
		}
	}
}

func TestParseNameOnWindows(t *testing.T) {
	for name, want := range map[string]string{
		"file:///C:/data/app.db":          "C:/data/app.db",
		"file:/c:/data/app.db":            "c:/data/app.db",
		"file:C:/data/app.db":             "C:/data/app.db",
		"file:///data/app.db":             "/data/app.db",
		"file:///1:/app.db":               "/1:/app.db",
		`C:\data\a%20b.db`:                `C:\data\a%20b.db`,
		"file:///C:/Documents%20and/a.db": "C:/Documents and/a.db",
	} {
		if got, err := parseName(name, true); err != nil || got.Path != want {
			t.Errorf("%q: got %+v, %v; want %q", name, got, err, want)
		}
	}
}

func TestParseNameRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		want string // what the sentence must contain
	}{
		{"", "empty"},
		{"a\x00b", "NUL"},
		{"file:", "no path"},
		{"file://", "no path"},
		{"file://localhost", "no path"},
		{"file:?mode=ro", "no path"},
		{"file://host/app.db", "names a host"},
		{"file://app.db", "names a host"},
		{"file://localhost:80/app.db", "names a host"},
		{"file:a%00b.db", "NUL"},
		{"file:a.db?x%00y=1", "NUL"},
		{"file:a.db?mode=r%00o", "NUL"},
		{"file:a.db?mode=readonly", "mode is unknown"},
		{"file:a.db?mode=", "mode is unknown"},
		{"file:a.db?mode", "mode is unknown"},
		{"file:a.db?mode=RO", "mode is unknown"},
		{"file:a.db?mode=ro&mode=rw", "mode twice"},
		{"file:a.db?cache=shared", "discouraged"},
		{"file:a.db?cache=big", "cache is unknown"},
		{"file:a.db?immutable=maybe", "immutable is neither"},
		{"file::memory:?mode=ro", "read-only database in memory"},
		{"file::memory:?immutable=1", "immutable database in memory"},
		{"file:?mode=memory&cache=shared", "no name"},
		{"file:a.db?_pragma=busy_timeout(5000)", "_pragma"},
		{"file:a.db?_busy_timeout=5000", "set busy_timeout in Config or WithBusyTimeout"},
		{"file:a.db?_timeout=5000", "Holdfast always waits"},
		{"file:a.db?_journal_mode=WAL", "always uses WAL"},
		{"file:a.db?_journal=WAL", "always uses WAL"},
		{"file:a.db?_foreign_keys=on", "enforces foreign keys"},
		{"file:a.db?_fk=1", "enforces foreign keys"},
		{"file:a.db?_txlock=immediate", "IMMEDIATE"},
		{"file:a.db?_synchronous=1", "synchronous=FULL"},
		{"file:a.db?_sync=1", "synchronous=FULL"},
		{"file:a.db?_cache_size=-2000", "memory budget"},
		{"file:a.db?_loc=auto", "time.Time"},
		{"file:a.db?_time_format=sqlite", "time.Time"},
		{"file:a.db?vfs=unix-none", "VFS"},
		{"file:/a?vfs=memdb", "mode=memory"},
		{"file:a.db?psow=0", "powersafe"},
		{"file:a.db?nolock=1", "without locks"},
		{"file:a.db?_key=1", "encryption"},
		{"file:a.db?modeof=b.db", "permissions"},
		{"file:a.db?colour=blue", `"colour" is unknown`},
		{"file:a.db?Mode=ro", `"Mode" is unknown`},
		{"file:a.db?=ro", `"" is unknown`},
	} {
		got, err := parseName(c.name, false)
		if !errors.Is(err, ErrBadName) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %+v, %v; want %q in the error", c.name, got, err, c.want)
		}
		if got != (Name{}) {
			t.Errorf("%q: an error and %+v", c.name, got)
		}
	}
}

// A value may be a password, and what stands where a key should be may be too.
func TestRefusalsKeepSecrets(t *testing.T) {
	for _, name := range []string{
		"file:a.db?_auth_pass=hunter2", "file:a.db?_key=hunter2", "file:a.db?colour=hunter2",
		"file:a.db?mode=hunter2", "file:a.db?cache=hunter2", "file:a.db?immutable=hunter2",
		"file://user:hunter2@host/a.db",
		"file:a.db?" + strings.Repeat("x", maxKey) + "hunter2",
	} {
		if _, err := ParseName(name); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestEveryParameterIsListedOnce(t *testing.T) {
	seen := make(map[string]bool)
	for _, w := range ways {
		for key := range strings.FieldsSeq(w.keys) {
			if seen[key] {
				t.Errorf("%s is listed twice", key)
			}
			seen[key] = true
			if _, err := ParseName("file:a.db?" + key + "=1"); err == nil || !strings.Contains(err.Error(), w.way) {
				t.Errorf("%s: %v", key, err)
			}
		}
	}
}

func TestHint(t *testing.T) {
	for path, want := range map[string]string{
		"app.db?_pragma=busy_timeout(5000)": `"app.db"`,
		"app.db?_fk=1&x=2":                  `"app.db"`,
		"app.db":                            "",
		"really?.db":                        "",
	} {
		got := Hint(path)
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%q: %q", path, got)
		}
	}
}

func FuzzParseName(f *testing.F) {
	for _, name := range []string{
		"", "app.db", ":memory:", "a?b#c%20d", "file:", "file::memory:", "file::memory:?cache=shared",
		"file:x?mode=memory&cache=shared", "file:///a%20b?mode=ro&immutable=1#x", "file://localhost/a",
		"file://host/a", "file:%00", "file:%2", "file:a?_pragma=x", "file:/C:/x", "file:a?cache=shared",
		"file:a?mode=ro&mode=rw", "file:??=&&==", "file:a%3fmode=ro", "FILE:a", "file:\x00",
	} {
		f.Add(name, false)
		f.Add(name, true)
	}
	f.Fuzz(func(t *testing.T, name string, windows bool) {
		got, err := parseName(name, windows)
		if err != nil {
			if !errors.Is(err, ErrBadName) || got != (Name{}) {
				t.Fatalf("%q: %+v, %v", name, got, err)
			}
			return
		}
		switch {
		case got.Memory == (got.Path != ""):
			t.Fatalf("%q: both or neither of memory and file: %+v", name, got)
		case got.Memory && (got.ReadOnly || got.MustExist || got.Immutable):
			t.Fatalf("%q: a database in memory that stays empty: %+v", name, got)
		case !got.Memory && got.Shared != "":
			t.Fatalf("%q: a file shared as memory: %+v", name, got)
		case got.Immutable && !got.ReadOnly, got.ReadOnly && !got.MustExist:
			t.Fatalf("%q: contradiction: %+v", name, got)
		case strings.ContainsRune(got.Path+got.Shared, 0):
			t.Fatalf("%q: NUL byte: %+v", name, got)
		case !strings.HasPrefix(name, "file:") && name != memoryName && got != Name{Path: name}:
			t.Fatalf("%q is not taken literally: %+v", name, got)
		}
		// A path written as a URI with everything escaped leads to itself.
		var uri strings.Builder
		uri.WriteString("file:")
		for _, c := range []byte(got.Path) {
			uri.WriteString("%" + string("0123456789abcdef"[c>>4]) + string("0123456789ABCDEF"[c&15]))
		}
		if again, err := parseName(uri.String(), false); got.Path != "" && got.Path != memoryName && (err != nil || again.Path != got.Path) {
			t.Fatalf("%q came back as %+v, %v", got.Path, again, err)
		}
	})
}
