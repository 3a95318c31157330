package torture

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
)

func killMigration() Scenario {
	return Scenario{
		Name: "kill-migration",
		About: "kill -9 of processes that migrate one database at once, at random moments of a table rebuild, its check, its backup and its COMMIT: " +
			"each version is applied once and whole, the rows that refer to the table stay, and the newest backup is sound",
		Tier: Quick,
		Run:  runKillMigration,
	}
}

// What is in the database from the first on, and what becomes of it: each
// migration rebuilds the table of authors with another constant in a column, so
// that one that was applied in part would show.
const (
	migrationAuthors = 300
	migrationBooks   = 900
	migrationSchema  = `CREATE TABLE author(id INTEGER PRIMARY KEY, name TEXT, version INTEGER NOT NULL);
CREATE TABLE book(id INTEGER PRIMARY KEY, author_id INTEGER NOT NULL REFERENCES author(id) ON DELETE CASCADE, title TEXT);
CREATE INDEX book_author ON book(author_id);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) INSERT INTO author SELECT i, hex(randomblob(200)), 0 FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) INSERT INTO book(author_id, title) SELECT 1 + i % 300, hex(randomblob(20)) FROM n`
	migrationProcesses = 3
	killsPerMigrated   = 10
)

func runKillMigration(ctx context.Context, t *Trial) error {
	for n := range t.Rounds(3, 40, 400) {
		m := &migrated{t: t, path: filepath.Join(t.Dir, fmt.Sprintf("%d.db", n)), acked: map[string]bool{}}
		if err := m.run(ctx); err != nil {
			return fmt.Errorf("database %s: %w", filepath.Base(m.path), err)
		}
		t.Count("databases", 1)
	}
	return nil
}

// migrated is one database, and what its processes have told.
type migrated struct {
	t    *Trial
	path string
	hit  chan struct{} // somebody has begun a migration

	mu         sync.Mutex
	begun      int64 // highest version
	ackedMost  int64
	acked      map[string]bool // versions, by their numbers
	twice      []string
	rowsBegun  int64
	rowsAcked  int64
	unexpected error
}

func (m *migrated) run(ctx context.Context) error {
	if err := m.create(ctx); err != nil {
		return err
	}
	m.hit = make(chan struct{}, 1)
	children := make([]*Child, migrationProcesses)
	start := func(i int) (err error) {
		children[i], err = m.t.Child(ctx, "migrate", migrateConfig{Path: m.path}, m.line)
		return err
	}
	for i := range children {
		if err := start(i); err != nil {
			return err
		}
	}
	for range killsPerMigrated {
		if err := m.moment(ctx); err != nil {
			return err
		}
		i := m.t.Rand.IntN(len(children))
		m.t.Count("kills", 1)
		if err := errors.Join(children[i].Kill(), start(i)); err != nil {
			return err
		}
	}
	for _, c := range children {
		m.t.Count("kills", 1)
		if err := c.Kill(); err != nil {
			return err
		}
	}
	return m.verify(ctx)
}

