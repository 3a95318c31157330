package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/peterh/liner"
)

// script reads lines from a file or a pipe.
type script struct{ in *bufio.Reader }

func newScript(in io.Reader) *script { return &script{bufio.NewReaderSize(in, 1<<16)} }

func (s *script) line(string) (string, error) {
	text, err := s.in.ReadString('\n')
	if err != nil && (text == "" || !errors.Is(err, io.EOF)) {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r"), nil
}

// terminal reads lines from a person, with editing, completion and history.
type terminal struct {
	editor  *liner.State
	history string // file, or ""
	once    sync.Once
}

func openTerminal(history string, complete liner.WordCompleter) *terminal {
	t := &terminal{editor: liner.NewLiner(), history: history}
	t.editor.SetCtrlCAborts(true)
	t.editor.SetWordCompleter(complete)
	if history != "" {
		if f, err := os.Open(history); err == nil {
			_, _ = t.editor.ReadHistory(f) // what can't be read is not offered
			_ = f.Close()
		}
	}
	return t
}

func (t *terminal) line(prompt string) (string, error) {
	text, err := t.editor.Prompt(prompt)
	if errors.Is(err, liner.ErrPromptAborted) {
		return "", errAborted
	}
	if err == nil && strings.TrimSpace(text) != "" {
		t.editor.AppendHistory(text)
	}
	return text, err
}

// close gives the terminal back as it was, and keeps the history.
func (t *terminal) close(errs io.Writer) {
	t.once.Do(func() {
		_ = t.editor.Close()
		if t.history == "" {
			return
		}
		if err := t.save(); err != nil {
			fmt.Fprintln(errs, "holdfast: keep the history:", output.Visible(err.Error()))
		}
	})
}

// save replaces the history file. It is private: statements contain values.
func (t *terminal) save() error {
	if err := os.MkdirAll(filepath.Dir(t.history), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(t.history), "history-") // 0600
	if err != nil {
		return err
	}
	_, err = t.editor.WriteHistory(f)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), t.history)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// historyFile is where the lines typed are kept unless --history says other.
func historyFile() string {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "holdfast", "history")
	}
	if runtime.GOOS == "windows" {
		if dir := os.Getenv("LocalAppData"); dir != "" {
			return filepath.Join(dir, "holdfast", "history")
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".local", "state", "holdfast", "history")
}
