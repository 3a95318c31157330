//go:build unix

package outside

import (
	"os/user"
	"strconv"
)

// user is the name of a user, or the number if it has none.
func (w *Watcher) user(uid uint32) string {
	if name, known := w.users[uid]; known {
		return name
	}
	name := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	w.users[uid] = name
	return name
}
