package alerts

import (
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// Another configuration brings other receivers: one that stays keeps what it was not told
// yet, one that is new is told what is true, one that is gone is told nothing.
func TestReceiversChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stays := &inbox{name: "stays", fail: errors.New("no route to host")}
		goes := &inbox{name: "goes"}
		e, err := newEngine(Config{}, []Receiver{stays, goes})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		f := healthy("orders")
		e.watch("orders", f)
		f.hold(6)
		round := func() {
			e.round(time.Now())
			synctest.Wait()
		}
		round()
		firing := "firing warning write_lock_held_long orders"
		if got := goes.told(); len(got) != 1 || got[0] != firing {
			t.Fatalf("%q", got)
		}
		again, comes := &inbox{name: "stays"}, &inbox{name: "comes"}
		if err := e.Configure(Config{}, again, comes); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := again.told(); len(got) != 1 || got[0] != firing {
			t.Errorf("what had waited: %q", got)
		}
		round()
		if got := comes.told(); len(got) != 1 || got[0] != firing {
			t.Errorf("who is new was told %q", got)
		}
		round()
		if got := comes.told(); len(got) != 1 {
			t.Errorf("who is new is told again and again: %q", got)
		}
		if got := goes.told(); len(got) != 1 {
			t.Errorf("who is gone was told %q", got)
		}
		if s := e.Status().Receivers; len(s) != 2 || s[0].Name != "stays" || s[0].Failed == 0 || s[0].Delivered == 0 || s[0].LastError != "" {
			t.Errorf("%+v", s)
		}
		if err := e.Configure(Config{Alerts: Settings{Webhook: "no URL"}}, goes); err == nil {
			t.Error("a webhook that is no URL was taken")
		}
		if s := e.Status().Receivers; len(s) != 2 || s[0].Name != "stays" {
			t.Errorf("after an error: %+v", s)
		}
	})
}

// Silences move with their file, and join those that are there.
func TestSilencesMove(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from.json"), filepath.Join(dir, "to.json")
	begin := func(path, reason string) *Engine {
		t.Helper()
		e, err := New(Config{Alerts: Settings{SilencesFile: path}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Silence(Silence{Reason: reason, Until: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		return e
	}
	end := func(e *Engine) {
		t.Helper()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	end(begin(to, "there already"))
	e := begin(from, "moves")
	if err := e.Configure(Config{Alerts: Settings{SilencesFile: to}}); err != nil {
		t.Fatal(err)
	}
	end(e)
	if err := e.Configure(Config{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if s, damage, err := loadSilences(to); err != nil || damage != nil || len(s.list) != 2 || s.list[0].Reason != "there already" || s.list[1].Reason != "moves" {
		t.Errorf("%+v, %v, %v", s.list, damage, err)
	}
}

// What somebody else has written into the file holds from the next Configure on.
func TestSilencesAreReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "silences.json")
	c := Config{Alerts: Settings{SilencesFile: path}}
	running, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()
	ends, err := running.Silence(Silence{Reason: "ends", Until: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	other, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Unsilence(ends.ID); err != nil {
		t.Fatal(err)
	}
	begins, err := other.Silence(Silence{Reason: "begins", Until: time.Now().Add(time.Hour)})
	if err := errors.Join(err, other.Close(), running.Configure(c)); err != nil {
		t.Fatal(err)
	}
	if list := running.Silences(); len(list) != 1 || list[0] != begins {
		t.Errorf("%+v", list)
	}
}
