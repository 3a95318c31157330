package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// listener is a section that is no field of sample.
type listener struct {
	Listen  string        `json:"listen" default:"127.0.0.1:1" doc:"A text."`
	Timeout time.Duration `json:"timeout" unit:"s" default:"30s" doc:"Seconds."`
	TLS     onOff         `json:"tls" default:"false" doc:"A switch that is off."`
}

func TestSectionsOfTheProgram(t *testing.T) {
	var c sample
	var own listener
	with := schema.With(Section{"serve", "Doc.", &own})
	l := with.Loader(&c)
	l.File([]byte(`{"serve": {"listen": ":80", "timeout": 1.5}, "writer": {"max_group": 3}}`), "f")
	l.Environment([]string{"HOLDFAST_SERVE_TLS=on"})
	l.Overrides(map[string]string{"serve.timeout": "2s"})
	if wrong := append(l.Mistakes, with.CompleteSections()...); wrong != nil {
		t.Fatalf("%+v", wrong)
	}
	if own.Listen != ":80" || own.Timeout != 2*time.Second || own.TLS != 1 || c.Writer.MaxGroup != 3 {
		t.Errorf("%+v, max_group %d", own, c.Writer.MaxGroup)
	}
	effective, defaults := c, complete(t)
	if wrong := schema.Complete(&effective); wrong != nil {
		t.Fatal(wrong)
	}
	var got []string
	for _, v := range with.Values(&effective, &defaults, l.Origins) {
		if strings.HasPrefix(v.Key, "serve.") {
			got = append(got, v.Key+"="+v.Value+" ("+v.Default+", "+v.Origin+")")
		}
	}
	want := []string{"serve.listen=:80 (127.0.0.1:1, file)", "serve.timeout=2s (30s, flag)", "serve.tls=true (false, environment)"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := with.Tables(); strings.Count(got, "\n| `listen` | text | `127.0.0.1:1` | A text. |") != 1 {
		t.Errorf("the tables:\n%s", got)
	}
	// Without the section its key is one that there isn't.
	if _, wrong := load(`{"serve": {}}`); len(wrong) != 1 {
		t.Errorf("%+v", wrong)
	}
}

func TestSectionsAreCompleted(t *testing.T) {
	own := listener{Timeout: -5}
	wrong := schema.With(Section{"serve", "Doc.", &own}).CompleteSections()
	if len(wrong) != 1 || wrong[0].Key != "serve.timeout" || own.Listen != "127.0.0.1:1" || own.TLS != 2 {
		t.Errorf("%+v, %+v", wrong, own)
	}
}

// severalOf reads a file that may have several databases.
func severalOf(text string) (*Loader, sample) {
	var c sample
	l := schema.Loader(&c)
	l.Several = true
	l.File([]byte(text), "f.json")
	return l, c
}

func TestSeveralDatabases(t *testing.T) {
	l, c := severalOf(`{
  "databases": {
    "b": {"database": {"path": "b.db"}, "writer": {"max_group": 7}},
    "a.x-1_": {}
  },
  "database": {"synchronous": "NORMAL"}
}`)
	if l.Mistakes != nil || len(l.Databases) != 2 || l.Databases[0].Name != "b" || l.Databases[1].Name != "a.x-1_" {
		t.Fatalf("%+v, %+v", l.Mistakes, l.Databases)
	}
	one := schema.Loader(&c)
	one.Database(l.Databases[0])
	if one.Mistakes != nil || c.Database.Path != "b.db" || c.Database.Synchronous != "NORMAL" || c.Writer.MaxGroup != 7 {
		t.Errorf("%+v, %+v", one.Mistakes, c)
	}
	if _, wrong := load(`{"databases": {}}`); len(wrong) != 1 {
		t.Errorf("a program with one database: %+v", wrong)
	}
}

func TestMistakesInSeveralDatabases(t *testing.T) {
	for text, want := range map[string]string{
		`{"databases": []}`:                                     `f.json:1:15 databases databases: expected an object, got an array`,
		`{"databases": {"a": {}, "a": {}}}`:                     `f.json:1:25 databases.a duplicate key "databases.a"`,
		`{"databases": {}, "databases": {}}`:                    `f.json:1:19 databases duplicate key "databases"`,
		`{"databases": {"a": 5}}`:                               `f.json:1:16 databases.a databases.a: expected an object, got a number`,
		"{\"databases\":\n{\"a\": {\"writer\": {\"max\": 1}}}}": `f.json:2:19 databases.a.writer.max databases.a: unknown key "writer.max": did you mean "writer.max_group"?`,
		`{"databases": {"ä": {"database": {"path": 5}}}}`:       `f.json:1:16 databases.ä databases: a database is named by 1 to 64 letters, digits, '_', '-' and '.', and begins with a letter or digit`,
		`{"databases": {"../a": {}}}`:                           `f.json:1:16 databases.../a databases: a database is named by 1 to 64 letters, digits, '_', '-' and '.', and begins with a letter or digit`,
		`{"databases": {"a": {"databases": {}}}}`:               `f.json:1:22 databases.a.databases databases.a: unknown key "databases": did you mean "database"?`,
	} {
		l, c := severalOf(text)
		wrong := l.Mistakes
		for _, d := range l.Databases {
			one := schema.Loader(&c)
			one.Database(d)
			wrong = append(wrong, one.Mistakes...)
		}
		if len(wrong) != 1 || wrong[0].Where+" "+wrong[0].Key+" "+wrong[0].Problem != want {
			t.Errorf("%s:\n got %+v\nwant %s", text, wrong, want)
		}
	}
}
