package work

import (
	"errors"
	"os"
	"runtime"
	"runtime/pprof"
)

// profile is of the time that counts. The zero value is none.
type profile struct {
	path string // without the ending
	cpu  *os.File
}

// profileRate is how many bytes are allocated between two samples: few enough
// that a short cell has some, and so many that taking them costs little.
const profileRate = 64 << 10

// withProfile must come before the process has allocated much: what was sampled
// before start would be in the profile too.
func withProfile(path string) profile {
	if path != "" {
		runtime.MemProfileRate = 0
	}
	return profile{path: path}
}

func (p *profile) start() (err error) {
	if p.path == "" {
		return nil
	}
	if p.cpu, err = os.Create(p.path + ".cpu.pprof"); err != nil {
		return err
	}
	runtime.MemProfileRate = profileRate
	return pprof.StartCPUProfile(p.cpu)
}

func (p *profile) stop() error {
	if p.cpu == nil {
		return nil
	}
	pprof.StopCPUProfile()
	err := p.cpu.Close()
	runtime.GC() // or the last samples are missing
	allocs, e := os.Create(p.path + ".allocs.pprof")
	if e != nil {
		return errors.Join(err, e)
	}
	return errors.Join(err, pprof.Lookup("allocs").WriteTo(allocs, 0), allocs.Close())
}
