package dbfile

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// mount is one row of /proc/self/mountinfo (proc_pid_mountinfo(5)).
type mount struct {
	id, parent int
	point      string
	fstype     string
	source     string
	readOnly   bool
}

// maxMountLine is far beyond any real row; the longest are those of overlays,
// which list all their layers. A longer row is an error, not cut off.
const maxMountLine = 1 << 20

// parseMountinfo reads a mount table. A row it can't understand is an error:
// a table half understood could hide a network mount.
func parseMountinfo(r io.Reader) ([]mount, error) {
	var mounts []mount
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxMountLine)
	for n := 1; lines.Scan(); n++ {
		if lines.Text() == "" {
			continue
		}
		m, err := parseMount(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("mount table, row %d: %w", n, err)
		}
		mounts = append(mounts, m)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("mount table: %w", err)
	}
	return mounts, nil
}

// parseMount reads one row:
//
//	36 35 98:0 /root /mount rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//	id parent dev root point options optional... - type source superoptions
func parseMount(row string) (mount, error) {
	// The separator is a field of its own; blanks inside fields are escaped.
	before, after, found := strings.Cut(row, " - ")
	left, right := strings.Split(before, " "), strings.Split(after, " ")
	if !found || len(left) < 6 || len(right) < 2 {
		return mount{}, fmt.Errorf("not as proc(5) describes it")
	}
	id, err := strconv.Atoi(left[0])
	if err != nil {
		return mount{}, fmt.Errorf("mount id is not a number")
	}
	parent, err := strconv.Atoi(left[1])
	if err != nil {
		return mount{}, fmt.Errorf("parent id is not a number")
	}
	m := mount{
		id:       id,
		parent:   parent,
		point:    unescapeOctal(left[4]),
		fstype:   unescapeOctal(right[0]),
		source:   unescapeOctal(right[1]),
		readOnly: hasOption(left[5], "ro"),
	}
	if len(right) > 2 {
		m.readOnly = m.readOnly || hasOption(right[2], "ro")
	}
	return m, nil
}

func hasOption(list, option string) bool {
	for o := range strings.SplitSeq(list, ",") {
		if o == option {
			return true
		}
	}
	return false
}

// unescapeOctal undoes the kernel's escapes of blank, tab, newline and
// backslash: a backslash and three octal digits.
func unescapeOctal(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out = append(out, byte(c))
				i += 3
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

// mountOf finds the mount that an absolute, clean path lies on: the longest
// mount point that contains it. Rows stand in the order of mounting, so among
// equals the last one covers the others.
func mountOf(mounts []mount, path string) (mount, bool) {
	var best mount
	found := false
	for _, m := range mounts {
		if contains(m.point, path) && (!found || len(m.point) >= len(best.point)) {
			best, found = m, true
		}
	}
	return best, found
}

// contains reports whether path is dir or lies below it. A directory whose
// name merely begins alike doesn't count: /data2 is not on the mount /data.
func contains(dir, path string) bool {
	if dir == "/" {
		return strings.HasPrefix(path, "/")
	}
	rest, ok := strings.CutPrefix(path, dir)
	return ok && (rest == "" || rest[0] == '/')
}

// mountByID finds the mount with the given id, which the kernel tells exactly
// even where a later mount covers an earlier one further down.
func mountByID(mounts []mount, id uint64) (mount, bool) {
	for _, m := range mounts {
		if uint64(m.id) == id {
			return m, true
		}
	}
	return mount{}, false
}

func (m mount) fs() FS {
	return FS{Class: classify(m.fstype), Type: m.fstype, Mount: m.point, Source: m.source, ReadOnly: m.readOnly}
}
