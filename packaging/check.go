package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/sassoftware/go-rpmutils"
)

// inPackages are files that somebody looks for in a package.
var inPackages = []string{
	"/usr/bin/holdfast", "/usr/lib/systemd/system/holdfast.service", "/usr/lib/sysusers.d/holdfast.conf", "/etc/holdfast/holdfast.json",
	"/usr/share/man/man1/holdfast.1.gz", "/usr/share/man/man1/holdfast-serve.1.gz", "/usr/share/bash-completion/completions/holdfast",
	"/usr/share/zsh/site-functions/_holdfast", "/usr/share/fish/vendor_completions.d/holdfast.fish", "/usr/share/doc/holdfast/copyright",
}

// check looks at what was published as somebody does who gets it.
func (r *release) check(targets []string) error {
	unpacked := filepath.Join(r.work, "unpacked")
	var errs []error
	try := func(what string, err error) {
		if errors.Is(err, exec.ErrNotFound) {
			fmt.Printf("not checked: %s: %v\n", what, err)
			return
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
			return
		}
		fmt.Println("ok:", what)
	}
	try("sums", r.checkSums())
	for _, target := range targets {
		try("archive of "+target, r.checkArchive(target, unpacked))
		try("binary of "+target, r.checkBinary(target, unpacked))
		if strings.HasPrefix(target, "linux/") {
			try("deb of "+target, r.checkDeb(target))
			try("rpm of "+target, r.checkRPM(target))
		}
		if len(r.sbom) > 0 {
			try("bill of materials of "+target, r.checkSBOM(target))
		}
	}
	here := filepath.Join(unpacked, r.name(runtime.GOOS+"/"+runtime.GOARCH))
	try("the unpacked command", r.checkCommand(here))
	try("manual pages", eachFile(filepath.Join(here, "man1"), func(page string) error {
		return silent(r.command("man", "--warnings", "-Tutf8", "-l", page))
	}))
	try("completion for bash", silent(r.command("bash", "--norc", "-c", `. "$1" && complete -p holdfast`, "bash", filepath.Join(here, "completions", "holdfast.bash"))))
	try("completion for zsh", silent(r.command("zsh", "-n", filepath.Join(here, "completions", "_holdfast"))))
	try("completion for fish", silent(r.command("fish", "-n", filepath.Join(here, "completions", "holdfast.fish"))))
	try("scripts of the packages", eachFile("systemd", func(name string) error {
		if filepath.Ext(name) != ".sh" {
			return nil
		}
		return silent(r.command("sh", "-n", name))
	}))
	try("unit", r.checkUnit(here))
	try("Dockerfile (its statements: no image was built)", checkDockerfile(filepath.Join(r.root, "Dockerfile")))
	return errors.Join(errs...)
}

func (r *release) checkSums() error {
	text, err := os.ReadFile(filepath.Join(r.out, sums))
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	if lines := strings.Count(string(text), "\n"); lines != len(entries)-1 || lines == 0 {
		return fmt.Errorf("%d lines for %d files", lines, len(entries)-1)
	}
	for line := range strings.Lines(string(text)) {
		want, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if got, err := sumOf(filepath.Join(r.out, name)); err != nil || got != want {
			return fmt.Errorf("%s: %w, %s instead of %s", name, err, got, want)
		}
	}
	return nil
}

// checkArchive unpacks an archive and compares the names with what should be in it.
func (r *release) checkArchive(target, dir string) error {
	var err error
	if strings.HasPrefix(target, "windows/") {
		err = unzip(filepath.Join(r.out, r.name(target)+".zip"), dir)
	} else {
		err = untar(filepath.Join(r.out, r.name(target)+".tar.gz"), dir)
	}
	if err != nil {
		return err
	}
	list, err := r.entries(target)
	if err != nil {
		return err
	}
	for _, e := range list {
		want, err := sumOf(e.from)
		if err != nil {
			return err
		}
		if got, err := sumOf(filepath.Join(dir, r.name(target), filepath.FromSlash(e.name))); err != nil || got != want {
			return fmt.Errorf("%s is not what it was made of: %w", e.name, err)
		}
	}
	unpacked, err := files(filepath.Join(dir, r.name(target)))
	if err == nil && len(unpacked) != len(list) {
		err = fmt.Errorf("%d files instead of %d", len(unpacked), len(list))
	}
	return err
}

