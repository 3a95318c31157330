package copy

import "os"

// One flush at the end would let gigabytes pile up in the page cache, and then
// everybody's next flush waits for them, the write-ahead log's too. So a disk is
// asked to write flushBytes at once, and shortFlush while others write. On a file
// system with a journal each flush makes that be written, too, and others' flushes
// wait for it: where a part can be written by itself, without a flush, that is done
// part by part, and the flushes stay rare.
const (
	flushBytes = 32 << 20
	shortFlush = 1 << 20
	partBytes  = 64 << 10
	ahead      = 1 << 20 // is being written at most, when another part begins
)

// flusher has a new file written to the disk while it grows.
type flusher struct {
	sync func() error
	// begin has the disk begin to write n bytes from an offset, and await waits until
	// they are written. They promise nothing: sync does. Both are nil where there is no
	// such thing; they return false if it turns out that there is none.
	begin, await func(from, n int64) (ok bool, err error)

	begun, synced int64
}

func newFlusher(f *os.File) *flusher {
	w := &flusher{sync: f.Sync}
	w.begin, w.await = byPart(f)
	return w
}

// reach is told that the file has size bytes, and whether others write.
func (w *flusher) reach(size int64, others bool) error {
	limit := int64(flushBytes)
	if others {
		if err := w.parts(size); err != nil {
			return err
		}
		if w.begin == nil {
			limit = shortFlush
		}
	}
	if size-w.synced < limit {
		return nil
	}
	w.begun, w.synced = size, size
	return w.sync()
}

// parts has all whole parts written that are not yet.
func (w *flusher) parts(size int64) error {
	for w.begin != nil && w.begun+partBytes <= size {
		ok, err := w.begin(w.begun, partBytes)
		if before := w.begun - ahead; ok && err == nil && before >= 0 {
			ok, err = w.await(before, partBytes)
		}
		if err != nil {
			return err
		}
		if !ok {
			w.begin = nil
		}
		w.begun += partBytes
	}
	return nil
}
