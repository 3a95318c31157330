package sqlite

import (
	"os"
	"path/filepath"
	"testing"
)

// A connection that is closed while another holds locks leaves its descriptor to
// the next one: there are as many as there were connections at once, and no more.
func TestClosedConnectionsLeaveDescriptorsToTheNext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	open := func() *Conn {
		c, err := Open(path, OpenReadWrite|OpenCreate)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Exec("PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS t(a); SELECT * FROM t"); err != nil {
			t.Fatal(err)
		}
		return c
	}
	descriptors := func() (n int) {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			if target, err := os.Readlink("/proc/self/fd/" + d.Name()); err == nil && target == path {
				n++
			}
		}
		return n
	}
	first := open()
	for round := range 5 {
		second, third := open(), open()
		for _, c := range []*Conn{second, third} {
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if n := descriptors(); n != 3 {
			t.Errorf("round %d: %d descriptors of the database, where three connections were the most at once", round, n)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if n := descriptors(); n != 0 {
		t.Errorf("%d descriptors after the last connection was closed", n)
	}
}
