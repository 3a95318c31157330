package daemon

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/httpload"
)

var floodTokens = map[string]string{"HOLDFAST_READ_TOKEN": "0123456789abcdef-read", "HOLDFAST_WRITE_TOKEN": "0123456789abcdef-write"}

// Many slow clients, of each kind: every write is acknowledged meanwhile, and nothing of
// theirs gets in.
//
// With HOLDFAST_FLOOD it is that long a flood, and as long a time without one, in turns, with
// twice as many slow clients as there is room for; then the p99 of writes may be a fifth longer in the flood, by the median of the
// turns:
//
//	HOLDFAST_FLOOD=10m go test -timeout 0 -count 1 -run TestSlowClientFlood -v ./cmd/holdfast/internal/daemon
func TestSlowClientFlood(t *testing.T) {
	if long := os.Getenv("HOLDFAST_FLOOD"); long != "" {
		longFlood(t, must(time.ParseDuration(long)))
		return
	}
	d := startFlooded(t, `"max_requests": 8, `)
	clients := mostConnections(8) + 300
	flood := httpload.BeginFlood(t.Context(), d.Addr().String(), clients, 300*time.Millisecond, floodTokens["HOLDFAST_READ_TOKEN"])
	<-flood.Full
	report := must(httpload.Run(t.Context(), httpload.Load{
		Address: d.Addr().String(), Clients: 4, Writes: 50, Token: floodTokens["HOLDFAST_WRITE_TOKEN"],
	}))
	for range 10 { // each on a connection of its own, as newcomers
		d.client.CloseIdleConnections()
		d.write("/db/execute", "INSERT INTO bench_http(note) VALUES('new')")
	}
	made := flood.End()
	if report.Writes != 4*50 || report.Errors != 0 {
		t.Errorf("%d of %d writes were acknowledged; %d errors, the first: %s", report.Writes, 4*50, report.Errors, report.First)
	}
	if made <= int64(clients) {
		t.Errorf("%d clients made %d connections: nobody had to go", clients, made)
	}
	d.nothingGotIn(4*50 + 10)
}

// flooded is a daemon with the table of the load, and connections that are closed at the end.
type flooded struct {
	*running
	dialed []net.Conn
}

func (f *flooded) dial() net.Conn {
	conn := must(net.Dial("tcp", f.Addr().String()))
	f.t.Cleanup(func() { conn.Close() })
	f.dialed = append(f.dialed, conn)
	return conn
}

// answerOf is the first line of an answer, "" if none comes.
func answerOf(conn net.Conn) string {
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line)
}

func startFlooded(t *testing.T, limits string) *flooded {
	t.Helper()
	d := start(t, `{"database": {"path": "DIR/app.db"}, "alerts": {"enabled": false}, "serve": {`+limits+`"listen": "127.0.0.1:0"}}`, floodTokens)
	d.token = floodTokens["HOLDFAST_WRITE_TOKEN"]
	d.write("/db/execute", httpload.Table)
	return &flooded{running: d}
}

// nothingGotIn compares the rows with those that were acknowledged, and looks at what
// the daemon has counted.
func (f *flooded) nothingGotIn(acknowledged int64) {
	f.t.Helper()
	f.want(200, fmt.Sprintf("[[%d]]", acknowledged), "POST", "/db/query", `["SELECT count(*) FROM bench_http"]`)
	_, text := f.get("/metrics")
	if strings.Contains(text, "\nholdfast_http_slow_clients_ended_total 0\n") || !strings.Contains(text, "\nholdfast_http_slow_clients_ended_total ") {
		f.t.Error("the daemon counts none that it has ended")
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "holdfast_http_requests_refused_total") && !strings.HasSuffix(line, " 0\n") {
			f.t.Errorf("somebody was answered 503: %s", line)
		}
	}
}

// slowPause is between two bytes of a slow client: any longer, and serve.header_timeout
// ends it before others do.
const slowPause = 4 * time.Second

