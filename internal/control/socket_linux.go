package control

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const supported = true

// maxAddress is what fits into sun_path, with its NUL.
const maxAddress = 107

// reach is an address by which a socket can be bound or connected to. A path
// that is too long for one goes through a descriptor of the directory, which must
// stay open meanwhile.
func reach(path string) (address string, done func(), err error) {
	if len(path) <= maxAddress {
		return path, func() {}, nil
	}
	dir, base := filepath.Split(path)
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, fmt.Errorf("reach the directory of %s: %w", path, err)
	}
	address = "/proc/self/fd/" + strconv.Itoa(fd) + "/" + base
	if len(address) > maxAddress {
		_ = unix.Close(fd)
		return "", nil, fmt.Errorf("the name %s is too long for a socket", base)
	}
	return address, func() { _ = unix.Close(fd) }, nil
}

// bind makes the socket. Linux gives a new one the mode that its descriptor has,
// less the umask, so nobody else can have connected before.
func bind(ctx context.Context, path string) (net.Listener, error) {
	address, done, err := reach(path)
	if err != nil {
		return nil, err
	}
	defer done()
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); e != nil {
			return e
		}
		return os.NewSyscallError("fchmod", err)
	}}
	l, err := config.Listen(ctx, "unix", address)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // by the inode: see removeSame
	give(path)
	return l, nil
}

// give makes a socket that root has made the one of the database's owner, like
// the other files beside it. The directory may be somebody else's who has put
// another file there meanwhile, so it is the descriptor that counts.
func give(path string) {
	if os.Geteuid() != 0 {
		return
	}
	var owner, st unix.Stat_t
	if unix.Stat(databaseOf(path), &owner) != nil {
		return
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK && st.Nlink == 1 && st.Mode&0o777 == 0o600 {
		_ = unix.Fchownat(fd, "", int(owner.Uid), int(owner.Gid), unix.AT_EMPTY_PATH)
	}
	_ = unix.Close(fd)
}

// databaseOf is the database that a socket belongs to.
func databaseOf(path string) string { return path[:strings.LastIndex(path, "-holdfast.")] }

// peer is the process at the other end, by the number it has here.
func peer(c net.Conn) (pid int, err error) {
	return peerOf(c, func(fd int) (int, error) {
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return 0, os.NewSyscallError("getsockopt", err)
		}
		return int(cred.Pid), nil
	})
}

// isAlso tells whether a process calls itself by another number, because it runs
// in a container.
func isAlso(pid, itself int) bool {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		if numbers, found := strings.CutPrefix(line, "NSpid:"); found {
			f := strings.Fields(numbers)
			return len(f) > 0 && f[len(f)-1] == strconv.Itoa(itself)
		}
	}
	return false
}
