package openfile

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"

	"github.com/holdfastdb/holdfast"
)

const name = "data/app.db"

func literal(w io.Writer) {
	sql.Open("sqlite", "file:"+name+"?_pragma=busy_timeout(5000)")
	f, _ := os.Open("./data/app.db") // want `os\.Open\("\./data/app\.db"\)`
	io.Copy(w, f)
	os.ReadFile(name + "-shm") // want `os\.ReadFile`
	os.Stat(name)
	os.Open(name + ".bak")
}

func variable(ctx context.Context, path, dir, dsn string) {
	holdfast.Open(ctx, path)
	os.ReadFile(path) // want `os\.ReadFile\(path\)`
	os.ReadFile(path + ".json")
	sql.Open("sqlite3", dir+"/app.db")
	os.Open(dir)
	sql.Open("postgres", dsn)
	os.Open(dsn)
}

type settings struct{ database, log string }

func (s *settings) open() (*sql.DB, error) {
	return sql.Open("sqlite3", fmt.Sprintf("file:%s?mode=ro", s.database))
}

func (s *settings) backUp() {
	os.Open(s.database) // want `os\.Open\(s\.database\)`
	os.Open(s.log)
}

func severalFiles(path string) {
	os.ReadFile(path)
	path += ".db"
	sql.Open("sqlite", path)
}

func memory() {
	sql.Open("sqlite", ":memory:")
	os.Open(":memory:")
}
