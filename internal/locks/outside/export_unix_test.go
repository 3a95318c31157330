//go:build unix

package outside

import "context"

// Ask is Look where the kernel has no lock table.
func Ask(ctx context.Context, path string) (*Report, error) {
	w := NewWatcher(path)
	return w.look(ctx, w.ask)
}
