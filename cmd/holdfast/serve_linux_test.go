package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
)

// daemonOf runs "holdfast serve" for a database until the end of the test, and returns its
// URL. The settings are "key=value", and those in upper case variables of the environment.
func daemonOf(t *testing.T, database string, settings ...string) (url string, stop func() error) {
	t.Helper()
	cmd := exec.Command("holdfast", "serve", "--json", "--set", "database.path="+database, "--set", "serve.listen=127.0.0.1:0")
	cmd.Env = os.Environ()
	for _, s := range settings {
		if strings.HasPrefix(s, "HOLDFAST_") {
			cmd.Env = append(cmd.Env, s)
		} else {
			cmd.Args = append(cmd.Args, "--set", s)
		}
	}
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // if it still is there
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct{ Msg, URL string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "holdfast: serving" {
			rest := make(chan struct{})
			go func() { defer close(rest); _, _ = io.Copy(io.Discard, log) }()
			return line.URL, func() error {
				if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
					return err
				}
				<-rest
				return cmd.Wait()
			}
		}
	}
	t.Fatalf("the daemon did not start: %v", cmd.Wait())
	return "", nil
}

func TestAskADaemon(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "app.db")
	url, stop := daemonOf(t, database, "HOLDFAST_WRITE_TOKEN=0123456789abcdef")
	ask := func(token string, args ...string) (out string, code int) {
		cmd := exec.Command("holdfast", args...)
		cmd.Env = append(os.Environ(), "HOLDFAST_TOKEN="+token)
		text, err := cmd.Output()
		if exit, ok := err.(*exec.ExitError); ok {
			return string(exit.Stderr), exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		return string(text), 0
	}
	if out, code := ask("", "health", url); code != exitcode.Permission || !strings.Contains(out, "HOLDFAST_TOKEN") {
		t.Errorf("without a token: %d %s", code, out)
	}
	if out, code := ask("0123456789abcdef", "health", url); code != 0 || !strings.Contains(out, "ok: "+database) {
		t.Errorf("health: %d %s", code, out)
	}
	if out, code := ask("0123456789abcdef", "health", url+"/databases/main", "--json"); code != 0 || !strings.Contains(out, `"database_accessible":true`) {
		t.Errorf("health of a name: %d %s", code, out)
	}
	if out, code := ask("0123456789abcdef", "health", url+"/databases/other"); code != exitcode.Missing {
		t.Errorf("health of another name: %d %s", code, out)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/db/query", strings.NewReader(`["SELECT 41 + 1"]`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer 0123456789abcdef")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if out, code := ask("0123456789abcdef", "queries", url, "--json"); code != 0 || !strings.Contains(out, `"statement":"SELECT ? + ?"`) {
		t.Errorf("queries: %d %s", code, out)
	}
	if out, code := ask("0123456789abcdef", "queries", url, "--reset"); code != 0 || !strings.Contains(out, "begin anew") {
		t.Errorf("queries --reset: %d %s", code, out)
	}
	if out, code := ask("0123456789abcdef", "queries", url, "--json"); code != 0 || strings.Contains(out, `"statement":"SELECT ? + ?"`) {
		t.Errorf("queries afterwards: %d %s", code, out)
	}
	if out, code := ask("x", "health", strings.Replace(url, "http://", "http://user:secret@", 1)); code != exitcode.Usage || strings.Contains(out, "secret") {
		t.Errorf("a password in the URL: %d %s", code, out)
	}
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if out, code := ask("x", "health", url); code != exitcode.Unavailable {
		t.Errorf("nobody there: %d %s", code, out)
	}
}

// What was acknowledged over HTTP is at the target of the replication when the daemon has
// ended, and is restored from there.
func TestADaemonReplicates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target, restored := filepath.Join(dir, "replica"), filepath.Join(dir, "restored.db")
	url, stop := daemonOf(t, filepath.Join(dir, "app.db"), "replication.target="+target)
	for _, sql := range []string{"CREATE TABLE t(a)", "INSERT INTO t VALUES (41), (42)"} {
		body, _ := json.Marshal([]string{sql})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/db/execute", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || strings.Contains(string(text), "error") {
			t.Fatalf("%s: %s, %v", sql, text, err)
		}
	}
	if err := stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	if out, err := exec.Command("holdfast", "restore", target, restored).CombinedOutput(); err != nil {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	out, err := exec.Command("holdfast", "query", restored, "SELECT sum(a), (SELECT integrity_check FROM pragma_integrity_check) FROM t", "-o", "csv").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "83,ok") {
		t.Errorf("%s, %v", out, err)
	}
}
