//go:build unix && !aix && !darwin && !linux

package outside

// introduce knows no more than the number: what the kernel tells of a process
// has another layout on each of these systems and their versions.
func (w *Watcher) introduce(p process) process { return p }
