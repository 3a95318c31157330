package dbfile

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

func TestFileSystemHere(t *testing.T) {
	dir := t.TempDir()
	f, err := FileSystem(filepath.Join(dir, "app.db"))
	if err != nil {
		t.Fatal(err)
	}
	if !f.WALSafe() {
		t.Skipf("tests run on %+v", f)
	}
	if f.Reason() != "" || f.Check(dir) != nil {
		t.Errorf("%+v is safe, yet refused: %s", f, f.Reason())
	}
	missing, err := FileSystem(filepath.Join(dir, "no", "such", "dir", "app.db"))
	if err != nil || missing != f {
		t.Errorf("in a missing directory: %+v, %v; want %+v", missing, err, f)
	}
	if _, err := FileSystem(""); !errors.Is(err, ErrBadName) {
		t.Errorf("empty path: %v", err)
	}
}

func TestRefusedFileSystem(t *testing.T) {
	for _, c := range []struct {
		fs   FS
		want string
	}{
		{FS{Class: Network, Type: "nfs4", Mount: "/mnt/nas"}, "nfs4 mounted at /mnt/nas is a network file system"},
		{FS{Class: Bridged, Type: "virtiofs", Mount: "/work"}, "virtiofs mounted at /work hands its files to another kernel"},
		{FS{Class: Network, Type: "nfs"}, "nfs is a network file system"},
	} {
		err := c.fs.Check("/mnt/nas/app.db")
		if !errors.Is(err, ErrNetworkFS) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "/mnt/nas/app.db") {
			t.Errorf("%+v: %v", c.fs, err)
		}
	}
}

func TestClassNames(t *testing.T) {
	for class, want := range map[FSClass]string{
		Unknown: "unknown", Local: "local", Memory: "memory", Network: "network", Bridged: "bridged", 99: "unknown",
	} {
		if class.String() != want {
			t.Errorf("class %d is %q, not %q", class, class, want)
		}
	}
}

// The first five must be refused by name, whatever their mounts look like; the
// rest must not.
func TestClassify(t *testing.T) {
	for class, names := range map[FSClass]string{
		Network: "nfs nfs4 NFS cifs smb3 smbfs afpfs webdav ceph fuse.sshfs",
		Bridged: "9p virtiofs vboxsf vmhgfs fuse fuse.mergerfs fuse.gocryptfs macfuse macfuse_x osxfuse fakeowner",
		Local:   "ext4 xfs btrfs zfs overlay apfs hfs NTFS ReFS fuseblk fuse.fuse-overlayfs",
		Memory:  "tmpfs ramfs",
		Unknown: "proc fusectl newfs",
	} {
		for name := range strings.FieldsSeq(names) {
			if got := classify(name); got != class {
				t.Errorf("%s is %v, not %v", name, got, class)
			}
		}
	}
}

func TestWitnesses(t *testing.T) {
	magic := func(n uint32) FS {
		class, name := classifyMagic(n)
		return FS{Class: class, Type: name}
	}
	const (
		fuse, nfs, ext4, v9fs, strange = 0x65735546, 0x6969, 0xef53, 0x01021997, 0x12345678
	)
	table := func(fstype string) FS { return FS{Class: classify(fstype), Type: fstype, Mount: "/mnt"} }
	for _, c := range []struct {
		table    FS
		witness  FS
		class    FSClass
		fstype   string
		readOnly bool
	}{
		{table("ext4"), magic(ext4), Local, "ext4", false},
		{table("ext3"), magic(ext4), Local, "ext3", false},
		{table("virtiofs"), magic(fuse), Bridged, "virtiofs", false},
		{table("fuse.sshfs"), magic(fuse), Network, "fuse.sshfs", false},
		{table("fuseblk"), magic(fuse), Local, "fuseblk", false},
		{table("fuse.fuse-overlayfs"), magic(fuse), Local, "fuse.fuse-overlayfs", false},
		// The table is silent or describes something else: statfs warns.
		{table("neverheardof"), magic(fuse), Bridged, "fuse", false},
		{table("ext4"), magic(fuse), Bridged, "fuse", false},
		{table("ext4"), magic(nfs), Network, "nfs", false},
		{table("fuseblk"), magic(v9fs), Bridged, "9p", false},
		// A warning by the table stands even if statfs sees none.
		{table("nfs4"), magic(ext4), Network, "nfs4", false},
		{table("9p"), magic(strange), Bridged, "9p", false},
		{table("neverheardof"), magic(ext4), Local, "ext4", false},
		{table("neverheardof"), magic(strange), Unknown, "neverheardof", false},
		{table("ext4"), FS{Class: Local, ReadOnly: true}, Local, "ext4", true},
	} {
		got := reconcile(c.table, c.witness)
		want := FS{Class: c.class, Type: c.fstype, Mount: "/mnt", ReadOnly: c.readOnly}
		if got != want {
			t.Errorf("table %+v, statfs %+v:\n got %+v\nwant %+v", c.table, c.witness, got, want)
		}
	}
}