func untar(name, dir string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	packed, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	archive := tar.NewReader(packed)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := put(dir, header.Name, os.FileMode(header.Mode), archive); err != nil {
			return err
		}
	}
}

func unzip(name, dir string) error {
	archive, err := zip.OpenReader(name)
	if err != nil {
		return err
	}
	defer archive.Close()
	for _, file := range archive.File {
		from, err := file.Open()
		if err != nil {
			return err
		}
		if err := errors.Join(put(dir, file.Name, file.Mode(), from), from.Close()); err != nil {
			return err
		}
	}
	return nil
}

func put(dir, name string, mode os.FileMode, from io.Reader) error {
	if !filepath.IsLocal(name) {
		return fmt.Errorf("%q leads out of the archive", name)
	}
	to := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, from)
	return errors.Join(err, file.Close())
}

// checkBinary reads how a binary was built, and that it needs no library.
func (r *release) checkBinary(target, dir string) error {
	name := filepath.Join(dir, r.name(target), filepath.Base(r.binary(target)))
	info, err := buildinfo.ReadFile(name)
	if err != nil {
		return err
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if info.Main.Version != r.version || settings["GOOS"]+"/"+settings["GOARCH"] != target || settings["CGO_ENABLED"] != "0" || settings["-trimpath"] != "true" {
		return fmt.Errorf("it is %s, built with %v", info.Main.Version, settings)
	}
	if !strings.HasPrefix(target, "linux/") {
		return nil
	}
	file, err := elf.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	libraries, err := file.ImportedLibraries()
	if err == nil && len(libraries) > 0 {
		err = fmt.Errorf("it needs %v", libraries)
	}
	return err
}

func (r *release) checkDeb(target string) error {
	name := filepath.Join(r.out, r.name(target)+".deb")
	fields, err := r.command("dpkg-deb", "--field", name).Output()
	if err != nil {
		return err
	}
	for _, want := range []string{"Package: holdfast\n", "Architecture: " + strings.TrimPrefix(target, "linux/") + "\n", "Version: " + strings.Split(strings.TrimPrefix(r.version, "v"), "-")[0], "Description: SQLite, dependable"} {
		if !strings.Contains(string(fields), want) {
			return fmt.Errorf("no %q in\n%s", want, fields)
		}
	}
	contents, err := r.command("dpkg-deb", "--contents", name).Output()
	if err != nil {
		return err
	}
	for _, want := range inPackages {
		if !strings.Contains(string(contents), " ."+want+"\n") {
			return fmt.Errorf("no %s in\n%s", want, contents)
		}
	}
	if !strings.Contains(string(contents), "-rwxr-xr-x root/root") {
		return errors.New("nothing in it is root's and can be run")
	}
	control := filepath.Join(r.work, "control-"+filepath.Base(name))
	if out, err := r.command("dpkg-deb", "--control", name, control).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(control, "conffiles"))
	if err == nil && strings.TrimSpace(string(text)) != "/etc/holdfast/holdfast.json" {
		err = fmt.Errorf("its files of configuration are %q", text)
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		_, e := os.Stat(filepath.Join(control, script))
		err = errors.Join(err, e)
	}
	return err
}

func (r *release) checkRPM(target string) error {
	file, err := os.Open(filepath.Join(r.out, r.name(target)+".rpm"))
	if err != nil {
		return err
	}
	defer file.Close()
	pack, err := rpmutils.ReadRpm(file)
	if err != nil {
		return err
	}
	name, err := pack.Header.GetNEVRA()
	if err != nil {
		return err
	}
	arch := map[string]string{"linux/amd64": "x86_64", "linux/arm64": "aarch64"}[target]
	if name.Name != "holdfast" || name.Arch != arch || !strings.HasPrefix(r.version, "v"+strings.SplitN(name.Version, "~", 2)[0]) {
		return fmt.Errorf("it is %s", name)
	}
	list, err := pack.Header.GetFiles()
	if err != nil {
		return err
	}
	for _, want := range inPackages {
		if !slices.ContainsFunc(list, func(f rpmutils.FileInfo) bool { return f.Name() == want && f.UserName() == "root" }) {
			return fmt.Errorf("no %s of root's", want)
		}
	}
	// Reading the payload to its end compares its sizes.
	return pack.ExpandPayload(filepath.Join(r.work, "rpm-"+arch))
}

