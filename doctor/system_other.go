//go:build !unix

package doctor

import (
	"io/fs"
	"os"
)

func groupOf(fs.FileInfo) int { return -1 }

func tempDirs() []string { return []string{os.TempDir()} }
