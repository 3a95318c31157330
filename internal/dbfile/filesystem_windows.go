package dbfile

import (
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows"
)

// fileSystem asks by path only; no handle is opened.
func fileSystem(path string) (FS, error) {
	root := volumeRoot(path)
	name, err := windows.UTF16PtrFromString(root)
	if err != nil {
		return FS{}, &fs.PathError{Op: "volume", Path: path, Err: err}
	}
	kind := windows.GetDriveType(name)
	f := FS{Mount: root}
	var fsname [windows.MAX_PATH + 1]uint16
	var flags uint32
	if err := windows.GetVolumeInformation(name, nil, 0, nil, nil, &flags, &fsname[0], uint32(len(fsname))); err == nil {
		f.Type = windows.UTF16ToString(fsname[:])
		f.ReadOnly = flags&windows.FILE_READ_ONLY_VOLUME != 0
	}
	switch {
	case kind == windows.DRIVE_REMOTE || isUNC(root):
		// Shared folders of virtual machines come in this way too.
		f.Class, f.Type = Network, "network drive"
	case kind == windows.DRIVE_FIXED || kind == windows.DRIVE_REMOVABLE || kind == windows.DRIVE_CDROM:
		f.Class = Local
	case kind == windows.DRIVE_RAMDISK:
		f.Class = Memory
	}
	return f, nil
}

// volumeRoot returns the root of the volume a path lies on, with its final
// backslash, also where a volume is mounted in a directory.
func volumeRoot(path string) string {
	if name, err := windows.UTF16PtrFromString(path); err == nil {
		var root [windows.MAX_LONG_PATH]uint16
		if windows.GetVolumePathName(name, &root[0], uint32(len(root))) == nil {
			return windows.UTF16ToString(root[:])
		}
	}
	return filepath.VolumeName(path) + `\`
}

// isUNC reports whether a path begins with a server's name. \\?\ and \\.\ are
// prefixes for local devices, \\?\UNC\ is a server again.
func isUNC(path string) bool {
	if rest, ok := strings.CutPrefix(path, `\\?\`); ok {
		return len(rest) >= 4 && strings.EqualFold(rest[:4], `UNC\`)
	}
	return strings.HasPrefix(path, `\\`) && !strings.HasPrefix(path, `\\.\`)
}
