package api

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/holdfastdb/holdfast"
)

// message is an error as clients read it. None has a parameter's value.
func (c *call) message(err error) string {
	known, told := errors.AsType[*holdfast.Error](err)
	switch {
	case c.reading && errors.Is(err, holdfast.ErrReadOnly):
		return "this statement writes: send it to /db/execute or /db/request"
	case told && known.Statement > 0: // each has an answer of its own
		return strings.Replace(err.Error(), fmt.Sprintf("statement %d of the batch: ", known.Statement), "", 1)
	case told:
		return err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("the time for this request is over (%s, by serve.request_timeout or the parameter timeout)", c.time())
	case errors.Is(err, context.Canceled):
		return "the request was ended: by its sender, or because the daemon stops"
	}
	return err.Error()
}
