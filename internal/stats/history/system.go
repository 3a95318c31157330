package history

import (
	"os"

	"github.com/holdfastdb/holdfast/history"
)

// fileSamples are the sizes of the database and its log, of those that are there.
func fileSamples(database, log string) (all []Sample) {
	for _, f := range [...]struct{ name, path string }{{"file.bytes", database}, {"file.log_bytes", log}} {
		if info, err := os.Stat(f.path); err == nil {
			all = append(all, Sample{f.name, history.Gauge, float64(info.Size())})
		}
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
