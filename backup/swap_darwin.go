package backup

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// swapNames exchanges two files in one step, which no crash can split.
func swapNames(a, b string) error {
	err := unix.RenamexNp(a, b, unix.RENAME_SWAP)
	if err == unix.ENOTSUP || err == unix.EINVAL {
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return err
}
