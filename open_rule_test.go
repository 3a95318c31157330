package holdfast_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const openRule = `A live database, its -wal and its -shm are opened by SQLite only, and SQLite alone removes them.
On POSIX systems a process loses all its locks on a file when it closes any descriptor of it
(https://www.sqlite.org/howtocorrupt.html, section 2.2). After one os.Open and Close of the -shm, beside SQLite,
another process writes into the running transaction: rows that were acknowledged are gone and integrity_check says ok.
Stat is harmless. To read or copy a database ask SQLite, or use a child process. A file that can never be one of
the three is opened at a place that stands in openings (open_rule_test.go) with the reason why it can't.`

// openers are the functions by which Go code opens, maps, locks or removes a
// file, by package. An import that has no other use is listed as a whole.
var openers = map[string]*regexp.Regexp{
	"debug/buildinfo":               named(`ReadFile`),
	"os":                            named(`Open.*|ReadFile|WriteFile|Create|CreateTemp|NewFile|DirFS|CopyFS|Truncate|Rename|Remove|RemoveAll|Link`),
	"io":                            named(`Copy|CopyN|CopyBuffer`),
	"syscall":                       named(`Open.*|Creat.*|Flock|Fcntl.*|Mmap.*|MapViewOfFile|CreateFile.*|DeleteFile|MoveFile.*|Truncate|Rename.*|Unlink.*|Link.*|(Raw)?Syscall.*`),
	"golang.org/x/sys/unix":         named(`Open.*|Creat|Flock|Fcntl.*|Mmap.*|Truncate|Rename.*|Unlink.*|Link.*|(Raw)?Syscall.*`),
	"golang.org/x/sys/windows":      named(`Open.*|Create.*|LockFile.*|MapViewOfFile|DeleteFile|MoveFile.*`),
	"modernc.org/libc":              named(`X_*(f?open|creat|mmap|flock|fcntl|rename|unlink|remove|truncate).*`),
	"net/http":                      named(`Dir|ServeFile|NewFileTransport`),
	"io/ioutil":                     named(`.*`),
	"plugin":                        named(`.*`),
	"golang.org/x/exp/mmap":         named(`.*`),
	"github.com/edsrzf/mmap-go":     named(`.*`),
	"github.com/gofrs/flock":        named(`.*`),
	"github.com/natefinch/atomic":   named(`.*`),
	"github.com/google/renameio/v2": named(`.*`),
}

func named(pattern string) *regexp.Regexp { return regexp.MustCompile(`^(?:` + pattern + `)$`) }

// opening is one place that may open a file.
type opening struct {
	place  string // file, function and what it calls
	reason string // why that can't be a live database, -wal or -shm
}

var openings = []opening{
	{"alerts/receivers.go Secret os.ReadFile", "a token: table.Own has looked before that this process has the file not open, and more than 16 KiB is refused"},
	{"alerts/silences.go loadSilences os.ReadFile", "its name ends with .json, and this package writes it"},
	{"alerts/silences.go writeThrough os.OpenFile", "a name of its own beside that file"},
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

func TestOnlySQLiteOpensDatabases(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	files := 0
	for _, file := range productionFiles(t) {
		files++
		found, err := findOpenings(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			used[f.place] = true
			if !slices.ContainsFunc(openings, func(o opening) bool { return o.place == f.place }) {
				t.Errorf("%s: %s\n%s", f.pos, f.place, openRule)
			}
		}
	}
	if files < 50 {
		t.Errorf("%d files were seen: this test does not look at the library", files)
	}
	for _, o := range openings {
		switch {
		case !used[o.place]:
			t.Errorf("openings lists %q, which is not there any more", o.place)
		case o.reason == "":
			t.Errorf("openings lists %q without a reason", o.place)
		}
	}
}

// productionFiles are the Go files of the library, for every platform: those of
// its own module that are no tests.
func productionFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != "." && (name == "testdata" || name == "node_modules" || name[0] == '.'),
			d.IsDir() && slices.Contains(separate, filepath.ToSlash(file)),
			d.IsDir() && file == "packaging": // outside of the workspace, and without the engine: it has no locks to lose
			return fs.SkipDir
		case !d.IsDir() && path.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go"):
			files = append(files, file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// foundOpening is a use of an opener, called or not.
type foundOpening struct {
	pos   token.Position
	place string
}

// findOpenings returns the uses of openers in one file; src is nil to read it.
// The imports are not loaded: that an identifier means a package, and which, is
// all that has to be known of it.
func findOpenings(file string, src any) ([]foundOpening, error) {
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, file, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var found []foundOpening
	add := func(n ast.Node, what string) {
		place := fmt.Sprintf("%s %s %s", filepath.ToSlash(file), enclosing(syntax, n), what)
		found = append(found, foundOpening{fset.Position(n.Pos()), place})
	}
	for _, i := range syntax.Imports {
		// A dot hides where a name comes from, so it may hide an opener.
		importPath, _ := strconv.Unquote(i.Path.Value)
		if openers[importPath] != nil && i.Name != nil && i.Name.Name == "." {
			add(i, importPath)
		}
	}
	packages := packageNames(fset, syntax)
	ast.Inspect(syntax, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		id, ok := selector.X.(*ast.Ident)
		if !ok {
			return true
		}
		if opener := openers[packages[id]]; opener != nil && opener.MatchString(selector.Sel.Name) {
			add(selector, path.Base(packages[id])+"."+selector.Sel.Name)
		}
		return true
	})
	return found, nil
}

// packageNames tells which identifiers of a file mean a package: "os" may also
// be a variable.
func packageNames(fset *token.FileSet, file *ast.File) map[*ast.Ident]string {
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	check := types.Config{
		Importer: emptyImporter{},
		Error:    func(error) {}, // an empty package has nothing of what the file uses
	}
	_, _ = check.Check(file.Name.Name, fset, []*ast.File{file}, &info)
	names := map[*ast.Ident]string{}
	for id, object := range info.Uses {
		if p, ok := object.(*types.PkgName); ok {
			names[id] = p.Imported().Path()
		}
	}
	return names
}

type emptyImporter struct{}

func (emptyImporter) Import(importPath string) (*types.Package, error) {
	name := path.Base(importPath)
	if len(name) > 1 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "" {
		name = path.Base(path.Dir(importPath)) // a major version
	}
	p := types.NewPackage(importPath, strings.TrimSuffix(name, "-go"))
	p.MarkComplete()
	return p, nil
}

// enclosing names the function that n stands in, without its receiver.
func enclosing(file *ast.File, n ast.Node) string {
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Pos() <= n.Pos() && n.Pos() < f.End() {
			return f.Name.Name
		}
	}
	return "-"
}

// The scan must find what it is there for, and nothing else.
func TestOpeningsAreFound(t *testing.T) {
	const src = `package p

import (
	"os"
	"io"
	sys "golang.org/x/sys/unix"
	. "io/ioutil"
	"github.com/gofrs/flock"
)

var open = os.Open // a value is as good as a call

func read(name string) {
	func() { os.ReadFile(name) }()
	sys.Mmap(0, 0, 0, 0, 0)
	flock.New(name)
	defer io.Copy(nil, nil)
	os.Stat(name)
	io.ReadAll(nil)
}

func shadowed(os struct{ Open func() }) { os.Open() }
`
	found, err := findOpenings("p.go", src)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, strings.TrimPrefix(f.place, "p.go "))
	}
	want := []string{"- io/ioutil", "- os.Open", "read os.ReadFile", "read unix.Mmap", "read flock.New", "read io.Copy"}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}
