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
