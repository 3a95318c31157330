package alerts

import (
	"context"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// far is a database that is no file, and has no locks to tell of.
type far struct{ holdfast.Backend }

func (far) Capabilities() holdfast.Capabilities { return holdfast.Capabilities{Backend: "far"} }
func (far) Stats() holdfast.Stats               { return holdfast.Stats{} }
func (far) Close() error                        { return nil }

func (far) Health(context.Context) (holdfast.Health, error) {
	return holdfast.Health{Status: "ok", DatabaseAccessible: true, Volume: holdfast.VolumeHealth{FreeBytes: -1, TotalBytes: -1}}, nil
}

func init() {
	holdfast.RegisterBackend("far", func(context.Context, string, holdfast.Config) (holdfast.Backend, error) { return far{}, nil })
}

func TestADatabaseWithoutLocksIsWatched(t *testing.T) {
	t.Parallel()
	db, err := holdfast.Open(t.Context(), "far://away")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	e, err := newEngine(Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	e.Watch("far", db)
	for now := time.Now(); len(e.Status().Databases) == 0 || e.Status().Rounds < 3; now = now.Add(time.Hour) {
		e.round(now)
	}
	if s := e.Status().Databases; len(s) != 1 || s[0].Error != "" || s[0].LastSeen.IsZero() {
		t.Errorf("%+v", s)
	}
	if a := e.Active(); len(a) != 0 {
		t.Errorf("what a back end doesn't tell is no alarm: %+v", a)
	}
}
