package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // the two formats
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

// entry is one file of an archive.
type entry struct {
	name, from string
	mode       int64
}

// entries are what is in the archive of a target.
func (r *release) entries(target string) ([]entry, error) {
	list := []entry{{filepath.Base(r.binary(target)), r.binary(target), 0o755}, {"holdfast.json", filepath.Join(r.root, "packaging/holdfast.json"), 0o644}}
	for _, name := range []string{"LICENSE", "README.md", "README.de.md", "CHANGELOG.md"} {
		list = append(list, entry{name, filepath.Join(r.root, name), 0o644})
	}
	if strings.HasPrefix(target, "linux/") {
		list = append(list, entry{"systemd/holdfast.service", filepath.Join(r.root, "packaging/systemd/holdfast.service"), 0o644})
	}
	for _, dir := range []string{"man1", "completions"} {
		names, err := files(filepath.Join(r.work, dir))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			list = append(list, entry{path.Join(dir, filepath.Base(name)), name, 0o644})
		}
	}
	slices.SortFunc(list, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

// archive writes a .zip for Windows and a .tar.gz for others.
func (r *release) archive(target string) (err error) {
	list, err := r.entries(target)
	if err != nil {
		return err
	}
	ending := ".tar.gz"
	if strings.HasPrefix(target, "windows/") {
		ending = ".zip"
	}
	file, err := os.Create(filepath.Join(r.out, r.name(target)+ending))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if ending == ".zip" {
		archive := zip.NewWriter(file)
		return errors.Join(r.each(target, list, func(name string, from *os.File, mode, _ int64) error {
			header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: r.when}
			header.SetMode(os.FileMode(mode))
			to, err := archive.CreateHeader(header)
			if err != nil {
				return err
			}
			_, err = io.Copy(to, from)
			return err
		}), archive.Close())
	}
	packed := gzip.NewWriter(file)
	archive := tar.NewWriter(packed)
	return errors.Join(r.each(target, list, func(name string, from *os.File, mode, size int64) error {
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: size, ModTime: r.when, Format: tar.FormatPAX}); err != nil {
			return err
		}
		_, err := io.Copy(archive, from)
		return err
	}), archive.Close(), packed.Close())
}

// each opens the files of a list one after the other.
func (r *release) each(target string, list []entry, put func(name string, from *os.File, mode, size int64) error) error {
	for _, e := range list {
		from, err := os.Open(e.from)
		if err != nil {
			return err
		}
		info, err := from.Stat()
		if err == nil {
			err = put(r.name(target)+"/"+e.name, from, e.mode, info.Size())
		}
		if err := errors.Join(err, from.Close()); err != nil {
			return err
		}
	}
	return nil
}

// pack writes a package in the format of Debian or Red Hat.
func (r *release) pack(format, target string) (err error) {
	stage := filepath.Dir(r.binary(target))
	if err := os.MkdirAll(filepath.Join(stage, "man"), 0o755); err != nil {
		return err
	}
	pages, err := files(filepath.Join(r.work, "man1"))
	if err != nil {
		return err
	}
	for _, page := range pages { // as both distributions want them
		if err := compress(page, filepath.Join(stage, "man", filepath.Base(page)+".gz")); err != nil {
			return err
		}
	}
	completions := filepath.Join(stage, "completions")
	if err := os.RemoveAll(completions); err != nil {
		return err
	}
	if err := os.CopyFS(completions, os.DirFS(filepath.Join(r.work, "completions"))); err != nil {
		return err
	}
	config, err := nfpm.ParseFileWithEnvMapping("nfpm.yaml", func(name string) string {
		return map[string]string{"STAGE": stage, "VERSION": r.version, "ARCH": strings.TrimPrefix(target, "linux/")}[name]
	})
	if err != nil {
		return err
	}
	info, err := config.Get(format)
	if err != nil {
		return err
	}
	info.MTime = r.when
	for _, content := range info.Contents {
		content.FileInfo.MTime = r.when
	}
	info = nfpm.WithDefaults(info)
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(r.out, r.name(target)+"."+format))
	if err != nil {
		return err
	}
	return errors.Join(packager.Package(info, file), file.Close())
}

func compress(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	file, err := os.Create(to)
	if err != nil {
		return err
	}
	packed, err := gzip.NewWriterLevel(file, gzip.BestCompression)
	if err != nil {
		return err
	}
	_, err = packed.Write(text)
	return errors.Join(err, packed.Close(), file.Close())
}

const sums = "SHA256SUMS"

// writeSums writes what "sha256sum -c" reads.
func (r *release) writeSums() error {
	var list strings.Builder
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == sums {
			continue
		}
		sum, err := sumOf(filepath.Join(r.out, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&list, "%s  %s\n", sum, e.Name())
	}
	return os.WriteFile(filepath.Join(r.out, sums), []byte(list.String()), 0o644)
}

func sumOf(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	_, err = io.Copy(hash, file)
	return fmt.Sprintf("%x", hash.Sum(nil)), errors.Join(err, file.Close())
}
