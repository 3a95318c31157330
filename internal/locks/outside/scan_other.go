//go:build !windows && (!unix || aix)

package outside

import (
	"context"
	"time"
)

// scan finds nobody. The readers' slots are not to be had either: the marks in
// the -shm stay when a reader has left, so by themselves they accuse nobody.
func (w *Watcher) scan(_ context.Context, f files) (sight, error) {
	return sight{blind: []string{
		"this system shows no locks of other processes, only the headers were read; its list of open files names who has the database open, and Linux shows the rest",
	}, at: time.Now(), own: own(f)}, nil
}
