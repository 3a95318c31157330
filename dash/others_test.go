package dash

import (
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// TestOthers shows what a control socket tells; here it is this process's own.
func TestOthers(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("control sockets are for Linux and macOS, whose paths are too short for this test")
	}
	db := open(t)
	load(t, db)
	nobody := shown(t, Handler(db, WithOthers()), "/queries") // the socket is made 100 ms after Open
	if !strings.Contains(nobody, "Figures are those of") && !strings.Contains(nobody, "No program that runs Holdfast") {
		t.Error(nobody)
	}
	deadline := time.After(time.Minute)
	for {
		if told, _, err := holdfast.AskQueries(t.Context(), db.Path(), false); err != nil {
			t.Fatal(err)
		} else if len(told) > 0 {
			break
		}
		select {
		case <-deadline:
			t.Fatal("nobody tells")
		case <-time.After(10 * time.Millisecond):
		}
	}
	d := Handler(db, WithOthers())
	for _, p := range d.pages {
		if text := shown(t, d, addressOf(t, db, p)+map[bool]string{true: "&lang=de", false: "?lang=de"}[p.id == "query"]); !strings.Contains(text, "Zahlen stammen von") || !strings.Contains(text, "(pid ") {
			t.Errorf("%s: %s", p.id, text)
		}
	}
	for page, text := range map[string]string{"locks": "Of all processes that tell", "wal": "Of the processes that tell", "maintenance": "Of a process that tells"} {
		if got := shown(t, d, "/"+page); !strings.Contains(got, text) || strings.Contains(got, "Of this process") {
			t.Errorf("%s says whose figures it has otherwise", page)
		}
		if got := shown(t, Handler(db), "/"+page); strings.Contains(got, text) || !strings.Contains(got, "Of this process") {
			t.Errorf("%s of the own process says whose figures it has otherwise", page)
		}
	}
	l := viewOf[queryList](t, d, "/queries?sort=calls")
	if l.Known == 0 || l.Queries[0].Calls != 20 {
		t.Errorf("%+v", l)
	}
	if p := viewOf[poolView](t, d, "/pool"); p.Writer.Groups == 0 || p.Readers.Max != 8 && p.Readers.Max < 8 {
		t.Errorf("%+v", p)
	}
}

func TestAddUp(t *testing.T) {
	t.Parallel()
	at := time.Unix(5, 0)
	var a, b holdfast.Stats
	a.SuccessfulOperations, a.Sessions, a.Fenced = 2, 1, true
	b.SuccessfulOperations, b.Sessions = 3, 2
	a.Readers.Max, b.Readers.Max = 8, 4
	a.Writer.Queued, b.Writer.Queued = 1, 5
	a.Writer.WaitSeconds, b.Writer.WaitSeconds = 0.5, 0.25
	a.WAL.Frames, b.WAL.Frames = 7, 9
	b.Backup.LastBackup, b.Replication.Target = at, "s3://bucket"
	addUp(reflect.ValueOf(&a).Elem(), reflect.ValueOf(b))
	if a.SuccessfulOperations != 5 || a.Sessions != 3 || !a.Fenced || a.Readers.Max != 12 || a.Writer.Queued != 6 || a.Writer.WaitSeconds != 0.75 ||
		a.WAL.Frames != 9 || !a.Backup.LastBackup.Equal(at) || a.Replication.Target != "s3://bucket" {
		t.Errorf("%+v", a)
	}
}
