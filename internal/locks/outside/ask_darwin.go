package outside

import "golang.org/x/sys/unix"

// askOfProcess is F_GETLKPID: F_GETLK about the locks of one process only, which
// so names every holder of a lock that several share (XNU, bsd/kern/kern_lockf.c;
// golang.org/x/sys has no name for it).
const askOfProcess = 66

const oneHolder = "who has the database open without a lock is not listed here, and a lock that belongs to an open file (OFD) may have no process; " +
	"\"lsof FILE\" names all who have it open"

// everybody lists the processes of the system.
func everybody() []int32 {
	list, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil
	}
	pids := make([]int32, 0, len(list))
	for i := range list {
		if pid := list[i].Proc.P_pid; pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// introduce fills in what the kernel tells of a process. It has one state for
// those that run and those that sleep, so neither is said.
func (w *Watcher) introduce(p process) process {
	if p.PID <= 0 {
		return process{}
	}
	info, err := unix.SysctlKinfoProc("kern.proc.pid", p.PID)
	if err != nil {
		return p
	}
	p.Program = unix.ByteSliceToString(info.Proc.P_comm[:])
	p.User = w.user(info.Eproc.Ucred.Uid)
	p.started = uint64(info.Proc.P_starttime.Nano())
	switch info.Proc.P_stat { // sys/proc.h
	case 4:
		p.State = "stopped"
	case 5:
		p.State = "zombie"
	}
	return p
}
