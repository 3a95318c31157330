package dash_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/dash"
)

// The pages are mounted in a program's own server. This machine is answered, and nobody else.
func ExampleHandler() {
	dir, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(dir)
	db, err := holdfast.Open(context.Background(), filepath.Join(dir, "shop.db"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()

	pages := dash.Handler(db)
	mux := http.NewServeMux()
	mux.Handle("/debug/holdfast/", http.StripPrefix("/debug/holdfast", pages))
	server := httptest.NewServer(mux)
	defer server.Close()
	defer pages.Close() // ends the streams of open pages

	answer, err := http.Get(server.URL + "/debug/holdfast/queries?format=json")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer answer.Body.Close()
	fmt.Println(answer.Status, answer.Header.Get("Content-Type"))
	// Output: 200 OK application/json
}

// Others than this machine are answered if the program says who they are; with that it may also offer
// buttons.
func ExampleWithAuth() {
	var db *holdfast.DB // of holdfast.Open
	pages := dash.Handler(db,
		dash.WithAuth(func(r *http.Request) error {
			if user, password, _ := r.BasicAuth(); user != "operator" || password != os.Getenv("DASH_PASSWORD") {
				return errors.New("sign in as operator")
			}
			return nil
		}),
		dash.WithHosts("db.example.org"),
		dash.WithActions(true), dash.WithBackups("/var/backups/shop"), dash.WithLogger(slog.Default()),
	)
	_ = pages.Close()
}
