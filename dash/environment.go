package dash

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/holdfastdb/holdfast"
)

func environmentPage() page {
	return page{id: "environment", view: func(ctx context.Context, v *visit) (any, error) { return v.environment(ctx) }}
}

// environment is what the database runs on.
type environment struct {
	Engine   holdfast.EngineInfo    `json:"engine"`
	Pragmas  []pragmaRow            `json:"pragmas"`
	File     holdfast.FileHealth    `json:"file"`
	Pages    int64                  `json:"page_count"`
	PageSize int64                  `json:"page_size"`
	Volume   holdfast.VolumeHealth  `json:"volume"`
	Memory   holdfast.MemoryStats   `json:"memory"`
	Process  process                `json:"process"`
	Config   []holdfast.ConfigValue `json:"config"` // null if where it comes from is not known
	Notes    []string               `json:"config_notes"`
	Findings []holdfast.Finding     `json:"findings"`
	Disk     string                 `json:"file_system_state"` // "ok", "warning" or "unknown"
	byOrigin []holdfast.ConfigValue // those that somebody has set
	all      []holdfast.ConfigValue
}

// Set are the settings that somebody has made, All all of them.
func (e *environment) Set() []holdfast.ConfigValue { return e.byOrigin }

// All are all settings.
func (e *environment) All() []holdfast.ConfigValue { return e.all }

// pragmaRow is one setting of SQLite as a reader has it.
type pragmaRow struct {
	Name        string `json:"name"`
	Value       string `json:"value"`
	Recommended string `json:"recommended"` // "" where it depends
	State       string `json:"state"`       // "ok", "warning" or "unknown"
	Why         string `json:"why"`
}

// process is the program that shows the page.
type process struct {
	PID     int    `json:"pid"`
	Program string `json:"program"`
	Version string `json:"version"` // of its build; "" if it does not say
	Library string `json:"holdfast"`
	Go      string `json:"go"`
	System  string `json:"system"`
	CPUs    int    `json:"cpus"`
}

// A recommendation says which values of a pragma are good. Why is the text "pragma.NAME".
type recommendation struct {
	name  string
	words map[string]string // of numbers
	good  []string          // none: it depends
}

var (
	yesNo           = map[string]string{"0": "OFF", "1": "ON"}
	recommendations = []recommendation{
		{"journal_mode", nil, []string{"wal"}},
		{"synchronous", map[string]string{"0": "OFF", "1": "NORMAL", "2": "FULL", "3": "EXTRA"}, []string{"FULL", "EXTRA"}},
		{"foreign_keys", yesNo, []string{"ON"}},
		{"trusted_schema", yesNo, []string{"OFF"}},
		{"query_only", yesNo, []string{"ON"}},
		{"temp_store", map[string]string{"0": "DEFAULT", "1": "FILE", "2": "MEMORY"}, []string{"FILE", "DEFAULT"}},
		{"mmap_size", nil, []string{"0"}},
		{"locking_mode", nil, []string{"normal"}},
		{"auto_vacuum", map[string]string{"0": "NONE", "1": "FULL", "2": "INCREMENTAL"}, []string{"INCREMENTAL"}},
		{"page_size", nil, []string{"4096", "8192", "16384"}},
		{"encoding", nil, []string{"UTF-8"}},
		{"journal_size_limit", nil, nil},
		{"cache_size", nil, nil},
	}
)

func (v *visit) environment(ctx context.Context) (*environment, error) {
	h, err := v.watch.healthNow(ctx)
	if err != nil {
		return nil, err
	}
	v.keep = slowly
	e := &environment{
		Engine: h.ThreadingInfo, File: h.File, Pages: h.PageCount, PageSize: h.PageSize, Volume: h.Volume, Memory: h.ConnectionStats.Memory,
		Process: thisProcess(), Findings: []holdfast.Finding{}, Disk: "unknown",
	}
	e.Memory.Suspects = nil // the page about locks has what is kept
	for _, r := range recommendations {
		e.Pragmas = append(e.Pragmas, v.ask(ctx, r))
	}
	for _, f := range h.Findings {
		if f.ID == "engine-bug" || f.ID == "journal-mode" || f.ID == "statistics-missing" {
			e.Findings = append(e.Findings, f)
		}
	}
	switch h.File.FileSystemClass {
	case "local", "memory":
		e.Disk = "ok"
	case "network", "bridged":
		e.Disk = "warning"
	}
	if v.config != nil {
		if r := v.config(v.place.name); r != nil {
			e.configured(r)
		}
	}
	return e, nil
}

// configured adds the settings, without secrets.
func (e *environment) configured(r *holdfast.ConfigReport) {
	e.Notes = r.Notes
	for _, value := range r.Values {
		value.Value, value.Default = discreet(value.Value), discreet(value.Default)
		e.all = append(e.all, value)
		if value.Origin != "default" {
			e.byOrigin = append(e.byOrigin, value)
		}
	}
	e.Config = e.all
}

// discreet takes out of an address who may go there and with what.
func discreet(value string) string {
	if !strings.Contains(value, "://") {
		return value
	}
	u, err := url.Parse(value)
	if err != nil {
		return "…"
	}
	if u.User != nil {
		u.User = url.User("…")
	}
	if u.RawQuery != "" {
		u.RawQuery = "…"
	}
	return u.String()
}

// ask reads a pragma on a reader, which is in use for that moment.
func (v *visit) ask(ctx context.Context, r recommendation) pragmaRow {
	row := pragmaRow{Name: r.name, State: "unknown", Why: v.text.T("pragma." + r.name)}
	var value sql.NullString
	if err := v.db.QueryRowContext(ctx, "PRAGMA "+r.name).Scan(&value); err != nil {
		row.Value = v.text.T("environment.untold", err.Error())
		return row
	}
	row.Value = value.String
	if word, ok := r.words[row.Value]; ok {
		row.Value = word
	}
	if len(r.good) == 0 {
		return row
	}
	row.State, row.Recommended = "warning", r.good[0]
	for _, good := range r.good {
		if row.Value == good {
			row.State = "ok"
		}
	}
	return row
}

func thisProcess() process {
	p := process{PID: os.Getpid(), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU()}
	if len(os.Args) > 0 {
		p.Program = fileName(os.Args[0], "")
	}
	if b, ok := debug.ReadBuildInfo(); ok {
		p.Version, p.Library = b.Main.Version, b.Main.Version
		for _, m := range b.Deps {
			if m.Path == "github.com/holdfastdb/holdfast" {
				p.Library = m.Version
			}
		}
	}
	return p
}
