package dbfile

import (
	"fmt"
	"path/filepath"
	"strings"
)

// FSClass says where the bytes of a file system live and who else can reach
// them, which decides whether WAL mode is safe on it.
type FSClass int

const (
	// Unknown: no witness could be asked, or the type is one this package doesn't know.
	Unknown FSClass = iota
	// Local: one kernel owns the data; its locks and shared memory are seen by all who use it.
	Local
	// Memory: like Local, but gone after a restart (tmpfs).
	Memory
	// Network: other machines reach the same files.
	Network
	// Bridged: another kernel or a user-space daemon owns the files (virtual
	// machine shares, Docker Desktop, WSL drives, FUSE).
	Bridged
)

// String returns the class in lower case.
func (c FSClass) String() string {
	switch c {
	case Local:
		return "local"
	case Memory:
		return "memory"
	case Network:
		return "network"
	case Bridged:
		return "bridged"
	}
	return "unknown"
}

// FS is the file system a path lies on. Fields that the platform doesn't tell
// are empty.
type FS struct {
	Class    FSClass
	Type     string // the kernel's name for it, such as "ext4", "nfs4", "virtiofs", "fuse.sshfs"
	Mount    string // mount point
	Source   string // what is mounted there: device, export, share. May hold a user name
	ReadOnly bool   // mounted read-only
}

// WALSafe reports whether SQLite's WAL mode may be used: all processes must
// see one shared memory (the -shm) and one set of locks, which network and
// bridged file systems don't give, mostly without any error to notice
// (https://www.sqlite.org/wal.html, section "Overview", and
// https://www.sqlite.org/howtocorrupt.html section 2.1). Unknown counts as
// safe: nothing speaks against it.
func (f FS) WALSafe() bool { return f.Class != Network && f.Class != Bridged }

// Reason returns the sentence that says why WAL mode is refused and what to do
// about it, or "" if the file system is safe.
func (f FS) Reason() string {
	var why, fix string
	switch f.Class {
	case Network:
		why = "is a network file system, where locks and shared memory don't hold between machines"
		fix = "put the database on a local disk and let other machines reach it through a server"
	case Bridged:
		why = "hands its files to another kernel or a daemon, so locks and shared memory don't reach everybody who has the database open"
		fix = "put the database on a local disk (in a container: a named volume, in WSL: a directory of the Linux system)"
	default:
		return ""
	}
	where := ""
	if f.Mount != "" {
		where = " mounted at " + f.Mount
	}
	return fmt.Sprintf("%s%s %s, and WAL mode would corrupt the database sooner or later; %s", f.Type, where, why, fix)
}

// Check returns nil on a file system that is safe for WAL mode, else an error
// that says [FS.Reason] and answers to [ErrNetworkFS]. path is for the message
// only.
func (f FS) Check(path string) error {
	if f.WALSafe() {
		return nil
	}
	return refuse(ErrNetworkFS, nil, path+": "+f.Reason())
}

// CheckWAL is [FS.Check] of [FileSystem] and answers the same, but on the
// common local file systems of Linux it asks statfs(2) alone. Reading the mount
// table made up a third of the time of opening a database on a machine with
// twenty mounts, and takes longer with each.
func CheckWAL(path string) error {
	if local(path) {
		return nil
	}
	f, err := FileSystem(path)
	if err != nil {
		return err
	}
	return f.Check(path)
}

// FileSystem tells on which file system path lies; if path doesn't exist,
// where it would be created. On Linux the mount table and statfs(2) are both
// asked, and a warning by either counts. On macOS, FreeBSD and Windows the
// system has one answer; elsewhere the result is [Unknown] without an error.
//
// path should come from [Resolve]. The call may hang on a network mount whose
// server is gone, as every other access to the file would.
func FileSystem(path string) (FS, error) {
	if err := checkText(path); err != nil {
		return FS{}, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return FS{}, err
	}
	return fileSystem(abs)
}

// classes holds the file systems by the name their kernel gives them. What is
// not listed is Unknown, except FUSE, which is Bridged unless listed here.
var classes = map[string]FSClass{
	"bcachefs": Local, "btrfs": Local, "erofs": Local, "exfat": Local,
	"ext2": Local, "ext3": Local, "ext4": Local, "f2fs": Local,
	"hfsplus": Local, "iso9660": Local, "jffs2": Local, "jfs": Local,
	"msdos": Local, "nilfs2": Local, "ntfs": Local, "ntfs3": Local,
	"reiserfs": Local, "squashfs": Local, "ubifs": Local, "udf": Local,
	"ufs": Local, "vfat": Local, "xfs": Local, "zfs": Local,
	"apfs": Local, "hfs": Local, "msdosfs": Local, "refs": Local, "fat32": Local,
	// Layers over another file system of the same kernel.
	"aufs": Local, "ecryptfs": Local, "overlay": Local, "shiftfs": Local,
	// A block device or layer that one daemon of this machine has to itself.
	// The kernel keeps their locks and page cache, so every process sees the
	// same, which is all that WAL mode asks for. (ntfs-3g, exfat-fuse; rootless
	// containers.)
	"fuseblk": Local, "fuse.fuse-overlayfs": Local,

	"tmpfs": Memory, "ramfs": Memory, "rootfs": Memory, "devtmpfs": Memory, "hugetlbfs": Memory,

	"nfs": Network, "nfs3": Network, "nfs4": Network,
	"cifs": Network, "smb2": Network, "smb3": Network, "smbfs": Network,
	"afs": Network, "afpfs": Network, "coda": Network, "ncp": Network, "ncpfs": Network,
	"webdav": Network, "davfs": Network,
	"ceph": Network, "lustre": Network, "glusterfs": Network, "gpfs": Network,
	"beegfs": Network, "orangefs": Network, "pvfs2": Network, "panfs": Network,
	"juicefs": Network, "moosefs": Network, "curvefs": Network, "cvmfs": Network,
	"wekafs": Network,
	// Shared block devices: their cluster locks are kept, mmap between nodes isn't coherent.
	"gfs2": Network, "ocfs2": Network,
	"fuse.sshfs": Network, "fuse.ceph": Network, "fuse.glusterfs": Network,
	"fuse.s3fs": Network, "fuse.rclone": Network, "fuse.juicefs": Network,
	"fuse.davfs": Network, "fuse.davfs2": Network, "fuse.mfs": Network,
	"fuse.gcsfuse": Network, "fuse.blobfuse2": Network,

	"9p": Bridged, "virtiofs": Bridged, "vboxsf": Bridged, "vmhgfs": Bridged,
	"prl_fs": Bridged, "hostfs": Bridged, "drvfs": Bridged,
	// Docker Desktop's name for a host directory whose owner it pretends.
	"fakeowner": Bridged,
	"osxfuse":   Bridged, "macfuse": Bridged, "macfuse_nfs": Bridged, "fusefs": Bridged,
}

// classify looks up the class of a file system by its kernel's name for it.
func classify(fstype string) FSClass {
	fstype = strings.ToLower(fstype)
	if class, known := classes[fstype]; known {
		return class
	}
	if fstype == "fuse" || strings.HasPrefix(fstype, "fuse.") || strings.HasPrefix(fstype, "macfuse") {
		return Bridged
	}
	return Unknown
}

// isFuse reports whether the kernel's name is that of a file system kept by a
// user-space daemon.
func isFuse(fstype string) bool {
	return fstype == "fuse" || fstype == "fuseblk" || strings.HasPrefix(fstype, "fuse.")
}
