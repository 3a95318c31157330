package main

import (
	"os"
	"time"
)

// sizeWatch remembers how large a file has been. It asks for the size only: a
// live database's files must not be opened.
type sizeWatch struct {
	done chan struct{}
	size chan int64
}

const watchInterval = 5 * time.Millisecond

func watchSize(path string) *sizeWatch {
	w := &sizeWatch{done: make(chan struct{}), size: make(chan int64)}
	go func() {
		var largest int64
		tick := time.NewTicker(watchInterval)
		defer tick.Stop()
		for {
			if info, err := os.Stat(path); err == nil {
				largest = max(largest, info.Size())
			}
			select {
			case <-tick.C:
			case <-w.done:
				w.size <- largest
				return
			}
		}
	}()
	return w
}

// stop ends the watch and returns the largest size that was seen.
func (w *sizeWatch) stop() int64 {
	close(w.done)
	return <-w.size
}
