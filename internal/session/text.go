package session

import (
	"context"
	"strings"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// beginText serves a textual BEGIN. It always opens a write transaction: a
// deferred one that writes later would fail in a way that no waiting helps.
func (c *Conn) beginText(ctx context.Context) error {
	kind := writeTx
	if c.e.cfg.Writer == nil {
		kind = readTx
	}
	return c.begin(ctx, kind)
}

// endText serves COMMIT and ROLLBACK.
func (c *Conn) endText(ctx context.Context, s statement) error {
	switch {
	case c.tx != nil && c.tx.ctx != nil:
		return refuseEnd(s)
	case s.v.class == commit:
		return c.commitText(ctx)
	}
	return c.rollbackText(ctx)
}

// refuseEnd keeps a text from ending what database/sql has begun. What follows would
// run outside of the transaction: it would commit by itself, also in a View, and an
// Update that fails afterwards would have written. One that the text begins instead
// would belong to nobody.
func refuseEnd(s statement) error {
	word := "ROLLBACK"
	if s.v.class == commit {
		word = "COMMIT"
	}
	return refused(word + " as text can't end a transaction of database/sql: return from the function, or call Commit or Rollback of the *sql.Tx")
}

func (c *Conn) commitText(ctx context.Context) error {
	if c.tx == nil {
		return misplaced("cannot commit - no transaction is active")
	}
	if c.tx.refusesCommit() {
		// As in SQLite, a COMMIT refused for a deferred foreign key leaves the
		// transaction open, so that the program can repair it.
		return &sqlite.Error{Code: sqlite.ResultConstraintForeignKey, Op: "step", Msg: "FOREIGN KEY constraint failed", Offset: -1}
	}
	c.tx.keepRows()
	return c.endTx(ctx, true)
}

// keepRows reads open results to their end: SQLite lets them be read after a
// textual COMMIT.
func (t *transaction) keepRows() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over == nil {
		t.bufferRows()
	}
}

// refusesCommit tells whether deferred foreign keys stand in the way.
func (t *transaction) refusesCommit() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.over == nil && t.write != nil && t.write.Violations()
}

func (c *Conn) rollbackText(ctx context.Context) error {
	if c.tx == nil {
		return misplaced("cannot rollback - no transaction is active")
	}
	return c.endTx(ctx, false)
}

// savepointText serves SAVEPOINT, RELEASE and ROLLBACK TO. Outside a
// transaction SAVEPOINT opens one, and its RELEASE commits it; see
// https://www.sqlite.org/lang_savepoint.html.
func (c *Conn) savepointText(ctx context.Context, s statement) error {
	if err := refuseOwnName(s.v.name); err != nil {
		return err
	}
	if c.tx == nil {
		if s.v.class != savepoint {
			return misplaced("no such savepoint: " + s.v.name)
		}
		if err := c.beginText(ctx); err != nil {
			return err
		}
		c.tx.textual = true
	}
	t := c.tx
	if s.v.class == release && t.textual && t.names.find(s.v.name) == 0 {
		return c.commitText(ctx)
	}
	if _, err := t.run(ctx, s); err != nil {
		return err
	}
	t.names.track(s.v)
	return nil
}

func refuseOwnName(savepoint string) error {
	if strings.EqualFold(savepoint, "holdfast_unit") {
		return refused("the savepoint name holdfast_unit is Holdfast's own")
	}
	return nil
}

// savepoints are the names of those that a program has open, innermost last.
type savepoints []string

// find returns the index of the innermost savepoint of that name, or -1. The one
// that opened the transaction has 0.
func (s savepoints) find(name string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if strings.EqualFold(s[i], name) {
			return i
		}
	}
	return -1
}

func (s *savepoints) track(v *verdict) {
	switch v.class {
	case savepoint:
		*s = append(*s, v.name)
	case release:
		if i := s.find(v.name); i >= 0 {
			*s = (*s)[:i]
		}
	case rollbackTo:
		if i := s.find(v.name); i >= 0 {
			*s = (*s)[:i+1]
		}
	}
}

// misplaced is what SQLite itself says about a transaction statement that is
// out of place.
func misplaced(msg string) error {
	return &sqlite.Error{Code: sqlite.ResultError, Op: "step", Msg: msg, Offset: -1}
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func firstWord(sql string) string {
	w, _, _ := strings.Cut(strings.TrimSpace(sql), " ")
	return strings.ToUpper(w)
}
