package cluster

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cluster/internal/wire"
	"github.com/holdfastdb/holdfast/internal/session"
)

// The keys live in the database, in the table that a file has them in too, so they move with it.
// A keyed unit inserts its key before anything else: if the key is known, the unit fails there and
// is rolled back, and the row says what became of it the first time. The server can't be asked in
// between, so what the statements did is written by them, one after the other.
const (
	createKeys = `CREATE TABLE IF NOT EXISTS holdfast_idempotency(
	key TEXT PRIMARY KEY, digest BLOB, results TEXT, created_at INTEGER NOT NULL) WITHOUT ROWID`
	indexKeys = `CREATE INDEX IF NOT EXISTS holdfast_idempotency_created_at ON holdfast_idempotency(created_at)`
	insertKey = `INSERT INTO holdfast_idempotency(key, digest, results, created_at) VALUES (?, ?, '[', ?)`
	// A few expired keys go with each write, so that the table stays bounded without a sweep.
	expireKeys = `DELETE FROM holdfast_idempotency WHERE key IN (
	SELECT key FROM holdfast_idempotency WHERE created_at < ? ORDER BY created_at LIMIT 4)`
	selectKey = `SELECT digest, results FROM holdfast_idempotency WHERE key = ?`

	// What a statement did, in the JSON that the file has. Of one that inserted nothing the last
	// ID is somebody else's.
	noteInsert = `UPDATE holdfast_idempotency SET results = results || '{"last_insert_id":' || iif(changes() > 0, last_insert_rowid(), 0) || ',"rows_affected":' || changes() || '}' || ? WHERE key = ?`
	noteChange = `UPDATE holdfast_idempotency SET results = results || '{"last_insert_id":0,"rows_affected":' || changes() || '}' || ? WHERE key = ?`
	noteSchema = `UPDATE holdfast_idempotency SET results = results || '{"last_insert_id":0,"rows_affected":0}' || ? WHERE key = ?`
	noteNone   = `UPDATE holdfast_idempotency SET results = '[]' WHERE key = ?`
)

// prelude goes before a group that has keys. It changes nothing where the table is there.
const preludeLength = 2

var prelude = func() []byte {
	b, _ := wire.AppendRaw(nil, createKeys) // constant texts don't fail
	b, _ = wire.AppendRaw(append(b, ','), indexKeys)
	return b
}()

// digest is that of the file, so that keys move with the database.
func digest(work []task) []byte {
	d := session.NewDigest()
	for _, t := range work {
		d.Add(t.text, t.args, t.expect, t.guarded)
	}
	return d.Sum()
}

// keyKnown tells whether a unit was rejected because its key is there already. Every keyed unit
// begins with it.
func keyKnown(r reply) bool {
	return r.verdict == rejected && r.failed == 0 && strings.HasPrefix(r.text, "UNIQUE constraint failed: holdfast_idempotency.key")
}

// recall returns what a key stands for. Nothing is found if it has expired since.
func (c *client) recall(ctx context.Context, key string, of []byte) (results []holdfast.Result, found bool, err error) {
	body, err := wire.AppendRaw([]byte{'['}, selectKey, key)
	if err != nil {
		return nil, false, err
	}
	r := c.read(ctx, append(body, ']'), holdfast.ReadLinearizable, 0)
	if r.verdict != acknowledged {
		return nil, false, c.failed(ctx, call{op: "batch"}, r)
	}
	if len(r.results[0].Values) == 0 {
		return nil, false, nil
	}
	row, types := r.results[0].Values[0], r.results[0].Types
	if len(row) != 2 {
		return nil, false, c.failed(ctx, call{op: "batch"}, reply{failed: -1, text: "the table holdfast_idempotency is not what it was"})
	}
	stored, err := wire.Value(row[0], types[0])
	if err != nil {
		return nil, false, err
	}
	if blob, _ := stored.([]byte); string(blob) != string(of) {
		return nil, true, holdfast.NewError(holdfast.Failure{
			Kind: holdfast.ErrKeyReused, Code: codeMisuse, Op: "batch",
			Text: "this idempotency key was used before, for other statements", Next: "use a new key for a new write",
		})
	}
	text, err := wire.Value(row[1], types[1])
	if err != nil {
		return nil, false, err
	}
	list, _ := text.(string)
	if err := json.Unmarshal([]byte(list), &results); err != nil {
		return nil, false, c.failed(ctx, call{op: "batch"}, reply{failed: -1, text: "the results that were kept for this key can't be read"})
	}
	return results, true, nil
}

// appendKey begins a keyed unit.
func (u *unit) appendKey(key string, digest []byte, keep time.Duration, now time.Time) error {
	if err := u.append(insertKey, key, digest, now.UnixNano()); err != nil {
		return err
	}
	if keep <= 0 {
		return nil
	}
	return u.append(expireKeys, now.Add(-keep).UnixNano())
}

// append adds a statement of this library's own.
func (u *unit) append(sql string, values ...driver.Value) (err error) {
	if u.n > 0 {
		u.body = append(u.body, ',')
	}
	u.n++
	u.body, err = wire.AppendRaw(u.body, sql, values...)
	return err
}

// namedValues gives arguments the types that a driver takes, as database/sql does.
func namedValues(args []any) ([]driver.NamedValue, error) {
	out := make([]driver.NamedValue, len(args))
	for i, a := range args {
		var err error
		if out[i], err = session.NamedValue(i+1, a); err != nil {
			return nil, fmt.Errorf("%w: argument %d has type %T, which SQLite can't store", wire.ErrValue, i+1, a)
		}
	}
	return out, nil
}
