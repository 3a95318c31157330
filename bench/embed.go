package main

import (
	"embed"
	"os"
	"path/filepath"

	"github.com/holdfastdb/holdfast/bench/internal/rival"
)

//go:embed python/*.py
var pythonFiles embed.FS

//go:embed c/loop.c
var limitSource string

// unpack writes the Python files into dir, for another program is to read them.
func unpack(dir string) (rival.Sources, error) {
	s := rival.Sources{Dir: dir, Python: filepath.Join(dir, "python", "load.py"), C: limitSource, Compiler: rival.Compiler}
	return s, os.CopyFS(dir, pythonFiles)
}
