package locks

// Process is another process that has a lock on a database.
type Process struct {
	PID     int
	Program string // as the system calls it, without arguments
	State   string // "running", "sleeping", "stopped", ... or "" if it can't be seen
	Lock    string // "WAL_WRITE", "WAL_RECOVER", "WAL_CKPT", "WAL_READ", "EXCLUSIVE", "PENDING", "RESERVED" or "SHARED"
}
