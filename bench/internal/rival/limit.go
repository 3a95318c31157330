package rival

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfastdb/holdfast/bench/internal/work"
)

// mattnModule ships SQLite's source, of the version that the contestants have.
const mattnModule = "github.com/mattn/go-sqlite3"

// Compiler is the command line up to the files, for Sources. The options that matter for
// speed are those that SQLite recommends for programs that use a connection
// from one thread at a time (https://www.sqlite.org/compile.html).
var Compiler = []string{"gcc", "-O2", "-DSQLITE_THREADSAFE=2", "-DSQLITE_DEFAULT_MEMSTATUS=0", "-DHAVE_USLEEP=1", "-Wno-deprecated-declarations"}

func limit(s Sources) Contestant {
	var program string // set by Missing
	return Contestant{
		Name: Limit, Title: "the limit: a loop in C on the same SQLite, one thread and one connection; 32 rows a COMMIT where 32 write, a thread and a connection for each CPU where many read",
		Does: []work.Operation{work.Get, work.Prepared, work.Scan, work.Insert, work.Bulk, work.Open},
		Missing: func(ctx context.Context) string {
			var err error
			if program, err = compileLimit(ctx, s); err != nil {
				return err.Error()
			}
			return ""
		},
		Command: func(ctx context.Context, j work.Job) (*exec.Cmd, error) {
			args := []string{string(j.Operation), j.Settings.Path, j.Settings.Synchronous}
			for _, n := range []int64{
				int64(j.Rows), int64(j.Goroutines), int64(j.FirstWorker), int64(j.Warm), int64(j.Duration), cacheKiB,
			} {
				args = append(args, strconv.FormatInt(n, 10))
			}
			return exec.CommandContext(ctx, program, args...), nil
		},
	}
}

// compileLimit compiles the loop into the user's cache directory, unless it is
// there already, and returns its path.
func compileLimit(ctx context.Context, s Sources) (string, error) {
	if runtime.GOOS == "windows" {
		return "", errors.New("it is written for POSIX systems")
	}
	if _, err := exec.LookPath(s.Compiler[0]); err != nil {
		return "", errors.New("a C compiler is needed: " + s.Compiler[0] + " was not found")
	}
	dir, err := moduleDir(ctx)
	if err != nil {
		return "", err
	}
	amalgamation := filepath.Join(dir, "sqlite3-binding.c")
	hash, err := hashOf(s.C, amalgamation, strings.Join(s.Compiler, " "))
	if err != nil {
		return "", err
	}
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	program := filepath.Join(cache, "loop-"+hash)
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	return program, s.compile(ctx, dir, amalgamation, program)
}

// CacheDir is where compiled programs stay, and the databases while they are
// measured. It makes the directory.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "holdfast-bench")
	return dir, os.MkdirAll(dir, 0o700)
}

func moduleDir(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", mattnModule).Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		return "", fmt.Errorf("SQLite's source is needed, and go list does not find %s from here: run this in Holdfast's repository", mattnModule)
	}
	return dir, nil
}

func hashOf(source, amalgamation, command string) (string, error) {
	text, err := os.ReadFile(amalgamation)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{source, string(text), command, runtime.GOARCH}, "\x00")))
	return fmt.Sprintf("%x", sum[:8]), nil
}

// compile builds beside the target and renames, so that a program that is there
// is whole.
func (s Sources) compile(ctx context.Context, include, amalgamation, program string) error {
	dir, err := os.MkdirTemp(filepath.Dir(program), "compile-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	loop, built := filepath.Join(dir, "loop.c"), filepath.Join(dir, "loop")
	if err := os.WriteFile(loop, []byte(s.C), 0o600); err != nil {
		return err
	}
	args := slices.Concat(s.Compiler[1:], []string{"-I", include, "-o", built, loop, amalgamation, "-lpthread", "-lm", "-ldl"})
	out, err := exec.CommandContext(ctx, s.Compiler[0], args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("the loop in C does not compile: %w\n%s", err, out)
	}
	return os.Rename(built, program)
}
