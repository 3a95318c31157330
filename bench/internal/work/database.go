package work

import (
	"context"

	"gorm.io/gorm"
)

// Settings is how a contestant opens a database.
type Settings struct {
	Path        string `json:"path"`                // an existing file; see Template
	Synchronous string `json:"synchronous"`         // FULL or NORMAL
	Readers     int    `json:"readers"`             // connections for reading, where the set-up knows them
	CacheKiB    int    `json:"cache_kib,omitempty"` // of each connection; 0 for what the contestant has else
}

// Database is a database that a contestant has opened and proven with one
// statement. What it offers beyond Close are the interfaces below, each for the
// operations of its name. All methods are called by many goroutines at once.
type Database interface {
	Close() error
}

// Item is a row of the table item, as Template fills it.
type Item struct {
	Name  string
	Qty   int64
	Price float64
}

// Entry is a row of the table entry.
type Entry struct {
	Worker int
	Seq    int64
}

// Sum is what a scan of the table item adds up to, so that no column can be
// left unread.
type Sum struct {
	Rows, IDs, Qty, NameBytes int64
	Price                     float64
}

// Add counts one row.
func (s *Sum) Add(id int64, name string, qty int64, price float64) {
	s.Rows++
	s.IDs += id
	s.NameBytes += int64(len(name))
	s.Qty += qty
	s.Price += price
}

// AddBytes is Add for a name that stays where the engine has it.
func (s *Sum) AddBytes(id int64, name []byte, qty int64, price float64) {
	s.Rows++
	s.IDs += id
	s.NameBytes += int64(len(name))
	s.Qty += qty
	s.Price += price
}

// Getter reads one row by its key, from the text of the statement each time.
type Getter interface {
	Get(ctx context.Context, id int64) (Item, error)
}

// Preparer prepares that read once for all goroutines. done releases it.
type Preparer interface {
	Prepare(ctx context.Context) (get func(ctx context.Context, id int64) (Item, error), done func() error, err error)
}

// Scanner reads the whole table item.
type Scanner interface {
	Scan(ctx context.Context) (Sum, error)
}

// Inserter writes one row in the shortest way there is, in a transaction of
// its own, and returns when it is committed.
type Inserter interface {
	Insert(ctx context.Context, e Entry) error
}

// TxInserter does that in an explicit transaction.
type TxInserter interface {
	InsertTx(ctx context.Context, e Entry) error
}

// Incrementer reads a counter and writes it back plus one, in one transaction.
type Incrementer interface {
	Increment(ctx context.Context, id int64) error
}

// Bulker writes n rows of one worker in one transaction, seq from first on.
type Bulker interface {
	Bulk(ctx context.Context, worker int, first, n int64) error
}

// Leaser borrows a connection, or what stands for one, and gives it back.
type Leaser interface {
	Lease(ctx context.Context) error
}

// Mapped is a database that GORM can be put on.
type Mapped interface {
	ConnPool() gorm.ConnPool
}

// Retrier counts the conflicts that it got over by itself.
type Retrier interface {
	Retries() int64
}
