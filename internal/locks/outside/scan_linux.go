package outside

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// inode identifies a file the way the lock table does. The table has the
// device of the file system itself; stat, on Btrfs and overlays, another one.
type inode struct {
	number  uint64
	devices [2]uint64 // by stat and by the mount table
}

func (i inode) is(number, device uint64) bool {
	return i.number == number && slices.Contains(i.devices[:], device)
}

// inodes are the files of a database, by which; number 0 where there is none.
type inodes [4]inode

func (n inodes) find(number, device uint64) which {
	for w := database; w <= log; w++ {
		if n[w].number != 0 && n[w].is(number, device) {
			return w
		}
	}
	return none
}

func identify(f files) inodes {
	device, known := mountDevice(f.path)
	var n inodes
	for w, info := range map[which]fs.FileInfo{database: f.info, index: f.shm, log: f.wal} {
		if info == nil {
			continue
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			continue
		}
		n[w] = inode{st.Ino, [2]uint64{uint64(st.Dev), uint64(st.Dev)}} //nolint:unconvert // its width differs between architectures
		if known {
			n[w].devices[1] = device
		}
	}
	return n
}

// mountDevice is the device that the mount table has for the file system of a
// path. Kernels before 5.8 don't tell which mount it is.
func mountDevice(path string) (device uint64, known bool) {
	var stx unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID, &stx)
	if err != nil || stx.Mask&unix.STATX_MNT_ID == 0 {
		return 0, false
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return 0, false
	}
	return deviceOf(string(table), strconv.FormatUint(stx.Mnt_id, 10))
}

// deviceOf finds the device of a mount in a mount table (proc_pid_mountinfo(5)):
//
//	36 35 98:0 /root /mount rw,noatime master:1 - ext3 /dev/root rw
func deviceOf(table, mount string) (device uint64, known bool) {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != mount {
			continue
		}
		a, b, _ := strings.Cut(f[2], ":")
		major, err1 := strconv.ParseUint(a, 10, 32)
		minor, err2 := strconv.ParseUint(b, 10, 32)
		return unix.Mkdev(uint32(major), uint32(minor)), err1 == nil && err2 == nil
	}
	return 0, false
}

// scanner gathers what /proc shows of one database.
type scanner struct {
	files     inodes
	gathering gathering
	processes map[int]process
	named     []row // locks of open files, as the descriptors' owners show them
	denied    int   // processes whose descriptors this user may not see
	own       bool
}

func (w *Watcher) scan(ctx context.Context, f files) (sight, error) {
	s := scanner{files: identify(f), processes: map[int]process{}}
	var blind []string
	if err := s.descriptors(ctx); err != nil {
		return sight{}, err
	}
	at := time.Now()
	switch err := s.table(); {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		blind = append(blind, "there is no lock table here (/proc/locks can't be read), so only locks of open files show; mount /proc, or look from the host")
	case err != nil:
		return sight{}, err
	}
	for _, o := range s.gathering.owners {
		s.meet(o.pid)
	}
	for pid, p := range s.processes {
		s.processes[pid] = w.introduce(p)
	}
	return sight{owners: s.gathering.owners, processes: s.processes, blind: append(blind, s.blind()...), at: at, own: s.own}, nil
}

// meet notes that a process uses the database.
func (s *scanner) meet(pid int) process {
	p, known := s.processes[pid]
	if !known {
		p.PID = pid
		s.processes[pid] = p
	}
	return p
}

// descriptors looks at what every process has open.
func (s *scanner) descriptors(ctx context.Context) error {
	proc, err := os.Open("/proc")
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		s.process(pid)
	}
	return nil
}

