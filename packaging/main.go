// Command packaging makes what a release consists of, and checks it: archives for each
// platform, packages for Debian and Red Hat, a bill of materials of each binary, and the
// sums of all of them. "make release-check" runs it. It is a module of its own, outside
// of the workspace, so that what it requires reaches nobody who builds Holdfast.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// release is one run.
type release struct {
	out     string    // what is published
	work    string    // what it is made of; removed at the end
	root    string    // a clone of the repository
	version string    // as the command tells it, "v1.2.3"
	when    time.Time // of the commit, so that the same commit has the same bytes
	sbom    []string  // the command that writes bills of materials

	command func(name string, args ...string) *exec.Cmd // ends when the program is interrupted
}

func main() {
	out := flag.String("out", "dist", "where the release goes; created")
	targets := flag.String("targets", "linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64", "platforms, separated by blanks")
	sbom := flag.String("sbom", "", "cyclonedx-gomod, as a command")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *out, strings.Fields(*targets), strings.Fields(*sbom)); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string, targets, sbom []string) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "holdfast-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	// What is released is what was committed. In a clone Go also finds the commit, and with
	// it the version, which it doesn't in a worktree of git's.
	root := filepath.Join(work, "source")
	r := &release{out: out, work: work, root: root, sbom: sbom, command: func(name string, args ...string) *exec.Cmd {
		return exec.CommandContext(ctx, name, args...)
	}}
	if text, err := r.command("git", "clone", "--quiet", "..", root).CombinedOutput(); err != nil {
		return fmt.Errorf("clone the repository: %w: %s", err, text)
	}
	if err := os.Chdir(filepath.Join(root, "packaging")); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	if err := r.build(targets); err != nil {
		return err
	}
	if err := r.describe(); err != nil {
		return err
	}
	for _, target := range targets {
		if err := r.publish(target); err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
	}
	if err := r.writeSums(); err != nil {
		return err
	}
	return r.check(targets)
}

// build makes the binary of each target, and asks that of this machine what it is.
func (r *release) build(targets []string) error {
	for _, target := range targets {
		start := time.Now()
		system, arch, _ := strings.Cut(target, "/")
		cmd := r.command("go", "build", "-trimpath", "-buildvcs=true", "-o", r.binary(target), "./cmd/holdfast")
		cmd.Dir, cmd.Stderr = r.root, os.Stderr
		cmd.Env = append(os.Environ(), "GOWORK=", "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch)
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("build %s: %w", target, err)
		}
		fmt.Printf("built %s in %.0f s\n", target, time.Since(start).Seconds())
	}
	text, err := r.ask("version", "--json")
	if err != nil {
		return err
	}
	var told struct{ Version string }
	if err := json.Unmarshal(text, &told); err != nil {
		return err
	}
	if !strings.HasPrefix(told.Version, "v") {
		return fmt.Errorf("the command says that it is %q: did Go find the commit?", told.Version)
	}
	r.version = told.Version
	git := r.command("git", "log", "-1", "--format=%ct")
	git.Dir = r.root
	text, err = git.Output()
	if err != nil {
		return fmt.Errorf("the time of the commit: %w", err)
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	r.when = time.Unix(seconds, 0).UTC()
	return err
}

func (r *release) binary(target string) string {
	name := "holdfast"
	if strings.HasPrefix(target, "windows/") {
		name += ".exe"
	}
	return filepath.Join(r.work, strings.ReplaceAll(target, "/", "-"), name)
}

// ask runs the command of this machine.
func (r *release) ask(args ...string) ([]byte, error) {
	cmd := r.command(r.binary(runtime.GOOS+"/"+runtime.GOARCH), args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("holdfast %s: %w (this machine, %s/%s, must be among the targets)", strings.Join(args, " "), err, runtime.GOOS, runtime.GOARCH)
	}
	return out, nil
}

// describe has the command write its manual pages and completions.
func (r *release) describe() error {
	if _, err := r.ask("man", "--dir", filepath.Join(r.work, "man1")); err != nil {
		return err
	}
	completions := filepath.Join(r.work, "completions")
	if err := os.MkdirAll(completions, 0o755); err != nil {
		return err
	}
	for shell, name := range map[string]string{"bash": "holdfast.bash", "zsh": "_holdfast", "fish": "holdfast.fish"} {
		text, err := r.ask("completion", shell)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(completions, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// publish makes all that is published for a target.
func (r *release) publish(target string) error {
	if err := r.archive(target); err != nil {
		return err
	}
	if strings.HasPrefix(target, "linux/") {
		for _, format := range []string{"deb", "rpm"} {
			if err := r.pack(format, target); err != nil {
				return fmt.Errorf("%s: %w", format, err)
			}
		}
	}
	if len(r.sbom) == 0 {
		return nil
	}
	file := filepath.Join(r.out, r.name(target)+".cdx.json")
	args := append(append([]string{}, r.sbom[1:]...), "bin", "-json", "-output", file, r.binary(target))
	cmd := r.command(r.sbom[0], args...)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("bill of materials: %w\n%s", err, text)
	}
	return nil
}

// name is that of what is published for a target, without its ending.
func (r *release) name(target string) string {
	return "holdfast-" + strings.TrimPrefix(r.version, "v") + "-" + strings.ReplaceAll(target, "/", "-")
}

// files lists the names in a directory.
func files(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, path)
		}
		return err
	})
	return names, err
}
