//go:build !linux

package torture

import (
	"context"
	"encoding/json"
	"errors"
)

// What needs Linux is skipped elsewhere, by its Needs.

func volumeRole(context.Context, *Parent, json.RawMessage) error { return errors.ErrUnsupported }
