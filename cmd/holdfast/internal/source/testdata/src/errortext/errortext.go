package errortext

import (
	"database/sql"
	"errors"
	"strings"
)

var errRetry = errors.New("database is locked")

func sick(db *sql.DB) bool {
	_, err := db.Exec("DELETE FROM t")
	if strings.Contains(err.Error(), "database is locked") { // want `strings\.Contains\(err\.Error\(\), "database is locked"\)`
		return true
	}
	if strings.Contains(strings.ToLower(err.Error()), "unique constraint") { // want `strings\.Contains`
		return true
	}
	text := err.Error()
	if strings.HasPrefix(text, "SQLITE_BUSY") { // want `strings\.HasPrefix`
		return true
	}
	return err.Error() == "UNIQUE constraint failed: t.a" // want `err\.Error\(\) ==`
}

func healthy(err error, note string) bool {
	return errors.Is(err, errRetry) ||
		strings.Contains(note, "locked") ||
		strings.Contains(err.Error(), "no such table") || // has no code of its own
		strings.Contains(err.Error(), "blocked")
}
