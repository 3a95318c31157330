package control

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const supported = true

// maxAddress is what fits into sun_path, with its NUL.
const maxAddress = 103

func reach(path string) (address string, done func(), err error) {
	if len(path) > maxAddress {
		return "", nil, errors.New("the path is too long for a socket")
	}
	return path, func() {}, nil
}

// bind makes the socket. A descriptor's mode says nothing here, so it gets its
// mode in a private directory, and then its name.
func bind(ctx context.Context, path string) (net.Listener, error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".holdfast-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(dir)
	private := filepath.Join(dir, "s")
	address, done, err := reach(private)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := new(net.ListenConfig).Listen(ctx, "unix", address)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // by the inode: see removeSame
	if err = os.Chmod(private, 0o600); err == nil {
		err = os.Rename(private, path)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(private), l.Close())
	}
	return l, nil
}

// peer is the process at the other end.
func peer(c net.Conn) (pid int, err error) {
	return peerOf(c, func(fd int) (int, error) {
		pid, err := unix.GetsockoptInt(fd, unix.SOL_LOCAL, unix.LOCAL_PEERPID)
		return pid, os.NewSyscallError("getsockopt", err)
	})
}

// isAlso: a process has one number here.
func isAlso(int, int) bool { return false }
