package doctor

import (
	"cmp"
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfastdb/holdfast"
)

// engine judges the SQLite in this program.
func (e *examination) engine() {
	if have := holdfast.Engine(); len(have.KnownBugs) > 0 {
		e.found("engine-bug", Critical, have.Version, strings.Join(have.KnownBugs, "; "))
	}
}

// driver is a Go module that contains SQLite, or brings one along.
type driver struct {
	module string
	fixed  string // the first version whose SQLite is known to lack the WAL-reset bug, 3.51.3 or later; "" if it has no SQLite of its own
	broken string // the last version known to have it
	brings string // module and version of the engine that it requires at least
}

// drivers is what is known for certain; what lies between broken and fixed is
// reported as not known. See https://www.sqlite.org/wal.html#walresetbug.
var drivers = []driver{
	{module: "modernc.org/sqlite", fixed: "v1.46.2", broken: "v1.46.1"},
	{module: "github.com/mattn/go-sqlite3", fixed: "v1.14.53", broken: "v1.14.22"},
	{module: "github.com/ncruces/go-sqlite3", fixed: "v0.36.0"},
	{module: "zombiezen.com/go/sqlite", brings: "modernc.org/sqlite v1.37.1"},
	{module: "github.com/glebarez/sqlite", brings: "modernc.org/sqlite v1.23.1"},
	{module: "github.com/glebarez/go-sqlite", brings: "modernc.org/sqlite v1.23.1"},
	{module: "gorm.io/driver/sqlite", brings: "github.com/mattn/go-sqlite3 v1.14.22"},
}

// programs judges what the options name: a go.mod, a program, a DSN.
func (e *examination) programs(o Options) error {
	versions := map[string]string{}
	if o.GoMod != "" {
		if filepath.Ext(o.GoMod) != ".mod" { // a database among the arguments must not be opened by mistake
			return fmt.Errorf("%s is no go.mod: its name must end in .mod", o.GoMod)
		}
		if err := openHere(o.GoMod); err != nil {
			return err
		}
		text, err := os.ReadFile(o.GoMod)
		if err != nil {
			return err
		}
		versions = requirements(string(text))
		e.modules(o.GoMod, versions)
	}
	if o.Binary != "" {
		if err := openHere(o.Binary); err != nil {
			return err
		}
		info, err := buildinfo.ReadFile(o.Binary)
		if err != nil {
			return fmt.Errorf("%s has no build information of Go: %w", o.Binary, err)
		}
		versions = map[string]string{}
		for _, d := range info.Deps {
			if d.Replace != nil && d.Replace.Version != "" {
				d = &debug.Module{Path: d.Path, Version: d.Replace.Version}
			}
			versions[d.Path] = d.Version
		}
		e.modules(o.Binary, versions)
		e.engines(o.Binary, versions)
	}
	return e.source(o.DSN, o.Driver, versions)
}

// modules judges the SQLite of each driver.
func (e *examination) modules(file string, versions map[string]string) {
	effective := map[string]string{}
	known := false
	for _, d := range drivers {
		v, ok := versions[d.module]
		if !ok {
			continue
		}
		known = true
		if d.brings != "" {
			d.module, v, _ = strings.Cut(d.brings, " ")
			v = larger(v, versions[d.module]) // the largest requirement wins
		}
		effective[d.module] = larger(v, effective[d.module])
	}
	for _, d := range drivers {
		v, ok := effective[d.module]
		switch {
		case !ok || d.fixed == "" || compare(v, d.fixed) >= 0:
		case d.broken != "" && compare(v, d.broken) <= 0:
			e.found("driver-engine-bug", Critical, file, d.module, v)
		default:
			e.found("driver-unknown", Info, file, d.module, v)
		}
	}
	if !known {
		e.found("driver-none", Info, file)
	}
}

// engines looks for two copies of SQLite in one program: each keeps its own
// list of the files it has open, and the locks of one are dropped by the other.
func (e *examination) engines(file string, versions map[string]string) {
	var have []string
	for _, d := range drivers {
		if v, ok := versions[d.module]; ok && d.fixed != "" {
			have = append(have, d.module+" "+v)
		}
	}
	if len(have) > 1 {
		e.found("two-engines", Critical, file, strings.Join(have, ", "))
	}
}

// requirements reads the modules of a go.mod with their versions, as
// https://go.dev/ref/mod#go-mod-file says.
func requirements(text string) map[string]string {
	versions, replaced := map[string]string{}, map[string]string{}
	block := ""
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "//")
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
			continue
		case block == "" && len(f) == 2 && f[1] == "(":
			block = f[0]
			continue
		case f[0] == ")":
			block = ""
			continue
		case block == "":
			block, f = f[0], f[1:]
			requirement(block, f, versions, replaced)
			block = ""
			continue
		}
		requirement(block, f, versions, replaced)
	}
	for module, version := range replaced {
		if _, ok := versions[module]; ok {
			versions[module] = version
		}
	}
	return versions
}

func requirement(verb string, f []string, versions, replaced map[string]string) {
	switch arrow := slices.Index(f, "=>"); {
	case verb == "require" && len(f) >= 2:
		versions[strings.Trim(f[0], "\"`")] = f[1]
	case verb == "replace" && arrow > 0 && len(f) == arrow+3:
		replaced[strings.Trim(f[0], "\"`")] = f[arrow+2]
	}
}

// compare orders versions such as v1.46.2; a pre-release comes before its
// release.
func compare(a, b string) int {
	na, prea := numbers(a)
	nb, preb := numbers(b)
	if c := slices.Compare(na, nb); c != 0 {
		return c
	}
	switch {
	case prea == preb:
		return 0
	case prea == "":
		return 1
	case preb == "":
		return -1
	}
	return cmp.Compare(prea, preb)
}

func larger(a, b string) string {
	if b != "" && compare(b, a) > 0 {
		return b
	}
	return a
}

func numbers(v string) (n []int, pre string) {
	v, _, _ = strings.Cut(strings.TrimPrefix(v, "v"), "+")
	v, pre, _ = strings.Cut(v, "-")
	for part := range strings.SplitSeq(v, ".") {
		i, _ := strconv.Atoi(part)
		n = append(n, i)
	}
	return n, pre
}

func itoa(n int) string { return strconv.Itoa(n) }
