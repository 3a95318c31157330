package dbfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func readTable(t testing.TB, name string) []mount {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "mountinfo", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := parseMountinfo(f)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return table
}

func TestMountTables(t *testing.T) {
	const ro = true
	for _, c := range []struct {
		table, path string
		want        FS
	}{
		{"server", "/var/lib/app/app.db", FS{Local, "ext4", "/", "/dev/nvme0n1p2", false}},
		{"server", "/", FS{Local, "ext4", "/", "/dev/nvme0n1p2", false}},
		{"server", "/data", FS{Local, "xfs", "/data", "/dev/mapper/vg-data", false}},
		{"server", "/data2/app.db", FS{Local, "ext4", "/", "/dev/nvme0n1p2", false}},
		{"server", "/srv/app/app.db", FS{Local, "xfs", "/srv/app", "/dev/mapper/vg-data", false}},
		{"server", "/home/u/app.db", FS{Local, "btrfs", "/home", "/dev/nvme0n1p3", false}},
		{"server", "/tank/app/app.db", FS{Local, "zfs", "/tank/app", "tank/app", false}},
		{"server", "/dev/shm/app.db", FS{Memory, "tmpfs", "/dev/shm", "tmpfs", false}},
		{"server", "/dev/app.db", FS{Memory, "devtmpfs", "/dev", "devtmpfs", false}},
		{"server", "/snap/core22/1380/app.db", FS{Local, "squashfs", "/snap/core22/1380", "/dev/loop1", ro}},
		{"server", "/media/ops/USB KEY/app.db", FS{Local, "fuseblk", "/media/ops/USB KEY", "/dev/sdb1", false}},
		{"server", "/media/ops/archive/app.db", FS{Local, "ntfs3", "/media/ops/archive", "/dev/sdc1", ro}},
		{"server", "/proc/app.db", FS{Unknown, "proc", "/proc", "proc", false}},

		{"nas", "/mnt/nfs/app.db", FS{Network, "nfs4", "/mnt/nfs", "nas.example:/export/app", false}},
		{"nas", "/mnt/nfs3/app.db", FS{Network, "nfs", "/mnt/nfs3", "192.0.2.9:/vol/app", false}},
		{"nas", "/mnt/team share/app.db", FS{Network, "cifs", "/mnt/team share", "//fileserver/team share", false}},
		{"nas", "/mnt/smb3/app.db", FS{Network, "smb3", "/mnt/smb3", "//fileserver/dept", false}},
		{"nas", "/home/app/remote/app.db", FS{Network, "fuse.sshfs", "/home/app/remote", "app@host.example:/srv", false}},
		{"nas", "/mnt/ceph/app.db", FS{Network, "ceph", "/mnt/ceph", "192.0.2.1:6789,192.0.2.2:6789:/", false}},
		{"nas", "/mnt/gluster/app.db", FS{Network, "fuse.glusterfs", "/mnt/gluster", "gluster1:/media", false}},
		{"nas", "/mnt/user/app.db", FS{Bridged, "fuse.shfs", "/mnt/user", "shfs", false}},
		{"nas", "/mnt/bucket/app.db", FS{Network, "fuse.s3fs", "/mnt/bucket", "s3fs", false}},
		{"nas", "/mnt/lustre/app.db", FS{Network, "lustre", "/mnt/lustre", "192.0.2.5@tcp:/scratch", false}},
		{"nas", "/mnt/nfs/local/app.db", FS{Local, "ext4", "/mnt/nfs/local", "/dev/sdb2", false}},

		{"container", "/app.db", FS{Local, "overlay", "/", "overlay", false}},
		{"container", "/data/app.db", FS{Local, "ext4", "/data", "/dev/nvme0n1p2", false}},
		{"container", "/seed/app.db", FS{Local, "ext4", "/seed", "/dev/nvme0n1p2", ro}},
		{"container", "/cache/app.db", FS{Memory, "tmpfs", "/cache", "tmpfs", false}},

		{"docker-desktop", "/virtiofs/app.db", FS{Bridged, "virtiofs", "/virtiofs", "virtiofs0", false}},
		{"docker-desktop", "/virtiofs/app/volume/app.db", FS{Local, "ext4", "/virtiofs/app/volume", "/dev/vda1", false}},
		{"docker-desktop", "/virtiofs/app/volumes/app.db", FS{Bridged, "virtiofs", "/virtiofs", "virtiofs0", false}},
		{"docker-desktop", "/fakeowner/app.db", FS{Bridged, "fakeowner", "/fakeowner", "/run/host_mark/Users", false}},
		{"docker-desktop", "/grpcfuse/app.db", FS{Bridged, "fuse.grpcfuse", "/grpcfuse", "grpcfuse", false}},
		{"docker-desktop", "/osxfs/app.db", FS{Bridged, "fuse.osxfs", "/osxfs", "osxfs", false}},
		{"docker-desktop", "/mac-shared/app.db", FS{Bridged, "prl_fs", "/mac-shared", "none", ro}},
		{"docker-desktop", "/vagrant/app.db", FS{Bridged, "vboxsf", "/vagrant", "vagrant", false}},
		{"docker-desktop", "/mnt/hgfs/app.db", FS{Bridged, "fuse.vmhgfs-fuse", "/mnt/hgfs", "vmhgfs-fuse", false}},

		{"wsl2", "/home/u/app.db", FS{Local, "ext4", "/", "/dev/sdc", false}},
		{"wsl2", "/mnt/c/Users/u/app.db", FS{Bridged, "9p", "/mnt/c", `C:\`, false}},
		{"wsl2", "/mnt/d disk/app.db", FS{Bridged, "9p", "/mnt/d disk", "drvfs", false}},
		{"wsl2", "/Docker/host/app.db", FS{Bridged, "9p", "/Docker/host", "drvfs", false}},
		{"wsl2", "/mnt/e/app.db", FS{Bridged, "virtiofs", "/mnt/e", "drvfsaE", false}},
		{"wsl2", "/mnt/f/app.db", FS{Bridged, "drvfs", "/mnt/f", "F:", false}},
		{"wsl2", "/usr/lib/wsl/drivers/app.db", FS{Bridged, "9p", "/usr/lib/wsl/drivers", "drivers", ro}},

		{"covered", "/home/app.db", FS{Network, "nfs4", "/home", "nas:/home", false}},
		{"covered", `/mnt/a\b/app.db`, FS{Local, "xfs", `/mnt/a\b`, "/dev/sdc1", false}},
		{"covered", "/mnt/tab\tnew\nline/app.db", FS{Memory, "tmpfs", "/mnt/tab\tnew\nline", "tmpfs", false}},
		{"covered", "/mnt/hash#tag/app.db", FS{Local, "btrfs", "/mnt/hash#tag", "/dev/sdd1", false}},
		{"covered", "/mnt/none/app.db", FS{Memory, "tmpfs", "/mnt/none", "", false}},
		{"covered", "/mnt/strange/app.db", FS{Unknown, "neverheardof", "/mnt/strange", "thing", false}},
	} {
		m, ok := mountOf(readTable(t, c.table), c.path)
		if got := m.fs(); !ok || got != c.want {
			t.Errorf("%s %s:\n got %+v\nwant %+v", c.table, c.path, got, c.want)
		}
	}
}

func TestMountByID(t *testing.T) {
	table := readTable(t, "covered")
	if m, ok := mountByID(table, 40); !ok || m.fstype != "ext4" {
		t.Errorf("mount 40: %+v, %v", m, ok)
	}
	if m, ok := mountByID(table, 999); ok {
		t.Errorf("mount 999: %+v", m)
	}
	if m, ok := mountOf(nil, "/app.db"); ok {
		t.Errorf("a mount out of an empty table: %+v", m)
	}
}

func TestMountTableNotUnderstood(t *testing.T) {
	const good = "22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw\n"
	for _, bad := range []string{
		"garbage",
		"22 1 8:2 / / rw,relatime shared:1 ext4 /dev/sda2 rw", // no separator
		"x 1 8:2 / / rw - ext4 /dev/sda2 rw",
		"22 y 8:2 / / rw - ext4 /dev/sda2 rw",
		"22 1 8:2 / / - ext4 /dev/sda2 rw",
		"22 1 8:2 / / rw - ext4",
		"22 1 8:2 / /" + strings.Repeat("x", maxMountLine) + " rw - ext4 /dev/sda2 rw",
	} {
		table, err := parseMountinfo(strings.NewReader(good + bad + "\n"))
		if err == nil {
			t.Errorf("%.80q reads as %+v", bad, table)
		}
	}
	if table, err := parseMountinfo(strings.NewReader(good + "\n" + good)); err != nil || len(table) != 2 {
		t.Errorf("an empty row: %+v, %v", table, err)
	}
}

func FuzzParseMountinfo(f *testing.F) {
	for _, name := range []string{"server", "nas", "container", "docker-desktop", "wsl2", "covered"} {
		table, err := os.ReadFile(filepath.Join("testdata", "mountinfo", name+".txt"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(table), "/mnt/a b\\040\t")
	}
	f.Add("1 1 0:1 / / rw - a b", "/")
	f.Add("1 1 0:1 / /\\1 rw - a \\04", "/\\")
	f.Fuzz(func(t *testing.T, table, point string) {
		mounts, err := parseMountinfo(strings.NewReader(table))
		if err != nil && mounts != nil {
			t.Fatalf("an error and %d mounts", len(mounts))
		}
		for _, m := range mounts {
			found, ok := mountOf(mounts, m.point)
			if strings.HasPrefix(m.point, "/") && (!ok || len(found.point) < len(m.point)) {
				t.Fatalf("%q is found on %q, %v", m.point, found.point, ok)
			}
		}

		// What the kernel escapes must come back as it was.
		if point = "/" + strings.TrimLeft(point, "/"); point != "/" {
			point = strings.TrimRight(point, "/")
		}
		row := fmt.Sprintf("7 1 0:1 / %s rw,relatime shared:1 - fuse.x %s rw\n", escapeOctal(point), escapeOctal(point))
		own, err := parseMountinfo(strings.NewReader(row))
		if len(row) < maxMountLine {
			if err != nil || len(own) != 1 || own[0].point != point || own[0].source != point {
				t.Fatalf("%q reads as %+v, %v", row, own, err)
			}
			if m, ok := mountOf(own, strings.TrimRight(point, "/")+"/app.db"); !ok || m.fs().WALSafe() {
				t.Fatalf("%q: %+v, %v", point, m, ok)
			}
		}
	})
}

// escapeOctal writes a path as the kernel does in a mount table, and a little
// more than that so that the fuzzer's control characters survive line by line.
func escapeOctal(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c <= ' ' || c == '\\' || c == '#' || c == 0x7f {
			fmt.Fprintf(&b, `\%03o`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
