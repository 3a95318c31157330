package session

import (
	"crypto/sha256"
	"database/sql/driver"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/writer/keys"
)

// ErrKeyReused is a batch whose key is on record for other statements.
var ErrKeyReused = errors.New("this idempotency key was used before, for other statements")

// Keyed surrounds a batch with the look-up and the record of its key. It is nil where
// there is none.
type Keyed struct {
	key      string
	keep     time.Duration
	digest   []byte
	stored   []Result
	repeated bool
}

// Once has b, which has all its statements, happen once for a key, which is on record for
// keep (0: for ever). The empty key is none.
func (b *Batch) Once(key string, keep time.Duration) *Keyed {
	if key == "" {
		return nil
	}
	return &Keyed{key: key, keep: keep, digest: digest(b.stmts)}
}

// Hooks are those of Run.
func (k *Keyed) Hooks() Hooks {
	if k == nil {
		return Hooks{}
	}
	return Hooks{
		Before: func(c *sqlite.Conn) (bool, error) {
			k.stored, k.repeated = nil, false
			return k.lookUp(c)
		},
		After: k.record,
	}
}

// Results are those of the batch: what Run has returned, or what is on record.
func (k *Keyed) Results(ran []Result) (results []Result, repeated bool) {
	if k != nil && k.repeated {
		return k.stored, true
	}
	return ran, false
}

func (k *Keyed) lookUp(c *sqlite.Conn) (done bool, err error) {
	row, found, err := keys.Find(c, k.key)
	if err != nil || !found {
		return false, err
	}
	if string(row.Digest) != string(k.digest) {
		return false, ErrKeyReused
	}
	if err := json.Unmarshal(row.Results, &k.stored); err != nil {
		return false, err
	}
	k.repeated = true
	return true, keys.Touch(c, k.key)
}

func (k *Keyed) record(c *sqlite.Conn, results []Result) error {
	text, err := json.Marshal(results)
	if err != nil {
		return err
	}
	return keys.Record(c, k.key, k.digest, text, k.keep)
}

func digest(stmts []Statement) []byte {
	d := NewDigest()
	for _, s := range stmts {
		d.Add(s.SQL, s.Args, s.Expect, s.Guarded)
	}
	return d.Sum()
}

// Digest identifies the statements of a batch, so that a key used for another one is
// noticed. Every back end makes it alike: keys move with the database.
type Digest struct{ of hash.Hash }

// NewDigest returns that of a batch without statements.
func NewDigest() Digest { return Digest{sha256.New()} }

// Add adds a statement. What it expects counts where it is guarded.
func (d Digest) Add(sql string, args []driver.NamedValue, expect int64, guarded bool) {
	d.part(sql)
	for _, a := range args {
		v := a.Value
		if at, ok := v.(time.Time); ok { // not its monotonic clock, which a program that was started again has lost
			v = FormatTime(at)
		}
		d.part(fmt.Sprintf("%s %T %v", a.Name, a.Value, v))
	}
	if guarded {
		d.part(fmt.Sprintf("expect %d", expect))
	}
}

func (d Digest) part(s string) {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
	d.of.Write(n[:])
	d.of.Write([]byte(s))
}

// Sum returns it.
func (d Digest) Sum() []byte { return d.of.Sum(nil) }
