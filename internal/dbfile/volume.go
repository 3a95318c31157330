package dbfile

import (
	"sync"
	"time"
)

// Volume is where a database lies: the room on it, and what its device does. The zero
// value is that of no directory. It is safe for concurrent use.
type Volume struct {
	Dir string

	mu    sync.Mutex // guards the rest
	at    time.Time
	state VolumeState
	known bool
	first *DeviceIO
}

// VolumeState is a look at a volume.
type VolumeState struct {
	Space
	IO *DeviceIO // since the first look; nil where the system doesn't tell
}

// DeviceIO is what a block device has done, for all programs together.
type DeviceIO struct {
	ReadBytes, WrittenBytes int64
	Reads, Writes           int64
	Busy                    time.Duration // in which it had something to do
}

// lookedFor is how long a look serves.
const lookedFor = time.Second

// Look returns what is known of the volume, now or a second ago; false where the system
// doesn't tell. It opens nothing on the volume, but the system may wait for one that
// hangs.
func (v *Volume) Look(now time.Time) (VolumeState, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.Dir == "" || !v.at.IsZero() && now.Sub(v.at).Abs() < lookedFor {
		return v.state, v.known
	}
	v.at = now
	space, err := SpaceOf(v.Dir)
	v.state, v.known = VolumeState{Space: space}, err == nil
	if io, ok := deviceOf(v.Dir); ok {
		if v.first == nil {
			v.first = &io
		}
		f := v.first
		v.state.IO = &DeviceIO{
			ReadBytes: io.ReadBytes - f.ReadBytes, WrittenBytes: io.WrittenBytes - f.WrittenBytes,
			Reads: io.Reads - f.Reads, Writes: io.Writes - f.Writes, Busy: io.Busy - f.Busy,
		}
	}
	return v.state, v.known
}
