package backup

import (
	"errors"

	"golang.org/x/sys/windows"
)

// openSomewhere tells whether anybody has the file open, this process among them: to
// open it so that nobody else may is refused then. It is the one question about that
// which Windows answers for all users. A database that is idle in rollback mode has no
// lock that could be met.
func openSomewhere(path string) (bool, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return false, err
	}
	h, err := windows.CreateFile(name, windows.GENERIC_READ, 0, nil, windows.OPEN_EXISTING, windows.FILE_ATTRIBUTE_NORMAL, 0)
	switch {
	case errors.Is(err, windows.ERROR_SHARING_VIOLATION):
		return true, nil
	case errors.Is(err, windows.ERROR_FILE_NOT_FOUND), errors.Is(err, windows.ERROR_PATH_NOT_FOUND):
		return false, nil
	case err != nil:
		return false, err
	}
	return false, windows.CloseHandle(h)
}
