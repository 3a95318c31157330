package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"github.com/holdfastdb/holdfast/cluster/internal/wire"
)

// verdict is what an attempt proves about its statements.
type verdict uint8

const (
	// doubtful: nobody can tell whether they were applied, or will be. It is the zero value.
	doubtful verdict = iota
	// acknowledged: all of them were applied.
	acknowledged
	// notTaken: none was applied by this attempt, nor will be; another node, or the same one later,
	// may take them.
	notTaken
	// rejected: none was applied, nor will be, and asking again is in vain.
	rejected
)

// reply is how an attempt ended.
type reply struct {
	verdict verdict
	results []wire.Result // what was answered; with a failed statement up to it
	failed  int           // index of the statement that failed, or -1
	follow  string        // of notTaken: where the node sends us
	text    string        // why; it may quote values
	next    string        // what to do about it, if that is special
	kind    error         // one of holdfast's variables, or nil
	cause   error         // such as a context's error
}

// transport makes connections that end with the client, and never acts on its own: no proxies of
// the environment, which would see the password, no redirects and no second attempt.
func transport(a address, life context.Context) *http.Transport {
	dialer := net.Dialer{Timeout: dialTimeout}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			ctx, cancel := context.WithCancel(ctx)
			defer context.AfterFunc(life, cancel)()
			defer cancel()
			return dialer.DialContext(ctx, network, addr)
		},
		TLSClientConfig: a.tls, TLSHandshakeTimeout: handshakeTimeout, DisableCompression: true,
		MaxIdleConnsPerHost: idleConnections, IdleConnTimeout: idleTimeout,
	}
}

const (
	dialTimeout      = time.Second // a machine that is gone answers no SYN; others are asked meanwhile
	handshakeTimeout = 2 * time.Second
	idleConnections  = 32
	// A connection that the other end closes just when a write goes out leaves its outcome unknown.
	idleTimeout = 30 * time.Second
)

