package cluster

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/holdfastdb/holdfast"
)

// read sends one statement that reads, again and elsewhere as long as it gets no answer: reading
// twice hurts nobody.
func (c *client) read(ctx context.Context, body []byte, level holdfast.ReadLevel, freshness time.Duration) reply {
	path := c.readPath(ctx, level, freshness)
	for turn := 1; ; turn++ {
		var r reply
		var node string
		if level == holdfast.ReadNone {
			node = c.nodes.any(turn - 1)
			r = c.watched(ctx, node, c.silent, func(ctx context.Context) reply { return c.exchange(ctx, node, path, body, 1) })
		} else {
			r, node = c.readLeader(ctx, path, body)
		}
		switch {
		case r.verdict == acknowledged || r.verdict == rejected || r.kind != nil:
			return r
		case ctx.Err() != nil:
			r.cause = ctx.Err()
			return r
		}
		c.counts.retries.Add(1)
		atOnce := false
		if level == holdfast.ReadNone {
			atOnce = turn%c.nodes.count() != 0
		} else {
			atOnce = c.moveOn(ctx, node, r, turn)
		}
		if atOnce {
			continue
		}
		select {
		case <-time.After(pause(turn / max(1, c.nodes.count()))):
		case <-ctx.Done():
			r.cause = ctx.Err()
			return r
		}
	}
}

func (c *client) readLeader(ctx context.Context, path string, body []byte) (reply, string) {
	node, why := c.leading(ctx)
	if why != nil {
		return *why, ""
	}
	return c.watched(ctx, node, c.deposed, func(ctx context.Context) reply { return c.exchange(ctx, node, path, body, 1) }), node
}

func (c *client) readPath(ctx context.Context, level holdfast.ReadLevel, freshness time.Duration) string {
	q := url.Values{"level": {string(level)}}
	path := "/db/query?blob_array&redirect&"
	switch level {
	case holdfast.ReadNone:
		if freshness > 0 {
			q.Set("freshness", freshness.String())
			if c.addr.strict {
				path += "freshness_strict&"
			}
		}
	case holdfast.ReadLinearizable:
		if deadline, ok := ctx.Deadline(); ok {
			q.Set("linearizable_timeout", fmt.Sprintf("%dms", max(time.Until(deadline).Milliseconds(), 1)))
		}
	}
	return path + q.Encode()
}

// levelOf is what a context asks for, or else the address.
func (c *client) levelOf(ctx context.Context) (holdfast.ReadLevel, time.Duration) {
	level, freshness := holdfast.ReadLevelOf(ctx)
	if level == "" {
		level = c.addr.level
	}
	if freshness == 0 {
		freshness = c.addr.freshness
	}
	return level, freshness
}
