package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cluster/internal/wire"
)

// magic is what a SQLite file begins with. The server takes a file without it for a text of SQL,
// and runs it.
var magic = []byte("SQLite format 3\x00")

// Backup writes a copy of the leader's database to w. A server that fails in the middle appends
// its error to what it has written, with status 200, so the size is compared with what the file
// says of itself.
func (c *client) Backup(ctx context.Context, w io.Writer) error {
	ctx, cancel := c.lifelong(ctx)
	defer cancel()
	for turn := 1; ; turn++ {
		started := &headed{w: w}
		var r reply
		node, why := c.leading(ctx)
		if why != nil {
			r = *why
		} else {
			r = c.backup(ctx, node, started)
		}
		switch {
		case r.verdict == acknowledged:
			return nil
		case r.verdict == rejected || started.n > 0 || ctx.Err() != nil || turn > 4*c.nodes.count():
			return c.failed(ctx, call{op: "backup", reads: true}, r)
		}
		if !c.moveOn(ctx, node, r, turn) {
			if err := c.rest(ctx, turn); err != nil {
				return c.failed(ctx, call{op: "backup", reads: true}, r)
			}
		}
	}
}

func (c *client) backup(ctx context.Context, node string, w *headed) reply {
	req, err := c.request(ctx, http.MethodGet, node, "/db/backup?redirect", nil)
	if err != nil {
		return reply{verdict: rejected, failed: -1, text: "the request could not be made"}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return reply{verdict: notTaken, failed: -1, text: hostOf(node) + ": " + innermost(err).Error()}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 256))
		r := judgeStatus(resp.StatusCode, string(bytes.TrimSpace(text)))
		r.follow = resp.Header.Get("Location")
		return r
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return reply{failed: -1, text: fmt.Sprintf("%s: the copy broke off after %d bytes: %v", hostOf(node), w.n, innermost(err))}
	}
	if err := w.whole(); err != nil {
		return reply{failed: -1, text: hostOf(node) + ": " + err.Error()}
	}
	return reply{verdict: acknowledged}
}

// headed passes on a SQLite file and keeps its head.
type headed struct {
	w    io.Writer
	n    int64
	head []byte
}

func (h *headed) Write(p []byte) (int, error) {
	if missing := headSize - len(h.head); missing > 0 {
		h.head = append(h.head, p[:min(missing, len(p))]...)
	}
	n, err := h.w.Write(p)
	h.n += int64(n)
	return n, err
}

// headSize is that of a database header, https://www.sqlite.org/fileformat2.html#the_database_header.
const headSize = 100

func (h *headed) whole() error {
	if len(h.head) < headSize || !bytes.HasPrefix(h.head, magic) {
		return fmt.Errorf("%d bytes that are no SQLite file", h.n)
	}
	size := int64(binary.BigEndian.Uint16(h.head[16:]))
	if size == 1 {
		size = 65536
	}
	if pages := int64(binary.BigEndian.Uint32(h.head[28:])); pages*size != h.n {
		return fmt.Errorf("%d bytes of a file that has %d pages of %d", h.n, pages, size)
	}
	return nil
}

// Restore replaces the database of the cluster by a file. It is sent once: a second copy that
// came late would undo what was written in between.
func (c *client) Restore(ctx context.Context, r io.Reader, size int64) error {
	if c.readOnly {
		return c.refusal("restore", "", 0, holdfast.ErrReadOnly)
	}
	head := make([]byte, headSize)
	if _, err := io.ReadFull(r, head); err != nil || !bytes.HasPrefix(head, magic) {
		return holdfast.NewError(holdfast.Failure{Kind: holdfast.ErrRefused, Code: 26, Op: "restore", Text: "it is no SQLite file, and the cluster would run it as SQL"})
	}
	ctx, cancel := c.lifelong(ctx)
	defer cancel()
	leader, why := c.leading(ctx)
	for turn := 1; leader == ""; turn++ {
		if err := c.rest(ctx, turn); err != nil || turn > 40 {
			return c.failed(ctx, call{op: "restore"}, *why)
		}
		leader, why = c.leading(ctx)
	}
	if answer := c.load(ctx, leader, io.MultiReader(bytes.NewReader(head), r), size); answer.verdict != acknowledged {
		return c.failed(ctx, call{op: "restore"}, answer)
	}
	return nil
}

func (c *client) load(ctx context.Context, node string, body io.Reader, size int64) reply {
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	req, err := c.request(ctx, http.MethodPost, node, "/db/load?redirect", io.NopCloser(body))
	if err != nil {
		return reply{verdict: rejected, failed: -1, text: "the request could not be made"}
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	req.ContentLength = size
	resp, err := c.http.Do(req)
	if err != nil {
		r := reply{failed: -1, text: hostOf(node) + ": " + innermost(err).Error()}
		if !connected.Load() {
			r.verdict = notTaken
		}
		return r
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return reply{failed: -1, text: hostOf(node) + ": half an answer"}
	case resp.StatusCode != http.StatusOK:
		return judgeStatus(resp.StatusCode, string(bytes.TrimSpace(text)))
	}
	a, err := wire.Decode(text)
	switch {
	case err != nil:
		return reply{failed: -1, text: err.Error()}
	case a.Error != "":
		return judgeText(a.Error)
	}
	for i := range a.Results {
		if failed := a.Results[i].Failed(); failed != "" {
			return reply{failed: -1, text: failed}
		}
	}
	return reply{verdict: acknowledged}
}

// lifelong is ctx until Close: a copy takes as long as it takes.
func (c *client) lifelong(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.life, cancel)
	return ctx, func() { stop(); cancel() }
}
