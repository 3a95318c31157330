package backup_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

func restoreAt(t *testing.T, source, path string, twoNames bool, step func(name string)) (backup.RestoreReport, error) {
	t.Helper()
	var o backup.RestoreOptions
	if twoNames {
		o.TwoNames()
	}
	o.OnStep(step)
	return backup.Restore(t.Context(), backup.File(source), path, o)
}

func wantNoAside(t *testing.T, path string) {
	t.Helper()
	if left, err := filepath.Glob(path + "-before-restore-*"); err != nil || len(left) > 0 {
		t.Errorf("beside it are %q, %v", left, err)
	}
}

func mine(t *testing.T, path string) {
	t.Helper()
	c := openConn(t, path)
	fill(t, c, "mine", 10)
	must(t, c.Close())
}

// One has the old file and waits, so the change is undone; another has opened the
// new one before that. He must not write a log under the name that is the old one's
// again.
func TestRestoreMeetsNewcomersOnBothSides(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("who has a file open without a lock is told by Linux alone")
	}
	source := newBackup(t)
	for _, twoNames := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "app.db")
		withLog(t, path)
		pid, first, second, try := 0, func(string) {}, func(string) {}, func(string) {}
		_, err := restoreAt(t, source, path, twoNames, func(name string) {
			switch name {
			case "cleared":
				pid, first = running(t, errand{Open: path}, "opened")
			case "flushed":
				_, second = running(t, errand{Open: path, Write: true}, "opened")
			case "settling": // the sidecars are not back yet
				_, try = running(t, errand{Open: path, Hasty: true}, "opened")
				try("refused")
			}
		})
		wantInUse(t, err, pid)
		second("refused")
		first("read")
		if got := holds(t, path); got != "500 old" {
			t.Errorf("it is %q", got)
		}
		wantNoAside(t, path)
	}
}

// A connection of this process is as much in the way as another's.
func TestRestoreMeetsItsOwnProcess(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("who has a file open without a lock is told by Linux alone")
	}
	source := newBackup(t)
	path := filepath.Join(t.TempDir(), "app.db")
	withLog(t, path)
	var c *sqlite.Conn
	_, err := restoreAt(t, source, path, false, func(name string) {
		if name == "cleared" {
			c = openConn(t, path)
		}
	})
	wantInUse(t, err, os.Getpid())
	if n, err := c.QueryInt64("SELECT count(*) FROM t WHERE word='old'"); n != 500 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
	must(t, c.Close())
}

// Who has the log of a database that somebody has deleted goes on writing into it.
func TestRestoreOverADeletedDatabase(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("who has a file open without a lock is told by Linux alone")
	}
	source := newBackup(t)
	path := filepath.Join(t.TempDir(), "app.db")
	withLog(t, path)
	pid, _ := running(t, errand{Open: path}, "read")
	must(t, os.Remove(path))
	_, err := backup.Restore(t.Context(), backup.File(source), path, backup.RestoreOptions{})
	wantInUse(t, err, pid)
}

// Where no database was, one may be made while the restore is under way.
func TestRestoreMeetsANewDatabase(t *testing.T) {
	t.Parallel()
	source := newBackup(t)
	path := filepath.Join(t.TempDir(), "app.db")
	_, err := restoreAt(t, source, path, false, func(name string) {
		if name == "cleared" {
			mine(t, path)
		}
	})
	if !errors.Is(err, holdfast.ErrBusy) {
		t.Error(err)
	}
	if got := holds(t, path); got != "10 mine" {
		t.Errorf("it is %q", got)
	}
}

// Or after one that was killed: then the log that lay there is another's.
func TestNewDatabaseAfterAKill(t *testing.T) {
	t.Parallel()
	source := newBackup(t)
	path := filepath.Join(t.TempDir(), "app.db")
	withLog(t, path)
	must(t, os.Remove(path))
	if err := command(errand{Source: source, Path: path, Step: "cleared"}).Run(); err == nil {
		t.Fatal("it was not killed")
	}
	mine(t, path)
	must(t, os.WriteFile(source, []byte("damaged"), 0o600))
	if _, err := backup.Restore(t.Context(), backup.File(source), path, backup.RestoreOptions{}); !errors.Is(err, backup.ErrDamaged) {
		t.Error(err)
	}
	if _, err := os.Lstat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("beside it is the log of another: %v", err)
	}
	if got := holds(t, path); got != "10 mine" {
		t.Errorf("it is %q", got)
	}
}

