package holdfasttest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// Metadata is when the names of files, created or deleted, are on the disk.
type Metadata int

const (
	// Journaled names are there with the next sync of any file, and in their
	// order, as on ext4 and its like.
	Journaled Metadata = iota
	// Strict names are there when their directory was synced, which is all that
	// POSIX promises. Until then each may be there or not.
	Strict
)

// CrashState is what a power cut has left.
type CrashState struct {
	Seed  uint64
	Point int     // it came before this operation of the recording
	Marks int     // marks before it: what they stand for had happened
	Kept  float64 // each write that no sync had covered is there with this probability
	Lost  int     // such writes that are not there
	Torn  int     // and those of which only some sectors are

	Files map[string][]byte // by name, without directory
}

// String tells how to make the state again.
func (s CrashState) String() string {
	return fmt.Sprintf("crash state %d: before operation %d, %d marks, unsynced writes kept with %g: %d lost, %d torn", s.Seed, s.Point, s.Marks, s.Kept, s.Lost, s.Torn)
}

// sector is what a disk writes as a whole, or not at all.
const sector = 512

// CrashState returns the state that one power cut could have left: the seed
// chooses when it came and what was lost. The same seed gives the same state of
// a recording. Writes behind a file's last sync are kept each with a probability of 0,
// 0.5, 0.9 or 1, in any order; with 0.5 a quarter of those kept is torn into
// sectors of 512 bytes. Files are files and not names: what was written to one
// that had been deleted never shows up in another of its name.
//
// It is safe for concurrent use.
func (r *Recording) CrashState(seed uint64, names Metadata) CrashState {
	r.mu.Lock()
	ops := r.ops[:len(r.ops):len(r.ops)] // only appended to
	files := maps.Clone(r.first)
	r.mu.Unlock()

	rng := rand.New(rand.NewPCG(seed, 0))
	s := CrashState{Seed: seed, Point: rng.IntN(len(ops) + 1), Files: map[string][]byte{}}
	s.Kept = []float64{0, 0.5, 0.9, 1}[rng.IntN(4)]
	ops = ops[:s.Point]
	durable, named := covered(ops, names)
	s.rename(rng, ops, files, named, names)
	s.fill(rng, ops, files, durable)
	return s
}

// covered finds up to which operation each file is on the disk, and the names.
func covered(ops []operation, names Metadata) (durable map[*inode]int, named int) {
	durable = map[*inode]int{}
	for _, op := range ops {
		switch op.action {
		case synced:
			durable[op.file] = max(durable[op.file], op.began)
			if names == Journaled {
				named = max(named, op.began)
			}
		case dirSynced:
			named = max(named, op.began)
		}
	}
	return durable, named
}

// rename leaves in files those that have a name after the cut.
func (s *CrashState) rename(rng *rand.Rand, ops []operation, files map[string]*inode, named int, names Metadata) {
	ended := false // the journal of the file system
	for i, op := range ops {
		switch op.action {
		case marked:
			s.Marks++
		case created, deleted:
			lost := i >= named && rng.Float64() >= s.Kept
			if names == Journaled {
				ended = ended || lost
				lost = ended
			}
			switch {
			case lost:
			case op.action == created:
				files[op.name] = op.file
			case files[op.name] == op.file:
				delete(files, op.name)
			}
		}
	}
}

// fill writes what the files hold.
func (s *CrashState) fill(rng *rand.Rand, ops []operation, files map[string]*inode, durable map[*inode]int) {
	contents := map[*inode][]byte{}
	for _, f := range files {
		contents[f] = slices.Clone(f.before)
	}
	for i, op := range ops {
		if op.action != written && op.action != truncated {
			continue
		}
		data, there := contents[op.file]
		if !there {
			continue
		}
		unsynced := i >= durable[op.file]
		if unsynced && rng.Float64() >= s.Kept {
			s.Lost++
			continue
		}
		switch {
		case op.action == truncated:
			data = resize(data, int(op.offset))
		case unsynced && s.Kept == 0.5 && rng.IntN(4) == 0:
			s.Torn++
			data = tear(rng, data, op)
		default:
			data = write(data, op.data, int(op.offset))
		}
		contents[op.file] = data
	}
	for name, f := range files {
		s.Files[name] = contents[f]
	}
}

// tear writes each sector of an operation, or not.
func tear(rng *rand.Rand, data []byte, op operation) []byte {
	end := int(op.offset) + len(op.data)
	for at := int(op.offset); at < end; {
		next := min((at/sector+1)*sector, end)
		if rng.IntN(2) == 0 {
			data = write(data, op.data[at-int(op.offset):next-int(op.offset)], at)
		}
		at = next
	}
	return data
}

func write(data, part []byte, offset int) []byte {
	if end := offset + len(part); end > len(data) {
		data = resize(data, end)
	}
	copy(data[offset:], part)
	return data
}

// resize cuts or grows; what comes in between reads as zero.
func resize(data []byte, size int) []byte {
	if size <= len(data) {
		return data[:size]
	}
	n := len(data)
	data = slices.Grow(data, size-n)[:size]
	clear(data[n:])
	return data
}

// WriteTo makes the files in dir, which must have none of their names.
func (s CrashState) WriteTo(dir string) error {
	for name, data := range s.Files {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("holdfasttest: %w", err)
		}
		_, err = f.Write(data)
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			return fmt.Errorf("holdfasttest: %w", err)
		}
	}
	return nil
}
