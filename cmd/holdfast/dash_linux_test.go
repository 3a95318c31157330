package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// TestDash shows a database that nobody has open and leaves it as it is, then what a
// program tells that opens it, and ends well when it is interrupted.
func TestDash(t *testing.T) {
	t.Parallel()
	path := checkedFile(t)
	if out, err := command(t, "exec", path, "CREATE TABLE orders(id INTEGER PRIMARY KEY)").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command("holdfast", "dash", path, "--listen", "127.0.0.1:0", "--title", "my shop", "--json")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill() // it has ended by then, unless the test fails
	var answer dashAnswer
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &answer)
	}
	if err != nil || answer.Schema != "holdfast.dash/v1" || answer.Database != path || !strings.HasPrefix(answer.URL, "http://127.0.0.1:") {
		t.Fatalf("%v: %s", err, line)
	}
	page := func(address string) string {
		t.Helper()
		response, err := http.Get(answer.URL + address)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v %s", address, response.StatusCode, err, text)
		}
		return string(text)
	}
	if text := page(""); !strings.Contains(text, "my shop") || !strings.Contains(text, "No program that runs Holdfast") {
		t.Error(text)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(path + suffix); err == nil {
			t.Errorf("looking has made %s%s", path, suffix)
		}
	}

	db, err := holdfast.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for range 3 {
		if _, err := db.Exec("INSERT INTO orders DEFAULT VALUES"); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.After(time.Minute)
	for text := ""; !strings.Contains(text, "INSERT INTO orders DEFAULT VALUES"); text = page("queries") {
		select {
		case <-deadline:
			t.Fatal(text)
		case <-time.After(20 * time.Millisecond): // its socket comes soon after Open
		}
	}
	if text := page(""); !strings.Contains(text, "Figures are those of") {
		t.Error(text)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v", err)
	}
}
