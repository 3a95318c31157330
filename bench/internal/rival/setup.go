package rival

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfastdb/holdfast/bench/internal/work"
)

// setup is how a program configures a driver of database/sql.
type setup struct {
	name, title string
	tuned       bool // WAL, a busy_timeout and a cache; else the driver as it comes
	immediate   bool // transactions begin with BEGIN IMMEDIATE
	pools       bool // one connection to write, a pool to read
}

// setups are the usual ones, in the order in which people arrive at them.
var setups = []setup{
	{name: "default", title: "as it comes: rollback journal, the driver's own timeout, deferred transactions, default pool"},
	{name: "deferred", title: "WAL and busy_timeout, deferred transactions, default pool", tuned: true},
	{name: "naive", title: "WAL and busy_timeout, immediate transactions, default pool", tuned: true, immediate: true},
	{name: "pools", title: "WAL and busy_timeout, one connection that writes (immediate) and a pool of readers", tuned: true, immediate: true, pools: true},
}

// dialect opens a database with one driver. readOnly connections refuse to
// write.
type dialect func(s work.Settings, u setup, readOnly bool) (*sql.DB, error)

// inSetups makes a contestant of each set-up of a driver.
func inSetups(driver, title string, open dialect, missing func(context.Context) string) []Contestant {
	var all []Contestant
	for _, u := range setups {
		does := everything
		if u.pools { // others keep no more than two idle connections
			does = append(slices.Clone(does), work.Idle)
		}
		all = append(all, Contestant{
			Name:  driver + "-" + u.name,
			Title: fmt.Sprintf("%s, %s", title, u.title),
			Does:  does,
			Open: func(ctx context.Context, s work.Settings) (work.Database, error) {
				return u.open(ctx, s, open)
			},
			Missing: missing,
		})
	}
	return append(all, preparedReads(driver, title, open, missing))
}

// preparedReads is the naive set-up with its read prepared once, so that it can
// be compared with others' reads that are not.
func preparedReads(driver, title string, open dialect, missing func(context.Context) string) Contestant {
	naive := setups[slices.IndexFunc(setups, func(u setup) bool { return u.name == "naive" })]
	return Contestant{
		Name:  driver + "-prepared",
		Title: title + ", as naive, reading by a statement prepared once",
		Does:  []work.Operation{work.Get, work.AllocsGet},
		Open: func(ctx context.Context, s work.Settings) (work.Database, error) {
			db, err := open(s, naive, false)
			if err != nil {
				return nil, err
			}
			d := preparedDB{sqlDB: sqlDB{reader: db, writer: db}}
			if d.get, d.done, err = d.Prepare(ctx); err != nil {
				return nil, errors.Join(err, db.Close())
			}
			return d, nil
		},
		Missing: missing,
	}
}

type preparedDB struct {
	sqlDB
	get  func(context.Context, int64) (work.Item, error)
	done func() error
}

func (d preparedDB) Get(ctx context.Context, id int64) (work.Item, error) { return d.get(ctx, id) }

func (d preparedDB) Close() error { return errors.Join(d.done(), d.sqlDB.Close()) }

func (u setup) open(ctx context.Context, s work.Settings, open dialect) (work.Database, error) {
	writer, err := open(s, u, false)
	if err != nil {
		return nil, err
	}
	d := sqlDB{reader: writer, writer: writer}
	if u.pools {
		writer.SetMaxOpenConns(1)
		// The writer comes first: a reader can't make a database WAL.
		if err := writer.PingContext(ctx); err != nil {
			return nil, err
		}
		if d.reader, err = open(s, u, true); err != nil {
			return nil, err
		}
		d.reader.SetMaxOpenConns(s.Readers)
		d.reader.SetMaxIdleConns(s.Readers)
	}
	proven, err := d.prove(ctx)
	if err != nil {
		return nil, err
	}
	return proven, nil
}
