package copy

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// byPart is sync_file_range.
func byPart(f *os.File) (begin, await func(from, n int64) (bool, error)) {
	do := func(flags int) func(from, n int64) (bool, error) {
		return func(from, n int64) (bool, error) {
			err := unix.SyncFileRange(int(f.Fd()), from, n, flags)
			for _, none := range []error{unix.ENOSYS, unix.EINVAL, unix.EOPNOTSUPP, unix.EPERM} { // old or strict sandboxes
				if errors.Is(err, none) {
					return false, nil
				}
			}
			// Others are of the disk, and told once: the next flush wouldn't know them.
			return true, err
		}
	}
	const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	return do(unix.SYNC_FILE_RANGE_WRITE), do(all)
}
