package work

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// MemoryIsTold says whether this system tells what anonymous tells.
const MemoryIsTold = true

// anonymous is how many bytes of this process's own memory are resident: heaps,
// stacks and what the C library has, but neither the program's text nor a page
// of a file that is mapped. The kernel walks the page tables for it, where
// VmRSS and RssAnon may be off by some hundred KB.
func anonymous() (int64, error) {
	f, err := os.Open("/proc/self/smaps_rollup")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "Anonymous:"); ok {
			var kib int64
			_, err := fmt.Sscan(value, &kib)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s does not tell what is anonymous", f.Name())
}
