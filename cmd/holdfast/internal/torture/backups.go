package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/backup"
	"github.com/holdfastdb/holdfast/backup/archive"
)

func killBackups() Scenario {
	return Scenario{
		Name: "kill-backup",
		About: "500 writes a second beside backups, plain ones, vacuumed ones and archives, a tenth of them killed at random moments: " +
			"each that was called ok is one committed state, and so is each that has its name",
		Tier:     Quick,
		Sabotage: []string{CopyFile},
		Run:      runKillBackups,
	}
}

// The state of the database is a function of how many writes were committed: write
// n puts n into slot n modulo slots, and into the row that counts. All slots are
// full from the beginning, so that a backup takes a few steps.
const (
	slots           = 4000
	writesPerSecond = 500

	createSlots = `CREATE TABLE slot(id INTEGER PRIMARY KEY, n INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX slot_n ON slot(n); CREATE TABLE counted(n INTEGER NOT NULL); INSERT INTO counted VALUES (0)`
	countSlot   = "UPDATE counted SET n = ?"
	writeSlot   = "INSERT OR REPLACE INTO slot(id, n, body) VALUES (?, ?, ?)"
	selectSlots = "SELECT id, n, body FROM slot ORDER BY id"
)

func slotBody(n int64) string { return strings.Repeat(strconv.FormatInt(n, 36), 200) }

// backups is one run: the writer, and who makes backups beside it.
type backups struct {
	t      *Trial
	path   string
	dir    string // of the backups
	acked  atomic.Int64
	mu     sync.Mutex     // guards begun
	begun  map[int64]bool // after how many writes a transaction was to end
	maker  *Child
	usual  map[string]time.Duration // how long a backup of each kind takes
	owed   int                      // kills that came too late
	failed error                    // of the writer's lines
}

func runKillBackups(ctx context.Context, t *Trial) (err error) {
	b := &backups{t: t, path: filepath.Join(t.Dir, "app.db"), dir: filepath.Join(t.Dir, "backups"), begun: map[int64]bool{slots: true}, usual: map[string]time.Duration{}}
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		return err
	}
	if err := b.create(ctx); err != nil {
		return err
	}
	start := time.Now()
	writer, err := t.Child(ctx, "write-slots", slotsConfig{Path: b.path}, b.line)
	if err != nil {
		return err
	}
	if err := b.makeAll(ctx, t.Rounds(50, 500, 5000)); err != nil {
		return err
	}
	if err := errors.Join(writer.Finish(ctx), b.failed); err != nil {
		return err
	}
	written := b.acked.Load() - slots
	t.Count("acked", written)
	t.Figure("writes_a_second", int64(float64(written)/time.Since(start).Seconds()))
	return b.leftovers(ctx)
}

func (b *backups) create(ctx context.Context) error {
	db, err := holdfast.Open(ctx, b.path)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, createSlots)
	all := []holdfast.Statement{{SQL: countSlot, Args: []any{slots}}}
	for n := int64(1); n <= slots; n++ {
		all = append(all, holdfast.Statement{SQL: writeSlot, Args: []any{n % slots, n, slotBody(n)}})
	}
	if err == nil {
		_, err = db.Batch(ctx, all)
	}
	b.acked.Store(slots)
	return errors.Join(err, db.Close())
}

// line takes what the writer tells: "b 17" before the transaction that ends with
// write 17, and "a 17" after it.
func (b *backups) line(l Line) {
	what, number, _ := strings.Cut(l.Text, " ")
	n, err := strconv.ParseInt(number, 10, 64)
	switch {
	case err != nil || what != lineBegin && what != "a":
		b.failed = fmt.Errorf("the writer told %q", l.Text)
	case what == lineBegin:
		b.mu.Lock()
		b.begun[n] = true
		b.mu.Unlock()
	default:
		b.acked.Store(n)
	}
}

func (b *backups) makeAll(ctx context.Context, rounds int) error {
	kills := map[int]bool{}
	for _, n := range b.t.Rand.Perm(rounds)[:rounds/10] {
		kills[n] = true
	}
	for n := range rounds {
		if b.maker == nil {
			maker, err := b.t.Child(ctx, "back-up", backUpConfig{Path: b.path, Dir: b.dir, Sabotage: b.t.Sabotage}, nil)
			if err != nil {
				return err
			}
			b.maker = maker
		}
		kind := backupKinds[b.t.Rand.IntN(len(backupKinds))]
		least, begin := b.acked.Load(), time.Now()
		b.maker.Say(kind)
		if kills[n] || b.owed > 0 {
			if err := b.kill(ctx, kind, least); err != nil {
				return err
			}
			continue
		}
		told, err := b.maker.Expect(ctx, "ok")
		if err != nil {
			return err
		}
		b.usual[kind] = (3*b.usual[kind] + time.Since(begin)) / 4
		b.t.Count("backups_"+kind, 1)
		if err := b.check(ctx, told.Text, least); err != nil {
			return fmt.Errorf("a backup (%s) that was called ok: %w", kind, err)
		}
	}
	maker := b.maker
	if maker == nil {
		return nil
	}
	return maker.Finish(ctx)
}

