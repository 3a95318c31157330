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
	"time"

	"github.com/holdfastdb/holdfast/internal/locks/table"
	"golang.org/x/sys/unix"
)

// find says which of the files it is.
func find(files []table.File, is func(table.File) bool) which {
	return which(slices.IndexFunc(files, is) + 1)
}

// scanner gathers what /proc shows of one database.
type scanner struct {
	files     []table.File // by which, less 1
	gathering gathering
	processes map[int]process
	named     []table.Row // locks of open files, as the descriptors' owners show them
	denied    int         // processes whose descriptors this user may not see
	at        time.Time   // when the lock table was read
	noTable   bool        // it can\'t be
}

func (w *Watcher) scan(ctx context.Context, f files) (sight, error) {
	s, err := scanOnce(ctx, f)
	if err == nil && s.unnamed() {
		// Its owner may have locked the file since its descriptors were looked at.
		s, err = scanOnce(ctx, f)
	}
	if err != nil {
		return sight{}, err
	}
	for _, o := range s.gathering.owners {
		s.meet(o.pid)
	}
	for pid, p := range s.processes {
		s.processes[pid] = w.introduce(p)
	}
	return sight{owners: s.gathering.owners, processes: s.processes, blind: s.blind(), at: s.at, own: own(f)}, nil
}

// scanOnce looks at the descriptors of all processes and then at the lock table.
func scanOnce(ctx context.Context, f files) (*scanner, error) {
	s := &scanner{files: table.Identify(f.names()...), processes: map[int]process{}}
	if err := s.descriptors(ctx); err != nil {
		return nil, err
	}
	s.at = time.Now()
	err := s.table()
	if s.noTable = table.Unreadable(err); s.noTable {
		return s, nil
	}
	return s, err
}

// unnamed tells whether there is a lock without a process.
func (s *scanner) unnamed() bool {
	return slices.ContainsFunc(s.gathering.owners, func(o owner) bool { return o.pid == 0 })
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
		w := find(s.files, func(f table.File) bool { return f.Is(st.Ino, uint64(st.Dev)) }) //nolint:unconvert // its width differs between architectures
		if w == none {
			continue
		}
		s.opened(pid, name, w)
	}
}

// opened notes that a process has one of the files open. What its descriptor
// says of locks names those that belong to the open file: the lock table has no
// process for them.
func (s *scanner) opened(pid int, fd string, w which) {
	p := s.meet(pid)
	if w == database {
		p.Connections++
		s.processes[pid] = p
	}
	rows, err := table.Info(pid, fd)
	if err != nil {
		return
	}
	number, err := strconv.Atoi(fd)
	if err != nil {
		return
	}
	for _, r := range rows {
		if r.OFD {
			s.named = append(s.named, r)
			s.gathering.add(pid, number, w, r)
		} else {
			s.gathering.add(pid, -1, w, r)
		}
	}
}

// table reads the kernel's lock table.
func (s *scanner) table() error {
	rows, err := table.Read()
	if err != nil {
		return err
	}
	for _, r := range rows {
		w := find(s.files, func(f table.File) bool { return f.Has(r) })
		switch {
		case w == none:
		case !r.OFD:
			s.gathering.add(r.PID, -1, w, r)
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

func (s *scanner) blind() []string {
	var blind []string
	if s.noTable {
		blind = append(blind, "there is no lock table here (/proc/locks can't be read), so only locks of open files show; mount /proc, or look from the host")
	}
	if !table.Whole() {
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
	about := table.Describe(p.PID)
	p.Program, p.State, p.started = about.Program, about.State, about.Started
	var st unix.Stat_t
	if unix.Stat("/proc/"+strconv.Itoa(p.PID), &st) == nil {
		p.User = w.user(st.Uid)
	}
	return p
}
