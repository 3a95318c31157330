package holdfast_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/holdfastdb/holdfast"
)

const durableKillEnv = "HOLDFAST_TEST_DURABLE_KILL"

// TestDurableKills kills a process that writes durably, time and again. Whatever
// it has said to be written is in the file that its uploads went to, as if its
// machine had gone with it; and what it was writing when it died is written once
// when the next one repeats it with its key.
func TestDurableKills(t *testing.T) {
	if dir := os.Getenv(durableKillEnv); dir != "" {
		writeDurably(t, dir)
		return
	}
	kills := 50
	if testing.Short() {
		kills = 5
	}
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	for range kills {
		c := startChild(t, "TestDurableKills", durableKillEnv, dir)
		for left := 1 + rand.IntN(60); left > 0; left-- {
			acknowledged[c.line("ack ")] = true
		}
		if err := c.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for c.out.Scan() { // what it has said before it died
			if id, ok := strings.CutPrefix(c.out.Text(), "ack "); ok {
				acknowledged[id] = true
			}
		}
		_ = c.cmd.Wait() // was killed
	}
	arrived := linesOf(t, filepath.Join(dir, "target"))
	for id := range acknowledged {
		if arrived[id] == 0 {
			t.Errorf("%s was acknowledged and is lost", id)
		}
	}
	db := openAt(t, filepath.Join(dir, "app.db"))
	for row, err := range db.Rows(t.Context(), "SELECT id, count(*) FROM entry GROUP BY id") {
		if err != nil {
			t.Fatal(err)
		}
		if id := row.Text(0); row.Int64(1) != 1 {
			t.Errorf("%s is there %d times", id, row.Int64(1))
		}
		delete(acknowledged, row.Text(0))
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d acknowledged entries are not in the database: %v", len(acknowledged), acknowledged)
	}
	t.Logf("%d kills, %d uploaded entries", kills, len(arrived))
}

// linesOf counts the whole lines of a file.
func linesOf(t *testing.T, path string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	lines := map[string]int{}
	for line := range strings.Lines(string(text)) {
		if id, whole := strings.CutSuffix(line, "\n"); whole {
			lines[id]++
		}
	}
	return lines
}

// writeDurably writes entries from several goroutines until it is killed. Each
// begins with the first that is not at the target: the one that the last process
// may have been writing.
func writeDurably(t *testing.T, dir string) {
	path := filepath.Join(dir, "app.db")
	target := newTarget(t)
	db, err := holdfast.Open(t.Context(), path, target.durable)
	if err != nil {
		t.Fatal(err)
	}
	arrived := linesOf(t, filepath.Join(dir, "target"))
	must(t, db, "CREATE TABLE IF NOT EXISTS entry(id TEXT)")
	f, err := os.OpenFile(filepath.Join(dir, "target"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	r := newReplica(t, path)
	target.uploads(func(context.Context) error {
		ids, last, err := r.read()
		if err != nil || len(ids) == 0 {
			return err
		}
		if _, err := f.WriteString(strings.Join(ids, "\n") + "\n"); err != nil {
			return err
		}
		r.arrive(ids, last)
		return nil
	})
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for seq := 0; ; seq++ {
				id := fmt.Sprintf("%d/%d", w, seq)
				if arrived[id] > 0 {
					continue
				}
				if err := ledgerWrites[2+seq%2].write(context.Background(), db, id); err != nil {
					t.Error(err)
					return
				}
				fmt.Println("ack " + id) // one write, and buffered by nobody
			}
		})
	}
	all.Wait()
}
