package interop

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/alexedwards/scs/sqlite3store"
	"github.com/alexedwards/scs/v2"
)

func openSCS(t *testing.T, cleanUp time.Duration) (*sql.DB, *sqlite3store.SQLite3Store) {
	t.Helper()
	db := open(t)
	_, err := db.ExecContext(t.Context(), `
		CREATE TABLE sessions (token TEXT PRIMARY KEY, data BLOB NOT NULL, expiry REAL NOT NULL);
		CREATE INDEX sessions_expiry_idx ON sessions(expiry);`)
	must(t, err)
	store := sqlite3store.NewWithCleanupInterval(db, cleanUp)
	t.Cleanup(store.StopCleanup)
	return db, store
}

func TestSCS(t *testing.T) {
	t.Parallel()
	t.Run("Store", testSCSStore)
	t.Run("Cleanup", testSCSCleanup)
	t.Run("Requests", testSCSRequests)
	t.Run("Contention", testSCSContention)
}

func testSCSStore(t *testing.T) {
	t.Parallel()
	_, store := openSCS(t, 0)
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Second)
	must(t, store.Commit("a", []byte("first"), soon))
	must(t, store.Commit("a", []byte("\x00second\xff"), soon.In(zonedMoment.Location())))
	must(t, store.Commit("b", []byte{}, soon))
	must(t, store.Commit("expired", []byte("x"), past))

	data, found, err := store.Find("a")
	must(t, err)
	equal(t, "session a", []any{found, string(data)}, []any{true, "\x00second\xff"})
	for _, token := range []string{"expired", "never was"} {
		_, found, err = store.Find(token)
		must(t, err)
		equal(t, token+" found", found, false)
	}
	all, err := store.All()
	must(t, err)
	equal(t, "sessions", len(all), 2)
	must(t, store.Delete("a"))
	must(t, store.Delete("a"))
	_, found, err = store.Find("a")
	must(t, err)
	equal(t, "a found after Delete", found, false)
}

// testSCSCleanup lets the store's own goroutine delete what expired, while
// sessions are written all the time.
func testSCSCleanup(t *testing.T) {
	t.Parallel()
	db, store := openSCS(t, time.Millisecond)
	gone := func() bool { return column(t, db, "SELECT count(*) FROM sessions WHERE token LIKE 'old%'") == "0" }
	for i := range 100 {
		must(t, store.Commit("old"+strconv.Itoa(i), []byte("x"), time.Now().Add(-time.Minute)))
		must(t, store.Commit("new", []byte("x"), time.Now().Add(time.Hour)))
	}
	for deadline := time.Now().Add(time.Minute); !gone(); {
		if time.Now().After(deadline) {
			t.Fatal("expired sessions are still there after a minute")
		}
	}
	_, found, err := store.Find("new")
	must(t, err)
	equal(t, "live session found", found, true)
}

func testSCSRequests(t *testing.T) {
	t.Parallel()
	_, store := openSCS(t, 0)
	manager := scs.New()
	manager.Store = store
	mux := http.NewServeMux()
	mux.HandleFunc("/visit", func(w http.ResponseWriter, r *http.Request) {
		n := manager.GetInt(r.Context(), "visits") + 1
		manager.Put(r.Context(), "visits", n)
		_, _ = fmt.Fprint(w, n)
	})
	mux.HandleFunc("/leave", func(_ http.ResponseWriter, r *http.Request) { must(t, manager.Destroy(r.Context())) })
	server := httptest.NewServer(manager.LoadAndSave(mux))
	defer server.Close()

	jar, err := cookiejar.New(nil)
	must(t, err)
	browser := &http.Client{Jar: jar}
	defer browser.CloseIdleConnections()
	get := func(path string) string {
		res, err := browser.Get(server.URL + path)
		must(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		must(t, err)
		return string(body)
	}
	equal(t, "visits", get("/visit")+get("/visit")+get("/visit"), "123")
	get("/leave")
	equal(t, "visits of a new session", get("/visit"), "1")
}

func testSCSContention(t *testing.T) {
	t.Parallel()
	db, store := openSCS(t, time.Millisecond)
	acknowledged := rush(t, func(_ context.Context, worker, turn int) error {
		name := token(worker, turn)
		if _, found, err := store.Find(name); err != nil || found {
			return fmt.Errorf("before it was committed: found %t: %w", found, err)
		}
		if err := store.Commit(name, []byte(name), time.Now().Add(time.Hour)); err != nil {
			return err
		}
		data, found, err := store.Find(name)
		if err != nil || !found || string(data) != name {
			return fmt.Errorf("its own session: found %t, %q: %w", found, data, err)
		}
		return nil
	})
	equal(t, "acknowledged sessions", acknowledged, contenders*turns)
	equal(t, "sessions", column(t, db, "SELECT count(*) FROM sessions"), strconv.Itoa(acknowledged))
}
