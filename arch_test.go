package holdfast_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// The tests here hold the arrows of docs/architecture.md: which room may import
// which, what an adopter compiles, how large files may grow. Whoever has a good
// reason to break one changes the table and the page together.

const library = "github.com/holdfastdb/holdfast"

// root is the room of package holdfast itself; others are named by directory.
const root = "."

// floor is a set of rooms that know nothing of each other.
type floor struct {
	rooms []string
	why   string // what is lost if they import each other, or a room above
}

// floors stand from the top down: a room imports rooms of lower floors only.
var floors = []floor{
	{
		[]string{"dash"},
		"it shows what the rooms below tell; one that knew its pages would bring them into programs that show nothing",
	},
	{
		[]string{"backup", "cluster", "doctor", "holdfasttest", "internal/conformance", "locks"},
		"each is optional: a program compiles the one that it imports and not its neighbours",
	},
	{
		[]string{"alerts"},
		"the dashboard shows alerts and metrics makes rules of them, so they stand below both; a program that wants neither compiles none",
	},
	{
		[]string{root},
		"no room imports the root: a room reports through callbacks in its own Config, so it can be tested alone, and only the root knows who listens",
	},
	{
		[]string{"internal/session", "internal/maintain"},
		"sessions and maintenance meet in the writer's queue only; one that knew the other could wait for it while being waited for",
	},
	{
		[]string{"internal/pool", "internal/writer"},
		"pool and writer never meet: if one waited for the other inside, a caller could hold a reader while it waits for the writer, and nobody would see the deadlock coming; the session holds both leases and decides",
	},
	{
		[]string{"internal/locks", "internal/stats", "internal/busy"},
		"these are instruments that every room above shares; two that need each other are one room",
	},
	{
		[]string{"history"},
		"it is data that whoever records and whoever shows it share; it has costs of statements in it, and so stands on queries",
	},
	{
		[]string{"internal/sqlite", "queries"},
		"the binding says what SQLite does and nothing of what Holdfast makes of it; queries is data that whoever counts and whoever shows it share, and knows neither",
	},
}

// apart are the rooms that stand on no floor: only the root and what is above
// it imports them, and they import no room.
var apart = map[string]string{
	"internal/config":   "it reads the tags of a struct that it is given; knowing one configuration, it would grow the rules of that one, and fuzzing it would compile the engine",
	"internal/control":  "it carries what it is given to whoever asks, and both ends of it, one of them without an engine, compile it",
	"internal/dbfile":   "it judges a file before any connection exists, by stat alone; a binding in reach would tempt it to look inside",
	"internal/sidelock": "it is a lock between processes, tested without a database",
	"advisor":           "advice is a function of data, so that it can be replayed on recordings",
	"forecast":          "a forecast is a function of data, so that it can be replayed on recordings",
	"rowhash":           "it compares any two databases by queries alone, whatever has opened them, an engine of another program too",
	"plan":              "a plan is a function of the rows that SQLite gives, whoever has asked for them and whenever",
}

// pure are the rooms that do no I/O, doingIO what they don't import for it.
var (
	pure    = []string{"advisor", "forecast", "plan"}
	doingIO = []string{"database", "embed", "io/ioutil", "log", "net", "os", "plugin", "runtime", "syscall"}
)

// separate are the modules of this repository that have a go.mod of their own.
var separate = []string{"backup/archive", "bench", "cmd/holdfast", "interop", "metrics", "replicate"}

// compiled is every module that a program takes code from if it imports only
// package holdfast.
var compiled = []string{
	library,
	"golang.org/x/sys",   // locks, access rights, kinds of file system
	"modernc.org/sqlite", // the engine; what follows is required by it
	"modernc.org/libc",
	"modernc.org/mathutil",
	"modernc.org/memory",
	"github.com/dustin/go-humanize",
	"github.com/google/uuid",
	"github.com/mattn/go-isatty",
	"github.com/ncruces/go-strftime",
	"github.com/remyoudompheng/bigfft",
}

// testOnly may stand in go.mod besides.
var testOnly = []string{
	"go.uber.org/goleak", // proves that no goroutine outlives Close
}

// systems are looked at one after the other, because go list sees only the
// files of one.
var systems = []string{"linux", "darwin", "windows"}

// listed is what go list tells of a package.
type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Module       *struct{ Path string }
}

// goList lists packages of the module in dir, without network and workspace.
func goList(t *testing.T, system, dir string, args ...string) []listed {
	t.Helper()
	const fields = "-json=ImportPath,Imports,TestImports,XTestImports,Module"
	out := goCommand(t, dir, []string{"GOOS=" + system, "GOARCH=amd64", "CGO_ENABLED=0"},
		append([]string{"list", "-e", fields}, args...)...)
	var list []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return list
		case err != nil:
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

func goCommand(t *testing.T, dir string, env []string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil && runtime.GOOS == "windows" {
		t.Skip("the go command is not here: this is wine")
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "GOWORK=off", "GOPROXY=off"), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s in %s: %v\n%s", strings.Join(args, " "), dir, err, &stderr)
	}
	return out
}