// SQLite deletes the log of a database of no bytes, and it may be all there is.
func TestRestoreKeepsTheLogOfAnEmptyFile(t *testing.T) {
	t.Parallel()
	source := newBackup(t)
	path := filepath.Join(t.TempDir(), "app.db")
	withLog(t, path)
	must(t, os.Truncate(path, 0))
	before, err := os.ReadFile(path + "-wal")
	must(t, err)
	r, err := backup.Restore(t.Context(), backup.File(source), path, backup.RestoreOptions{})
	must(t, err)
	if after, err := os.ReadFile(r.Kept[0] + "-wal"); !bytes.Equal(before, after) {
		t.Errorf("its log has %d bytes, %v; it had %d", len(after), err, len(before))
	}
	if got := holds(t, path); got != restored {
		t.Errorf("it is %q", got)
	}
}

// The number of a device may be another after the power cut.
func TestAnotherDeviceNumber(t *testing.T) {
	t.Parallel()
	source := newBackup(t)
	for _, step := range []string{"cleared", "swapped"} {
		path := filepath.Join(t.TempDir(), "app.db")
		withLog(t, path)
		if err := command(errand{Source: source, Path: path, Step: step}).Run(); err == nil {
			t.Fatal("it was not killed")
		}
		note := filepath.Join(path+"-restore", "note.json")
		text, err := os.ReadFile(note)
		must(t, err)
		must(t, os.WriteFile(note, regexp.MustCompile(`"[0-9a-f]+:`).ReplaceAll(text, []byte(`"fff:`)), 0o600))
		again(t, source, path, false, "500 old")
		asides, err := filepath.Glob(path + "-before-restore-*Z")
		must(t, err)
		for _, a := range asides {
			if got := holds(t, a); got != "500 old" && step == "cleared" {
				t.Errorf("kept was %q", got)
			}
		}
	}
}

// A directory of that name that is somebody's own, and a note that leads elsewhere:
// nothing of either is touched.
func TestForeignDirectory(t *testing.T) {
	t.Parallel()
	source := newBackup(t)
	for name, files := range map[string][]string{
		"his own":    {"new.db"},
		"a bad note": {"new.db", "owner-holdfast.lock", "note.json"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, victim := filepath.Join(dir, "app.db"), filepath.Join(dir, "victim")
			withLog(t, path)
			must(t, os.WriteFile(victim, []byte("precious"), 0o600))
			must(t, os.Mkdir(path+"-restore", 0o700))
			for _, f := range files {
				text := "mine"
				if f == "note.json" {
					text = `{"new":"1","old":"2","aside":"` + filepath.ToSlash(victim) + `"}`
				}
				must(t, os.WriteFile(filepath.Join(path+"-restore", f), []byte(text), 0o600))
			}
			if _, err := backup.Restore(t.Context(), backup.File(source), path, backup.RestoreOptions{}); err == nil {
				t.Error("no error")
			}
			for file, want := range map[string]string{victim: "precious", filepath.Join(path+"-restore", "new.db"): "mine"} {
				if text, err := os.ReadFile(file); string(text) != want {
					t.Errorf("%s: %q, %v", file, text, err)
				}
			}
			if got := holds(t, path); got != "500 old" {
				t.Errorf("it is %q", got)
			}
		})
	}
}

// The names that the old files would get are longer than the file system takes.
func TestRestoreOfALongName(t *testing.T) {
	t.Parallel()
	source := newBackup(t)
	path := filepath.Join(t.TempDir(), string(bytes.Repeat([]byte("a"), 230)))
	mine(t, path)
	if _, err := backup.Restore(t.Context(), backup.File(source), path, backup.RestoreOptions{}); err == nil {
		t.Error("no error")
	}
	if got := holds(t, path); got != "10 mine" {
		t.Errorf("it is %q", got)
	}
	if _, err := os.Lstat(path + "-restore"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
