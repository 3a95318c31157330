package work

import "time"

// usage is what a process takes from the system.
type usage struct {
	user, system time.Duration // CPU time
	faults       int64         // pages that the system had to bring in
}

// note writes down what was used since.
func (t *Tally) note(since usage) {
	now := used()
	t.System = (now.system - since.system).Seconds()
	t.CPU = (now.user - since.user).Seconds() + t.System
	t.Faults = now.faults - since.faults
}
