package memory

import (
	"bytes"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// none is a limit that is none. Version 1 answers the largest multiple of a page.
const none = math.MaxInt64 &^ 0xffff

// Cgroups reads, from the root of a file system, what the control groups of the process
// allow it, its own and those above it. Files that are missing or make no sense are
// passed over: no group is known then.
func Cgroups(system fs.FS) []Reserve {
	text, err := fs.ReadFile(system, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	unified, memory := parseCgroups(text)
	var out []Reserve
	if memory != "" {
		out = climb(system, "sys/fs/cgroup/memory", memory, version1)
	}
	if out == nil && unified != "" {
		out = climb(system, "sys/fs/cgroup", unified, version2)
	}
	return out
}

// parseCgroups returns the path of the process's group in the unified hierarchy and in
// that of version 1's memory controller; "" if it is in none. See cgroups(7).
func parseCgroups(text []byte) (unified, memory string) {
	for line := range bytes.Lines(text) {
		id, rest, ok := bytes.Cut(bytes.TrimRight(line, "\n"), []byte(":"))
		controllers, group, ok2 := bytes.Cut(rest, []byte(":"))
		if !ok || !ok2 || len(group) == 0 || group[0] != '/' {
			continue
		}
		if string(id) == "0" && len(controllers) == 0 {
			unified = path.Clean(string(group))
		}
		for name := range bytes.SplitSeq(controllers, []byte(",")) {
			if string(name) == "memory" {
				memory = path.Clean(string(group))
			}
		}
	}
	return unified, memory
}

// climb looks at a group and at those above it, up to the root. In a container the path
// may be the host's and lead nowhere; then the mount itself is the process's group.
func climb(system fs.FS, mount, group string, look func(fs.FS, string) (Reserve, bool)) []Reserve {
	var out []Reserve
	for ; ; group = path.Dir(group) {
		if r, ok := look(system, path.Join(mount, group)); ok {
			out = append(out, r)
		}
		if group == "/" || group == "." {
			return out
		}
	}
}

func version2(system fs.FS, dir string) (Reserve, bool) {
	limit, name := readLimit(system, dir+"/memory.max"), "cgroup memory.max"
	if high := readLimit(system, dir+"/memory.high"); high < limit {
		limit, name = high, "cgroup memory.high"
	}
	used, ok := readNumber(system, dir+"/memory.current")
	if !ok || limit >= none {
		return Reserve{}, false
	}
	stat := readStat(system, dir+"/memory.stat")
	// Pages of files are charged to the group and fill it up to its limit sooner or
	// later; the kernel takes them back before anybody runs short.
	used -= stat["inactive_file"] + stat["active_file"] + stat["slab_reclaimable"]
	return Reserve{Name: name, Limit: limit, Used: max(used, 0), Tight: readTight(system, dir+"/memory.pressure")}, true
}

func version1(system fs.FS, dir string) (Reserve, bool) {
	limit := readLimit(system, dir+"/memory.limit_in_bytes")
	used, ok := readNumber(system, dir+"/memory.usage_in_bytes")
	if !ok || limit >= none {
		return Reserve{}, false
	}
	stat := readStat(system, dir+"/memory.stat")
	used -= stat["total_inactive_file"] + stat["total_active_file"]
	return Reserve{Name: "cgroup memory.limit_in_bytes", Limit: limit, Used: max(used, 0)}, true
}

func readNumber(system fs.FS, name string) (int64, bool) {
	text, err := fs.ReadFile(system, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
	return n, err == nil && n >= 0
}

// readLimit returns a limit; none if there is no file, or "max" in it.
func readLimit(system fs.FS, name string) int64 {
	n, ok := readNumber(system, name)
	if !ok || n == 0 {
		return none
	}
	return n
}

// readStat returns the numbers of a memory.stat that are bytes of files.
func readStat(system fs.FS, name string) map[string]int64 {
	text, err := fs.ReadFile(system, name)
	if err != nil {
		return nil
	}
	return parseStat(text)
}

func parseStat(text []byte) map[string]int64 {
	out := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		if !strings.HasSuffix(key, "active_file") && key != "slab_reclaimable" {
			continue
		}
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && n >= 0 && n < none/4 {
			out[key] = n
		}
	}
	return out
}

// tightAt is the share of the last ten seconds in which somebody waited for memory,
// in percent, from which on a group is short of it.
const tightAt = 10

func readTight(system fs.FS, name string) bool {
	text, err := fs.ReadFile(system, name)
	return err == nil && parsePressure(text) >= tightAt
}

// parsePressure returns avg10 of the line "some" of a memory.pressure; 0 if it is not
// there. See https://docs.kernel.org/accounting/psi.html.
func parsePressure(text []byte) float64 {
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, "some ")
		if !ok {
			continue
		}
		for field := range strings.FieldsSeq(rest) {
			if value, ok := strings.CutPrefix(field, "avg10="); ok {
				if n, err := strconv.ParseFloat(value, 64); err == nil && n >= 0 && n <= 100 {
					return n
				}
			}
		}
	}
	return 0
}
