package history

import (
	"bytes"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/queries"
)

// keeping is a Keeper of a program that counts how often it was asked.
type keeping struct {
	*Keeper
	path  string
	log   bytes.Buffer
	asked int64
}

// today lets the clock of a bubble, which begins in 2000, come to where one is set.
func today() { time.Sleep(time.Until(noon)) }

func startKeeper(t *testing.T) *keeping {
	t.Helper()
	k := &keeping{path: filepath.Join(t.TempDir(), "app.db"+Suffix)}
	started := time.Now()
	k.Keeper = Start(KeeperConfig{
		Store: Config{Path: k.path, Bytes: 4 << 20}, Release: "app v1", Database: k.path, Log: k.path + "-wal",
		Logger: slog.New(slog.NewTextHandler(&k.log, nil)),
		Take: func() ([]history.Figure, queries.Report) {
			k.asked++
			return []history.Figure{
				{Name: "asked", Kind: history.Counter, Value: float64(k.asked)},
				{Name: "when", Kind: history.Gauge, Time: true, Value: 5},
				{Name: "nowhere", Kind: history.Gauge, Unknown: true},
			}, queries.Report{Since: started, Others: empty("")}
		},
	})
	return k
}

// turns is how often it was asked, which it is with the Keeper's lock.
func (k *keeping) turns() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked
}

func (k *keeping) asks(t *testing.T) (sum float64, minutes int64) {
	t.Helper()
	for _, s := range read(t, k.Store, time.Now().Add(time.Minute), history.Request{Series: []string{"asked"}}).Series {
		sum, minutes = sum+s.Whole().Sum, minutes+s.Whole().Count
	}
	return sum, minutes
}

func TestKeeperWritesEachMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		today()
		k := startKeeper(t)
		time.Sleep(time.Minute - 1)
		if _, err := os.Stat(k.path); err == nil {
			t.Error("a program of less than a minute has made a file")
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if sum, minutes := k.asks(t); sum != 10 || minutes != 10 {
			t.Errorf("%v in %d minutes, want 10 in 10", sum, minutes)
		}
		k.Close()
		k.Close()
		time.Sleep(time.Hour)
		if sum, minutes := k.asks(t); sum != 11 || minutes != 11 {
			t.Errorf("after Close: %v in %d minutes, want 11 in 11", sum, minutes)
		}
		got := map[string]history.Point{}
		for _, s := range read(t, k.Store, time.Now(), history.Request{Series: []string{"*"}}).Series {
			got[s.Name] = s.Whole()
		}
		if got["file.bytes"].Last == 0 || got["when"].Count != 0 || got["nowhere"].Count != 0 {
			t.Errorf("%+v", got)
		}
		if _, there := got["file.log_bytes"]; there {
			t.Error("a file that isn't there has a size")
		}
		for _, name := range []string{"system.cpu_seconds", "system.resident_bytes", "system.open_files", "system.read_bytes", "system.written_bytes"} {
			if p := got[name]; runtime.GOOS == "linux" && (p.Count != 11 || p.Least < 0) {
				t.Errorf("%s: %+v", name, p)
			}
		}
		if p := got["system.resident_bytes"]; runtime.GOOS == "linux" && (p.Least < 1<<20 || got["system.open_files"].Least < 3) {
			t.Errorf("%+v, %+v", p, got["system.open_files"])
		}
	})
}

func TestAShortProgramLeavesNoHistory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		today()
		k := startKeeper(t)
		time.Sleep(59 * time.Second)
		k.Close()
		if _, err := os.Stat(k.path); err == nil || k.turns() != 0 {
			t.Errorf("a file: %v; asked %d times", err, k.turns())
		}
	})
}

func TestNothingIsWrittenBeforeTheClockIsSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := startKeeper(t)
		time.Sleep(time.Hour + 1)
		k.Close()
		if _, err := os.Stat(k.path); err == nil {
			t.Error("a history of the year 2000")
		}
	})
}

// What could not be written is there as soon as it can be: nothing is lost, little is
// tried, and one line is logged.
func TestKeeperIsPatient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		today()
		k := startKeeper(t)
		if err := os.Mkdir(k.path, 0o755); err != nil { // no file can be made there
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if k.turns() < 12 || k.turns() > 17 {
			t.Errorf("%d attempts in three hours", k.turns())
		}
		if n := strings.Count(k.log.String(), "could not be written"); n != 1 || !strings.Contains(k.log.String(), "next=") {
			t.Errorf("%d lines: %s", n, &k.log)
		}
		if err := os.Remove(k.path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(17 * time.Minute)
		synctest.Wait()
		if sum, _ := k.asks(t); sum != float64(k.turns()) {
			t.Errorf("%v of %d", sum, k.turns())
		}
		before := k.turns()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if k.turns() < before+9 {
			t.Errorf("%d minutes of ten after it was mended", k.turns()-before)
		}
		k.Close()
	})
}

// A build is noted when it is new, and two that run side by side once a day.
func TestReleases(t *testing.T) {
	t.Parallel()
	s := newStore(t, 4<<20)
	names := []string{"app v1", "job v1", "app v1", "job v1", "app v2", "app v1", "app v2", "job v1"}
	for i, name := range names {
		if err := s.Add(noon.Add(time.Duration(i)*time.Minute), Minute{Release: name, Samples: []Sample{{"x", history.Gauge, 1}}}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, r := range read(t, s, noon.Add(time.Hour), history.Request{}).Releases {
		got = append(got, r.Name)
	}
	if strings.Join(got, ", ") != "app v1, job v1, app v2" {
		t.Errorf("%v", got)
	}
	if build := Build(""); strings.HasPrefix(build, " ") {
		t.Errorf("%q", build)
	}
}

// A full disk is another cause than a file that can't be made; both are nobody's error, and
// the counts are written when there is room.
func TestKeeperOnAFullVolume(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		today()
		k := startKeeper(t)
		refusal := error(&fs.PathError{Op: "open", Path: k.path, Err: syscall.ENOSPC})
		k.mu.Lock()
		k.Store.cfg.Create = func(string) error { return refusal }
		k.mu.Unlock()
		time.Sleep(time.Hour + 1)
		k.mu.Lock()
		refusal = &fs.PathError{Op: "open", Path: k.path, Err: syscall.EACCES}
		k.mu.Unlock()
		time.Sleep(time.Hour)
		k.mu.Lock()
		k.Store.cfg.Create = nil
		k.mu.Unlock()
		time.Sleep(16 * time.Minute)
		synctest.Wait()
		if n := strings.Count(k.log.String(), "could not be written"); n != 2 {
			t.Errorf("%d lines, want one for each cause: %s", n, &k.log)
		}
		if sum, _ := k.asks(t); sum != float64(k.turns()) {
			t.Errorf("%v of %d", sum, k.turns())
		}
		k.Close()
	})
}
