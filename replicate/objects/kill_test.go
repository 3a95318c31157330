package objects

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/johannesboyne/gofakes3"
)

// childVariable makes the test binary a process that backs the database of its directory
// up to the place that it names, again and again, and says each that is done.
const childVariable = "HOLDFAST_TEST_OBJECTS_CHILD"

func child(place string) int {
	ctx := context.Background()
	store, _, err := Open(ctx, place)
	if err == nil {
		if b, ok := store.(*bucket); ok {
			b.partSize = 64 << 10
		}
		var db *holdfast.DB
		if db, err = holdfast.Open(ctx, "app.db"); err == nil {
			target := backup.Remote(store, "")
			for err == nil {
				var info backup.Info
				if info, err = target.Create(ctx, db, nil, nil); err == nil {
					fmt.Println(info.Destination)
				}
			}
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return failed
}

// failed is no exit code of a process that was killed, on any system.
const failed = 3

// Whenever a backup is killed: each that was said to be done is there and whole, nothing
// that looks like a backup isn't one, and the next backup clears away what was left.
func TestKilled(t *testing.T) {
	t.Parallel()
	kills := 20
	if testing.Short() {
		kills = 5
	}
	for _, name := range []string{"s3", "sftp"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s3 *s3Server
			var ssh *sshServer
			var place string
			if name == "s3" {
				// Two days ago, for the sweep.
				s3 = newS3At(t, gofakes3.FixedTimeSource(time.Now().AddDate(0, 0, -2)))
				place = s3.place("/x")
			} else {
				ssh = newSSH(t, nil)
				place = ssh.place("")
			}
			dir := t.TempDir()
			db := newDatabase(t, filepath.Join(dir, "app.db"))
			store, _ := open(t, place)
			target := backup.Remote(store, t.TempDir())
			left := 0
			for n := range kills {
				done := runAndKill(t, dir, place, time.Duration(rand.IntN(150))*time.Millisecond)
				entries, err := target.List(t.Context())
				must(t, err)
				for _, e := range entries {
					if _, err := backup.Verify(t.Context(), target.Open(e), nil); err != nil || !e.Verified {
						t.Fatalf("kill %d: %+v: %v", n, e, err)
					}
					delete(done, e.Path)
				}
				for path := range done {
					t.Fatalf("kill %d: %s is gone", n, path)
				}
				if s3 != nil {
					left += s3.pending(t)
				} else {
					for _, file := range names(t, store) {
						if strings.HasPrefix(file, partial) {
							left++
							old := time.Now().AddDate(0, 0, -2)
							must(t, os.Chtimes(filepath.Join(ssh.dir, file), old, old))
						}
					}
				}
				_, err = target.Create(t.Context(), db, nil, nil)
				must(t, err)
				if s3 != nil && s3.pending(t) > 0 {
					t.Fatalf("kill %d: %d uploads are left", n, s3.pending(t))
				}
				_, err = target.Prune(t.Context(), db.Path(), backup.Retention{Last: 1})
				must(t, err)
				files := names(t, store)
				if ssh != nil { // manifests without copies are as old as they are
					for _, file := range files {
						old := time.Now().AddDate(0, 0, -2)
						must(t, os.Chtimes(filepath.Join(ssh.dir, file), old, old))
					}
				}
				for _, file := range files {
					if strings.HasPrefix(file, partial) {
						t.Fatalf("kill %d: %q", n, files)
					}
				}
			}
			_, err := target.Create(t.Context(), db, nil, nil)
			must(t, err)
			if files := names(t, store); len(files) != 4 {
				t.Errorf("%q", files)
			}
			t.Logf("%d kills, %d in the middle of an upload", kills, left)
		})
	}
}

// runAndKill returns what the child has said to be done.
func runAndKill(t *testing.T, dir, place string, after time.Duration) map[string]bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.Env = append(os.Environ(), childVariable+"="+place)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	done := map[string]bool{}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		done[lines.Text()] = true
		if len(done) == 1 {
			time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
	}
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() == failed || len(done) == 0 {
		t.Fatalf("it ended by itself: %v", err)
	}
	return done
}

// newDatabase has some hundred KiB.
func newDatabase(t testing.TB, path string) *holdfast.DB {
	t.Helper()
	db, err := holdfast.Open(t.Context(), path)
	must(t, err)
	t.Cleanup(func() {
		var ok string
		if err := db.QueryRow("PRAGMA integrity_check").Scan(&ok); ok != "ok" {
			t.Error(ok, err)
		}
		must(t, db.Close())
	})
	_, err = db.Exec(`CREATE TABLE t(id INTEGER PRIMARY KEY, pad);
		WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM r WHERE i<2000) INSERT INTO t(pad) SELECT hex(randomblob(100)) FROM r`)
	must(t, err)
	return db
}
