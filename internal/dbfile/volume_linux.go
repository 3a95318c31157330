package dbfile

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// deviceOf reads the counters of the device that a directory lies on. A file system that
// is on no single device, as tmpfs and btrfs, has none.
func deviceOf(dir string) (DeviceIO, bool) {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return DeviceIO{}, false
	}
	text, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev))))
	if err != nil {
		return DeviceIO{}, false
	}
	return parseDevice(string(text))
}

// parseDevice reads what https://docs.kernel.org/block/stat.html describes. A sector has
// 512 bytes there, whatever the device's has.
func parseDevice(text string) (DeviceIO, bool) {
	var n [11]int64 // later kernels have more
	fields := strings.Fields(text)
	if len(fields) < len(n) {
		return DeviceIO{}, false
	}
	for i := range n {
		v, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return DeviceIO{}, false
		}
		n[i] = v
	}
	const sector = 512
	return DeviceIO{
		Reads: n[0], ReadBytes: n[2] * sector, Writes: n[4], WrittenBytes: n[6] * sector,
		Busy: time.Duration(n[9]) * time.Millisecond,
	}, true
}
