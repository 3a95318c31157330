package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"strings"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/access"
)

const (
	shortestToken = 16
	largestFile   = 64 << 10 // of tokens
)

// loadTokens reads the tokens that the configuration names. No error tells one.
func (s *Settings) loadTokens(getenv func(string) string, log *slog.Logger) (access.Tokens, error) {
	var errs []error
	load := func(key, file, variable string) []string {
		var list []string
		if file != "" {
			text, err := s.readTokens(file, log)
			if err != nil {
				errs = append(errs, wrong(key, ": %v", err))
			}
			list = text
		}
		if token := strings.TrimSpace(getenv(variable)); token != "" {
			if len(token) < shortestToken {
				errs = append(errs, wrong(key, ": the token in %s has fewer than %d characters: make one with openssl rand -hex 32", variable, shortestToken))
			}
			list = append(list, token)
		}
		return list
	}
	read := load("serve.read_tokens", s.Serve.ReadTokens, s.Serve.ReadTokenEnv)
	write := load("serve.write_tokens", s.Serve.WriteTokens, s.Serve.WriteTokenEnv)
	return access.NewTokens(read, write), errors.Join(errs...)
}

func (s *Settings) readTokens(file string, log *slog.Logger) ([]string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if err := s.refuseTokenFile(file, info); err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		log.Warn("holdfast: others than its owner may read a file of tokens; chmod 600 keeps them out", "file", file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var tokens []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if len(line) < shortestToken {
			return nil, fmt.Errorf("%s has a token of fewer than %d characters: make one with openssl rand -hex 32", file, shortestToken)
		}
		tokens = append(tokens, line)
	}
	if tokens == nil {
		return nil, fmt.Errorf("%s has no token", file)
	}
	return tokens, nil
}

// refuseTokenFile keeps a slip of the pen from opening, and worse closing, a live database
// outside SQLite.
func (s *Settings) refuseTokenFile(file string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() && info.Mode()&fs.ModeNamedPipe == 0 || info.Size() > largestFile {
		return fmt.Errorf("%s is no file of tokens: it is larger than %d bytes, or not a file", file, largestFile)
	}
	for _, d := range s.Databases {
		for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
			if of, err := os.Stat(d.Database.Path + suffix); err == nil && os.SameFile(of, info) {
				return fmt.Errorf("%s is part of the database %s, and not read as a file of tokens", file, d.Name)
			}
		}
	}
	return nil
}
