package main

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestGuide runs the commands of the guide to backups as they stand there, each in
// a shell, in an empty directory.
func TestGuide(t *testing.T) {
	t.Parallel()
	inUse := "refused"
	if runtime.GOOS != "linux" {
		inUse = "" // who has a file open without a lock is told by Linux alone
	}
	runGuide(t, "backup.md", 25, map[string]string{
		`holdfast query empty-machine`:               "sugar",
		`holdfast query shop.db`:                     "2",
		`holdfast query drill`:                       "2",
		`holdfast query elsewhere`:                   "2",
		`holdfast verify`:                            "^ok: s3://",
		`holdfast backup --check`:                    "ok",
		`holdfast backup --list`:                     "shop",
		`holdfast backup --drill`:                    "ok",
		`holdfast health shop.db`:                    "restored and checked on",
		`holdfast restore backups shop.db --dry-run`: "for that:",
		`sleep`: inUse,
	})
}

// TestGuideToReplication likewise.
func TestGuideToReplication(t *testing.T) {
	t.Parallel()
	runGuide(t, "replication.md", 25, map[string]string{
		`tail -n 1`:                    "transaction 000000000000000",
		`holdfast query look.db`:       "2",
		`holdfast query empty-machine`: "tea,sugar,rice",
		`holdfast replicate empty-machine/shop.db replica ||`: "refused",
	})
}

// TestGuideToHighAvailability likewise.
func TestGuideToHighAvailability(t *testing.T) {
	t.Parallel()
	runGuide(t, "high-availability.md", 10, map[string]string{
		`holdfast failover status`:   "free",
		`holdfast standby store two`: "epoch 3 is taken",
		`holdfast query two`:         "tea,sugar,rice",
		`holdfast exec one/shop.db "INSERT INTO orders(item) VALUES ('salt')`: "refused",
		`holdfast query one`: "tea,sugar,rice",
	})
}

// runGuide looks for what some of the commands must print.
func runGuide(t *testing.T, name string, least int, wants map[string]string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("there is no sh")
	}
	text, err := os.ReadFile("../../docs/guide/" + name)
	if err != nil {
		t.Fatal(err)
	}
	server := bucket(t, "backups")
	var script strings.Builder
	lines := commandsOf(string(text))
	for _, line := range lines {
		line = strings.ReplaceAll(line, "https://s3.example.com", server)
		script.WriteString("exec sh -ec '" + strings.ReplaceAll(line, "'", "''") + "'\n")
		for command, want := range wants {
			if strings.HasPrefix(line, command) {
				script.WriteString("stdout '" + want + "'\n")
			}
		}
	}
	if len(lines) < least {
		t.Fatalf("the guide has %d commands: this test looks at nothing", len(lines))
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "guide.txtar"), []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Dir: dir, RequireExplicitExec: true, Setup: func(env *testscript.Env) error { credentials(env); return nil }})
}

// commandsOf are the lines of a page's blocks of shell commands.
func commandsOf(page string) []string {
	var commands []string
	inside := false
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```sh"
		case inside && line != "":
			commands = append(commands, line)
		}
	}
	return commands
}

// bucket is the URL of a server of S3 that has one, and no other.
func bucket(t *testing.T, name string) string {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket(name); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	return server.URL
}

// credentials are some for the server, which takes all.
func credentials(env *testscript.Env) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDOFTHETESTS", "AWS_SECRET_ACCESS_KEY": "the-secret-of-the-tests", "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1",
	} {
		env.Setenv(name, value)
	}
}
