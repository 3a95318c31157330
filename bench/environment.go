package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/bench/internal/report"
)

// surroundings tells what figures depend on besides the contestants.
func surroundings(ctx context.Context, dir string, o options) (report.Environment, error) {
	sync, err := fsyncTime(dir)
	return report.Environment{
		Time: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH,
		CPU: cpuModel(), CPUs: runtime.NumCPU(), FileSystem: fileSystem(dir), Fsync: sync.Seconds(),
		LoadBefore: load(), Cell: o.duration.Seconds(), Rounds: o.rounds, Versions: versions(ctx),
	}, err
}

// fsyncTime is the median time that appending and syncing a page takes.
func fsyncTime(dir string) (time.Duration, error) {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return 0, err
	}
	defer f.Close() // the run's directory goes as a whole
	page := make([]byte, 4096)
	took := make([]time.Duration, 51)
	for i := range took {
		begin := time.Now()
		if _, err := f.Write(page); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took[i] = time.Since(begin)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// cpuModel is "" where it isn't told.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// load is the system's load average over one minute; "" where it isn't told.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	one, _, _ := strings.Cut(string(text), " ")
	return one
}

// compared are the modules whose versions matter.
var compared = []string{
	"github.com/mattn/go-sqlite3", "github.com/ncruces/go-sqlite3", "gorm.io/gorm", "modernc.org/sqlite", "zombiezen.com/go/sqlite",
}

func versions(ctx context.Context) map[string]string {
	found := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if slices.Contains(compared, m.Path) {
				found[m.Path] = m.Version
			}
		}
	}
	const ask = "import sys, sqlite3; print(sys.version.split()[0], 'with SQLite', sqlite3.sqlite_version)"
	if out, err := exec.CommandContext(ctx, "python3", "-c", ask).Output(); err == nil {
		found["python3"] = strings.TrimSpace(string(out))
	}
	return found
}

// notReal says why fsync costs nothing in a directory; "" if it does.
func notReal(fileSystem string) string {
	if fileSystem == "tmpfs" || fileSystem == "ramfs" {
		return fmt.Sprintf("the databases are on %s, in memory: what FULL costs can't be seen there, give a --dir on a disk", fileSystem)
	}
	return ""
}