// In the longest turn slow clients wait as long as they may: serve.read_timeout is 30 s. In
// one shorter than the shortest their coming is more than their waiting.
const shortestTurn, longestTurn = 10 * time.Second, time.Minute

func longFlood(t *testing.T, long time.Duration) {
	d := startFlooded(t, "")
	address, clients := d.Addr().String(), 2*mostConnections(256)
	turn := min(long, max(long/10, shortestTurn), longestTurn)
	var acknowledged int64
	measure := func(length time.Duration) *httpload.Report {
		report := must(httpload.Run(t.Context(), httpload.Load{Address: address, Clients: 32, Token: d.token, Duration: length}))
		if acknowledged += report.Writes; report.Errors > 0 || report.Writes == 0 {
			t.Fatalf("%d writes, %d errors, the first: %s", report.Writes, report.Errors, report.First)
		}
		return report
	}
	run := func() time.Duration {
		measure(turn / 5) // thousands that come or go at once are over then; in a long flood they are rare
		report := measure(turn)
		t.Logf("  %.0f writes/s, p50 %v, p99 %v, longest %v", report.PerSecond(), report.Quantile(0.5), report.Quantile(0.99), report.Quantile(1))
		return report.Quantile(0.99)
	}
	beset := func() time.Duration {
		flood := httpload.BeginFlood(t.Context(), address, clients, slowPause, floodTokens["HOLDFAST_READ_TOKEN"])
		<-flood.Full
		defer func() { t.Logf("  %d slow clients made %d connections", clients, flood.End()) }()
		return run()
	}
	var ratios []float64
	for n := range int(long / turn) {
		t.Logf("turn %d", n+1)
		var calm, busy time.Duration
		if n%2 == 0 { // what drifts is for one as for the other
			calm, busy = run(), beset()
		} else {
			busy, calm = beset(), run()
		}
		ratios = append(ratios, float64(busy)/float64(calm))
	}
	slices.Sort(ratios)
	median := (ratios[(len(ratios)-1)/2] + ratios[len(ratios)/2]) / 2
	t.Logf("p99 in the flood as a multiple of that without: median %.3f of %.3f", median, ratios)
	if median >= 1.2 {
		t.Errorf("the p99 is %.0f %% longer in the flood; 20 at the most are wanted", 100*(median-1))
	}
	d.nothingGotIn(acknowledged)
}

// Bodies that arrive slowly are as few as requests may be worked on, whatever they are
// for; the oldest goes, is told, and those that are quick see nothing of it.
func TestSlowBodies(t *testing.T) {
	d := startFlooded(t, `"max_requests": 4, "read_timeout": "10m", `)
	answers := make(chan string, 12)
	for range cap(answers) {
		conn := d.dial()
		if _, err := fmt.Fprintf(conn, "POST /db/execute HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\nContent-Length: 1000000\r\n\r\n[", d.token); err != nil {
			t.Fatal(err)
		}
		go func() { answers <- answerOf(conn) }()
	}
	told := func() {
		if answer := <-answers; answer != "HTTP/1.1 408 Request Timeout" {
			t.Errorf("who had to go was told %q", answer)
		}
	}
	for range cap(answers) - 4 {
		told()
	}
	for range 20 {
		d.write("/db/execute", "INSERT INTO bench_http(note) VALUES('quick')") // for its moment it is one more
	}
	d.nothingGotIn(20)
	for _, conn := range d.dialed {
		conn.Close()
	}
	for range 4 {
		<-answers
	}
}

// Who is refused is not waited for.
func TestRefusedBodies(t *testing.T) {
	d := startFlooded(t, `"read_timeout": "10m", `)
	for path, want := range map[string]string{"/db/execute": "401 Unauthorized", "/healthz": "405 Method Not Allowed"} {
		conn := d.dial()
		if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n[", path); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(conn) // to the end of the connection
		if err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 "+want) {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
}
