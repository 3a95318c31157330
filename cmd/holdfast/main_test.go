package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"holdfast": main}) }

// TestScript runs the stories in testdata/script, each in a directory of its
// own. Besides testscript's commands they know those below.
func TestScript(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "env", "-json", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	var goEnv map[string]string
	if err := json.Unmarshal(out, &goEnv); err != nil {
		t.Fatal(err)
	}
	server := bucket(t, "backups")
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			// A program under the race detector waits a second before it ends.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			for _, name := range []string{"GOCACHE", "GOMODCACHE"} { // a script has no home to find them in
				env.Setenv(name, goEnv[name])
			}
			env.Setenv("S3", server)
			credentials(env)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":        exits,
			"unprivileged": unprivileged,
			"lock":         lock,
			"unlock":       unlock,
			"truncate":     truncate,
			"normalize":    normalize,
			"recorded":     recorded,
		},
		Condition: func(name string) (bool, error) {
			if name == "permissions" {
				return canLosePrivileges(), nil
			}
			return false, errors.New("unknown condition " + name)
		},
	})
}

// exits CODE[,CODE] COMMAND...: the command ends with this exit code, or one of these.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGUMENT...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if !slices.Contains(strings.Split(args[0], ","), strconv.Itoa(code)) {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// unprivileged CODE COMMAND...: exits, by a user whom permissions bind.
func unprivileged(ts *testscript.TestScript, neg bool, args []string) {
	if os.Getuid() == 0 && len(args) > 1 {
		args = append([]string{args[0], "setpriv", bindRoot}, args[1:]...)
	}
	exits(ts, neg, args)
}

// bindRoot takes from root the right to pass over permissions.
const bindRoot = "--bounding-set=-dac_override,-dac_read_search"

func canLosePrivileges() bool {
	if runtime.GOOS == "windows" {
		return false
	}
	return os.Getuid() != 0 || exec.Command("setpriv", bindRoot, "true").Run() == nil
}

// held is the lock that a script holds, by script: they run side by side.
var held sync.Map // *testscript.TestScript to *locker

type locker struct {
	db   *sql.DB
	conn *sql.Conn
}

// lock FILE: another process (this one) holds the write lock until unlock, or
// the end of the script.
func lock(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: lock FILE")
	}
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	conn, err := db.Conn(context.Background())
	ts.Check(err)
	_, err = conn.ExecContext(context.Background(), "BEGIN IMMEDIATE")
	ts.Check(err)
	held.Store(ts, &locker{db, conn})
	ts.Defer(func() { release(ts) })
}

func unlock(ts *testscript.TestScript, _ bool, _ []string) { release(ts) }

func release(ts *testscript.TestScript) {
	if l, ok := held.LoadAndDelete(ts); ok {
		ts.Check(errors.Join(l.(*locker).conn.Close(), l.(*locker).db.Close()))
	}
}

// truncate FILE SIZE cuts a file, or extends it by zeros.
func truncate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: truncate FILE SIZE")
	}
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), size))
}

var measured = regexp.MustCompile(`("\w+_seconds":)[0-9.eE+-]+`)

// normalize FROM FILE writes FROM (stdout, stderr or a file) to FILE, with every
// measured time 0, so that cmp can compare it.
func normalize(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: normalize FROM FILE")
	}
	text := measured.ReplaceAllString(ts.ReadFile(args[0]), "${1}0")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}
