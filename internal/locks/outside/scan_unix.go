//go:build unix && !aix && !linux

package outside

import "context"

// scan asks for each lock.
func (w *Watcher) scan(ctx context.Context, f files) (sight, error) { return w.ask(ctx, f) }
