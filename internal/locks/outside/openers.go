package outside

import (
	"context"
	"slices"
)

// Openers lists the processes, by PID, that have the database at path or one of
// its sidecars open, as far as the system tells. It doesn't mind what is in the
// file, so that it can be asked about a damaged one. A lock that nobody seen has
// is a Process without a PID.
func Openers(ctx context.Context, path string) ([]Process, error) {
	files, err := locate(path)
	if err != nil {
		return nil, err
	}
	seen, err := NewWatcher(path).scan(ctx, files)
	if err != nil {
		return nil, err
	}
	var list []Process
	for _, p := range seen.processes {
		if p.PID != 0 {
			list = append(list, p.Process)
		}
	}
	slices.SortFunc(list, func(a, b Process) int { return a.PID - b.PID })
	if slices.ContainsFunc(seen.owners, func(o owner) bool { return o.pid == 0 }) {
		list = append(list, Process{})
	}
	return list, nil
}
