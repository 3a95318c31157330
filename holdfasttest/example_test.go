package holdfasttest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/holdfasttest"
)

// A test with a database of its own, which may run in parallel with others.
func ExampleNew() {
	testTransfer := func(t *testing.T) {
		t.Parallel()
		db := holdfasttest.New(t,
			holdfasttest.WithSchema("CREATE TABLE account(id INTEGER PRIMARY KEY, cents INTEGER)"),
			holdfasttest.FailOnLeak(),             // rows, transactions and connections are closed
			holdfasttest.FailOnFullScan("config"), // each table but config is read by an index
		)
		if _, err := db.Exec("INSERT INTO account VALUES (1, 100)"); err != nil {
			t.Fatal(err)
		}
	}
	_ = testTransfer
}

// directory is for the databases of an example.
func directory() (string, func()) {
	dir, err := os.MkdirTemp("", "holdfasttest-")
	if err != nil {
		panic(err)
	}
	return dir, func() {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Println(err)
		}
	}
}

// What does the program do when the disk is full?
func ExampleDisk_Inject() {
	ctx := context.Background()
	dir, remove := directory()
	defer remove()
	disk := holdfasttest.NewDisk()
	db, err := holdfast.Open(disk.Context(ctx), filepath.Join(dir, "app.db"))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = db.Exec("CREATE TABLE t(a)")
	fmt.Println(err)

	full := disk.Inject(holdfasttest.Fault{Kind: holdfasttest.Full, Op: holdfasttest.Write, File: holdfasttest.WAL, Sticky: true})
	_, err = db.Exec("INSERT INTO t VALUES (1)")
	fmt.Println(errors.Is(err, holdfast.ErrDiskFull), full.Strikes() > 0)

	full.Remove() // somebody has made room
	_, err = db.Exec("INSERT INTO t VALUES (2)")
	fmt.Println(err)
	fmt.Println(db.Close(), disk.Close())
	// Output:
	// <nil>
	// true true
	// <nil>
	// <nil> <nil>
}

// A disk on which a sync takes 20 ms shows what group commit is worth.
func ExampleFault_slow() {
	disk := holdfasttest.NewDisk()
	disk.Inject(holdfasttest.Fault{Kind: holdfasttest.Slow, Op: holdfasttest.Sync, Delay: 20 * time.Millisecond, Sticky: true})
	fmt.Println(disk.Close())
	// Output: <nil>
}

// A child process that is killed at its third commit. The parent counts what the
// child has acknowledged, opens the database and looks whether it is there.
func ExampleKillAtCommit() {
	disk := holdfasttest.NewDisk()
	disk.Inject(holdfasttest.KillAtCommit(3, true))
	// db, err := holdfast.Open(disk.Context(ctx), path)
	fmt.Println(disk.Close())
	// Output: <nil>
}

// What could a power cut have left behind?
func ExampleRecording_CrashState() {
	ctx := context.Background()
	dir, remove := directory()
	defer remove()
	disk := holdfasttest.NewDisk()
	recording, err := disk.Record()
	if err != nil {
		fmt.Println(err)
		return
	}
	db, err := holdfast.Open(disk.Context(ctx), filepath.Join(dir, "app.db"))
	if err != nil {
		fmt.Println(err)
		return
	}
	// The schema is mark 0, row n is mark n.
	for i := range 10 {
		if i == 0 {
			_, err = db.Exec("CREATE TABLE t(a INTEGER PRIMARY KEY)")
		} else {
			_, err = db.Exec("INSERT INTO t VALUES (?)", i)
		}
		if err != nil {
			fmt.Println(err)
		}
		recording.Mark() // it was acknowledged
	}
	fmt.Println(db.Close(), disk.Close())

	lost := 0
	for seed := range uint64(50) {
		state := recording.CrashState(seed, holdfasttest.Journaled)
		if state.Marks == 0 {
			continue // before the table was acknowledged
		}
		after, err := os.MkdirTemp(dir, "crash-")
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := state.WriteTo(after); err != nil {
			fmt.Println(err)
		}
		rows, err := holdfasttest.Examine(filepath.Join(after, "app.db"), "SELECT count(*) >= "+fmt.Sprint(state.Marks-1)+" FROM t")
		if err != nil || rows[0] != "1" {
			lost++
		}
	}
	fmt.Println(lost, "states have lost something")
	// Output:
	// <nil> <nil>
	// 0 states have lost something
}