// roomOf returns the room of a package of this repository: the listed directory
// that contains it, or its own directory if none does.
func roomOf(importPath string) (room string, ours bool) {
	if importPath == library {
		return root, true
	}
	dir, ours := strings.CutPrefix(importPath, library+"/")
	if !ours {
		return "", false
	}
	for d := dir; d != "."; d = path.Dir(d) {
		if hasPlace(d) || slices.Contains(separate, d) {
			return d, true
		}
	}
	return dir, true
}

func floorOf(room string) int {
	return slices.IndexFunc(floors, func(f floor) bool { return slices.Contains(f.rooms, room) })
}

func hasPlace(room string) bool { return apart[room] != "" || floorOf(room) >= 0 }

// objection says why one room may not import another; "" if it may.
func objection(from, to string) string {
	upper, lower := floorOf(from), floorOf(to)
	switch {
	case from == to:
		return ""
	case !hasPlace(from) || !hasPlace(to):
		return "a new room needs a place in floors or apart (arch_test.go) and in docs/architecture.md, or nobody knows what may use it"
	case apart[from] != "":
		return "it imports no room: " + apart[from]
	case apart[to] != "" && upper <= floorOf(root):
		return ""
	case apart[to] != "":
		return "only the root and what is above it may: " + apart[to]
	case upper < lower:
		return ""
	case to == root:
		return floors[lower].why
	}
	return floors[upper].why
}

func TestArrows(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{} // most arrows are the same on every system
	for _, system := range systems {
		for _, p := range goList(t, system, ".", "./...") {
			from, _ := roomOf(p.ImportPath)
			if !hasPlace(from) && !seen[from] {
				seen[from] = true
				t.Errorf("%s: %s", from, objection(from, root))
			}
			for _, i := range p.Imports {
				arrow := p.ImportPath + " -> " + i
				to, ours := roomOf(i)
				if !ours || seen[arrow] {
					continue
				}
				seen[arrow] = true
				if why := objection(from, to); why != "" {
					t.Errorf("%s: %s", arrow, why)
				}
			}
		}
	}
	if !seen[library+" -> "+library+"/internal/session"] {
		t.Error("the arrow from the root to the sessions was not seen: this test looks at nothing")
	}
}

// The table itself must object to what it is there for.
func TestArrowsThatMayNotBe(t *testing.T) {
	for _, a := range []struct{ from, to string }{
		{"internal/pool", "internal/writer"},
		{"internal/writer", "internal/pool"},
		{"internal/busy", "internal/locks"},
		{"internal/sqlite", "internal/busy"},
		{"internal/pool", "internal/session"},
		{"internal/session", root},
		{"internal/dbfile", root},
		{root, "dash"},
		{root, "alerts"},
		{"alerts", "dash"},
		{"backup", "dash"},
		{"backup", "locks"},
		{"internal/session", "internal/dbfile"},
		{"internal/dbfile", "internal/sqlite"},
		{"internal/sidelock", "internal/dbfile"},
		{"internal/config", "internal/dbfile"},
		{"internal/pool", "internal/config"},
		{"advisor", "internal/stats"},
		{root, "internal/newcomer"},
		{"internal/newcomer", "internal/sqlite"},
	} {
		if objection(a.from, a.to) == "" {
			t.Errorf("%s -> %s is allowed", a.from, a.to)
		}
	}
	for _, a := range []struct{ from, to string }{
		{root, "internal/session"},
		{root, "internal/dbfile"},
		{root, "internal/config"},
		{"backup", root},
		{"dash", "backup"},
		{"backup", "internal/dbfile"},
		{"internal/session", "internal/writer"},
		{"internal/writer", "internal/sqlite"},
		{root, "advisor"},
		{"dash", "alerts"},
		{"alerts", root},
	} {
		if why := objection(a.from, a.to); why != "" {
			t.Errorf("%s -> %s is refused: %s", a.from, a.to, why)
		}
	}
}

// engineOnly are imports that only the binding may have.
var engineOnly = []string{"modernc.org/sqlite/lib", "modernc.org/libc"}

func TestOnlyTheBindingTouchesTheEngine(t *testing.T) {
	t.Parallel()
	for _, system := range systems {
		for _, p := range goList(t, system, ".", "./...") {
			room, _ := roomOf(p.ImportPath)
			for _, i := range p.Imports {
				switch {
				case i == "modernc.org/sqlite":
					t.Errorf("%s imports %s (%s): its driver registers the name \"sqlite\", and a program with a second driver of that name panics at its start",
						p.ImportPath, i, system)
				case room != "internal/sqlite" && slices.ContainsFunc(engineOnly, func(e string) bool { return within(i, e) }):
					t.Errorf("%s imports %s (%s): C memory, thread states and callbacks are kept right in internal/sqlite and nowhere else",
						p.ImportPath, i, system)
				}
			}
		}
	}
}

