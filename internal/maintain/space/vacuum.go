package space

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// ErrNoRoom: there is too little space for VACUUM.
var ErrNoRoom = errors.New("too little space for VACUUM")

// Estimate is what a VACUUM would need and bring.
type Estimate struct {
	State
	Bytes    int64 // of the file afterwards, if it has no gaps inside pages
	Duration time.Duration

	Volume, Temp   Room // where the database and temporary files are
	VolumeNeeds    int64
	TempNeeds      int64
	SameFileSystem bool // Volume and Temp: it needs both
}

// Room is what the volume of a directory has for ordinary users. Nobody knows if
// Total is 0.
type Room struct {
	Dir         string
	Free, Total int64
}

func (c Config) room(dir string) Room {
	r := Room{Dir: dir}
	if c.Room != nil {
		r.Free, r.Total = c.Room(dir)
	}
	return r
}

// same tells whether two rooms are on one volume, by the numbers: the system has no
// name for volumes that is the same everywhere.
func (r Room) same(o Room) bool {
	d := r.Free - o.Free
	return r.Total > 0 && r.Total == o.Total && max(d, -d) < r.Total/1000
}

// tempDir is where SQLite puts temporary files, see
// https://www.sqlite.org/tempfiles.html.
func tempDir() string {
	if runtime.GOOS == "windows" {
		return os.TempDir()
	}
	for _, dir := range []string{os.Getenv("SQLITE_TMPDIR"), os.Getenv("TMPDIR"), "/var/tmp", "/usr/tmp", "/tmp"} {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
	}
	return "."
}

const tempInMemory = 2 // what PRAGMA temp_store answers

const (
	sampleTime  = 200 * time.Millisecond
	samplePages = 64
	sampleMost  = 64 << 20 // bytes

	// copies is how much longer a VACUUM takes than a copy of the same pages: it
	// builds every index anew, writes all pages to a temporary file and from there
	// to the log or the journal. 4.1 times was measured with rows of 3.5 kB, 5.8
	// times with a million small ones and two indexes.
	copies = 6
)

// Plan estimates a VACUUM of the database at path. wal tells whether it is in WAL
// mode. It copies some pages to see how fast that is, for 200 ms at most.
func Plan(ctx context.Context, cfg Config, path string, wal bool) (e Estimate, err error) {
	c, err := cfg.Open(ctx)
	if err != nil {
		return e, err
	}
	defer c.Close()
	if e.State, err = look(c); err != nil {
		return e, err
	}
	e.Bytes = e.State.Bytes(e.Pages - e.Free)
	e.Volume, e.Temp = cfg.room(filepath.Dir(path)), cfg.room(tempDir())
	e.SameFileSystem = e.Volume.same(e.Temp)
	e.TempNeeds, e.VolumeNeeds = e.Bytes, e.Bytes
	if store, err := c.QueryInt64("PRAGMA temp_store"); err == nil && store == tempInMemory {
		e.TempNeeds = 0
	}
	if !wal { // the journal takes the pages that are replaced
		e.VolumeNeeds = e.State.Bytes(e.Pages)
	}
	perPage, err := copyRate(ctx, c, e.PageSize)
	e.Duration = perPage * copies * time.Duration(e.Pages-e.Free)
	return e, err
}

// copyRate is how long a page takes from the database into a temporary file.
func copyRate(ctx context.Context, c *sqlite.Conn, pageSize int64) (perPage time.Duration, err error) {
	dst, err := sqlite.Open("", sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		return 0, err
	}
	defer dst.Close()
	b, err := sqlite.NewBackup(dst, "main", c, "main")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, b.Finish()) }()
	start := time.Now()
	for done := false; !done && time.Since(start) < sampleTime && ctx.Err() == nil; {
		if done, err = b.Step(samplePages); err != nil {
			return 0, err
		}
		if int64(b.PageCount()-b.Remaining())*pageSize > sampleMost {
			break
		}
	}
	pages := b.PageCount() - b.Remaining()
	return time.Since(start) / time.Duration(max(pages, 1)), ctx.Err()
}

// spare is what remains free besides, so that others don't find the disk full.
const spare = 16 << 20

// Fits tells whether there is room enough; the error names the directory that has
// too little.
func (e Estimate) Fits() error {
	volume, temp := e.VolumeNeeds+spare, e.TempNeeds+spare
	if e.SameFileSystem {
		volume += temp
		temp = 0
	}
	for _, r := range []struct {
		Room
		needs int64
	}{{e.Volume, volume}, {e.Temp, temp}} {
		if r.Total > 0 && r.Free < r.needs {
			return fmt.Errorf("%w: it needs %d bytes at %s, where %d are free", ErrNoRoom, r.needs, r.Dir, r.Free)
		}
	}
	return nil
}

// Vacuum builds the file anew. Nobody else writes meanwhile. With incremental the
// file has auto_vacuum=INCREMENTAL afterwards.
func Vacuum(ctx context.Context, cfg Config, incremental bool) (took time.Duration, err error) {
	err = cfg.Hold(ctx, "VACUUM", func(c *sqlite.Conn) error {
		start := time.Now()
		defer func() { took = time.Since(start) }()
		if !incremental {
			return c.Exec("VACUUM")
		}
		before, err := look(c)
		if err != nil {
			return err
		}
		if err = c.Exec("PRAGMA auto_vacuum=INCREMENTAL; VACUUM"); err != nil {
			// The connection remembers it for the next VACUUM, which nobody may have
			// asked for that.
			_ = c.Exec(fmt.Sprintf("PRAGMA auto_vacuum=%d", before.AutoVacuum)) // err matters more
		}
		return err
	})
	if err == nil && cfg.Checkpoint != nil {
		err = cfg.Checkpoint(ctx)
	}
	return took, err
}
