package backup_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
)

// others are programs with a SQLite of their own, which say "ready" when they have read
// a database, and end with their standard input.
var others = map[string]func(path string) (cmd *exec.Cmd, input string){
	"sqlite3": func(path string) (*exec.Cmd, string) {
		return exec.Command("sqlite3", path), "SELECT count(*) FROM t;\n.system echo ready\n"
	},
	"python3": func(path string) (*exec.Cmd, string) {
		return exec.Command("python3", "-c", `import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
c.execute("SELECT count(*) FROM t").fetchone()
print("ready", flush=True)
sys.stdin.read()`, path), ""
	},
}

// A restore is refused over a database that another program has open, idle, in each
// journal mode, and names it; when it has ended the restore is done.
func TestRestoreOverOtherPrograms(t *testing.T) {
	t.Parallel()
	source := newBackup(t)
	for name, program := range others {
		for _, mode := range []string{"WAL", "DELETE"} {
			t.Run(name+", "+mode, func(t *testing.T) {
				if _, err := exec.LookPath(name); err != nil {
					t.Skip(name + " is not here")
				}
				path := filepath.Join(t.TempDir(), "app.db")
				c := openConn(t, path)
				must(t, c.Exec("PRAGMA journal_mode="+mode))
				fill(t, c, "old", 500)
				must(t, c.Close())

				cmd, input := program(path)
				in, err := cmd.StdinPipe()
				must(t, err)
				out, err := cmd.StdoutPipe()
				must(t, err)
				must(t, cmd.Start())
				_, err = io.WriteString(in, input)
				must(t, err)
				lines := bufio.NewScanner(out)
				for lines.Scan() && lines.Text() != "ready" {
				}

				for _, dry := range []bool{true, false} {
					_, err = backup.Restore(t.Context(), backup.File(source), path, backup.RestoreOptions{DryRun: dry})
					wantInUse(t, err, cmd.Process.Pid)
				}
				if _, err := os.Lstat(path + "-restore"); err == nil {
					t.Error("something is left")
				}
				must(t, in.Close())
				for lines.Scan() {
				}
				must(t, cmd.Wait())
				if got := holds(t, path); got != "500 old" {
					t.Errorf("it is %q", got)
				}
				_, err = backup.Restore(t.Context(), backup.File(source), path, backup.RestoreOptions{})
				must(t, err)
				if got := holds(t, path); got != restored {
					t.Errorf("restored it is %q", got)
				}
			})
		}
	}
}

// A handle of this process is in the way too, whatever it has done.
func TestRestoreOverAnOpenHandle(t *testing.T) {
	t.Parallel()
	source := newBackup(t)
	path := filepath.Join(t.TempDir(), "app.db")
	withLog(t, path)
	db, err := holdfast.Open(t.Context(), path)
	must(t, err)
	_, err = backup.Restore(t.Context(), backup.File(source), path, backup.RestoreOptions{})
	wantInUse(t, err, os.Getpid())
	var n int
	if err := db.QueryRow("SELECT count(*) FROM t WHERE word='old'").Scan(&n); err != nil || n != 500 {
		t.Errorf("%d rows, %v: the handle was disturbed", n, err)
	}
	_, err = db.Exec("INSERT INTO t(word) VALUES ('old')")
	must(t, err)
	must(t, db.Close())
	r, err := backup.Restore(t.Context(), backup.File(source), path, backup.RestoreOptions{})
	must(t, err)
	if got, want := holds(t, r.Kept[0]), fmt.Sprint(501, " old"); got != want || holds(t, path) != restored {
		t.Errorf("kept is %q, restored %q", got, holds(t, path))
	}
}