// within reports whether an import path is dir or below it.
func within(importPath, dir string) bool {
	return importPath == dir || strings.HasPrefix(importPath, dir+"/")
}

// engineless are packages that look at databases and can't reach the engine.
var engineless = []string{"locks", "internal/locks/outside"}

func TestLooksFromOutsideHaveNoEngine(t *testing.T) {
	t.Parallel()
	for _, system := range systems {
		for _, dir := range engineless {
			for _, p := range goList(t, system, ".", "-deps", "./"+dir) {
				if room, ours := roomOf(p.ImportPath); ours && room == "internal/sqlite" || within(p.ImportPath, "modernc.org/sqlite") {
					t.Errorf("%s compiles in %s (%s): it has to tell about a database without disturbing it, and a connection in reach would one day be opened",
						dir, p.ImportPath, system)
				}
			}
		}
	}
}

func TestPureRoomsDoNoIO(t *testing.T) {
	t.Parallel()
	for _, p := range goList(t, "linux", ".", "./...") {
		room, _ := roomOf(p.ImportPath)
		if !slices.Contains(pure, room) {
			continue
		}
		for _, i := range p.Imports {
			if slices.ContainsFunc(doingIO, func(d string) bool { return within(i, d) }) {
				t.Errorf("%s imports %s, which does I/O: %s", p.ImportPath, i, apart[room])
			}
		}
	}
}

func TestSeparateModulesUseThePublicAPI(t *testing.T) {
	t.Parallel()
	for _, dir := range separate {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); errors.Is(err, fs.ErrNotExist) {
			continue // not written yet, or this is a copy of the library alone
		}
		for _, p := range goList(t, "linux", dir, "./...") {
			for _, i := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
				if within(i, library+"/internal") {
					t.Errorf("%s imports %s: a module of its own is built against any release of the library, and internal rooms change with each",
						p.ImportPath, i)
				}
			}
		}
	}
}

// The dashboard is written as a program's own would be.
func TestTheDashboardUsesThePublicAPI(t *testing.T) {
	t.Parallel()
	for _, p := range goList(t, "linux", ".", "./dash/...") {
		for _, i := range p.Imports {
			if within(i, library+"/internal") || p.Module != nil && i != library && strings.Contains(strings.Split(i, "/")[0], ".") && !within(i, library) {
				t.Errorf("%s imports %s: what the pages show has to be there for everybody, and they are compiled into programs that review what they require",
					p.ImportPath, i)
			}
		}
	}
}

func TestWhatAnAdopterCompiles(t *testing.T) {
	t.Parallel()
	for _, system := range systems {
		for _, p := range goList(t, system, ".", "-deps", ".") {
			room, ours := roomOf(p.ImportPath)
			switch {
			case ours && room != root && floorOf(room) >= 0 && floorOf(room) < floorOf(root):
				t.Errorf("%s is compiled into every program that imports holdfast (%s): it is optional", p.ImportPath, system)
			case p.Module != nil && !slices.Contains(compiled, p.Module.Path):
				t.Errorf("%s is compiled into every program that imports holdfast (%s): adopters review, patch and ship what we require; "+
					"heavy integrations are modules of their own", p.Module.Path, system)
			}
		}
	}
}

func TestRequirements(t *testing.T) {
	t.Parallel()
	var mod struct{ Require []struct{ Path string } }
	if err := json.Unmarshal(goCommand(t, ".", nil, "mod", "edit", "-json"), &mod); err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Require {
		if !slices.Contains(compiled, r.Path) && !slices.Contains(testOnly, r.Path) {
			t.Errorf("go.mod requires %s: adopters read this file before they trust the library, so a new line needs a reason in arch_test.go", r.Path)
		}
	}
	if len(mod.Require) == 0 {
		t.Error("no requirement was seen: this test looks at nothing")
	}
}

const (
	maxRootFiles = 12
	maxLines     = 700
)

// vague are names that say nothing of what is inside, so everything ends there.
var vague = []string{"util", "utils", "common", "helper", "helpers", "manager", "managers", "misc"}

func TestSizesAndNames(t *testing.T) {
	t.Parallel()
	var rootFiles []string
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if slices.Contains(vague, strings.TrimSuffix(strings.TrimSuffix(name, ".go"), "_test")) {
			t.Errorf("%s: name it after what is inside; under such a name everything ends up", file)
		}
		switch {
		case d.IsDir() && file != "." && (name == "testdata" || name == "node_modules" || name[0] == '.'):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if n := bytes.Count(text, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines, more than %d: could a reader find their way, or is this two files?", file, n, maxLines)
		}
		if filepath.Dir(file) == "." && !strings.HasSuffix(name, "_test.go") {
			rootFiles = append(rootFiles, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(rootFiles) > maxRootFiles {
		t.Errorf("%d files at the root, more than %d: the root is what a newcomer reads first, and it only wires the rooms: %s",
			len(rootFiles), maxRootFiles, strings.Join(rootFiles, " "))
	}
}
