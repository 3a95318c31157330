package exitcode_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("anything"), 1},
		{&holdfast.Error{Code: 19, ExtendedCode: 2067}, 1},
		{&holdfast.Error{Code: 8, ExtendedCode: 1544}, 77},
		{&holdfast.ConfigError{}, 78},
		{errors.Join(&holdfast.ConfigError{}, &holdfast.ConfigError{}), 78},
		{context.Canceled, 130},
		{context.DeadlineExceeded, 75},
		{fmt.Errorf("%w: %w", holdfast.ErrOutcomeUnknown, context.DeadlineExceeded), 74},
		{holdfast.ErrBusy, 75},
		{holdfast.ErrQueueFull, 75},
		{holdfast.ErrRolledBack, 75},
		{holdfast.ErrInvalid, 64},
		{holdfast.ErrKeyReused, 64},
		{holdfast.ErrRefused, 64},
		{holdfast.ErrCorrupt, 65},
		{holdfast.ErrDiskFull, 74},
		{holdfast.ErrIO, 74},
		{holdfast.ErrReadOnly, 77},
		{holdfast.ErrCannotOpen, 66},
		{&fs.PathError{Op: "open", Err: fs.ErrNotExist}, 66},
		{&fs.PathError{Op: "open", Err: fs.ErrPermission}, 77},
		{exitcode.With(exitcode.CantCreate, holdfast.ErrCannotOpen), 73},
		{fmt.Errorf("around: %w", exitcode.Usagef("bad")), 64},
	} {
		if got := exitcode.Of(test.err); got != test.want {
			t.Errorf("%v: %d, want %d", test.err, got, test.want)
		}
	}
	if exitcode.With(exitcode.IO, nil) != nil {
		t.Error("no error became one")
	}
}