func (r *release) checkSBOM(target string) error {
	text, err := os.ReadFile(filepath.Join(r.out, r.name(target)+".cdx.json"))
	if err != nil {
		return err
	}
	var bill struct {
		BOMFormat  string
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal(text, &bill); err != nil {
		return err
	}
	for _, c := range bill.Components {
		if c.Name == "modernc.org/sqlite" && c.Version != "" && bill.BOMFormat == "CycloneDX" {
			return nil
		}
	}
	return fmt.Errorf("%d components, and not the engine", len(bill.Components))
}

// checkCommand asks the command of this machine, as it comes out of its archive.
func (r *release) checkCommand(dir string) error {
	command := filepath.Join(dir, filepath.Base(r.binary(runtime.GOOS+"/"+runtime.GOARCH)))
	out, err := r.command(command, "version").Output()
	if err != nil {
		return err
	}
	if !strings.Contains(string(out), r.version) {
		return fmt.Errorf("no %s in\n%s", r.version, out)
	}
	if out, err := r.command(command, "config", "check", filepath.Join(dir, "holdfast.json")).CombinedOutput(); err != nil {
		return fmt.Errorf("the example of a configuration: %w\n%s", err, out)
	}
	return nil
}

// checkUnit has systemd read the unit, with a command that is here.
func (r *release) checkUnit(dir string) error {
	text, err := os.ReadFile("systemd/holdfast.service")
	if err != nil {
		return err
	}
	unit := filepath.Join(r.work, "holdfast.service")
	text = []byte(strings.Replace(string(text), "/usr/bin/holdfast", filepath.Join(dir, "holdfast"), 1))
	if err := os.WriteFile(unit, text, 0o644); err != nil {
		return err
	}
	out, err := r.command("systemd-analyze", "verify", "--man=no", unit).CombinedOutput()
	if err != nil || strings.Contains(string(out), "holdfast.service:") {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// checkDockerfile looks at what its statements promise: Go where it is built, a base
// without a shell, nobody's rights, no shell to begin with.
func checkDockerfile(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	statements := make(map[string][]string)
	for line := range strings.Lines(string(text)) {
		if word, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok && word != "#" {
			statements[word] = append(statements[word], rest)
		}
	}
	from := statements["FROM"]
	switch {
	case len(from) != 2 || !strings.HasSuffix(from[0], " AS build"):
		return fmt.Errorf("its stages are %q", from)
	case !strings.HasPrefix(from[1], "gcr.io/distroless/static") || !strings.HasSuffix(from[1], ":nonroot"):
		return fmt.Errorf("its base is %q", from[1])
	case !slices.Equal(statements["USER"], []string{"65532:65532"}):
		return fmt.Errorf("its user is %q", statements["USER"])
	case !slices.Equal(statements["ENTRYPOINT"], []string{`["/usr/bin/holdfast"]`}) || !slices.Equal(statements["CMD"], []string{`["serve"]`}):
		return errors.New("it does not begin the daemon itself")
	case len(statements["ADD"]) > 0:
		return errors.New("it adds something from elsewhere")
	case !strings.Contains(strings.Join(statements["RUN"], " "), "CGO_ENABLED=0"):
		return errors.New("its command may need libraries")
	}
	return nil
}

// silent runs a command that has to end well and without a word on standard error.
func silent(cmd *exec.Cmd) error {
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, errs.String())
	}
	if errs.Len() > 0 {
		return fmt.Errorf("%s: %s", strings.Join(cmd.Args, " "), errs.String())
	}
	return nil
}

// eachFile looks at each file in dir.
func eachFile(dir string, look func(string) error) error {
	names, err := files(dir)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return errors.New("there are none")
	}
	for _, name := range names {
		if err := look(name); err != nil {
			return err
		}
	}
	return nil
}
