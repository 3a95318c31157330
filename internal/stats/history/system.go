package history

import (
	"os"

	"github.com/holdfastdb/holdfast/history"
)

// fileSamples are the sizes of the database and its log, and the room on their volume.
// What the system doesn't tell is left out.
func fileSamples(database, log string, free func() (int64, error)) (all []Sample) {
	for _, f := range [...]struct{ name, path string }{{"file.bytes", database}, {"file.log_bytes", log}} {
		if info, err := os.Stat(f.path); err == nil {
			all = append(all, Sample{f.name, history.Gauge, float64(info.Size())})
		}
	}
	if bytes, err := free(); err == nil {
		all = append(all, Sample{"file.free_bytes", history.Gauge, float64(bytes)})
	}
	return all
}

// process is what the process has used before it was recorded: its counters begin with the
// process and not with the database.
type process struct {
	before map[string]float64
}

// samples are the figures of the process, where the system tells them.
func (p *process) samples() []Sample {
	all := processSamples()
	first := p.before == nil
	if first {
		p.before = map[string]float64{}
	}
	for i, s := range all {
		if s.Kind != history.Counter {
			continue
		}
		if first {
			p.before[s.Name] = s.Value
		}
		all[i].Value -= p.before[s.Name]
	}
	return all
}
