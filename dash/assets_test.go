package dash

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestAssetsAreOfTheSources compares the sum of the sources that the build has written
// down with that of the sources that are here; without node it is all that can be seen.
func TestAssetsAreOfTheSources(t *testing.T) {
	t.Parallel()
	sources, err := filepath.Glob("web/src/*")
	if err != nil || len(sources) == 0 {
		t.Fatal(sources, err)
	}
	slices.Sort(sources)
	sum := sha256.New()
	for _, file := range append([]string{"web/build.mjs", "web/package-lock.json"}, sources...) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(filepath.ToSlash(file), "web/")
		sum.Write(append([]byte(name+"\x00"), bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n"))...))
	}
	want, err := assetFiles.ReadFile("assets/sources.sum")
	if err != nil || strings.TrimSpace(string(want)) != hex.EncodeToString(sum.Sum(nil)) {
		t.Errorf("dash/assets are not of these dash/web/src (%v): make dash", err)
	}
}

// TestAssetsAreBuilt builds them anew, where that is possible.
func TestAssetsAreBuilt(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if _, missing := os.Stat("web/node_modules/esbuild"); err != nil || missing != nil {
		t.Skip("there is no node, or no dash/web/node_modules: make dash puts it there")
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), node, "web/build.mjs", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	built, err := os.ReadDir(dir)
	if err != nil || len(built) < 5 {
		t.Fatal(built, err)
	}
	for _, f := range built {
		want, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := assetFiles.ReadFile("assets/" + f.Name()); !bytes.Equal(got, want) {
			t.Errorf("dash/assets/%s is not what dash/web/src makes: make dash", f.Name())
		}
	}
}

// Nothing is loaded from elsewhere, by a page or by what it loads.
func TestNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	all, _ := loadAssets()
	for name, a := range all {
		if a.kind == "" || strings.HasSuffix(name, ".txt") {
			continue
		}
		text := strings.ReplaceAll(string(a.content), "http://www.w3.org/", "")
		for _, bad := range []string{"http://", "https://", "url(//", "@import", "eval(", "new Function"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s has %s", name, bad)
			}
		}
	}
	lock, err := os.ReadFile("web/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(lock), "\n") {
		if strings.Contains(line, `"resolved"`) && !strings.Contains(line, `"https://registry.npmjs.org/`) {
			t.Errorf("package-lock.json names a registry of somebody's own: %s", line)
		}
	}
}
