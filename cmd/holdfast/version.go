package main

import (
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/spf13/cobra"
)

// versionAnswer is what version --json prints.
type versionAnswer struct {
	Schema   string              `json:"schema"`
	Version  string              `json:"version"`
	Revision string              `json:"revision,omitempty"`
	Library  string              `json:"library_version"`
	Go       string              `json:"go_version"`
	Platform string              `json:"platform"`
	SQLite   holdfast.EngineInfo `json:"sqlite"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the versions of Holdfast and its SQLite",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			answer := version()
			bugs := "none"
			if len(answer.SQLite.KnownBugs) > 0 {
				bugs = strings.Join(answer.SQLite.KnownBugs, "; ")
			}
			return a.printer().Document(answer, output.Fields(
				"version", answer.Version,
				"library version", answer.Library,
				"go", answer.Go+" "+answer.Platform,
				"sqlite", answer.SQLite.Version,
				"source id", answer.SQLite.SourceID,
				"threadsafe", int64(answer.SQLite.Threadsafe),
				"threading", answer.SQLite.Description,
				"ofd locks", answer.SQLite.OFDLocks,
				"known bugs", bugs,
			))
		},
	}
}

// version asks the build for what it was built from.
func version() versionAnswer {
	answer := versionAnswer{
		Schema: "holdfast.version/v1", Version: "(devel)", Library: "(devel)",
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, SQLite: holdfast.Engine(),
	}
	if answer.SQLite.KnownBugs == nil {
		answer.SQLite.KnownBugs = []string{}
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return answer
	}
	if v := info.Main.Version; v != "" {
		answer.Version = v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			answer.Revision = s.Value
		}
	}
	for _, dep := range info.Deps {
		// A replaced module is a directory of this repository.
		if dep.Path == "github.com/holdfastdb/holdfast" && dep.Replace == nil && dep.Version != "" {
			answer.Library = dep.Version
		}
	}
	return answer
}
