package holdfast_test

import (
	"database/sql"
	"testing"

	"github.com/holdfastdb/holdfast"
)

// BenchmarkMigrateWithNothingToDo is what a migration costs at nearly every start.
func BenchmarkMigrateWithNothingToDo(b *testing.B) {
	db, err := holdfast.Open(b.Context(), b.TempDir()+"/app.db")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(family); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r, err := holdfast.Migrate(b.Context(), db, func(tool *sql.DB) error {
			var version int
			return tool.QueryRow("PRAGMA user_version").Scan(&version)
		})
		if err != nil || r.Changed {
			b.Fatal(r, err)
		}
	}
}
