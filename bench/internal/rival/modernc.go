package rival

import (
	"database/sql"
	"fmt"
	"net/url"

	"github.com/holdfastdb/holdfast/bench/internal/work"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

func moderncs() []Contestant {
	return inSetups("modernc", "modernc.org/sqlite", openModernc, nil)
}

func openModernc(s work.Settings, u setup, readOnly bool) (*sql.DB, error) {
	if !u.tuned && s.Synchronous == "FULL" {
		// It is so already, and without a timeout the pragma itself finds locks.
		return sql.Open("sqlite", work.FileURI(s.Path, nil))
	}
	return sql.Open("sqlite", work.FileURI(s.Path, pragmas(s, u, readOnly)))
}

// pragmas are the parameters of a name for drivers that run what is in _pragma
// on each new connection. busy_timeout must come first: the others may find a
// lock.
func pragmas(s work.Settings, u setup, readOnly bool) url.Values {
	var list []string
	if u.tuned {
		list = append(list, fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()))
		if !readOnly {
			list = append(list, "journal_mode(WAL)")
		}
		list = append(list, fmt.Sprintf("cache_size(-%d)", cacheOf(s)))
	}
	list = append(list, "synchronous("+s.Synchronous+")")
	if readOnly {
		list = append(list, "query_only(1)")
	}
	query := url.Values{"_pragma": list}
	if u.immediate {
		query.Set("_txlock", "immediate")
	}
	return query
}
