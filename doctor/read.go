package doctor

import (
	"encoding/binary"
	"errors"
	"io"
	"os"

	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/locks/table"
)

var big = binary.BigEndian

// withFile lets look read a file. It is the only place that opens a database or
// one of its sidecars, and openHere has been asked before: a process without a
// connection has no lock that the close could drop.
func withFile(path string, look func(io.ReaderAt) error) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return look(f)
}

// head returns the first n bytes of a file, or fewer if it is shorter.
func head(path string, n int) ([]byte, error) {
	b := make([]byte, n)
	err := withFile(path, func(f io.ReaderAt) error {
		got, err := f.ReadAt(b, 0)
		b = b[:got]
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	})
	return b, err
}

// openHere returns ErrOpenHere if this process has a descriptor of the database
// or its sidecars, as far as the system tells.
func openHere(path string) error {
	wal, shm, journal, _, _ := dbfile.Sidecars(path)
	if table.Own(path, wal, shm, journal) {
		return ErrOpenHere
	}
	return nil
}