// process looks at what one process has open. Those that end meanwhile have
// nothing open.
func (s *scanner) process(pid int) {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	fds, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		s.denied++
	}
	if err != nil {
		return
	}
	defer fds.Close()
	names, err := fds.Readdirnames(-1)
	if errors.Is(err, fs.ErrPermission) {
		s.denied++
	}
	for _, name := range names {
		// Sockets, pipes and devices are most of it, and a link is read faster
		// than its target is looked up.
		target, err := os.Readlink(dir + "/" + name)
		if errors.Is(err, fs.ErrPermission) {
			s.denied++
			return
		}
		if err != nil || !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "/dev/pts") || target == "/dev/null" {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(dir+"/"+name, &st) != nil {
			continue
		}
		w := s.files.find(st.Ino, uint64(st.Dev)) //nolint:unconvert // its width differs between architectures
		if w == none {
			continue
		}
		fd, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		s.opened(pid, fd, w)
	}
}

// opened notes that a process has one of the files open. What its descriptor
// says of locks names those that belong to the open file: the lock table has no
// process for them.
func (s *scanner) opened(pid, fd int, w which) {
	p := s.meet(pid)
	if w == database {
		p.Connections++
		s.processes[pid] = p
	}
	s.own = s.own || pid == os.Getpid()
	info, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, fd))
	if err != nil {
		return
	}
	for _, r := range parseInfo(string(info)) {
		if r.ofd {
			s.named = append(s.named, r)
			s.gathering.add(pid, fd, w, r)
		} else {
			s.gathering.add(pid, -1, w, r)
		}
	}
}

// table reads the kernel's lock table.
func (s *scanner) table() error {
	text, err := os.ReadFile("/proc/locks")
	if err != nil {
		return fmt.Errorf("read the lock table: %w", err)
	}
	for _, r := range parseLocks(string(text)) {
		w := s.files.find(r.inode, unix.Mkdev(r.major, r.minor))
		switch {
		case w == none:
		case !r.ofd:
			s.gathering.add(r.pid, -1, w, r)
		default:
			if i := slices.Index(s.named, r); i >= 0 {
				s.named = slices.Delete(s.named, i, i+1)
				continue
			}
			s.gathering.add(0, -2, w, r)
		}
	}
	return nil
}

// initialNamespace is the number that the kernel gives to the PID namespace of
// the machine itself (PROC_PID_INIT_INO).
const initialNamespace = "pid:[4026531836]"

func (s *scanner) blind() []string {
	var blind []string
	if ns, err := os.Readlink("/proc/self/ns/pid"); err != nil || ns != initialNamespace {
		blind = append(blind, "locks of other containers are invisible here; run in the owner's PID namespace "+
			"(docker run --pid=container:NAME, kubectl debug --target=CONTAINER, nsenter -t PID -p) or on the host")
	}
	// Root has no better account to go to: what it may not see (a sandbox
	// protects its first process) nobody may.
	if s.denied > 0 && os.Geteuid() != 0 {
		blind = append(blind, fmt.Sprintf("the open files of %d processes can't be listed by this user, so who has the database open without a lock may be missing; run with sudo", s.denied))
	}
	return blind
}

// introduce fills in what /proc tells of a process.
func (w *Watcher) introduce(p process) process {
	if p.PID <= 0 {
		return process{}
	}
	dir := "/proc/" + strconv.Itoa(p.PID)
	if name, err := os.ReadFile(dir + "/comm"); err == nil {
		p.Program = strings.TrimSuffix(string(name), "\n")
	}
	if stat, err := os.ReadFile(dir + "/stat"); err == nil {
		p.State, p.started = parseStat(string(stat))
	}
	var st unix.Stat_t
	if unix.Stat(dir, &st) == nil {
		p.User = w.user(st.Uid)
	}
	return p
}

// states are those of proc_pid_stat(5).
var states = map[string]string{
	"R": "running", "S": "sleeping", "D": "waiting for the disk", "T": "stopped", "t": "traced", "Z": "zombie", "X": "dead", "I": "idle",
}

// parseStat reads the state and the start time out of /proc/PID/stat. The
// name in front may contain anything, parentheses too.
func parseStat(text string) (state string, started uint64) {
	f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(f) < 20 {
		return "", 0
	}
	started, _ = strconv.ParseUint(f[19], 10, 64)
	return states[f[0]], started
}
