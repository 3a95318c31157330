package copy

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// disk notes what it is asked to write.
type disk struct {
	begun, awaited int64 // up to here
	syncs          []int64
	size           int64
	refuse         bool
	err            error
}

func (d *disk) flusher(t *testing.T) *flusher {
	return &flusher{
		sync: func() error { d.syncs = append(d.syncs, d.size); return d.err },
		begin: func(from, n int64) (bool, error) {
			if from < d.begun || from+n > d.size {
				t.Errorf("from %d on %d bytes are begun, of %d, after %d", from, n, d.size, d.begun)
			}
			d.begun = from + n
			return !d.refuse, nil
		},
		await: func(from, n int64) (bool, error) {
			d.awaited = from + n
			return true, d.err
		},
	}
}

// grow has a file grow to size, in steps.
func (d *disk) grow(t *testing.T, w *flusher, size int64, others bool) {
	t.Helper()
	for ; d.size < size; d.size += shortStep {
		if err := w.reach(d.size, others); err != nil {
			t.Fatal(err)
		}
		if left := d.begun - d.awaited; others && w.begin != nil && left > ahead+partBytes {
			t.Fatalf("%d bytes are written at once", left)
		}
	}
}

func TestFlushes(t *testing.T) {
	const large = 100 << 20
	for name, c := range map[string]struct {
		others, without, refuse bool
		syncs                   int
	}{
		"nobody writes":           {syncs: large / flushBytes},
		"others write":            {others: true, syncs: large / flushBytes},
		"others write, no parts":  {others: true, without: true, syncs: large/shortFlush - 1},
		"others write, refused":   {others: true, refuse: true, syncs: large/shortFlush - 1},
		"nobody writes, no parts": {without: true, syncs: large / flushBytes},
	} {
		d := &disk{refuse: c.refuse}
		w := d.flusher(t)
		if c.without {
			w.begin, w.await = nil, nil
		}
		d.grow(t, w, large, c.others)
		if len(d.syncs) != c.syncs {
			t.Errorf("%s: %d flushes and not %d", name, len(d.syncs), c.syncs)
		}
		parts := d.begun > 0
		if want := c.others && !c.without; parts != want || parts && !c.refuse && d.size-d.begun > partBytes+shortStep {
			t.Errorf("%s: %d bytes of %d were begun", name, d.begun, d.size)
		}
	}
}

// What a disk says while a part is awaited no flush would say again.
func TestFlushTellsErrors(t *testing.T) {
	for _, size := range []int64{2 << 20, flushBytes} { // by await, by sync
		d := &disk{size: size, err: errors.New("disk")}
		w := d.flusher(t)
		if size == flushBytes {
			w.begin = nil
		}
		if err := w.reach(size, true); !errors.Is(err, d.err) {
			t.Errorf("%d: %v", size, err)
		}
	}
}

// The system does it, or says that it doesn't.
func TestFlushOfAFile(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	must(t, err)
	defer f.Close()
	w := newFlusher(f)
	for size := int64(0); size < 3<<20; size += partBytes {
		_, err := f.WriteAt(make([]byte, partBytes), size)
		must(t, err)
		must(t, w.reach(size+partBytes, true))
	}
	if w.begin != nil && w.begun != 3<<20 || w.begin == nil && w.synced != 3<<20 {
		t.Errorf("begun %d, flushed %d", w.begun, w.synced)
	}
}
