package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
)

// child is a daemon in a process of its own, as the command runs it: it tells its address,
// and ends by a signal.
func child(config string) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	o := options(config, nil, os.Stderr)
	o.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	d, err := Start(ctx, o)
	if err == nil {
		fmt.Println(d.URL())
		err = d.Run(ctx, Notifier{}, nil)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// SIGTERM under load: whatever was acknowledged is there, and nothing is there that nobody
// tried. The ledger is in this process.
func TestStopUnderLoad(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGTERM")
	}
	dir := t.TempDir()
	config := configure(t, dir, one)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HOLDFAST_TEST_DAEMON="+config)
	cmd.Stderr = t.Output()
	out := must(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url = strings.TrimSpace(url)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	post := func(body string) (answered bool) {
		resp, err := client.Post(url+"/db/execute", "application/json", strings.NewReader(body))
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var answer struct{ Results []struct{ Error string } }
		return resp.StatusCode == http.StatusOK && json.NewDecoder(resp.Body).Decode(&answer) == nil && len(answer.Results) == 1 && answer.Results[0].Error == ""
	}
	if !post(`["CREATE TABLE t(id INTEGER PRIMARY KEY)"]`) {
		t.Fatal("the table was not made")
	}
	const workers, enough = 16, 400
	ledgers := make([][]int, workers)
	var acknowledged atomic.Int64
	full := make(chan struct{})
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := 0; post(fmt.Sprintf(`[["INSERT INTO t VALUES(?)", %d]]`, w*1_000_000+i)); i++ {
				ledgers[w] = append(ledgers[w], w*1_000_000+i)
				if acknowledged.Add(1) == enough {
					close(full)
				}
			}
		})
	}
	<-full
	begin := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	took := time.Since(begin)
	all.Wait()
	if err != nil {
		t.Errorf("it ended with %v", err)
	}
	t.Logf("%d writes were acknowledged; the exit took %s", acknowledged.Load(), took.Round(time.Millisecond))
	if limit := 5 * time.Second; took > limit {
		t.Errorf("the exit took %s, more than %s", took, limit)
	}
	whole(t, dir)
	db := must(holdfast.Open(context.Background(), filepath.Join(dir, "app.db")))
	defer db.Close()
	for w, ledger := range ledgers {
		var n int
		if err := db.QueryRow("SELECT count(*) FROM t WHERE id BETWEEN ? AND ?", w*1_000_000, w*1_000_000+len(ledger)-1).Scan(&n); err != nil || n != len(ledger) {
			t.Errorf("worker %d: %d rows of %d that were acknowledged, %v", w, n, len(ledger), err)
		}
		// The last one may have been committed, its answer lost.
		if err := db.QueryRow("SELECT count(*) FROM t WHERE id BETWEEN ? AND ?", w*1_000_000, w*1_000_000+999_999).Scan(&n); err != nil || n > len(ledger)+1 {
			t.Errorf("worker %d: %d rows of %d that were sent, %v", w, n, len(ledger)+1, err)
		}
	}
}

// A request that lasts is given drain_timeout, and then an answer that says why it ended.
func TestStopEndsWhatLasts(t *testing.T) {
	d := start(t, `{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0", "drain_timeout": "50ms"}}`, nil)
	d.write("/db/execute", "CREATE TABLE t(a)")
	ended := make(chan string, 1)
	go func() {
		resp, err := d.client.Post(d.URL()+"/db/query", "application/json",
			strings.NewReader(`["WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"]`))
		if err != nil {
			ended <- err.Error()
			return
		}
		defer resp.Body.Close()
		ended <- resp.Status
	}()
	for d.underWay.Load() == 0 {
		runtime.Gosched()
	}
	if err := d.stop(); err != nil {
		t.Error(err)
	}
	<-ended // with an answer, or cut: both are an end
	if !strings.Contains(d.log.String(), "requests were ended") {
		t.Error("the log does not say so")
	}
}

func TestStopLetsFinish(t *testing.T) {
	d := start(t, `{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0", "drain_timeout": "5m"}}`, nil)
	d.write("/db/execute", "CREATE TABLE t(a)")
	// The write waits for this transaction, and its client for the answer.
	held, release, begun := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	main, done, _ := d.databases.find("main")
	go func() {
		tx, err := main.DB.BeginTx(context.Background(), nil)
		if err != nil {
			begun <- err
			close(held)
			return
		}
		close(held)
		<-release
		begun <- tx.Rollback()
	}()
	<-held
	answered := make(chan string, 1)
	go func() {
		_, text := d.do("POST", "/db/execute", `["INSERT INTO t VALUES(1)"]`)
		answered <- text
	}()
	for main.DB.Stats().Writer.Queued == 0 {
		runtime.Gosched()
	}
	stopped := make(chan error, 1)
	go func() { stopped <- d.stop() }()
	<-d.stopping
	close(release)
	if err := <-begun; err != nil {
		t.Fatal(err)
	}
	done()
	if text := <-answered; text != `{"results":[{"last_insert_id":1,"rows_affected":1}]}` {
		t.Errorf("the write that was under way: %s", text)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
