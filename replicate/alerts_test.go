package replicate

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/alerts"
)

// watching is an engine at which everything happens at once.
func watching(t *testing.T, db *holdfast.DB) *alerts.Engine {
	t.Helper()
	e, err := alerts.New(alerts.Config{
		Alerts: alerts.Settings{Interval: 10 * time.Millisecond, ResolveAfter: time.Millisecond},
		Safety: alerts.SafetyThresholds{ReplicaWarning: 50 * time.Millisecond, ReplicaCritical: 150 * time.Millisecond},
		For:    alerts.ForSettings{ReplicaLag: time.Millisecond, TwoPrimaries: time.Millisecond},
	})
	must(t, err)
	t.Cleanup(func() { must(t, e.Close()) })
	e.Watch("shop", db)
	return e
}

// until waits for what an alert is; its rounds notify nobody.
func until(t *testing.T, e *alerts.Engine, rule string, severity alerts.Severity) (found alerts.Alert) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(5 * time.Millisecond) {
		found = alerts.Alert{}
		for _, a := range e.Active() {
			if a.Rule == rule && a.State == alerts.Firing {
				found = a
			}
		}
		if found.Severity == severity {
			return found
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is %q, not %q: %+v", rule, found.Severity, severity, e.Active())
		}
	}
}

// The target is away for a while.
func TestAlertReplicaLag(t *testing.T) {
	dir := t.TempDir()
	target, away := filepath.Join(dir, "replica"), filepath.Join(dir, "away")
	db := openDB(t, filepath.Join(dir, "app.db"), to(target, func(c *holdfast.ReplicationConfig) { c.Interval = 20 * time.Millisecond }))
	rows(t, 0, 9)(db)
	e := watching(t, db)
	for deadline := time.Now().Add(time.Minute); db.Stats().Replication.LagSeconds > 0 || db.Stats().Replication.Uploads == 0; <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", db.Stats().Replication)
		}
	}
	until(t, e, "replica_lag", "")
	must(t, os.Rename(target, away))
	rows(t, 10, 19)(db)
	a := until(t, e, "replica_lag", alerts.Critical)
	if !strings.Contains(a.Summary.EN, target) || !strings.Contains(a.Summary.DE, "shop") {
		t.Errorf("%+v", a.Summary)
	}
	must(t, os.RemoveAll(target))
	must(t, os.Rename(away, target))
	until(t, e, "replica_lag", "")
}

// Two databases are replicated to one target, and each thinks that it is the one.
func TestAlertTwoPrimaries(t *testing.T) {
	dir := t.TempDir()
	target, away := filepath.Join(dir, "replica"), filepath.Join(dir, "away")
	takesOver := to(target, func(c *holdfast.ReplicationConfig) {
		c.TakeOver, c.Interval, c.CloseTimeout = holdfast.On, 20*time.Millisecond, 100*time.Millisecond
	})
	e := watching(t, nil)
	var both []*holdfast.DB
	for _, name := range []string{"shop", "store"} {
		db, err := holdfast.Open(t.Context(), filepath.Join(dir, name), takesOver)
		must(t, err)
		rows(t, 0, 9)(db)
		e.Watch(name, db)
		both = append(both, db)
	}
	for n := range int64(5) { // one is ahead, and what it puts there is larger
		rows(t, 10+100*n, 109+100*n)(both[1])
	}
	rows(t, 10, 19)(both[0])
	must(t, os.Rename(target, away)) // so that the target is listed, as it is twice a minute
	rows(t, 1000, 1009)(both[0])
	rows(t, 1000, 1009)(both[1])
	for deadline := time.Now().Add(time.Minute); both[0].Stats().Replication.LastError == "" || both[1].Stats().Replication.LastError == ""; <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody notices")
		}
	}
	must(t, os.RemoveAll(target))
	must(t, os.Rename(away, target))
	a := until(t, e, "two_primaries", alerts.Critical)
	if !strings.Contains(a.Summary.EN, target) || !strings.Contains(a.Summary.DE, a.Database) {
		t.Errorf("%+v", a.Summary)
	}
	until(t, e, "replica_lag", alerts.Critical)

	for i, name := range []string{"shop", "store"} {
		e.Unwatch(name)
		_ = both[i].Close() // says what was not shipped
	}
	e.Watch("shop", openDB(t, filepath.Join(dir, "shop"), to(filepath.Join(dir, "another"))))
	until(t, e, "two_primaries", "")
	until(t, e, "replica_lag", "")
}
