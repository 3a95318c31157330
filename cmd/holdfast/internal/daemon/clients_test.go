package daemon

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rqlite/gorqlite"
)

// The token of a daemon whose clients are others' programs.
const clientsToken = "0123456789abcdef"

func forClients(t *testing.T) *running {
	d := start(t, one, map[string]string{"HOLDFAST_WRITE_TOKEN": clientsToken})
	d.token = clientsToken
	return d
}

// rqlite's client in Go finds the leader, and does what its documentation shows.
func TestGorqlite(t *testing.T) {
	d := forClients(t)
	d.write("/db/execute", "CREATE TABLE foo (id INTEGER PRIMARY KEY, name TEXT, at DATETIME, data BLOB)")
	conn, err := gorqlite.OpenWithClient("http://anybody:"+clientsToken+"@"+d.Addr().String(), d.client)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if leader, err := conn.Leader(); err != nil || leader != d.Addr().String() {
		t.Errorf("leader %s, %v", leader, err)
	}
	if peers, err := conn.Peers(); err != nil || len(peers) == 0 {
		t.Errorf("peers %v, %v", peers, err)
	}
	for _, level := range []string{"none", "weak", "linearizable", "strong"} {
		if err := conn.SetConsistencyLevel(must(gorqlite.ParseConsistencyLevel(level))); err != nil {
			t.Errorf("%s: %v", level, err)
		}
		if _, err := conn.QueryOne("SELECT 1"); err != nil {
			t.Errorf("%s: %v", level, err)
		}
	}
	one, err := conn.WriteOne("INSERT INTO foo(name) VALUES('fiona')")
	if err != nil || one.LastInsertID != 1 || one.RowsAffected != 1 || one.Timing <= 0 {
		t.Errorf("%+v, %v", one, err)
	}
	many, err := conn.WriteParameterized([]gorqlite.ParameterizedStatement{
		{Query: "INSERT INTO foo(name, at) VALUES(?, ?)", Arguments: []any{"sinead", "2026-11-27 10:00:00"}},
		{Query: "INSERT INTO foo(name) VALUES(?)", Arguments: []any{"declan"}},
	})
	if err != nil || len(many) != 2 || many[1].LastInsertID != 3 {
		t.Errorf("%+v, %v", many, err)
	}
	rows, err := conn.QueryOneParameterized(gorqlite.ParameterizedStatement{Query: "SELECT id, name, at FROM foo WHERE id < ? ORDER BY id", Arguments: []any{3}})
	if err != nil || rows.NumRows() != 2 {
		t.Fatalf("%d rows, %v", rows.NumRows(), err)
	}
	for rows.Next() {
		var id int64
		var name string
		var at gorqlite.NullTime
		if err := rows.Scan(&id, &name, &at); err != nil {
			t.Fatal(err)
		}
		if id == 2 && (name != "sinead" || !at.Valid || !at.Time.Equal(time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC))) {
			t.Errorf("%d %s %+v", id, name, at)
		}
	}
	if got := rows.Types(); strings.Join(got, ",") != "integer,text,datetime" {
		t.Errorf("types %v", got)
	}
	either, err := conn.RequestParameterized([]gorqlite.ParameterizedStatement{
		{Query: "UPDATE foo SET name = ? WHERE id = 1", Arguments: []any{"justin"}},
		{Query: "SELECT name FROM foo WHERE id = 1"},
	})
	if err != nil || len(either) != 2 || either[0].Write == nil || either[0].Write.RowsAffected != 1 || either[1].Query == nil || either[1].Query.NumRows() != 1 {
		t.Errorf("%+v, %v", either, err)
	}
	if seq, err := conn.QueueOne("INSERT INTO foo(name) VALUES('queued')"); err != nil || seq == 0 {
		t.Errorf("sequence number %d, %v", seq, err)
	}
	if _, err := conn.WriteOne("INSERT INTO foo(id) VALUES(1)"); err == nil || !strings.Contains(err.Error(), "UNIQUE") {
		t.Errorf("a constraint: %v", err)
	}
	if _, err := conn.QueryOne("SELECT nothing FROM foo"); err == nil {
		t.Error("a column that isn't there")
	}
	if err := conn.SetExecutionWithTransaction(true); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]string{"INSERT INTO foo(name) VALUES('x')", "INSERT INTO bar(name) VALUES('y')"}); err == nil {
		t.Error("a transaction that fails has no error")
	}
	d.want(200, "[[4]]", "POST", "/db/query", `["SELECT count(*) FROM foo"]`)
	if c, err := gorqlite.OpenWithClient("http://anybody:wrong@"+d.Addr().String(), d.client); err == nil {
		c.Close()
		t.Error("a wrong token opens")
	}
}

// rqlite's client in JavaScript does the same, where Node is, and npm can fetch it.
func TestRqliteJS(t *testing.T) {
	if testing.Short() {
		t.Skip("it fetches a package")
	}
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("there is no %s here", program)
		}
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "rqlite-js"))); err != nil {
		t.Fatal(err)
	}
	fetching, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	npm := exec.CommandContext(fetching, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	npm.Dir, npm.WaitDelay = dir, 5*time.Second
	if out, err := npm.CombinedOutput(); err != nil {
		t.Skipf("npm can't fetch it: %v\n%s", err, out)
	}
	d := forClients(t)
	node := exec.CommandContext(t.Context(), "node", "basic.js", d.URL(), clientsToken)
	node.Dir = dir
	if out, err := node.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "ok" {
		t.Errorf("%v\n%s", err, out)
	}
}
