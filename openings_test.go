package holdfast_test

// opening is one place that may open a file.
type opening struct {
	place  string // file, function and what it calls
	reason string // why that can't be a live database, -wal or -shm
}

var openings = []opening{
	{"alerts/receivers.go Secret os.ReadFile", "a token: table.Own has looked before that this process has the file not open, and more than 16 KiB is refused"},
	{"alerts/silences.go loadSilences os.ReadFile", "its name ends with .json, and this package writes it"},
	{"alerts/silences.go writeThrough os.Remove", "a name of its own beside that file, not opened"},
	{"alerts/silences.go writeThrough os.OpenFile", "O_EXCL, a name of its own beside that file: a file that nobody can have open"},
	{"alerts/silences.go save os.Rename", "the same, to a name that ends with .json"},
	{"alerts/silences.go keepAside os.Rename", "that file, which this process has not open, to a name of its own"},
	{
		"internal/maintain/integrity/evidence.go copyAll os.RemoveAll",
		"the directory of copies that this call has just made",
	},
	{
		"internal/maintain/integrity/evidence.go copyRaw os.OpenFile",
		"O_EXCL, in a new directory: the descriptor exists only if the file did not",
	},
	{
		"internal/maintain/integrity/evidence.go writeNew os.OpenFile",
		"O_EXCL: the descriptor exists only if the file did not",
	},
	{
		"internal/maintain/integrity/evidence.go earlier os.ReadFile",
		"finding.json, in a directory that this package has made",
	},
	{
		"backup/salvage/image.go openFile os.Open",
		"the damaged database, its log and its journal, or the one that the schema is taken from: open has looked before that this process has none of them open",
	},
	{
		"backup/salvage/salvage.go into os.Rename",
		"the new database, which this call has made and closed, to a name that is free",
	},
	{"remote.go take os.OpenFile", "O_EXCL, in a new directory: the descriptor exists only if the file did not"},
	{"remote.go restore os.Open", "a backup that is to be sent: it has looked before that this process doesn't have it open, and that no log lies beside it"},
	{
		"holdfast.go read os.Open",
		"the configuration: refuseDatabase has looked before whether it is open here or a sidecar of what is, at its name, its size and its neighbours",
	},
	{
		"doctor/read.go withFile os.Open",
		"a database and its sidecars, in a process that has no connection: Examine has looked through its own descriptors before",
	},
	{
		"doctor/engine.go programs os.ReadFile",
		"a go.mod: its name was looked at before, and that this process has no descriptor of what it leads to",
	},
	{
		"doctor/engine.go programs buildinfo.ReadFile",
		"a program: that this process has no descriptor of it was looked at before",
	},
	{
		"doctor/selftest/damage.go NewSpecimen os.ReadFile",
		"a database of its own after its connection was closed",
	},
	{
		"doctor/selftest/damage.go Damaged os.WriteFile",
		"a copy that no connection has been opened to",
	},
	{
		"doctor/selftest/selftest.go Hold io.Copy",
		"standard input to nowhere",
	},
	{
		"doctor/selftest/selftest.go copied os.ReadFile",
		"a database of the self-test after its connections were closed",
	},
	{
		"doctor/selftest/selftest.go copied os.WriteFile",
		"a copy that no connection has been opened to",
	},
	{
		"doctor/selftest/selftest.go write os.WriteFile",
		"a file of the self-test that no connection has been opened to",
	},
	{
		"doctor/selftest/selftest.go patched os.OpenFile",
		"a database of the self-test after its connections were closed, to damage it",
	},
	{
		"doctor/selftest/selftest.go cut os.Truncate",
		"a database of the self-test after its connections were closed, to damage it",
	},
	{
		"doctor/selftest/selftest.go crashed os.Remove",
		"a database of the self-test that was closed",
	},
	{
		"doctor/selftest/sick.go - os.Link",
		"a database of the self-test that was closed",
	},
	{
		"doctor/selftest/sick.go - os.Remove",
		"a database of the self-test that was closed, or is to be torn from under a reader",
	},
	{
		"doctor/selftest/sick.go - os.Rename",
		"a database of the self-test that was closed, or is to be torn from under a reader",
	},
	{
		"internal/maintain/memory/system_linux.go kernel os.DirFS",
		"names of Cgroups alone are read in it, all below /proc/self and /sys/fs/cgroup",
	},
	{
		"internal/control/server.go clearPlace os.Remove",
		"a socket, by lstat, that nobody listens to; its place is claimed",
	},
	{
		"internal/control/server.go removeSame os.Remove",
		"the socket that this process has made, by its inode",
	},
	{
		"internal/control/socket_linux.go reach unix.Open",
		"a directory, by O_PATH",
	},
	{
		"internal/control/socket_linux.go give unix.Open",
		"O_PATH, which opens no file: its close drops no lock",
	},
	{
		"internal/control/socket_linux.go isAlso os.ReadFile",
		"/proc/PID/status",
	},
	{
		"internal/control/socket_darwin.go bind os.Remove",
		"a socket and a directory that this call has just made",
	},
	{
		"internal/control/socket_darwin.go bind os.Rename",
		"a socket that this call has just made, over one that nobody listens to",
	},
	{
		"holdfasttest/crash.go WriteTo os.OpenFile",
		"O_EXCL: the descriptor exists only if the file did not, so nobody has a lock on it yet",
	},
	{
		"holdfasttest/database.go directory os.RemoveAll",
		"the directory of one test, after its database was closed",
	},
	{
		"internal/dbfile/create.go createByOpening os.OpenFile",
		"O_EXCL: the descriptor exists only if the file did not, so nobody has a lock on it yet; creating keeps others of this process out until it is closed",
	},
	{
		"internal/dbfile/syncdir_unix.go SyncDir os.Open",
		"a directory, to flush its names",
	},
	{
		"internal/dbfile/filesystem_linux.go readMounts os.Open",
		"the kernel's mount table, by a constant name",
	},
	{
		"internal/dbfile/identity_windows.go identify windows.CreateFile",
		"Windows, with access 0 and all sharing allowed: no data is in reach, and locks belong to the handle that took them",
	},
	{
		"internal/locks/outside/headers.go readHeader os.Open",
		"the file, its -shm and its -wal, for a process without a connection: Watcher.Look has looked at its own descriptors before, and leaves the headers alone if one is of these",
	},
	{
		"internal/locks/outside/ask_unix.go askFile os.Open",
		"the file and its -shm, for a process without a connection: ask has looked at its own descriptors before",
	},
	{
		"internal/locks/outside/ask_unix.go askRange unix.FcntlFlock",
		"asks for locks by that descriptor, and takes none",
	},
	{
		"internal/locks/outside/scan_windows.go introduce windows.OpenProcess",
		"a process, to ask for its name",
	},
	{
		"internal/locks/outside/scan_windows.go introduce windows.OpenProcessToken",
		"a process's token, to ask for its user",
	},
	{
		"internal/locks/table/table_linux.go mountDevice os.ReadFile",
		"the kernel's mount table, by a constant name",
	},
	{
		"internal/locks/outside/scan_linux.go descriptors os.Open",
		"/proc, to list processes",
	},
	{
		"internal/locks/outside/scan_linux.go process os.Open",
		"a directory of /proc",
	},
	{
		"internal/locks/table/table_linux.go Info os.ReadFile",
		"/proc/PID/fdinfo: text of the kernel about a descriptor, not what is behind it",
	},
	{
		"internal/locks/table/table_linux.go readLocks os.Open",
		"the kernel's lock table, by a constant name",
	},
	{
		"internal/locks/table/table_linux.go Describe os.ReadFile",
		"/proc/PID/comm and stat",
	},
	{
		"internal/maintain/migrate/backup.go copy os.Rename",
		"a copy that this call has made and checked; its connection is closed",
	},
	{
		"internal/maintain/migrate/backup.go copy os.Remove",
		"a copy that this call has made, and that nobody was told of",
	},
	{
		"internal/dbfile/volume_linux.go deviceOf os.ReadFile",
		"/sys/dev/block/*/stat",
	},
	{
		"internal/stats/history/process_linux.go processSamples os.ReadFile",
		"/proc/self",
	},
	{
		"internal/stats/history/write.go putAside os.Rename",
		"the history and its journal, which SQLite has called damaged: no connection of this process is on them, and another process loses what it writes meanwhile",
	},
	{
		"internal/maintain/migrate/backup.go remove os.Remove",
		"a copy of an earlier migration, by a name that no database has by chance; that this process has it open was looked at before",
	},
	{
		"internal/maintain/copy/copy.go To os.OpenFile",
		"O_EXCL: the descriptor exists only if the file did not, so nobody has a lock on it yet; it is closed after SQLite's own",
	},
	{
		"internal/maintain/copy/copy.go To os.Remove",
		"a copy that this call has made and nobody was told of; its connection is closed",
	},
	{
		"internal/maintain/integrity/verify.go onCopy os.Remove",
		"a copy that this call has made under a name drawn by lot; only the connection that checks it has it open",
	},
	{
		"internal/maintain/integrity/verify.go sweep os.Remove",
		"a copy of a killed process, by its name, which no database has, and because nobody has written it for ten minutes",
	},
	{
		"internal/maintain/logbook/logbook.go refresh os.ReadFile",
		"a record of backups: that it is a plain file, small, and nothing that this process has open as a database was looked at before",
	},
	{
		"internal/maintain/logbook/logbook.go write os.OpenFile",
		"O_EXCL: the descriptor exists only if the file did not, so nobody has a lock on it yet",
	},
	{
		"internal/maintain/logbook/logbook.go Change os.Remove",
		"the file that this call has just made",
	},
	{
		"internal/maintain/logbook/logbook.go replace os.Rename",
		"the file that this call has just made, over one that was looked at before: a record of backups",
	},
	{
		"internal/maintain/manifest/manifest.go takeVacuum os.OpenFile",
		"O_EXCL: the descriptor exists only if the file did not, so nobody has a lock on it yet; SQLite's own is closed before",
	},
	{
		"internal/maintain/manifest/manifest.go Sum os.Open",
		"a copy in a directory of its own, after its connection was closed; package backup looks before whether this process has the file open",
	},
	{
		"internal/maintain/manifest/publish.go write os.OpenFile",
		"O_EXCL: a manifest, which is no database",
	},
	{
		"internal/maintain/manifest/publish.go Publish os.Link",
		"a manifest",
	},
	{
		"internal/maintain/manifest/publish.go Publish os.Remove",
		"the manifest that this call has just made",
	},
	{
		"internal/maintain/manifest/publish.go Publish os.Rename",
		"a copy that nobody has opened, to a name that is nobody's",
	},
	{
		"internal/maintain/manifest/publish.go Undo os.ReadFile",
		"manifests, by names that no database of SQLite's has",
	},
	{
		"internal/maintain/manifest/publish.go Undo os.Remove",
		"a manifest without a copy, of a backup whose owner is dead",
	},
	{
		"backup/source.go readManifest os.ReadFile",
		"a manifest: that this process has no descriptor of it was looked at before",
	},
	{
		"backup/source.go Unpack os.Open",
		"a backup: that this process has no descriptor of it, and of a copy's sidecars, was looked at before",
	},
	{
		"backup/source.go Unpack io.Copy",
		"from a backup to what the caller made for it",
	},
	{
		"backup/create.go publish os.Rename",
		"an archive in a directory of its own, to a name that is nobody's",
	},
	{
		"backup/create.go writeArchive os.Open",
		"a copy in a directory of its own, after its connection was closed",
	},
	{
		"backup/create.go writeArchive os.OpenFile",
		"O_EXCL: an archive in a directory of its own",
	},
	{
		"backup/remote.go put os.Open",
		"a copy or an archive of it in a directory of its own, after its connection was closed",
	},
	{"backup/remote.go Unpack io.Copy", "from a store, which is no file system, to what the caller made for it"},
	{"cluster/address.go readSecret os.ReadFile", "a certificate, key or password: table.Own has looked before that this process has the file not open, and more than 64 KiB is refused"},
	{"cluster/move.go Export os.Rename", "from a directory that this call has made, to a name at which nothing is"},
	{"cluster/backup.go backup io.Copy", "from another machine to what the caller made for it"},
	{
		"backup/inuse_windows.go openSomewhere windows.CreateFile",
		"Windows, where locks belong to the handle that took them; nothing is shared, so it is refused if anybody has the file open",
	},
	{
		"backup/list.go Prune os.Remove",
		"a backup and its manifest: that this process has no descriptor of it was looked at before",
	},
	{
		"backup/restore.go removeWork os.Remove",
		"the lock and the note of a restore, in its own directory",
	},
	{
		"backup/restore.go unpack os.OpenFile",
		"O_EXCL: the descriptor exists only if the file did not, so nobody has a lock on it yet",
	},
	{
		"backup/swap.go clear os.Rename",
		"sidecars of the old database, which is locked or which nobody has open",
	},
	{
		"backup/swap.go swap os.Rename",
		"the old database and its sidecars: nobody has them open but the connection that has locked them against everybody, or nobody at all",
	},
	{
		"backup/swap.go undoIfUsed os.Rename",
		"the same, back",
	},
	{
		"backup/swap.go undoIfUsed os.Link",
		"a second name for the new database, as it has lost its own; it is locked",
	},
	{
		"backup/swap.go undoIfUsed os.Truncate",
		"the new database that nobody is to use any more, by its name: no descriptor is closed, and nobody has read it yet, as it is locked",
	},
	{
		"backup/swap.go appear os.Link",
		"a database that nobody has open, under a name that is nobody's",
	},
	{
		"backup/swap.go appear os.Remove",
		"its first name",
	},
	{
		"backup/swap.go appear os.Rename",
		"the same, where there are no hard links",
	},
	{
		"backup/swap.go write os.OpenFile",
		"O_EXCL: the note of a restore, in its own directory",
	},
	{
		"backup/swap.go write os.Remove",
		"the note that a killed restore has not finished, in its own directory",
	},
	{
		"backup/swap.go write os.Rename",
		"the note of a restore, in its own directory",
	},
	{
		"backup/swap.go exchange os.Link",
		"the old database, locked as above",
	},
	{
		"backup/swap.go exchange os.Rename",
		"the old database, locked as above",
	},
	{
		"backup/swap.go settle os.Remove",
		"the database that a restore which is dead has unpacked, which never got its name; and the note",
	},
	{
		"backup/swap.go settle os.ReadFile",
		"the note of a restore: that this process has no descriptor of it was looked at before",
	},
	{
		"backup/swap.go settle os.Rename",
		"a database that a dead restore has taken from its place, to the name it was to get",
	},
	{
		"backup/swap.go putBack os.Rename",
		"a sidecar that a dead restore has taken aside, back to where none is",
	},
	{
		"backup/swap.go putBack os.Remove",
		"the second name of a database that keeps its first",
	},
	{
		"backup/swap_linux.go swapNames unix.Renameat2",
		"the old database, locked as above",
	},
	{
		"backup/swap_darwin.go swapNames unix.RenamexNp",
		"the old database, locked as above",
	},
	{
		"internal/sidelock/file_unix.go openOrCreate unix.Open",
		"the lock file, which has a name of its own; checkExisting has refused links, and O_NOFOLLOW stands",
	},
	{
		"internal/sidelock/file_unix.go setlk unix.FcntlFlock",
		"locks on the descriptor of the lock file",
	},
	{
		"internal/sidelock/file_unix.go holder unix.FcntlFlock",
		"asks for locks by the descriptor of the lock file",
	},
	{
		"internal/sidelock/file_unix.go waiting unix.FcntlFlock",
		"asks for locks by the descriptor of the lock file",
	},
	{
		"internal/sidelock/memfile/memfile.go New os.RemoveAll",
		"a directory that this call has just made; no connection was opened in it",
	},
	{
		"internal/sidelock/memfile/memfile.go Remove os.RemoveAll",
		"the private directory of a database in memory, after its last connection was closed",
	},
	{
		"internal/sidelock/memfile/memfile.go sweep os.RemoveAll",
		"a database in memory whose owner is dead: its lock was free, and nobody takes up a directory that another made",
	},
	{
		"internal/sidelock/dir.go NewDir os.RemoveAll",
		"a directory that this call has just made; no connection was opened in it",
	},
	{
		"internal/sidelock/dir.go Remove os.RemoveAll",
		"a directory of its own, after the connections in it were closed: its users promise that",
	},
	{
		"internal/sidelock/dir.go sweep os.RemoveAll",
		"work that wasn't done and whose owner is dead: its lock was free, and nobody takes up a directory that another made",
	},
	{
		"internal/sidelock/timer_linux.go open os.NewFile",
		"a timer descriptor; it is no file",
	},
	{
		"internal/sidelock/hints_linux.go expect os.NewFile",
		"an inotify descriptor; it is no file",
	},
	{
		"internal/sidelock/file_windows.go openLockFile os.OpenFile",
		"the lock file, which has a name of its own; anything but a regular file was refused before",
	},
	{
		"internal/sidelock/file_windows.go tryLock windows.LockFileEx",
		"locks on the handle of the lock file",
	},
}
