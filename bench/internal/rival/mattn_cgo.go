//go:build cgo

package rival

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"

	"github.com/holdfastdb/holdfast/bench/internal/work"
	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"
)

var mattnMissing func(context.Context) string

func openMattn(s work.Settings, u setup, readOnly bool) (*sql.DB, error) {
	query := url.Values{"_synchronous": {s.Synchronous}}
	if u.tuned {
		query.Set("_busy_timeout", fmt.Sprint(busyTimeout.Milliseconds()))
		query.Set("_cache_size", fmt.Sprint(-cacheOf(s)))
		if !readOnly {
			query.Set("_journal_mode", "WAL")
		}
	}
	if u.immediate {
		query.Set("_txlock", "immediate")
	}
	if readOnly {
		query.Set("_query_only", "1")
	}
	return sql.Open("sqlite3", work.FileURI(s.Path, query))
}