// kill ends the backup that was begun at a random moment, and judges what there is.
func (b *backups) kill(ctx context.Context, kind string, least int64) error {
	if err := sleep(ctx, time.Duration(b.t.Rand.Int64N(int64(max(b.usual[kind], time.Millisecond))))); err != nil {
		return err
	}
	maker := b.maker
	b.maker = nil
	if err := maker.Kill(); err != nil {
		return err
	}
	b.owed = max(b.owed-1, 0)
	if l, err := maker.Next(ctx); err == nil { // told before it died
		b.owed++
		b.t.Count("killed_after_ok", 1)
		return b.check(ctx, strings.TrimPrefix(l.Text, "ok "), least)
	}
	b.t.Count("kills", 1)
	entries, err := backup.List(b.dir, archive.New())
	if err != nil {
		return err
	}
	for _, e := range entries { // it may have got its name
		if !e.Verified {
			return fmt.Errorf("%s has the name of a backup and isn't verified", e.Path)
		}
		b.t.Count("killed_with_its_name", 1)
		if err := b.check(ctx, e.Path, least); err != nil {
			return fmt.Errorf("a backup that was killed and has its name: %w", err)
		}
	}
	return nil
}

// check holds a backup against what was acknowledged before it was begun, and
// removes it.
func (b *backups) check(ctx context.Context, path string, least int64) error {
	n, err := b.state(ctx, path)
	if err != nil {
		return err
	}
	b.t.Count("checked", 1)
	if n < least {
		return fmt.Errorf("%s holds %d writes, and %d had been acknowledged before it was begun", path, n, least)
	}
	// The writer's pipe may be a moment behind.
	for end := time.Now().Add(10 * time.Second); !b.wasBegun(n); {
		if time.Now().After(end) {
			return fmt.Errorf("no committed state: %s holds %d writes, and no transaction ended there", path, n)
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	err = os.Remove(path)
	if e := os.Remove(path + backup.ManifestSuffix); e != nil && !errors.Is(e, os.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return err
}

func (b *backups) wasBegun(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.begun[n]
}

// state opens a backup and returns after how many writes the database was so. It
// restores it first, if it is an archive.
func (b *backups) state(ctx context.Context, path string) (n int64, err error) {
	opened := path
	if b.t.Sabotage == "" { // which writes no manifest
		source := backup.Open(path, archive.New())
		if _, err := backup.Verify(ctx, source, nil); err != nil {
			return 0, err
		}
		if strings.HasSuffix(path, archive.Compressed) {
			opened = filepath.Join(b.t.Dir, "restored.db")
			if _, err := backup.Restore(ctx, source, opened, backup.RestoreOptions{}); err != nil {
				return 0, err
			}
			defer func() { err = errors.Join(err, os.Remove(opened)) }()
		}
	}
	cfg := holdfast.Config{}
	cfg.Database.Path, cfg.Database.ReadOnly = opened, true
	db, err := holdfast.OpenConfig(ctx, cfg)
	if err != nil {
		return 0, err
	}
	defer func() {
		err = errors.Join(err, db.Close())
		for _, sidecar := range []string{"-wal", "-shm"} { // a reader that closes leaves them
			if e := os.Remove(opened + sidecar); e != nil && !errors.Is(e, os.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
	}()
	if err := integrity(ctx, db); err != nil {
		return 0, err
	}
	return stateOf(ctx, db)
}

// stateOf reads the whole database and returns the number of writes that it is the
// state after.
func stateOf(ctx context.Context, db *holdfast.DB) (n int64, err error) {
	if err := db.QueryRowContext(ctx, "SELECT n FROM counted").Scan(&n); err != nil {
		return 0, err
	}
	rows := int64(0)
	for row, err := range db.Rows(ctx, selectSlots) {
		if err != nil {
			return 0, err
		}
		rows++
		// The last write up to n that went to this slot.
		id := row.Int64(0)
		want := n - (n-id+slots)%slots
		if got := row.Int64(1); got != want || string(row.Bytes(2)) != slotBody(want) {
			return 0, fmt.Errorf("no committed state: after %d writes slot %d has write %d, and it should have %d", n, id, got, want)
		}
	}
	if rows != slots {
		return 0, fmt.Errorf("no committed state: after %d writes %d slots are full", n, rows)
	}
	return n, nil
}

// leftovers makes those look old that the dead have left, and one more backup,
// which removes them.
func (b *backups) leftovers(ctx context.Context) (err error) {
	if b.t.Sabotage != "" {
		return nil
	}
	left, err := filepath.Glob(filepath.Join(b.dir, ".*"))
	if err != nil {
		return err
	}
	b.t.Count("left_by_the_dead", int64(len(left)))
	old := time.Now().Add(-time.Hour)
	for _, dir := range left {
		if err := os.Chtimes(dir, old, old); err != nil {
			return err
		}
	}
	db, err := holdfast.Open(ctx, b.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	info, err := db.Backup(ctx, b.dir)
	if err != nil {
		return err
	}
	if err := b.check(ctx, info.Destination, b.acked.Load()); err != nil {
		return err
	}
	if rest, _ := os.ReadDir(b.dir); sweeps && len(rest) > 0 {
		return fmt.Errorf("%s still holds %v", b.dir, rest)
	}
	return nil
}