// moment waits for the one to kill at: mostly some time after a migration has begun.
func (m *migrated) moment(ctx context.Context) error {
	r := m.t.Rand
	if r.IntN(4) > 0 {
		patience := time.NewTimer(2 * time.Second)
		defer patience.Stop()
		select {
		case <-m.hit:
			m.t.Count("kills_inside", 1)
		case <-patience.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return sleep(ctx, time.Duration(r.IntN(30_000))*time.Microsecond)
}

func (m *migrated) create(ctx context.Context) error {
	db, err := holdfast.Open(ctx, m.path)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, migrationSchema)
	return errors.Join(err, db.Close())
}

// line takes what a process tells.
func (m *migrated) line(l Line) {
	m.mu.Lock()
	defer m.mu.Unlock()
	word, rest, _ := strings.Cut(l.Text, " ")
	var version int64
	_, _ = fmt.Sscan(rest, &version) // a line without a number has none
	switch word {
	case "migrating":
		m.begun = max(m.begun, version)
		select {
		case m.hit <- struct{}{}:
		default:
		}
	case "migrated":
		if m.acked[rest] {
			m.twice = append(m.twice, rest)
		}
		m.acked[rest] = true
		m.ackedMost = max(m.ackedMost, version)
		m.t.Count("acked", 1)
	case "writing":
		m.rowsBegun++
	case "wrote":
		m.rowsAcked++
	default:
		m.unexpected = errors.Join(m.unexpected, errors.New(l.Text))
	}
}

// verify compares the database with what was told, when all are dead.
func (m *migrated) verify(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unexpected != nil {
		return m.unexpected
	}
	if len(m.twice) > 0 {
		return fmt.Errorf("versions %v were applied twice", m.twice)
	}
	version, books, err := m.look(ctx, m.path)
	switch {
	case err != nil:
		return err
	case version < m.ackedMost || version > m.begun:
		return fmt.Errorf("the database has version %d, %d was acknowledged and %d begun", version, m.ackedMost, m.begun)
	case books < migrationBooks+m.rowsAcked || books > migrationBooks+m.rowsBegun:
		return fmt.Errorf("%d rows refer to the table that was rebuilt, of %d and %d acknowledged ones", books, migrationBooks, m.rowsAcked)
	}
	m.t.Most("versions_most", version)
	return m.verifyBackups(ctx, version)
}

// look returns the version and how many books there are, and finds what is there
// in part.
func (m *migrated) look(ctx context.Context, path string) (version, books int64, err error) {
	db, err := holdfast.Open(ctx, path)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := integrity(ctx, db); err != nil {
		return 0, 0, err
	}
	var authors, others, orphans int64
	err = db.QueryRowContext(ctx, `SELECT (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM book), (SELECT count(*) FROM author),
		(SELECT count(*) FROM author WHERE version <> (SELECT user_version FROM pragma_user_version)), (SELECT count(*) FROM pragma_foreign_key_check)`).
		Scan(&version, &books, &authors, &others, &orphans)
	if err == nil && (authors != migrationAuthors || others > 0 || orphans > 0) {
		err = fmt.Errorf("%s has %d authors, %d of another version than %d, and %d books without one", filepath.Base(path), authors, others, version, orphans)
	}
	return version, books, err
}

// verifyBackups looks at the newest backup that has its name.
func (m *migrated) verifyBackups(ctx context.Context, version int64) error {
	files, err := filepath.Glob(m.path + "-before-migration-*Z")
	if err != nil {
		return err
	}
	if version == 0 { // all died before the first COMMIT
		return nil
	}
	if len(files) == 0 {
		return fmt.Errorf("after %d migrations there is no backup", version)
	}
	// Who is killed between making one and removing the oldest leaves one more,
	// until the next migration.
	if len(files) > 3+killsPerMigrated {
		return fmt.Errorf("%d backups are left", len(files))
	}
	newest := files[len(files)-1] // by name, which is by time
	v, _, err := m.look(ctx, newest)
	if err == nil && v != version && v != version-1 { // it may be of a migration that was killed before COMMIT
		err = fmt.Errorf("the newest backup has version %d, and the database %d", v, version)
	}
	m.t.Count("backups_checked", 1)
	return err
}

type migrateConfig struct{ Path string }

// migrateRole migrates from version to version, and writes a row in between.
func migrateRole(ctx context.Context, p *Parent, config json.RawMessage) error {
	var c migrateConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return err
	}
	db, err := holdfast.Open(ctx, c.Path)
	if err != nil {
		return err
	}
	defer db.Close()
	for ctx.Err() == nil {
		version, changed, err := migrateOnce(ctx, p, db)
		if err != nil {
			return err
		}
		if changed {
			if err := p.Tell("migrated %d", version); err != nil {
				return err
			}
		}
		if err := p.Tell("writing"); err != nil {
			return err
		}
		if _, err := db.ExecContext(ctx, "INSERT INTO book(author_id, title) VALUES (?, 'new')", 1+os.Getpid()%migrationAuthors); err != nil {
			return err
		}
		if err := p.Tell("wrote"); err != nil {
			return err
		}
	}
	return nil
}

func migrateOnce(ctx context.Context, p *Parent, db *holdfast.DB) (version int64, changed bool, err error) {
	r, err := holdfast.Migrate(ctx, db, func(tool *sql.DB) error {
		if err := tool.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
		version++
		if err := p.Tell("migrating %d", version); err != nil {
			return err
		}
		tx, err := tool.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		err = holdfast.RebuildTable(ctx, tx, "author", holdfast.TableRebuild{
			Create:  fmt.Sprintf("CREATE TABLE author(id INTEGER PRIMARY KEY, name TEXT, version INTEGER NOT NULL DEFAULT %d)", version),
			Columns: map[string]string{"version": fmt.Sprint(version)},
		})
		if err != nil {
			return errors.Join(err, tx.Rollback())
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		_, err = tool.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version=%d", version))
		return err
	})
	return version, r.Changed, err
}
