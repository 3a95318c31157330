package dbfile

// magics holds what statfs(2) on Linux answers as f_type, for the file systems
// whose name in the mount table may be missing or say too little. The numbers
// are those of linux/magic.h and of the file systems' own sources.
var magics = map[uint32]string{
	0xef53:     "ext4", // ext2 and ext3 share it
	0x58465342: "xfs",
	0x9123683e: "btrfs",
	0xf2f52010: "f2fs",
	0x2fc12fc1: "zfs",
	0xca451a4e: "bcachefs",
	0x794c7630: "overlay",
	0x01021994: "tmpfs",
	0x858458f6: "ramfs",

	0x6969:     "nfs",
	0x517b:     "smbfs",
	0xff534d42: "cifs",
	0xfe534d42: "smb2",
	0x5346414f: "afs", // OpenAFS
	0x6b414653: "afs", // the kernel's own
	0x73757245: "coda",
	0x564c:     "ncpfs",
	0x00c36400: "ceph",
	0x0bd00bd0: "lustre",
	0x47504653: "gpfs",
	0x19830326: "beegfs",
	0x20030528: "orangefs",
	0xaad7aaea: "panfs",
	0x01161970: "gfs2",
	0x7461636f: "ocfs2",

	0x01021997: "9p",
	0x786f4256: "vboxsf",
	0xbacbacbc: "vmhgfs",
	0x7c7c6673: "prl_fs",
	0x00c0ffee: "hostfs",
	0x65735546: "fuse", // virtiofs answers the same
}

// classifyMagic returns class and name for an f_type; Unknown and "" for one
// that isn't listed.
func classifyMagic(magic uint32) (FSClass, string) {
	name := magics[magic]
	return classify(name), name
}

// reconcile joins the mount table's word with that of statfs. The table knows
// more (the kind of FUSE, the source), so its description stays; but it may be
// out of date or describe a covered mount, so a warning by statfs prevails.
// Plain "fuse" from statfs contradicts nothing the table calls a kind of FUSE.
func reconcile(table, witness FS) FS {
	table.ReadOnly = table.ReadOnly || witness.ReadOnly
	switch {
	case !table.WALSafe() || witness.WALSafe() && table.Class != Unknown:
		return table
	case witness.Type == "fuse" && table.Class == Local && isFuse(table.Type):
		return table
	case witness.Class == Unknown:
		return table
	}
	table.Class, table.Type = witness.Class, witness.Type
	return table
}
