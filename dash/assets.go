package dash

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"

	"github.com/holdfastdb/holdfast/dash/internal/picture"
)

//go:embed assets
var assetFiles embed.FS

// asset is a file that pages load.
type asset struct {
	kind    string
	content []byte
}

var assetKinds = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8",
}

// loadAssets returns the files by name, and a version that changes with any of them.
func loadAssets() (map[string]asset, string) {
	all := map[string]asset{}
	sum := sha256.New()
	err := fs.WalkDir(assetFiles, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := assetFiles.ReadFile(name)
		if path.Base(name) == "dash.css" {
			content = append(content, picture.Stylesheet()...)
		}
		_, _ = sum.Write(content)
		all[path.Base(name)] = asset{assetKinds[path.Ext(name)], content}
		return err
	})
	if err != nil {
		panic(err) // they are compiled in
	}
	return all, hex.EncodeToString(sum.Sum(nil))[:12]
}

func (d *Dashboard) serveAsset(w http.ResponseWriter, r *http.Request, name string) {
	a, ok := d.assets[name]
	if !ok || a.kind == "" {
		http.NotFound(w, r)
		return
	}
	if r.URL.Query().Get("v") == d.version {
		w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	w.Header().Set("Content-Type", a.kind)
	_, _ = w.Write(a.content)
}
