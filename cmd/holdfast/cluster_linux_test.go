package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
)

// clusterRun runs the command, which has to end with that exit code, and returns what it says.
func clusterRun(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var errs strings.Builder
	cmd := exec.CommandContext(t.Context(), "holdfast", args...)
	cmd.Stderr = &errs
	out, _ := cmd.Output()
	if code := cmd.ProcessState.ExitCode(); code != want {
		t.Errorf("%q: exit code %d, not %d: %s%s", args, code, want, out, &errs)
	}
	return string(out), errs.String()
}

func has(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %s", want, text)
		}
	}
}

// The verbs of cluster against a daemon, which speaks as a node does but for /db/load and /db/backup.
func TestCluster(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdef"
	url, stop := daemonOf(t, filepath.Join(t.TempDir(), "app.db"), "HOLDFAST_WRITE_TOKEN="+token)
	dir := t.TempDir()
	password, file := filepath.Join(dir, "password"), filepath.Join(dir, "own.db")
	if err := os.WriteFile(password, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := "rqlite://anybody@" + strings.TrimPrefix(url, "http://") + "?password_file=" + password
	out, _ := clusterRun(t, 0, "cluster", "status", address)
	has(t, out, "leader", "entries behind", url)
	out, _ = clusterRun(t, 0, "cluster", "status", address, "--json")
	var status clusterAnswer
	if err := json.Unmarshal([]byte(out), &status); err != nil || status.Schema != "holdfast.cluster.status/v1" || status.Leader == "" || len(status.Nodes) != 1 || !status.Nodes[0].Leader || status.At.IsZero() {
		t.Errorf("%+v (%v)", status, err)
	}
	out, _ = clusterRun(t, 0, "cluster", "health", address)
	has(t, out, "ok: rqlite://127.0.0.1:")
	out, _ = clusterRun(t, 0, "cluster", "health", address, "--json")
	has(t, out, `"holdfast.cluster.health/v1"`, `"status":"ok"`)
	for _, args := range [][]string{{"status", "app.db"}, {"health", "app.db"}, {"backup", "app.db", dir}, {"restore", dir, "app.db"}, {"import", "app.db", "other.db"}, {"import", address, address}, {"export", "app.db", "other.db"}, {"export", address, address}} {
		_, errs := clusterRun(t, exitcode.Usage, append([]string{"cluster"}, args...)...)
		if !strings.Contains(errs, "rqlite://HOST:4001") && !strings.Contains(errs, "moves the other way") || strings.Contains(errs, token) {
			t.Errorf("%q: %s", args, errs)
		}
	}
	clusterRun(t, 0, "exec", file, "CREATE TABLE a(x)")
	if err := stop(); err != nil {
		t.Error(err)
	}
	out, _ = clusterRun(t, exitcode.Unavailable, "cluster", "status", address)
	has(t, out, "no: ")
	clusterRun(t, 2, "cluster", "health", address)
	_, errs := clusterRun(t, exitcode.Missing, "cluster", "import", filepath.Join(dir, "none.db"), address)
	has(t, errs, "none.db")
}

// A file that somebody has open is not imported: what he writes would be missing.
func TestClusterImportOfAFileInUse(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "own.db")
	_, stop := daemonOf(t, file)
	_, errs := clusterRun(t, exitcode.Busy, "cluster", "import", file, "rqlite://127.0.0.1:1")
	has(t, errs, "is open in holdfast (pid ", "stop that first")
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// There and back on the real engine, if there is one.
func TestClusterOfTheRealEngine(t *testing.T) {
	t.Parallel()
	bin := os.Getenv("RQLITED_BIN")
	if bin == "" {
		bin, _ = exec.LookPath("rqlited")
	}
	if bin == "" {
		t.Skip("SKIPPED: no real cluster: rqlited is not on PATH, and RQLITED_BIN names none")
	}
	address, dir := "rqlite://"+startNode(t, bin), t.TempDir()
	file, back := filepath.Join(dir, "own.db"), filepath.Join(dir, "back.db")
	clusterRun(t, 0, "exec", file, "CREATE TABLE a(x, y BLOB); INSERT INTO a VALUES (1, NULL), (1.0, x'00ff'), ('1', 'z')")
	out, errs := clusterRun(t, 0, "cluster", "import", file, address)
	has(t, out, "3 rows in 1 tables, all with equal hashes")
	has(t, errs, "holdfast: copy\nholdfast: load\nholdfast: hash the cluster\nholdfast: hash the file\n")
	_, errs = clusterRun(t, exitcode.Usage, "cluster", "import", file, address)
	has(t, errs, "is not empty: it has a")
	out, errs = clusterRun(t, 0, "cluster", "import", file, address, "--replace", "--json")
	if errs != "" {
		t.Error(errs)
	}
	has(t, out, `"holdfast.cluster.import/v1"`, `"equal":true`, `"rows":3`, `"differences":[]`)
	out, _ = clusterRun(t, 0, "cluster", "export", address, back, "--json")
	has(t, out, `"holdfast.cluster.export/v1"`, `"equal":true`)
	_, errs = clusterRun(t, exitcode.CantCreate, "cluster", "export", address, back)
	has(t, errs, "name a file that is not there")
	out, _ = clusterRun(t, 0, "cluster", "backup", address, dir+"/", "--json")
	has(t, out, `"holdfast.cluster.backup/v1"`, `"verified":true`)
	var made struct{ Destination string }
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatal(err)
	}
	out, _ = clusterRun(t, 0, "cluster", "restore", made.Destination, address, "--json")
	has(t, out, `"holdfast.cluster.restore/v1"`, `"verified":true`)
	out, _ = clusterRun(t, 0, "query", back, "SELECT typeof(x), typeof(y) FROM a ORDER BY rowid", "-o", "csv")
	has(t, out, "integer,null\nreal,blob\ntext,text\n")
}

// startNode runs one node until the end of the test.
func startNode(t *testing.T, bin string) (address string) {
	t.Helper()
	free := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}
	address = free()
	node := exec.Command(bin, "-fk", "-node-id", "1", "-http-addr", address, "-raft-addr", free(), t.TempDir())
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = node.Process.Kill()
		_ = node.Wait()
	})
	for end := time.Now().Add(time.Minute); ; {
		if resp, err := http.Get("http://" + address + "/readyz"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return address
			}
		}
		if time.Now().After(end) {
			t.Fatal("the node is not ready after a minute")
		}
		<-time.After(50 * time.Millisecond)
	}
}
