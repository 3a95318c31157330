package rival

import (
	"database/sql"

	_ "github.com/holdfastdb/holdfast/bench/internal/unregister" // or it takes the name of mattn's
	"github.com/holdfastdb/holdfast/bench/internal/work"
	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
)

func ncruceses() []Contestant {
	return inSetups("ncruces", "github.com/ncruces/go-sqlite3", openNcruces, nil)
}

func openNcruces(s work.Settings, u setup, readOnly bool) (*sql.DB, error) {
	if !u.tuned {
		// A _pragma would take the timeout away that the driver sets by itself.
		return driver.Open(work.FileURI(s.Path, nil), func(c *sqlite3.Conn) error {
			return c.Exec("PRAGMA synchronous = " + s.Synchronous)
		})
	}
	connector, err := (&driver.SQLite{}).OpenConnector(work.FileURI(s.Path, pragmas(s, u, readOnly)))
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}