func newHTTPClient(a address, life context.Context) *http.Client {
	return &http.Client{
		Transport:     transport(a, life),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// request makes a request to a node.
func (c *client) request(ctx context.Context, method, node, path string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, node+path, body)
	if err != nil {
		return nil, err
	}
	if c.addr.user != "" || c.addr.password != "" {
		req.SetBasicAuth(c.addr.user, c.addr.password)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// exchange sends n statements to one node, once, and judges the answer.
func (c *client) exchange(ctx context.Context, node, path string, body []byte, n int) reply {
	status, header, text, err := c.roundTrip(ctx, http.MethodPost, node, path, body)
	if err != nil {
		return *err
	}
	if status == http.StatusOK {
		return judge(text, n)
	}
	r := judgeStatus(status, string(bytes.TrimSpace(text)))
	if status >= 300 && status < 400 {
		r.follow = header.Get("Location")
	}
	return r
}

// roundTrip returns a whole answer, or how the attempt ended without one.
func (c *client) roundTrip(ctx context.Context, method, node, path string, body []byte) (int, http.Header, []byte, *reply) {
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// It asks for a second connection only when it has written nothing to the first: what
		// can't be repeated it does not repeat otherwise.
		GetConn: func(string) { connected.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	req, err := c.request(ctx, method, node, path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, &reply{verdict: rejected, failed: -1, text: "the request could not be made", cause: err}
	}
	broken := func(what string, err error) *reply {
		r := &reply{failed: -1, text: fmt.Sprintf("%s: %s", hostOf(node), what), cause: ctx.Err()}
		if cause := context.Cause(ctx); cause != nil {
			r.text += ": " + cause.Error()
		} else {
			r.text += ": " + innermost(err).Error()
		}
		if !connected.Load() {
			r.verdict = notTaken
		}
		return r
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, nil, broken("no answer", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, c.addr.limit+1))
	switch {
	case err != nil:
		return 0, nil, nil, broken("half an answer", err)
	case int64(len(text)) > c.addr.limit:
		return 0, nil, nil, &reply{
			failed: -1, text: fmt.Sprintf("%s: the answer is longer than %d bytes", hostOf(node), c.addr.limit),
			next: "ask for fewer rows, or raise response_limit in the address", kind: errTooLong,
		}
	}
	return resp.StatusCode, resp.Header, text, nil
}

// errTooLong ends the attempts of a read: the answer would be as long elsewhere.
var errTooLong = errors.New("the answer is too long")

// innermost is the error below those that name the URL, which repeat what is said already.
func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

func hostOf(node string) string {
	_, host, _ := strings.Cut(node, "://")
	return host
}

// judge reads an answer with status 200. It is an acknowledgement if it is whole, has no error
// of the request, one result for each statement, and no error of any of these.
//
// A follower whose leader has just died answers 200 with an error and no results; whoever looks
// at status and results only takes that for done.
func judge(body []byte, n int) reply {
	a, err := wire.Decode(body)
	switch {
	case err != nil:
		return reply{failed: -1, text: err.Error()}
	case a.Error != "":
		r := judgeText(a.Error)
		if len(a.Results) > 0 {
			r.verdict = doubtful // it has results and has failed: neither is to be believed
		}
		return r
	case len(a.Results) > n:
		return reply{failed: -1, text: fmt.Sprintf("%d results for %d statements", len(a.Results), n)}
	}
	for i := range a.Results {
		text := a.Results[i].Failed()
		if text == "" {
			continue
		}
		r := reply{verdict: rejected, failed: i, text: text, results: a.Results}
		// The transaction ends with the first that fails. Whatever else there is was not promised; and
		// what failed for a reason of that machine's own may have been applied by the others.
		switch {
		case i != len(a.Results)-1:
			r.verdict, r.text = doubtful, "an error in the middle of the results"
		case isLocal(text):
			r.verdict = doubtful
		}
		return r
	}
	if len(a.Results) < n {
		return reply{failed: -1, text: fmt.Sprintf("%d results for %d statements", len(a.Results), n)}
	}
	return reply{verdict: acknowledged, failed: -1, results: a.Results}
}

// local are errors that one machine can have while the others apply the same statement: the log
// has it, so it may be in the database. https://www.sqlite.org/rescode.html
var local = []string{
	"attempt to write a readonly database", "context canceled", "context deadline exceeded", "database disk image is malformed", "database is locked",
	"database or disk is full", "disk I/O error", "execute timeout", "file is not a database", "interrupted", "locking protocol", "out of memory",
	"unable to open database file",
}

func isLocal(text string) bool {
	for _, l := range local {
		if strings.HasPrefix(text, l) {
			return true
		}
	}
	return false
}

// texts are the errors of a whole request that prove something. rqlite has no codes: these are
// the texts of v8 to v10, and everything else proves nothing.
var texts = map[string]reply{
	"leader not found":                {verdict: notTaken},
	"not leader":                      {verdict: notTaken},
	"store not open":                  {verdict: notTaken},
	"store not ready":                 {verdict: notTaken},
	"stale read":                      {verdict: notTaken},
	"leadership transfer in progress": {verdict: notTaken},
	"timed out enqueuing operation":   {verdict: notTaken}, // before the log has it; raft's other timeouts are not
	"disallowed pragma":               {verdict: rejected},
	"FOREIGN KEY constraint failed":   {verdict: rejected}, // at COMMIT, and then all is rolled back
	"cannot start a transaction within a transaction": {verdict: rejected, next: "somebody has sent BEGIN to the cluster: restart its leader, which rolls back all that was acknowledged since, " +
		"and let every program write through this package"},
}

func judgeText(text string) reply {
	r := texts[text] // doubtful if it is none of them
	r.failed, r.text = -1, text
	return r
}

func judgeStatus(status int, body string) (r reply) {
	r = reply{failed: -1, text: fmt.Sprintf("HTTP status %d", status)}
	defer func() { // what is called doubtful may be about the values of others
		if r.verdict != doubtful && body != "" && len(body) <= 200 {
			r.text += ": " + body
		}
	}()
	switch {
	case status >= 300 && status < 400:
		r.verdict = notTaken
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		r.verdict, r.next = rejected, "check user and password of the address, and what the cluster lets that user do"
	case status == http.StatusBadRequest, status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusRequestEntityTooLarge:
		r.verdict = rejected
	case status == http.StatusTooManyRequests:
		r.verdict = notTaken
	case (status == http.StatusServiceUnavailable || status == http.StatusInternalServerError) && body == "leader not found":
		r.verdict = notTaken
	case status == http.StatusInternalServerError && strings.HasPrefix(body, "SQL rewrite:"):
		r.verdict = rejected // before anything is done with it
	}
	return r
}
